"""Writes one CSV row for each shown frame. Column names follow PresentMon where it has the same figure."""

from __future__ import annotations

import csv
import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import FileIO, StringIO
from pathlib import Path
from queue import Full, Queue

from live_sr.errors import LiveSRError
from live_sr.pipeline.frame import Stamps

log = logging.getLogger(__name__)

COLUMNS = (
    "Application",  # the window's title
    "Engine",  # the engine that upscaled this frame
    "CPUStartTime",  # when the source saw the frame: seconds on the system's monotonic clock
    "MsBetweenPresents",  # since the previous row; empty in the first
    "MsCapture",  # seen -> pixels copied
    "MsWait",  # in the mailbox
    "MsUpscale",  # engine with its conversions
    "MsShow",  # enlarged picture complete -> handed to the compositor
    "MsTotal",  # seen -> handed to the compositor; scan-out is not included
    "ShareDrawn",  # of the picture, from 0 to 1: what the engine had to enlarge, because it had changed
)
WAITING = 10_000  # rows in memory while the file does not take them, about a minute and a half
CLOSE_S = 2.0  # the longest wait, when the program ends, for a file that does not take the last rows


class FrameLog:
    """Replaces an existing file of that name. Rows are written at once, on a thread of its own.

    So neither a slow disk nor a pipe that nobody reads delays the picture, and every row before a failure is kept
    whole. When the file cannot be written, the log ends with a note and the game is upscaled on.
    """

    def __init__(self, path: Path, application: str) -> None:
        """Raises LiveSRError when the file cannot be made. A named pipe is opened once somebody reads it."""
        self._path = path
        self._application = application
        self._last = 0
        self._left_out = 0
        self.engine: Callable[[], object] = lambda: ""  # returns the engine in use
        self.on_lost: Callable[[str], None] = lambda sentence: None  # called on any thread; the log has it already
        self._rows: Queue[bytes | None] = Queue(WAITING)  # None: the end
        self._ended = threading.Event()  # nothing is written any more
        try:
            file = None if path.is_fifo() else path.open("wb", buffering=0)
        except OSError as error:
            raise LiveSRError(f"{path} cannot be written: {error.strerror}", "choose another --log file") from None
        self._writer = threading.Thread(target=self._write, args=(file,), name="live-sr frame log", daemon=True)
        self._writer.start()
        self._put(COLUMNS)

    def write_row(self, s: Stamps) -> None:
        """Never raises and never waits. Called from one thread."""
        between = f"{(s.shown - self._last) / 1e6:.3f}" if self._last else ""
        self._last = s.shown
        ages = (s.captured - s.seen, s.begun - s.captured, s.upscaled - s.begun, s.shown - s.upscaled, s.shown - s.seen)
        milliseconds = [f"{age / 1e6:.3f}" for age in ages]
        self._put([self._application, self.engine(), f"{s.seen / 1e9:.6f}", between, *milliseconds, f"{s.drawn:.3f}"])

    def close(self) -> None:
        """Waits until all rows are written, but not for a pipe that takes none. Never raises."""
        with suppress(Full):
            self._rows.put(None, timeout=CLOSE_S)
        self._writer.join(CLOSE_S)
        missing, self._left_out = self._left_out + (self._rows.qsize() if self._writer.is_alive() else 0), 0
        if missing and not self._ended.is_set():
            self._report(f"{self._path} lacks {missing} rows: it did not take them in time")

    def _put(self, cells: Iterable[object]) -> None:
        if self._ended.is_set():
            return
        text = StringIO()
        csv.writer(text).writerow(cells)
        try:
            self._rows.put_nowait(text.getvalue().encode(errors="replace"))
        except Full:
            self._left_out += 1

    # The writer thread

    def _write(self, file: FileIO | None) -> None:
        try:
            with file or self._path.open("wb", buffering=0) as opened:
                while (row := self._rows.get()) is not None:
                    _write_whole(opened, row)
        except OSError as error:
            self._ended.set()
            why = error.strerror or error
            self._report(f"{self._path} cannot be written any more ({why}): frames are no longer logged")

    def _report(self, sentence: str) -> None:
        log.warning(sentence)
        self.on_lost(sentence)


def _write_whole(file: FileIO, row: bytes) -> None:
    """Writes a row; if a disk has no room for all of it, nothing of it stays. Raises OSError."""
    rest = memoryview(row)
    try:
        while rest:
            rest = rest[file.write(rest) or 0 :]
    except OSError:
        if len(rest) < len(row) and file.seekable():
            with suppress(OSError):
                file.truncate(file.tell() - (len(row) - len(rest)))
        raise
