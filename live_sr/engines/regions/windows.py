"""Draws rectangles of a picture through windows of a few fixed sizes, since most runtimes compile for each size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from live_sr.engines.regions.trial import TRIED_VALUES, ReadClock, is_same, measure_ms
from live_sr.engines.tiling.layout import TileRequirements
from live_sr.engines.tiling.worker import TileWorker
from live_sr.errors import LiveSRError, reason
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.engine_contracts import WindowEngine
from live_sr.pipeline.frame import Pixels, Rect, Size, Tile

log = logging.getLogger(__name__)

Shapes = Sequence[tuple[int, int]]
"""Columns and rows of changed tiles that each size of window serves."""

ALL = 0  # in Shapes: as wide as the picture
WINDOW_TILES: Shapes = ((1, 1), (2, 2), (4, 1), (4, 2), (4, 4), (8, 4), (8, 8), (ALL, 1), (ALL, 2), (ALL, 4), (ALL, 8))
LARGEST = 0.7  # of the picture's area; a larger window is no better than the whole picture


class WindowSpan(NamedTuple):
    """A window along one axis: it begins at `start`; of it, `first` until before `end` is kept."""

    start: int
    first: int
    end: int


@dataclass(frozen=True)
class Window:
    """A window of one size, a tile to measure it with, and how long that takes with its copies."""

    size: Size
    trial: Tile
    ms: float = 0.0


class EngineWindows:
    """Fulfils `WindowEngine` in main memory: each window is an engine of its own, which `make` makes."""

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._workers: dict[Size, TileWorker[Pixels]] = {}

    def fit_window(self, size: Size) -> Size | None:
        return size

    def add_window(self, size: Size) -> None:
        engine = self._make()
        self._workers[size] = TileWorker(engine)
        engine.warm_up(size)

    def remove_window(self, size: Size) -> None:
        worker = self._workers.pop(size, None)
        if worker is not None:
            worker.engine.close()

    def upscale_tiles(self, pixels: Pixels, tiles: Sequence[Tile], into: Pixels) -> None:
        for tile in tiles:
            self._workers[tile.source.size].draw(pixels, tile, into, 0)


class WindowDrawer:
    """Fulfils `RegionDrawer` for pictures of one size with windows that draw what the whole picture has, to the bit."""

    def __init__(
        self,
        engine: WindowEngine,
        requirements: TileRequirements,
        tile: int,
        size: Size,
        read_ns: ReadClock,
        shapes: Shapes = WINDOW_TILES,
    ) -> None:
        """engine: what draws the windows. read_ns: the clock that costs are measured with."""
        self._engine = engine
        self._requirements = requirements
        self._read_ns = read_ns
        self._tile = tile
        self._size = size
        self._shapes = shapes
        self._padded = size.round_up(requirements.multiple)
        self._windows: list[Window] = []
        self._choices: dict[tuple[int, int], tuple[int, float]] = {}  # index of the window and cost, by what is needed

    def build(self, picture: Pixels, expected: Pixels, cancelled: Callable[[], bool]) -> None:
        """Makes the windows, and leaves out those that draw the picture differently from what is `expected`."""
        for size in self._list_sizes():
            if cancelled():
                break
            try:
                self._engine.add_window(size)
                trial = self._try_window(size, picture, expected)
            except (LiveSRError, MemoryError, RuntimeError) as error:
                log.debug("no windows of %s: %s", size, reason(error))
                self._engine.remove_window(size)
                break
            if trial is not None:
                self._windows.append(Window(size, trial))
            else:
                log.debug("windows of %s differ from the whole picture and are not used", size)
                self._engine.remove_window(size)
        costs = self._measure(picture, expected)
        self._windows = [replace(window, ms=costs[window.size]) for window in self._windows]

    def _measure(self, picture: Pixels, expected: Pixels) -> Mapping[Size, float]:
        """What each window costs, in milliseconds."""
        done = np.empty_like(expected)
        draws = [partial(self._engine.upscale_tiles, picture, [window.trial], done) for window in self._windows]
        costs = measure_ms(*draws, read_ns=self._read_ns)
        return {window.size: ms for window, ms in zip(self._windows, costs, strict=True)}

    @property
    def sizes(self) -> list[Size]:
        """Of the windows in use."""
        return [window.size for window in self._windows]

    @property
    def call_ms(self) -> float:
        """None: each window is a call of its own."""
        return 0.0

    @property
    def tile_ms(self) -> float:
        """What a tile costs at least; infinite without windows."""
        area = self._tile * self._tile
        return min((area * window.ms / self._measure_kept(window.size) for window in self._windows), default=np.inf)

    def estimate(self, rect: Rect) -> float:
        return self._choose_window(rect)[1]

    def draw(self, pixels: Pixels, rects: Sequence[Rect], done: Pixels) -> None:
        self._engine.upscale_tiles(pixels, self.list_tiles(rects), done)

    def list_tiles(self, rects: Sequence[Rect]) -> list[Tile]:
        """The tiles that together keep these rectangles, each of the size of the window with which that costs least."""
        return [tile for rect in rects for tile in self._place_tiles(rect, self._choose_window(rect)[0].size)]

    def close(self) -> None:
        for window in self._windows:
            self._engine.remove_window(window.size)
        self._windows.clear()
        self._choices.clear()

    def _list_sizes(self) -> list[Size]:
        """The sizes of windows to try, for a picture of this size."""
        around = 4 * self._requirements.border  # what a tile affects, and what that depends on, on both sides
        found: dict[Size, None] = {}
        for columns, rows in self._shapes:
            width = columns * self._tile + around if columns != ALL else self._padded.width
            wanted = Size(min(width, self._padded.width), min(rows * self._tile + around, self._padded.height))
            size = self._engine.fit_window(wanted)
            if size is None:
                continue
            area = size.width * size.height / (self._padded.width * self._padded.height)
            if area <= LARGEST and self._requirements.fits_edges(size, self._size):
                found[size] = None
        return list(found)

    def _try_window(self, size: Size, picture: Pixels, expected: Pixels) -> Tile | None:
        """One of the tiles tried. None: windows of that size do not draw exactly what the whole picture has."""
        done = np.zeros_like(expected)
        scale = expected.shape[1] // self._size.width
        tried = 0
        for tile in self._list_trials(size):
            self._engine.upscale_tiles(picture, [tile], done)
            kept = tile.kept.times(scale)
            if not is_same(kept, done, expected):
                return None
            tried += kept.width * kept.height * 3
            if tried >= TRIED_VALUES:
                break
        return tile

    def _list_trials(self, size: Size) -> Iterator[Tile]:
        """Windows anywhere in the picture, with all that they can keep: first at its corners, edges and centre."""
        axes = [
            [self._keep_all(start, *sides) for start in range(0, sides[1] - sides[2] + 1, self._requirements.step)]
            for sides in zip(self._size, self._padded, size, strict=True)
        ]
        across, down = axes
        ends = [(x, y) for y in _pick_three(down) for x in _pick_three(across)]
        random = np.random.default_rng(0)
        anywhere = random.permutation(len(across) * len(down))
        for x, y in (*ends, *((across[n % len(across)], down[n // len(across)]) for n in anywhere)):
            yield _make_tile(x, y, size)

    def _keep_all(self, start: int, whole: int, padded: int, side: int) -> WindowSpan:
        border = self._requirements.border
        end = whole if start + side == padded else min(start + side - border, whole)
        return WindowSpan(start, start + border if start else 0, end)

    def _choose_window(self, rect: Rect) -> tuple[Window, float]:
        """The window with which the rectangle costs least, and that cost in milliseconds."""
        border = self._requirements.border
        needed = (
            min(rect.x + rect.width + border, self._padded.width) - max(rect.x - border, 0),
            min(rect.y + rect.height + border, self._padded.height) - max(rect.y - border, 0),
        )
        choice = self._choices.get(needed)
        if choice is None:  # there are as many as sizes in tiles
            costs = [self._count_windows(needed, window.size) * window.ms for window in self._windows]
            choice = self._choices[needed] = min(range(len(costs)), key=costs.__getitem__), min(costs)
        return self._windows[choice[0]], choice[1]

    def _count_windows(self, needed: tuple[int, int], size: Size) -> int:
        """How many windows of that size it takes for a rectangle that with all it depends on is `needed` large."""
        both = 2 * self._requirements.border
        across, down = (max(1, -(-(length - both) // (side - both))) for length, side in zip(needed, size, strict=True))
        return across * down

    def _place_tiles(self, rect: Rect, size: Size) -> list[Tile]:
        across = self._place(rect.x, rect.x + rect.width, self._padded.width, size.width)
        down = self._place(rect.y, rect.y + rect.height, self._padded.height, size.height)
        return [_make_tile(x, y, size) for y in down for x in across]

    def _place(self, first: int, end: int, padded: int, side: int) -> list[WindowSpan]:
        """The windows along one axis that together keep `first` until before `end`."""
        border, step = self._requirements.border, self._requirements.step
        last = padded - side
        high = min(end + border, padded)
        spans = []
        while first < end:
            start = min(max(first - border, 0) // step * step, last)
            kept = end if start + side >= high else start + side - border
            spans.append(WindowSpan(start, first, kept))
            first = kept
        return spans

    def _measure_kept(self, size: Size) -> int:
        """Pixels that are kept of a window; of one as wide as the picture, the whole width."""
        border = self._requirements.border
        width, height = (
            side if side == padded else side - 2 * border for side, padded in zip(size, self._padded, strict=True)
        )
        return width * height


def _pick_three(spans: list[WindowSpan]) -> list[WindowSpan]:
    """The first, the last, and one in the middle."""
    return list(dict.fromkeys((spans[0], spans[len(spans) // 2], spans[-1])))


def _make_tile(across: WindowSpan, down: WindowSpan, size: Size) -> Tile:
    source = Rect(across.start, down.start, *size)
    return Tile(source, Rect(across.first, down.first, across.end - across.first, down.end - down.first))
