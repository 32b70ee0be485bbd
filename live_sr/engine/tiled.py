"""Pictures that are too large for a network in one piece, in tiles."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Generic, TypeVar

from live_sr.contracts import Job
from live_sr.engine import memory
from live_sr.engine.lane import Enlarger, L, Lane, fitting
from live_sr.engine.tiling import Needs, Plan, at_most, plan
from live_sr.errors import EngineError
from live_sr.frame import Frame, Size

T = TypeVar("T")

NEVER = Size(1 << 30, 1 << 30)

MOST = 2 << 20  # pixels of all tiles that are worked on at once: larger ones are no faster
MOST_BYTES = 4 << 30
SHARE = 2  # of the free memory, one part in so many
PAINTED = 8  # bytes for a pixel of a picture that enters or leaves: one of it, and one in another layout
RESERVE = 1.5  # what runtimes hold beyond the tensors: 1.0 to 1.4 with OpenVINO 2026.4 and the shipped networks
WASTE = 1.25  # how much more work may be done to keep a size that is compiled already
SIGNS = ("memory", "bad_alloc", "allocate", "alloc failed")  # of a lack of memory in what a runtime says


class Tiled(Generic[L]):
    """An engine around others, made by `make(threads)`, 0 for all, which are given no more than a tile at a time.

    Where `needs.exact`, the result is that of the whole picture, to the bit, if the runtime computes a pixel alike in
    pictures of any size. side: pixels each way; 0: as fits into the free memory, and the picture whole if it does.
    Tiles that there is no memory for are halved, down to `needs.smallest`. lanes: tiles worked on at once, each in an
    engine of its own with `threads`. measure: tells better what is needed, once a picture must be cut. told: is called
    with (tiles done, of how many) after each.
    """

    def __init__(
        self,
        make: Callable[[int], Enlarger[L]],
        needs: Needs,
        *,
        measure: Callable[[], Needs] | None = None,
        side: int = 0,
        lanes: int = 1,
        threads: int = 0,
        told: Callable[[int, int], None] = lambda done, of: None,
        free: Callable[[], int] = memory.free,
    ) -> None:
        self._make: Callable[[int], Enlarger[L]] = make
        self._needs = needs
        self._measure = measure
        self._side = side
        self._lanes = lanes if needs.exact else 1  # cross-fading goes row by row
        self._threads = threads
        self._told = told
        self._free = free
        self._limit = 0  # pixels of a tile, once there was no memory for more
        self._plan: tuple[Size, Plan] | None = None  # for pictures of that size
        self._whole: Enlarger[L] = make(0)
        self._open: list[Lane[L]] = []
        self._built = NEVER  # size of the tiles that they are compiled for

    @property
    def scale(self) -> int:
        return self._whole.scale

    @property
    def job(self) -> Job:
        return self._whole.job

    def warm_up(self, size: Size) -> None:
        """Choose the tiles for pictures of `size`, and compile for one."""

        def warm(made: Plan) -> None:
            if made.tile == size:
                self._whole.warm_up(size)
                return
            for lane in self._lanes_for(made):
                lane.engine.warm_up(made.tile)

        self._within_memory(size, warm)

    def upscale(self, frame: Frame[L], into: L | None = None) -> Frame[L] | None:
        """Raises EngineError when there is not even memory for the smallest tiles."""
        size = Size(frame.pixels.shape[1], frame.pixels.shape[0])

        def draw(made: Plan) -> Frame[L] | None:
            if made.tile == size:
                return self._whole.upscale(frame, into)
            done = fitting(into, size.times(self.scale), frame.pixels)
            self._draw(frame.pixels, done, made)
            return frame.redrawn(done)

        return self._within_memory(size, draw)

    def close(self) -> None:
        self._whole.close()
        self._close_lanes()

    def _draw(self, pixels: L, done: L, made: Plan) -> None:
        """Every tile of `pixels` into `done`, in as many threads as there are lanes."""
        lanes = self._lanes_for(made)
        tiles = iter(made.tiles)
        changing = threading.Lock()
        stop = threading.Event()
        painted = 0

        def work(lane: Lane[L]) -> None:
            nonlocal painted
            while not stop.is_set():
                with changing:
                    tile = next(tiles, None)
                if tile is None:
                    return
                lane.draw(pixels, tile, done, 0 if self._needs.exact else self._needs.border // 2)
                with changing:
                    painted += 1
                    self._told(painted, len(made.tiles))

        if len(lanes) == 1:
            work(lanes[0])
            return
        with ThreadPoolExecutor(len(lanes), "tile") as pool:
            rows = [pool.submit(work, lane) for lane in lanes]
            try:
                while wait(rows, 0.1, FIRST_EXCEPTION).not_done and not any(
                    row.done() and row.exception() for row in rows
                ):
                    pass
            finally:
                stop.set()  # also when the waiting thread is interrupted
            for row in rows:
                row.result()

    def _lanes_for(self, made: Plan) -> list[Lane[L]]:
        """One for each tile, as far as they may be open at once."""
        while len(self._open) < min(self._lanes, len(made.tiles)):
            self._open.append(Lane(self._make(self._threads if self._lanes > 1 else 0)))
        self._built = made.tile
        return self._open[: len(made.tiles)]

    def _close_lanes(self) -> None:
        for lane in self._open:
            lane.engine.close()
        self._open.clear()
        self._built = NEVER
        self._plan = None

    def _chosen(self, size: Size) -> Plan:
        """The tiles for pictures of that size; those of the size that is compiled, unless that costs much."""
        if self._plan is not None and self._plan[0] == size:
            return self._plan[1]
        made = plan(size, self._most(size), self._needs)
        if self._measure is not None and made.tile != size:
            self._needs, self._measure = self._measure(), None
            made = plan(size, self._most(size), self._needs)
        built = self._built
        if self._needs.exact and len(made.tiles) > 1 and self._needs.suits(built, size):
            again = plan(size, built, replace(self._needs, fixed=built))
            if again.work <= WASTE * made.work:
                made = again
        self._plan = (size, made)
        return made

    def _most(self, size: Size) -> Size:
        """The largest tile that may be."""
        needs = self._needs
        per_pixel = RESERVE * needs.memory + PAINTED * (1 + self.scale**2)
        pixels = min(int(min(self._free() // SHARE, MOST_BYTES) / per_pixel), MOST)
        if size.width * size.height > pixels:
            pixels //= self._lanes
        if self._limit:
            pixels = min(pixels, self._limit)
        room = at_most(size, pixels, needs)
        if self._side and not self._limit:
            return Size(self._side, self._side)
        return Size(min(self._side, room.width), min(self._side, room.height)) if self._side else room

    def _within_memory(self, size: Size, act: Callable[[Plan], T]) -> T:
        """`act` with the tiles for pictures of `size`, which become smaller until there is enough memory."""
        while True:
            made = self._chosen(size)
            try:
                return act(made)
            except (MemoryError, EngineError) as error:
                if isinstance(error, EngineError) and not any(sign in error.message.lower() for sign in SIGNS):
                    raise
                self._shrink(made.tile, error)

    def _shrink(self, tile: Size, error: MemoryError | EngineError) -> None:
        """Raises EngineError where that cannot be."""
        least = self._needs.fixed or Size(self._needs.smallest, self._needs.smallest)
        if tile.width <= least.width and tile.height <= least.height:
            raise EngineError(
                f"there is not enough memory for {self.job}, even in tiles of {tile}",
                "close other programs, or use a smaller model",
            ) from error
        self._limit = tile.width * tile.height // 4
        self.close()
