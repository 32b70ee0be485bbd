"""How far a long job is, on the standard error: a line written over on a terminal, else one every ten seconds."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TextIO

from live_sr import pictures
from live_sr.contracts import Resize
from live_sr.errors import LiveSRError
from live_sr.frame import Pixels, Size, size_of

LIVELY_S = 0.2  # between two lines on a terminal
PLAIN_S = 10.0  # and elsewhere
RECENT_S = 15.0  # of which the rate is told
WIDTH = 79
THUMBNAIL = Size(640, 360)
REFRESH_S = 5.0


class Progress:
    """Counts pictures of `total`, of which `done` were there before it began. One thread's."""

    def __init__(
        self,
        name: str,
        total: int,
        done: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._name = name
        self._total = total
        self._stream = stream or sys.stderr
        self._clock = clock
        self._lively = self._stream.isatty()
        self._done = done
        self._next = clock() + (LIVELY_S if self._lively else PLAIN_S)
        self._marks: deque[tuple[float, int]] = deque([(clock(), done)])

    def step(self) -> None:
        """One more."""
        self._done += 1
        now = self._clock()
        if now >= self._next:
            self._next = now + (LIVELY_S if self._lively else PLAIN_S)
            self._write(self._words(now))

    def end(self) -> None:
        """Clears the line."""
        if self._lively:
            self._write("")

    def _words(self, now: float) -> str:
        self._marks.append((now, self._done))
        while len(self._marks) > 2 and now - self._marks[0][0] > RECENT_S:
            self._marks.popleft()
        since, before = self._marks[0]
        rate = (self._done - before) / max(now - since, 1e-9)
        left = f", {duration((self._total - self._done) / rate)} left" if rate and self._total > self._done else ""
        share = min(100, 100 * self._done // max(self._total, 1))
        return f"{self._name}: {share} %, {self._done} of {max(self._total, self._done)} frames, {rate:.1f} fps{left}"

    def _write(self, words: str) -> None:
        if self._lively:
            print(f"\r{words[:WIDTH]:{WIDTH}}\r", end="", file=self._stream, flush=True)
        else:
            print(words, file=self._stream, flush=True)


class Preview:
    """A thumbnail in a file, drawn anew every few seconds. A disk that fails ends it, and not the job."""

    def __init__(
        self, path: Path, resize: Resize, tell: Callable[[str], None], clock: Callable[[], float] = monotonic
    ) -> None:
        self._path = path
        self._resize = resize
        self._tell = tell
        self._clock = clock
        self._due: float | None = clock()

    def show(self, pixels: Pixels) -> None:
        now = self._clock()
        if self._due is None or now < self._due:
            return
        self._due = now + REFRESH_S
        here = size_of(pixels)
        size = here.fitted(THUMBNAIL) if here.width > THUMBNAIL.width or here.height > THUMBNAIL.height else here
        try:
            pictures.write_png(self._path, self._resize(pixels, size, None))
        except LiveSRError as error:
            self._due = None
            self._tell(f"no preview: {error.message}")


def duration(seconds: float) -> str:
    """45 s, 12 min or 3 h 05."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02}"
