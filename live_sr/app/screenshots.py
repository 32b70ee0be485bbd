"""Saves screenshots on a thread of its own, because neither the picture nor a key may wait for a disk."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from live_sr.app.file_names import find_free_name
from live_sr.errors import reason
from live_sr.imaging.png import write_png
from live_sr.pipeline.frame import Pixels

BEFORE, AFTER = "_before.png", "_after.png"
WAITING = 4  # screenshots that wait to be written; a pair of 4K pictures takes 64 MB


class ScreenshotWriter:
    """Writes pairs of pictures, one after another, into files that did not exist.

    Its thread lasts only as long as there is something to write, and the program ends only when that is done.
    """

    def __init__(self, folder: Path, notify: Callable[[str], None]) -> None:
        """`notify` is called on any thread, with what was saved or why not."""
        self._folder = folder
        self._notify = notify
        self._lock = threading.Lock()
        # guarded by _lock:
        self._waiting: deque[tuple[datetime, Pixels, Pixels]] = deque()
        self._running = False

    def save(self, before: Pixels, after: Pixels) -> None:
        """Writes the pictures soon; they are the writer's from now on. May be called on any thread."""
        with self._lock:
            if len(self._waiting) >= WAITING:
                self._notify("screenshot left out: the ones before it are still being written")
                return
            self._waiting.append((datetime.now(), before, after))
            if not self._running:
                threading.Thread(target=self._write_waiting, name="live-sr screenshot").start()
                self._running = True

    def report_failure(self, error: Exception) -> None:
        """Says why there is no screenshot."""
        self._notify(f"no screenshot: {reason(error)}")

    def _write_waiting(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running = False
                    return
                moment, before, after = self._waiting.popleft()
            try:
                name = find_free_name(self._folder, moment, (BEFORE, AFTER))
                write_png(self._folder / f"{name}{BEFORE}", before)
                write_png(self._folder / f"{name}{AFTER}", after)
            except Exception as error:
                self.report_failure(error)
            else:
                self._notify(f"saved {self._folder / name}{BEFORE} and {AFTER}")
