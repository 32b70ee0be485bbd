"""Draws rectangles of a picture with an engine that can draw any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Protocol

import numpy as np

from live_sr.engines.regions.trial import TRIED_VALUES, ReadClock, is_same, measure_ms
from live_sr.engines.tiling.layout import TileRequirements
from live_sr.pipeline.engine_contracts import RegionEngine
from live_sr.pipeline.frame import Pixels, Rect, Size

MAX_TRIALS = 200


class RegionDrawer(Protocol):
    """Draws rectangles of pictures of one size, and knows what that costs."""

    @property
    def tile_ms(self) -> float:
        """What a tile costs at least."""
        ...

    @property
    def call_ms(self) -> float:
        """What `draw` costs, however few rectangles there are."""
        ...

    def estimate(self, rect: Rect) -> float:
        """Milliseconds more for each rectangle, in pixels of the picture, which lies inside it."""
        ...

    def draw(self, pixels: Pixels, rects: Sequence[Rect], done: Pixels) -> None:
        """Draws these rectangles of the picture into `done`, the whole enlarged picture."""
        ...

    def close(self) -> None: ...


class RectangleDrawer:
    """Fulfils `RegionDrawer` with a `RegionEngine`, which is not closed here.

    The cost of a rectangle grows with its area, and with what the engine must compute around it.
    read_ns: the clock that costs are measured with.
    """

    def __init__(
        self, engine: RegionEngine, requirements: TileRequirements, tile: int, size: Size, read_ns: ReadClock
    ) -> None:
        self._engine = engine
        self._read_ns = read_ns
        self._border = requirements.border
        self._tile = tile
        self._size = size
        self._call_ms = self._rect_ms = self._pixel_ms = 0.0  # of a call, a rectangle, and a pixel of or around it

    def measure(self, picture: Pixels, expected: Pixels, scale: int) -> bool:
        """Measures the costs. Returns whether the engine draws rectangles as in the whole picture, to the bit."""
        done = np.zeros_like(expected)
        tried = 0
        for rect in self._list_trials():
            self._engine.upscale_regions(picture, [rect], done)
            if not is_same(rect.times(scale), done, expected):
                return False
            tried += rect.width * rect.height * scale**2 * 3
            if tried >= TRIED_VALUES:
                break
        small, large = (
            Rect(0, 0, min(side, self._size.width), min(side, self._size.height)) for side in (2 * self._tile, 1 << 30)
        )
        trials = [small], [small, small], [large]
        draws = (partial(self._engine.upscale_regions, picture, rects, done) for rects in trials)
        small_ms, pair_ms, large_ms = measure_ms(*draws, read_ns=self._read_ns)
        area = self._measure_area(small)
        more = self._measure_area(large) - area
        self._pixel_ms = max(large_ms - small_ms, 0.0) / more if more else large_ms / area
        fixed_ms = max(small_ms - self._pixel_ms * area, 0.0)
        self._rect_ms = min(max(pair_ms - small_ms - self._pixel_ms * area, 0.0), fixed_ms)
        self._call_ms = fixed_ms - self._rect_ms
        return True

    @property
    def tile_ms(self) -> float:
        return self._pixel_ms * self._tile * self._tile

    @property
    def call_ms(self) -> float:
        return self._call_ms

    def estimate(self, rect: Rect) -> float:
        return self._rect_ms + self._pixel_ms * self._measure_area(rect)

    def draw(self, pixels: Pixels, rects: Sequence[Rect], done: Pixels) -> None:
        self._engine.upscale_regions(pixels, rects, done)

    def close(self) -> None:
        """The engine belongs to whoever made it."""

    def _measure_area(self, rect: Rect) -> int:
        """Pixels that the engine reads for it."""
        border = self._border
        wide = Rect(rect.x - border, rect.y - border, rect.width + 2 * border, rect.height + 2 * border)
        inside = wide.intersect(Rect(0, 0, *self._size))
        return inside.width * inside.height

    def _list_trials(self) -> Iterator[Rect]:
        """Rectangles as changed tiles make them: anywhere, many of them at the edges."""
        random = np.random.default_rng(0)
        for _ in range(MAX_TRIALS):
            spans = []
            for whole in self._size:
                side = min(int(random.integers(1, 7)) * self._tile + 2 * self._border, whole)
                start = int(random.integers(-self._tile, whole - side + self._tile + 1))
                spans.append((min(max(start, 0), whole - side), side))
            (x, width), (y, height) = spans
            yield Rect(x, y, width, height)
