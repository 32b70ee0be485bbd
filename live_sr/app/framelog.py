"""One row of CSV for each shown frame. The columns follow PresentMon where it has them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from live_sr.errors import LiveSRError
from live_sr.frame import Stamps

COLUMNS = (
    "Application",  # the window's title
    "Engine",  # what upscaled this frame
    "CPUStartTime",  # seconds on the system's monotonic clock at which the source saw the frame
    "MsBetweenPresents",  # since the previous row; empty in the first
    "MsCapture",  # seen -> pixels are ours
    "MsWait",  # in the mailbox
    "MsUpscale",  # engine with its conversions
    "MsShow",  # enlarged picture complete -> handed to the compositor
    "MsTotal",  # seen -> handed to the compositor; scan-out is not included
)
FLUSH_ROWS = 60  # about a second of rows is at risk if the machine stops


class FrameLog:
    """Appends nothing: a file of that name is replaced. Used from one thread."""

    def __init__(self, path: Path, application: str) -> None:
        try:
            self._file = path.open("w", newline="", encoding="utf-8")
        except OSError as error:
            raise LiveSRError(f"{path} cannot be written: {error.strerror}", "choose another --log file") from None
        self._writer = csv.writer(self._file)
        self._writer.writerow(COLUMNS)
        self._application = application
        self._last = 0
        self._rows = 0
        self.engine: Callable[[], object] = lambda: ""  # says what is at work

    def row(self, s: Stamps) -> None:
        between = f"{(s.shown - self._last) / 1e6:.3f}" if self._last else ""
        self._last = s.shown
        ages = (s.captured - s.seen, s.begun - s.captured, s.upscaled - s.begun, s.shown - s.upscaled, s.shown - s.seen)
        milliseconds = [f"{age / 1e6:.3f}" for age in ages]
        self._writer.writerow([self._application, self.engine(), f"{s.seen / 1e9:.6f}", between, *milliseconds])
        self._rows += 1
        if self._rows % FLUSH_ROWS == 0:
            self._file.flush()

    def close(self) -> None:
        self._file.close()
