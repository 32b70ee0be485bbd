"""Generates a moving test pattern: a frame source without a game or a screen, for benchmarks and the demo."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter_ns

import numpy as np

from live_sr.errors import SourceClosed
from live_sr.pipeline.frame import Frame, Pixels, Size, Stamps, make_black, reuse_or_allocate

STEP = 3  # pixels that the picture moves from one frame to the next
TILE = 96  # side of one square of the pattern, in pixels
SECOND_NS = 1_000_000_000


class PatternSource:
    """Frames on a fixed schedule, or as fast as `next_frame` is called.

    On a schedule, `stamps.seen` is the moment the frame was due, so that a late call counts as latency. Frames whose
    time has passed are skipped, not delivered late.
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
        """`fps` None: no schedule. `frames`: their number, None for no end. `wait` sleeps for a number of seconds."""
        self._size = size
        self._interval_ns = None if fps is None else round(SECOND_NS / fps)
        self._remaining = frames
        self._clock = clock
        self._wait = wait or threading.Event().wait
        self._due_ns = clock()
        self._number = 0
        self._period = -(-size.width // TILE) * TILE  # the width in pixels after which the pattern repeats
        self._canvas = _draw_canvas(Size(size.width + self._period, size.height))

    @property
    def size(self) -> Size:
        return self._size

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        if self._remaining == 0:
            raise SourceClosed("the test pattern has ended")
        now = self._clock()
        if self._interval_ns is None:
            return self._draw(now, into)
        if self._due_ns > now:
            self._wait(min(timeout_s, (self._due_ns - now) / SECOND_NS))
            now = self._clock()
            if self._due_ns > now:
                return None
        missed = (now - self._due_ns) // self._interval_ns
        seen_ns = self._due_ns + missed * self._interval_ns
        self._due_ns = seen_ns + self._interval_ns
        return self._draw(seen_ns, into)

    def close(self) -> None:
        """Does nothing: the pattern holds nothing."""

    def _draw(self, seen_ns: int, into: Pixels | None) -> Frame[Pixels]:
        pixels = reuse_or_allocate(into, self._size)
        left = self._number * STEP % self._period
        np.copyto(pixels, self._canvas[:, left : left + self._size.width])
        self._write_number(pixels)
        self._number += 1
        if self._remaining is not None:
            self._remaining -= 1
        return Frame(pixels, Stamps(seen=seen_ns, captured=self._clock()))

    def _write_number(self, pixels: Pixels) -> None:
        """Writes the frame's number into the first pixel, so that two successive frames differ at any size."""
        pixels[0, :1, :3] = (self._number & 255, self._number >> 8 & 255, self._number >> 16 & 255)


def _draw_canvas(size: Size) -> Pixels:
    """Squares of what is hard to upscale: blocks like small text, diagonals, fine checks, gradients and noise."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0 : size.height, 0 : size.width]
    u, v = x % TILE, y % TILE
    kinds = (
        np.where(rng.random((TILE // 2, TILE // 2)) < 0.4, 230, 30)[v // 2, u // 2],  # blocks the size of small text
        np.where((u + v) // 6 % 2 == 0, 210, 40),  # diagonal edges
        np.where((u // 2 + v // 2) % 2 == 0, 200, 60),  # checks
        u * 2 + v // 2,  # gradient
        rng.integers(40, 216, (TILE, TILE))[v, u],  # texture
    )
    which = (x // TILE + y // TILE * 3) % len(kinds)
    grey = np.choose(which, kinds)
    canvas = make_black(size)
    tint = np.array([[90, 100, 110], [100, 90, 70], [70, 100, 90], [100, 100, 100], [80, 90, 105]])[which]
    canvas[..., :3] = np.clip(grey[..., None] * tint // 100, 0, 255)
    return canvas
