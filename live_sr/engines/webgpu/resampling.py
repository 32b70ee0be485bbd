"""Resizes by a fixed set of weights for each place of an output pixel: filters, and the resizes of chains."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import ceil, floor
from typing import Any

import numpy as np
import numpy.typing as npt
import wgpu

from live_sr.engines.webgpu import areas, wgsl
from live_sr.engines.webgpu.areas import Boxes
from live_sr.engines.webgpu.arithmetic import FP32, Arithmetic
from live_sr.engines.webgpu.gpu import Gpu
from live_sr.engines.webgpu.links import Dispatch, make_dims
from live_sr.pipeline.frame import Size

DIMS = ("width", "height", "taps", "phases", "step")
SHARPNESS = -0.75  # of cubic interpolation, as OpenCV and the resizes of chains have it
FIXED_POINT = 2048  # OpenCV rounds the weights of a filter to this part

Weights = npt.NDArray[np.floating]


@dataclass(frozen=True)
class ResamplingKernel:
    """What each output pixel is made of along one axis, in turns of `factor.numerator` output pixels.

    starts: the first input pixel, from the one where the turn begins. weights: of the input pixels from there on, shape
    (turn, taps).
    """

    factor: Fraction
    starts: tuple[int, ...]
    weights: Weights


def make_filter(name: str, scale: int) -> ResamplingKernel:
    """The kernel of a filter of OpenCV: nearest, bilinear, bicubic or lanczos."""
    positions = [(phase + 0.5) / scale - 0.5 for phase in range(scale)]
    if name == "nearest":
        return ResamplingKernel(Fraction(scale), (0,) * scale, np.ones((scale, 1)))
    weigh, before = {"bilinear": (_weigh_linear, 0), "bicubic": (_weigh_cubic, 1), "lanczos": (_weigh_lanczos, 3)}[name]
    taps = np.arange(-before, before + 2)
    rows = [weigh(taps - (at - floor(at))) for at in positions]
    weights = np.array([np.rint(row / row.sum() * FIXED_POINT) / FIXED_POINT for row in rows])
    return ResamplingKernel(Fraction(scale), tuple(floor(at) - before for at in positions), weights)


def make_resize(factor: Fraction) -> ResamplingKernel:
    """Cubic interpolation up by the numerator, then the mean of as many pixels as the denominator."""
    up, cells = factor.numerator, factor.denominator
    if up == 1 and cells > 1:
        return ResamplingKernel(factor, (0,), np.full((1, cells), 1 / cells))
    first, end = -2, ceil((up * cells - 0.5) / up) + 2  # of all input pixels that a turn can read
    weights = np.zeros((up, end - first))
    for phase in range(up):
        for large in range(phase * cells, (phase + 1) * cells):
            at = (large + 0.5) / up - 0.5
            start = floor(at) - 1
            weights[phase, start - first : start - first + 4] += _weigh_cubic(np.arange(-1, 3) - (at % 1)) / cells
    used = np.flatnonzero(weights.any(0))
    return ResamplingKernel(factor, (first + int(used[0]),) * up, weights[:, used[0] : used[-1] + 1])


def _weigh_linear(distances: Weights) -> Weights:
    weights: Weights = np.maximum(1 - np.abs(distances), 0)
    return weights


def _weigh_cubic(distances: Weights) -> Weights:
    x, a = np.abs(distances), SHARPNESS
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _weigh_lanczos(distances: Weights) -> Weights:
    weights: Weights = np.sinc(distances) * np.sinc(distances / 4)
    return weights


def write_shader(arithmetic: Arithmetic, *, reads_bytes: bool, writes_bytes: bool) -> str:
    """Bindings: dims, areas, picture, weights, output. A phase's weights: start, then those of taps."""
    body = [
        *wgsl.find_area(1),
        "let row_x = (x % dims.phases) * (dims.taps + 1u);",
        "let row_y = (y % dims.phases) * (dims.taps + 1u);",
        "let first_x = i32(x / dims.phases * dims.step) + i32(weights[row_x]);",
        "let first_y = i32(y / dims.phases * dims.step) + i32(weights[row_y]);",
        "var sum = zero;",
        "for (var tap_y = 0u; tap_y < dims.taps; tap_y++) {",
        "var line = zero;",
        "for (var tap_x = 0u; tap_x < dims.taps; tap_x++) {",
        "let found = pixel(first_x + i32(tap_x), first_y + i32(tap_y));",
        "line = fma(found, vec4(weights[row_x + 1u + tap_x]), line); }",
        "sum = fma(line, vec4(weights[row_y + 1u + tap_y]), sum); }",
        "draw(area, x, y, sum.xyz);",
    ]
    bindings = [
        f"var<storage, read> picture: array<{wgsl.name_pixel(arithmetic, in_bytes=reads_bytes)}>",
        "var<storage, read> weights: array<f32>",
        f"var<storage, read_write> target_: array<{wgsl.name_pixel(arithmetic, in_bytes=writes_bytes)}>",
    ]
    functions = [wgsl.write_pixel("f32", in_bytes=reads_bytes), wgsl.write_draw(in_bytes=writes_bytes)]
    return wgsl.assemble(DIMS, bindings, functions, body, arithmetic=arithmetic)


class ResampleLink:
    """Fulfils `Link` with a kernel, which is the same along both axes. reads_bytes and writes_bytes: as `CellNetLink`.

    Raises one of `gpu.ERRORS`.
    """

    def __init__(
        self,
        gpu: Gpu,
        kernel: ResamplingKernel,
        arithmetic: Arithmetic = FP32,
        *,
        reads_bytes: bool = True,
        writes_bytes: bool = True,
    ) -> None:
        self.gpu = gpu
        self.factor = kernel.factor
        self._kernel = kernel
        source = write_shader(arithmetic, reads_bytes=reads_bytes, writes_bytes=writes_bytes)
        self._pipeline = gpu.get_pipeline(source)
        table = np.column_stack((np.array(kernel.starts), kernel.weights)).astype(np.float32)
        self._weights = gpu.device.create_buffer_with_data(data=table.tobytes(), usage=wgpu.BufferUsage.STORAGE)

    def list_dispatches(self, size: Size, held: Size, picture: Any, result: Any) -> tuple[list[Dispatch], list[Any]]:
        phases, step = self.factor.as_integer_ratio()
        dims = make_dims(self.gpu, [*held, self._kernel.weights.shape[1], phases, step])
        trace = partial(_trace, self._kernel, held)
        row = size.width * phases // step
        return [Dispatch(self._pipeline, dims, (picture, self._weights, result), trace, row=row)], [dims]

    def close(self) -> None:
        self._weights.destroy()


def _trace(kernel: ResamplingKernel, held: Size, wanted: Boxes) -> tuple[Boxes, Boxes]:
    phases, step = kernel.factor.as_integer_ratio()
    read = wanted.copy()
    read[:, 2:] -= 1
    read = read // phases * step
    after = max(kernel.starts) + kernel.weights.shape[1]
    return wanted, areas.grow(read, -min(kernel.starts), after, held)
