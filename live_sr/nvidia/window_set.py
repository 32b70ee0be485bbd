"""Draws parts of pictures on the GPU through windows: the network in a few small sizes.

All that a window does is given to one stream, in order: the copy of its input, the network, and the copy of what is
kept of its output. So one window can draw several parts one after the other, and no event is needed between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from live_sr.nvidia.cuda_api import CudaLike, DevicePlace
from live_sr.nvidia.inference_step import InferenceStep, MakeInferenceStep
from live_sr.pipeline.frame import Pixels, Rect, Size, Tile, copy_part

PIXEL = 4  # bytes


class WindowSet:
    """The windows of a double buffer. Each tile is drawn by the window that has the size of its source."""

    def __init__(self, cuda: CudaLike, stream: int, event: int, scale: int) -> None:
        """stream: of the double buffer's networks. event: for waits of the host, of nobody else."""
        self._cuda = cuda
        self._stream = stream
        self._event = event
        self._scale = scale
        self._steps: dict[Size, InferenceStep] = {}
        self._pinned_input: Pixels | None = None  # for `draw_to_host`; both grow with what is asked for
        self._pinned_output: Pixels | None = None

    def add(self, size: Size, make_step: MakeInferenceStep) -> None:
        """Makes the window of that size. Raises EngineError."""
        self._steps[size] = make_step(self._stream)

    def remove(self, size: Size) -> None:
        """The GPU must have finished with that window, if there is one."""
        step = self._steps.pop(size, None)
        if step is not None:
            step.close()

    def close(self) -> None:
        for size in list(self._steps):
            self.remove(size)

    def has_room(self, tiles: Sequence[Tile], pinned: Pixels) -> bool:
        """Whether the sources of all tiles together fit into that memory."""
        return PIXEL * sum(_count_pixels(tile.source) for tile in tiles) <= pinned.nbytes

    def prepare(self, pixels: Pixels, tiles: Sequence[Tile], pinned: Pixels, into: DevicePlace) -> Callable[[], None]:
        """Copies what the tiles are made from into page-locked memory, which the GPU reads until the work is done.

        Returns what gives the stream the work: to draw the tiles into the enlarged picture that begins at `into`.
        """
        sources = _pack(pixels, tiles, pinned)

        def draw() -> None:
            for tile, source in zip(tiles, sources, strict=True):
                result = self._run(tile, source)
                kept = tile.kept.times(self._scale)
                self._cuda.copy(into.go_to(kept), result, kept.size, self._stream)

        return draw

    def draw_to_host(self, pixels: Pixels, tiles: Sequence[Tile], into: Pixels) -> None:
        """Draws the tiles where they belong in `into`, an enlarged picture in main memory, and waits for that."""
        if not tiles:
            return
        cuda, stream, scale = self._cuda, self._stream, self._scale
        parts = [tile.kept.times(scale) for tile in tiles]
        self._pinned_input = self._reserve(self._pinned_input, sum(_count_pixels(tile.source) for tile in tiles))
        self._pinned_output = self._reserve(self._pinned_output, sum(map(_count_pixels, parts)))
        results = _divide(self._pinned_output, [part.size for part in parts])
        for tile, source, result in zip(tiles, _pack(pixels, tiles, self._pinned_input), results, strict=True):
            cuda.download(result, self._run(tile, source), stream)
        cuda.record_event(self._event, stream)
        cuda.wait_for_event(self._event)
        for part, result in zip(parts, results, strict=True):
            np.copyto(part.cut_from(into), result)

    def _run(self, tile: Tile, source: Pixels) -> DevicePlace:
        """Gives the stream the copy in and the network. Returns where what is kept begins in the window's output."""
        step, size = self._steps[tile.source.size], tile.source.size
        self._cuda.upload(step.input, source, self._stream)
        step.enqueue(self._stream)
        x, y = tile.kept.x - tile.source.x, tile.kept.y - tile.source.y
        scale = self._scale
        return DevicePlace(step.output, PIXEL * size.width * scale, x * scale, y * scale)

    def _reserve(self, pinned: Pixels | None, pixels: int) -> Pixels:
        """Page-locked memory for at least so many pixels."""
        if pinned is not None and pinned.nbytes >= PIXEL * pixels:
            return pinned
        return self._cuda.allocate_pinned(Size(pixels, 1))


def _pack(pixels: Pixels, tiles: Sequence[Tile], pinned: Pixels) -> list[Pixels]:
    """Copies the sources of the tiles into page-locked memory, one after the other."""
    parts = _divide(pinned, [tile.source.size for tile in tiles])
    for tile, part in zip(tiles, parts, strict=True):
        copy_part(pixels, tile.source, part)
    return parts


def _divide(pinned: Pixels, sizes: Sequence[Size]) -> list[Pixels]:
    """Pictures of these sizes, one after the other in that memory."""
    memory = pinned.reshape(-1)
    ends = np.cumsum([PIXEL * width * height for width, height in sizes]).tolist()
    begins = [0, *ends][:-1]
    return [
        memory[begin:end].reshape(size.height, size.width, PIXEL)
        for begin, end, size in zip(begins, ends, sizes, strict=True)
    ]


def _count_pixels(part: Rect) -> int:
    return part.width * part.height
