"""A CellNet on a graphics card: its shaders and weights, which serve pictures of every size."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import wgpu

from live_sr.engines.webgpu import areas, packing, shaders
from live_sr.engines.webgpu.areas import Boxes
from live_sr.engines.webgpu.arithmetic import Arithmetic
from live_sr.engines.webgpu.gpu import Gpu
from live_sr.engines.webgpu.links import Dispatch, make_dims
from live_sr.errors import EngineError
from live_sr.models.cellnet_weights import CELL, CellNetWeights
from live_sr.pipeline.frame import Size

STORAGE = wgpu.BufferUsage.STORAGE
VECTOR = 4  # features of a vector


class CellNetLink:
    """Fulfils `Link`.

    reads_bytes and writes_bytes: pictures are in BGRA of 8 bits; else they come from another link, or go to one.
    Raises one of `gpu.ERRORS`, or EngineError for a network whose features do not fill vectors.
    """

    def __init__(
        self,
        gpu: Gpu,
        network: CellNetWeights,
        arithmetic: Arithmetic,
        *,
        reads_bytes: bool = True,
        writes_bytes: bool = True,
    ) -> None:
        if network.features % VECTOR:
            raise EngineError(f"its features, {network.features}, are no multiple of {VECTOR}", "use another engine")
        self.gpu = gpu
        self.factor = Fraction(network.scale)
        self._arithmetic = arithmetic
        self._features = network.features
        self._side = CELL * network.scale  # pixels that a cell becomes
        self._slices = shaders.count_slices(network.scale)
        first = shaders.write_hidden(self._features, arithmetic, first=True, reads_bytes=reads_bytes)
        hidden = shaders.write_hidden(self._features, arithmetic, first=False)
        last = shaders.write_last(
            self._features, network.scale, arithmetic, reads_bytes=reads_bytes, writes_bytes=writes_bytes
        )
        middle = [hidden] * (len(network.layers) - 1)
        self._pipelines = [gpu.get_pipeline(source) for source in (first, *middle, last)]
        layers = packing.pack(network, arithmetic, self._slices)
        self._weights = [gpu.device.create_buffer_with_data(data=layer, usage=STORAGE) for layer in layers]

    def list_dispatches(self, size: Size, held: Size, picture: Any, result: Any) -> tuple[list[Dispatch], list[Any]]:
        """As `Link` describes. The two buffers of features take turns."""
        cells = Size(*(-(-side // CELL) for side in size))
        pitch = cells.width + 4 + shaders.MOST_POSITIONS  # two cells of border, and what a thread reads beyond
        plane = pitch * (cells.height + 4)
        groups = self._features // VECTOR
        dims = make_dims(self.gpu, [*held, *cells, pitch, plane, 9, groups, CELL**2])
        bytes_a_vector = VECTOR * (2 if self._arithmetic.stores_half else 4)
        features = [self.gpu.create_buffer(plane * bytes_a_vector * groups, STORAGE) for _ in range(2)]
        positions = shaders.count_positions(groups)
        found = []
        source = picture
        for number, (pipeline, weights) in enumerate(zip(self._pipelines[:-1], self._weights, strict=False)):
            target = features[number % 2]
            trace = partial(_trace_hidden, cells) if number else partial(_trace_first, held)
            found.append(Dispatch(pipeline, dims, (source, target, weights), trace, positions))
            source = target
        positions = shaders.count_positions(3 * shaders.SLICE // VECTOR)
        buffers = (picture, source, self._weights[-1], result)
        trace = partial(_trace_last, self._side)
        row = size.width * self._side // CELL
        found.append(Dispatch(self._pipelines[-1], dims, buffers, trace, positions, self._slices, row))
        return found, [dims, *features]

    def close(self) -> None:
        for buffer in self._weights:
            buffer.destroy()


# What layers compute and read. Features have one cell of replicated border on each side: those of a cell (x, y) are at
# (x + 1, y + 1). A convolution reads one position more on each side.


def _trace_last(side: int, wanted: Boxes) -> tuple[Boxes, Boxes]:
    cells = areas.divide_by(wanted, side)
    return cells, cells + np.array([0, 0, 2, 2])


def _trace_hidden(cells: Size, wanted: Boxes) -> tuple[Boxes, Boxes]:
    return wanted, areas.grow(wanted, 1, 1, Size(cells.width + 2, cells.height + 2))


def _trace_first(held: Size, wanted: Boxes) -> tuple[Boxes, Boxes]:
    return wanted, areas.grow(CELL * wanted, 2 * CELL, 0, held)
