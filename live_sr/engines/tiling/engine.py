"""Enlarges pictures in tiles that are too large for a network in one piece."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Generic, TypeVar

from live_sr.engines.tiling.layout import TileLayout, TileRequirements, limit_tile_size, plan_tiles
from live_sr.engines.tiling.worker import TileWorker
from live_sr.errors import EngineError
from live_sr.pipeline.contracts import EngineInfo, ImageEngine
from live_sr.pipeline.frame import AnyPixels, Frame, Size, reuse_or_allocate_like
from live_sr.system import memory

T = TypeVar("T")

NO_SIZE = Size(1 << 30, 1 << 30)  # larger than any picture

MAX_PIXELS = 2 << 20  # of all tiles in work at once: larger tiles are no faster
MAX_BYTES = 4 << 30
MEMORY_DIVISOR = 2  # the tiles may use this part of the free memory: one in two
IO_BYTES_PER_PIXEL = 8  # of the input and of the result: the picture itself, and a copy in another layout
RUNTIME_OVERHEAD = (
    1.5  # what runtimes hold beyond the tensors: 1.0 to 1.4 with OpenVINO 2026.4 and the shipped networks
)
MAX_EXTRA_WORK = 1.25  # how much more work is accepted for keeping a tile size that is already compiled
OUT_OF_MEMORY_WORDS = ("memory", "bad_alloc", "allocate", "alloc failed")  # in the error messages of runtimes


class TiledEngine(Generic[AnyPixels]):
    """Wraps engines made by `make(threads)`, 0 for all cores, and gives them no more than a tile at a time.

    Where `requirements.exact`, the result equals that of the whole picture to the bit, if the runtime computes a pixel
    the same way in pictures of any size. side: the tiles' width and height in pixels; 0 chooses them by the free
    memory, and uses the whole picture if that fits. When memory runs out, tiles are halved down to
    `requirements.smallest_side`. workers: how many tiles are in work at once, each in an engine of its own with
    `threads`. measure: returns more precise requirements; it is called once a picture must be cut. on_tile: is called
    with (tiles done, tiles in all) after each tile.
    """

    def __init__(
        self,
        make: Callable[[int], ImageEngine[AnyPixels]],
        requirements: TileRequirements,
        *,
        measure: Callable[[], TileRequirements] | None = None,
        side: int = 0,
        workers: int = 1,
        threads: int = 0,
        on_tile: Callable[[int, int], None] = lambda done, total: None,
        free: Callable[[], int] = memory.get_free_memory,
    ) -> None:
        self._make: Callable[[int], ImageEngine[AnyPixels]] = make
        self._requirements = requirements
        self._measure = measure
        self._side = side
        self._worker_count = workers if requirements.exact else 1  # cross-fading needs the tiles in order
        self._threads = threads
        self._on_tile = on_tile
        self._free = free
        self._pixel_limit = 0  # of a tile, since memory ran out; 0: it did not
        self._layout: tuple[Size, TileLayout] | None = None  # for pictures of that size
        self._whole_engine: ImageEngine[AnyPixels] = make(0)
        self._workers: list[TileWorker[AnyPixels]] = []
        self._compiled_size = NO_SIZE  # of the tiles that the workers are compiled for

    @property
    def scale(self) -> int:
        return self._whole_engine.scale

    @property
    def info(self) -> EngineInfo:
        return self._whole_engine.info

    def warm_up(self, size: Size) -> None:
        """Chooses the tiles for pictures of `size`, and compiles for one."""

        def warm_up_with(layout: TileLayout) -> None:
            if layout.tile_size == size:
                self._whole_engine.warm_up(size)
                return
            for worker in self._prepare_workers(layout):
                worker.engine.warm_up(layout.tile_size)

        self._run_within_memory(size, warm_up_with)

    def upscale(self, frame: Frame[AnyPixels], into: AnyPixels | None = None) -> Frame[AnyPixels] | None:
        """Raises EngineError when there is not enough memory even for the smallest tiles."""
        size = Size(frame.pixels.shape[1], frame.pixels.shape[0])

        def upscale_with(layout: TileLayout) -> Frame[AnyPixels] | None:
            if layout.tile_size == size:
                return self._whole_engine.upscale(frame, into)
            done = reuse_or_allocate_like(into, size.times(self.scale), frame.pixels)
            self._draw(frame.pixels, done, layout)
            return frame.with_pixels(done)

        return self._run_within_memory(size, upscale_with)

    def close(self) -> None:
        self._whole_engine.close()
        for worker in self._workers:
            worker.engine.close()
        self._workers.clear()
        self._compiled_size = NO_SIZE
        self._layout = None

    def _draw(self, pixels: AnyPixels, done: AnyPixels, layout: TileLayout) -> None:
        """Draws every tile of `pixels` into `done`, with one thread for each worker."""
        workers = self._prepare_workers(layout)
        tiles = iter(layout.tiles)
        lock = threading.Lock()
        stop = threading.Event()
        drawn = 0

        def draw_tiles(worker: TileWorker[AnyPixels]) -> None:
            nonlocal drawn
            while not stop.is_set():
                with lock:
                    tile = next(tiles, None)
                if tile is None:
                    return
                worker.draw(pixels, tile, done, 0 if self._requirements.exact else layout.border // 2)
                with lock:
                    drawn += 1
                    self._on_tile(drawn, len(layout.tiles))

        _run_in_threads(draw_tiles, workers, stop)

    def _prepare_workers(self, layout: TileLayout) -> list[TileWorker[AnyPixels]]:
        """One worker for each tile, up to the number that may work at once."""
        while len(self._workers) < min(self._worker_count, len(layout.tiles)):
            self._workers.append(TileWorker(self._make(self._threads if self._worker_count > 1 else 0)))
        self._compiled_size = layout.tile_size
        return self._workers[: len(layout.tiles)]

    def _choose_layout(self, size: Size) -> TileLayout:
        """The tiles for pictures of that size. It keeps a compiled tile size unless that means much more work."""
        if self._layout is not None and self._layout[0] == size:
            return self._layout[1]
        layout = plan_tiles(size, self._compute_largest_tile(size), self._requirements)
        if self._measure is not None and layout.tile_size != size:
            self._requirements, self._measure = self._measure(), None
            layout = plan_tiles(size, self._compute_largest_tile(size), self._requirements)
        compiled = self._compiled_size
        if self._requirements.exact and len(layout.tiles) > 1 and self._requirements.fits_edges(compiled, size):
            same_size = plan_tiles(size, compiled, replace(self._requirements, fixed_size=compiled))
            if same_size.input_pixels <= MAX_EXTRA_WORK * layout.input_pixels:
                layout = same_size
        self._layout = (size, layout)
        return layout

    def _compute_largest_tile(self, size: Size) -> Size:
        requirements = self._requirements
        per_pixel = RUNTIME_OVERHEAD * requirements.memory + IO_BYTES_PER_PIXEL * (1 + self.scale**2)
        pixels = min(int(min(self._free() // MEMORY_DIVISOR, MAX_BYTES) / per_pixel), MAX_PIXELS)
        if size.width * size.height > pixels:
            pixels //= self._worker_count
        if self._pixel_limit:
            pixels = min(pixels, self._pixel_limit)
        largest = limit_tile_size(size, pixels, requirements)
        if self._side and not self._pixel_limit:
            return Size(self._side, self._side)
        return Size(min(self._side, largest.width), min(self._side, largest.height)) if self._side else largest

    def _run_within_memory(self, size: Size, act: Callable[[TileLayout], T]) -> T:
        """Calls `act` with the tiles for pictures of `size`, and with smaller ones as long as memory runs out."""
        while True:
            layout = self._choose_layout(size)
            try:
                return act(layout)
            except (MemoryError, EngineError) as error:
                if isinstance(error, EngineError) and not any(w in error.message.lower() for w in OUT_OF_MEMORY_WORDS):
                    raise
                self._shrink_tiles(layout.tile_size, error)

    def _shrink_tiles(self, tile: Size, error: MemoryError | EngineError) -> None:
        """Raises EngineError when the tiles are as small as they may be."""
        smallest = self._requirements.smallest_side
        least = self._requirements.fixed_size or Size(smallest, smallest)
        if tile.width <= least.width and tile.height <= least.height:
            raise EngineError(
                f"there is not enough memory for {self.info}, even in tiles of {tile}",
                "close other programs, or use a smaller model",
            ) from error
        self._pixel_limit = tile.width * tile.height // 4
        self.close()


def _run_in_threads(act: Callable[[T], None], items: Sequence[T], stop: threading.Event) -> None:
    """Calls `act` with each item at the same time. Raises what one of the calls raises, after it has set `stop`."""
    if len(items) == 1:
        act(items[0])
        return
    with ThreadPoolExecutor(len(items), "tile") as pool:
        calls = [pool.submit(act, item) for item in items]
        try:
            while wait(calls, 0.1, FIRST_EXCEPTION).not_done and not any(
                call.done() and call.exception() for call in calls
            ):
                pass
        finally:
            stop.set()  # also when the waiting thread is interrupted
        for call in calls:
            call.result()
