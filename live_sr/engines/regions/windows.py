"""Draws rectangles of a picture with engines of a few fixed sizes, since most runtimes compile for each size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from live_sr.engines.regions.trial import TRIED_VALUES, ReadClock, is_same, measure_ms
from live_sr.engines.tiling.layout import Tile, TileRequirements
from live_sr.engines.tiling.worker import TileWorker
from live_sr.errors import LiveSRError, reason
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Pixels, Rect, Size

log = logging.getLogger(__name__)

ALL = 0  # in WINDOW_TILES: as wide as the picture
WINDOW_TILES = ((1, 1), (2, 2), (4, 1), (4, 2), (4, 4), (8, 4), (8, 8), (ALL, 1), (ALL, 2), (ALL, 4), (ALL, 8))
"""Columns and rows of changed tiles that each size of window serves."""
LARGEST = 0.7  # of the picture's area; a larger window is no better than the whole picture


class WindowSpan(NamedTuple):
    """A window along one axis: it begins at `start`; of it, `first` until before `end` is kept."""

    start: int
    first: int
    end: int


@dataclass(frozen=True)
class Window:
    """An engine for windows of one size, one of them to measure, and how long that takes with its copies."""

    size: Size
    worker: TileWorker[Pixels]
    trial: Tile
    ms: float = 0.0


class WindowDrawer:
    """Fulfils `RegionDrawer` for pictures of one size with windows that draw what the whole picture has, to the bit."""

    call_ms = 0.0  # each window is a call of its own

    def __init__(self, requirements: TileRequirements, tile: int, size: Size, read_ns: ReadClock) -> None:
        """read_ns: the clock that costs are measured with."""
        self._requirements = requirements
        self._read_ns = read_ns
        self._tile = tile
        self._size = size
        self._padded = size.round_up(requirements.multiple)
        self._windows: list[Window] = []
        self._choices: dict[tuple[int, int], tuple[int, float]] = {}  # index of the window and cost, by what is needed

    def build(
        self, make: Callable[[], Engine], picture: Pixels, expected: Pixels, cancelled: Callable[[], bool]
    ) -> None:
        """Makes the windows, and leaves out those that draw the picture differently from what is `expected`."""
        for size in self._list_sizes():
            if cancelled():
                break
            engine = make()
            try:
                window = self._build_window(engine, size, picture, expected)
            except (LiveSRError, MemoryError, RuntimeError) as error:
                log.debug("no windows of %s: %s", size, reason(error))
                engine.close()
                break
            if window is not None:
                self._windows.append(window)
            else:
                log.debug("windows of %s differ from the whole picture and are not used", size)
                engine.close()
        done = np.empty_like(expected)
        draws = [partial(window.worker.draw, picture, window.trial, done, 0) for window in self._windows]
        costs = measure_ms(*draws, read_ns=self._read_ns)
        self._windows = [replace(window, ms=ms) for window, ms in zip(self._windows, costs, strict=True)]

    @property
    def sizes(self) -> list[Size]:
        """Of the windows in use."""
        return [window.size for window in self._windows]

    @property
    def tile_ms(self) -> float:
        """What a tile costs at least; infinite without windows."""
        area = self._tile * self._tile
        return min((area * window.ms / self._measure_kept(window.size) for window in self._windows), default=np.inf)

    def estimate(self, rect: Rect) -> float:
        return self._choose_window(rect)[1]

    def draw(self, pixels: Pixels, rects: Sequence[Rect], done: Pixels) -> None:
        for rect in rects:
            window, _ = self._choose_window(rect)
            for tile in self._list_tiles(rect, window.size):
                window.worker.draw(pixels, tile, done, 0)

    def close(self) -> None:
        for window in self._windows:
            window.worker.engine.close()
        self._windows.clear()
        self._choices.clear()

    def _list_sizes(self) -> list[Size]:
        """The sizes of windows to try, for a picture of this size."""
        around = 4 * self._requirements.border  # what a tile affects, and what that depends on, on both sides
        found: dict[Size, None] = {}
        for columns, rows in WINDOW_TILES:
            width = columns * self._tile + around if columns != ALL else self._padded.width
            size = Size(min(width, self._padded.width), min(rows * self._tile + around, self._padded.height))
            area = size.width * size.height / (self._padded.width * self._padded.height)
            if area <= LARGEST and self._requirements.fits_edges(size, self._size):
                found[size] = None
        return list(found)

    def _build_window(self, engine: Engine, size: Size, picture: Pixels, expected: Pixels) -> Window | None:
        """None: windows of that size do not draw exactly what the whole picture has."""
        engine.warm_up(size)
        worker = TileWorker(engine)
        done = np.zeros_like(expected)
        tried = 0
        for tile in self._list_trials(size):
            worker.draw(picture, tile, done, 0)
            kept = tile.kept.times(engine.scale)
            if not is_same(kept, done, expected):
                return None
            tried += kept.width * kept.height * 3
            if tried >= TRIED_VALUES:
                break
        return Window(size, worker, tile)

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

    def _list_tiles(self, rect: Rect, size: Size) -> list[Tile]:
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
