"""What a picture is drawn by on a graphics card: links, such as a network or a resize, each of some dispatches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import wgpu

from live_sr.engines.webgpu.areas import Boxes
from live_sr.engines.webgpu.gpu import Gpu
from live_sr.models.cellnet_weights import CellNetWeights
from live_sr.pipeline.frame import Size

Part = CellNetWeights | Fraction
"""Of a chain: a network, or a resize by that factor."""

Trace = Callable[[Boxes], tuple[Boxes, Boxes]]
"""(what is wanted of a layer's result) -> (what it computes, what it reads of the layer before, or of the picture)."""


@dataclass(frozen=True)
class Dispatch:
    """A shader and its buffers, which computes one layer.

    dims: its uniform buffer. buffers: the others, in the order of its bindings. positions: that a thread computes.
    slices: threads that share the outputs of a position. row: pixels of a row, if it writes a picture for the layer
    after it; else 0.
    """

    pipeline: Any
    dims: Any
    buffers: tuple[Any, ...]
    trace: Trace
    positions: int = 1
    slices: int = 1
    row: int = 0


class Link(Protocol):
    """Shaders and weights that make a larger or smaller picture of one of any size."""

    @property
    def gpu(self) -> Gpu: ...

    @property
    def factor(self) -> Fraction:
        """By which sides grow."""
        ...

    def list_dispatches(self, size: Size, held: Size, picture: Any, result: Any) -> tuple[list[Dispatch], list[Any]]:
        """Its dispatches for pictures of `size`, and the buffers that they need beside these two.

        held: the part of the picture that is in its buffer; beyond it, the pixels at its edges are repeated.
        Raises EngineError where there is not enough memory, or one of `gpu.ERRORS`.
        """
        ...

    def close(self) -> None: ...


def grow_size(size: Size, factor: Fraction) -> Size:
    return Size(*(side * factor.numerator // factor.denominator for side in size))


def make_dims(gpu: Gpu, values: Sequence[int]) -> Any:
    """A uniform buffer of these numbers."""
    rounded = np.zeros(-(-len(values) // 4) * 4, np.uint32)
    rounded[: len(values)] = values
    return gpu.device.create_buffer_with_data(data=rounded.tobytes(), usage=wgpu.BufferUsage.UNIFORM)
