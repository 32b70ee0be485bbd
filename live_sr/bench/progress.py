"""How far a long run is, on the standard error only: what goes to a file stays clean."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic
from typing import TextIO

WIDTH = 100


class Progress:
    """Counts `total` steps. On a terminal one line that is written over, else a line for each step."""

    def __init__(
        self, total: int, guess_s: float, stream: TextIO | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        """`guess_s`: what a step may take, for as long as none is over."""
        self._total = total
        self._guess_s = guess_s
        self._stream = stream or sys.stderr
        self._clock = clock
        self._begun = clock()
        self._at = 0
        self._words = ""

    def step(self, words: str) -> None:
        """The next step begins."""
        self._at += 1
        done = self._at - 1
        each = (self._clock() - self._begun) / done if done else self._guess_s
        left = each * (self._total - done)
        self._words = f"{self._at} of {self._total}, {duration(left)} left: {words}"
        self._write(self._words)

    def detail(self, words: str) -> None:
        """What the step is at; only where a line can be written over."""
        if self._stream.isatty():
            self._write(f"{self._words} ({words})")

    def end(self) -> None:
        if self._stream.isatty():
            self._write("")

    def _write(self, words: str) -> None:
        if self._stream.isatty():
            print(f"\r{words[:WIDTH]:{WIDTH}}\r", end="", file=self._stream, flush=True)
        else:
            print(words, file=self._stream, flush=True)


def duration(seconds: float) -> str:
    """45 s, 12 min or 3 h 05."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02}"
