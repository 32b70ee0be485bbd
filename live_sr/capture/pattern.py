"""A moving test pattern: the source that needs nothing, for benchmarks and for trying things out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter_ns

import numpy as np

from live_sr.errors import SourceClosed
from live_sr.frame import Frame, Pixels, Size, Stamps, fitting, fresh

STEP = 3  # pixels that the picture moves on from frame to frame
TILE = 96  # side of one field of the pattern
SECOND_NS = 1_000_000_000


class PatternSource:
    """Frames at an absolute pace, or as fast as they are asked for.

    Paced frames are seen at the moment they were due, so that a late start counts as age. A frame whose turn has passed
    is left out, never made up for.
    """

    def __init__(
        self,
        size: Size,
        *,
        fps: float | None = 60.0,
        frames: int | None = None,
        clock: Callable[[], int] = perf_counter_ns,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """`fps` None: no pace. `frames` None: no end. `wait` sleeps for some seconds."""
        self._size = size
        self._interval = None if fps is None else round(SECOND_NS / fps)
        self._left = frames
        self._clock = clock
        self._wait = wait or threading.Event().wait
        self._due = clock()
        self._turn = 0
        self._period = -(-size.width // TILE) * TILE  # after so many pixels it starts again
        self._canvas = _canvas(Size(size.width + self._period, size.height))

    @property
    def size(self) -> Size:
        return self._size

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        if self._left == 0:
            raise SourceClosed("the pattern is at its end")
        now = self._clock()
        if self._interval is None:
            return self._draw(now, into)
        if self._due > now:
            self._wait(min(timeout_s, (self._due - now) / SECOND_NS))
            now = self._clock()
            if self._due > now:
                return None
        missed = (now - self._due) // self._interval
        seen = self._due + missed * self._interval
        self._due = seen + self._interval
        return self._draw(seen, into)

    def close(self) -> None:
        """Nothing to close."""

    def _draw(self, seen: int, into: Pixels | None) -> Frame[Pixels]:
        pixels = fitting(into, self._size)
        at = self._turn * STEP % self._period
        np.copyto(pixels, self._canvas[:, at : at + self._size.width])
        self._count(pixels)
        self._turn += 1
        if self._left is not None:
            self._left -= 1
        return Frame(pixels, Stamps(seen=seen, captured=self._clock()))

    def _count(self, pixels: Pixels) -> None:
        """The frame's number in its first pixels, so that no two frames are equal, however small the picture."""
        pixels[0, :1, :3] = (self._turn & 255, self._turn >> 8 & 255, self._turn >> 16 & 255)


def _canvas(size: Size) -> Pixels:
    """Fields of what is hard to enlarge: glyph-like blocks, diagonals, fine checks, gradients, noise of a texture."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0 : size.height, 0 : size.width]
    u, v = x % TILE, y % TILE
    fields = (
        np.where(rng.random((TILE // 2, TILE // 2)) < 0.4, 230, 30)[v // 2, u // 2],  # blocks the size of small text
        np.where((u + v) // 6 % 2 == 0, 210, 40),  # diagonal edges
        np.where((u // 2 + v // 2) % 2 == 0, 200, 60),  # checks
        u * 2 + v // 2,  # gradient
        rng.integers(40, 216, (TILE, TILE))[v, u],  # texture
    )
    which = (x // TILE + y // TILE * 3) % len(fields)
    grey = np.choose(which, fields)
    canvas = fresh(size)
    tint = np.array([[90, 100, 110], [100, 90, 70], [70, 100, 90], [100, 100, 100], [80, 90, 105]])[which]
    canvas[..., :3] = np.clip(grey[..., None] * tint // 100, 0, 255)
    return canvas
