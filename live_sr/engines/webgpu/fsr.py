"""AMD's FSR 1 as shaders: EASU enlarges along edges, then RCAS sharpens. As `engines/filters/fsr1.py` has it in NumPy.

A test compares the pictures of both. Between the two steps the picture is not rounded.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from math import floor
from typing import Any

import numpy as np
import wgpu

from live_sr.engines.webgpu import areas, wgsl
from live_sr.engines.webgpu.areas import Boxes
from live_sr.engines.webgpu.gpu import Gpu
from live_sr.engines.webgpu.links import Dispatch, make_dims
from live_sr.pipeline.frame import Size

DIMS = ("width", "height", "phases")
BYTES_A_PIXEL = 16  # between the two steps
SHARPNESS = 0.87
RADIUS = 2  # input pixels that EASU reads around

TAPS = ((0, -1), (1, -1), (-1, 0), (0, 0), (1, 0), (2, 0), (-1, 1), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2))
CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))

EDGE = """
fn share(before: f32, centre: f32, after: f32) -> f32 {
  let steepest = max(max(abs(after - centre), abs(centre - before)), 1e-6);
  let part = min(abs(after - before) / steepest, 1.0);
  return part * part;
}
fn edge(centre: f32, left: f32, right: f32, up: f32, down: f32) -> vec3<f32> {
  return vec3<f32>(right - left, down - up, share(left, centre, right) + share(up, centre, down));
}
"""

SHAPE = """
let strength = 0.25 * form.z * form.z;
let length_2 = form.x * form.x + form.y * form.y;
var slope = vec2<f32>(1.0, 0.0);
if (length_2 >= 1.0 / 32768.0) { slope = form.xy / sqrt(length_2); }
var stretch = (1.0 / max(abs(slope.x), abs(slope.y)) - 1.0) * strength + 1.0;
stretch = stretch * stretch;
let lobe = 0.5 - 0.29 * strength;
let limit = 1.0 / lobe;
let squeeze = (1.0 - 0.5 * strength) * (1.0 - 0.5 * strength);
let a = slope.x * slope.x * (stretch - squeeze) + squeeze;
let b = 2.0 * slope.x * slope.y * (stretch - squeeze);
let c = stretch + squeeze - a;
var total = vec3<f32>();
var weights = 0.0;
"""

SHARPEN = """
let at = vec2<i32>(i32(x), i32(y));
let centre = pixel(at.x, at.y).xyz;
let up = pixel(at.x, at.y - 1).xyz;
let left = pixel(at.x - 1, at.y).xyz;
let right = pixel(at.x + 1, at.y).xyz;
let down = pixel(at.x, at.y + 1).xyz;
let low = min(centre, min(min(up, left), min(right, down)));
let high = max(centre, max(max(up, left), max(right, down)));
let darker = -low / max(high, vec3<f32>(1e-6));
let brighter = (1.0 - high) / min(low - 1.0, vec3<f32>(-1e-6));
let lobes = max(darker, brighter);
let lobe = clamp(0.25 * max(max(lobes.x, lobes.y), lobes.z), -0.1875, 0.0) * sharpness;
draw(area, x, y, ((up + left + right + down) * lobe + centre) / (4.0 * lobe + 1.0));
"""


def write_easu() -> str:
    """Bindings: dims, areas, picture, phases, output. A phase: the input pixel before it, its distance."""
    luma = "luma{}".format
    body = [
        *wgsl.find_area(1),
        "let phase_x = phases[x % dims.phases]; let phase_y = phases[y % dims.phases];",
        "let first_x = i32(x / dims.phases) + i32(phase_x.x);",
        "let first_y = i32(y / dims.phases) + i32(phase_y.x);",
        "let from_x = phase_x.y; let from_y = phase_y.y;",
    ]
    for x, y in TAPS:
        name = _name(x, y)
        body.append(f"let v{name} = pixel(first_x + {x}, first_y + {y}).xyz;")
        body.append(f"let luma{name} = 0.5 * (v{name}.x + v{name}.z) + v{name}.y;")
    for x, y in CORNERS:
        around = ((x, y), (x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1))
        body.append(f"let edge{_name(x, y)} = edge({', '.join(luma(_name(*one)) for one in around)});")
    shares = (f"edge{_name(x, y)} * {_share('x', x)} * {_share('y', y)}" for x, y in CORNERS)
    body += [f"let form = {' + '.join(shares)};", SHAPE]
    for x, y in TAPS:
        body += [
            f"{{ let o = vec2<f32>({x}.0 - from_x, {y}.0 - from_y);",
            "let near = min(a * o.x * o.x + b * o.x * o.y + c * o.y * o.y, limit);",
            "let base = near * lobe - 1.0;",
            "let weight = base * base * (near - 1.0) * (near - 4.0);",
            f"weights += weight; total += weight * v{_name(x, y)}; }}",
        ]
    low, high = (
        f"{act}({act}(v0_0, v1_0), {act}(v0_1, v1_1))" for act in ("min", "max")
    )  # stay between the four nearest pixels, so that nothing rings
    body.append(f"draw(area, x, y, clamp(total / weights, {low}, {high}));")
    bindings = [
        "var<storage, read> picture: array<u32>",
        "var<storage, read> phases: array<vec2<f32>>",
        "var<storage, read_write> target_: array<vec4<f32>>",
    ]
    functions = [wgsl.write_pixel("f32", in_bytes=True), wgsl.write_draw(in_bytes=False), EDGE]
    return wgsl.assemble(DIMS, bindings, functions, body)


def write_rcas() -> str:
    """Bindings: dims, areas, picture, output."""
    bindings = ["var<storage, read> picture: array<vec4<f32>>", "var<storage, read_write> target_: array<u32>"]
    functions = [wgsl.write_pixel("f32", in_bytes=False), wgsl.write_draw(in_bytes=True)]
    return wgsl.assemble(DIMS, bindings, functions, [*wgsl.find_area(1), f"let sharpness = {SHARPNESS};", SHARPEN])


def _name(x: int, y: int) -> str:
    """Of a tap, in names of variables."""
    return f"{x}_{y}".replace("-", "m")


def _share(axis: str, side: int) -> str:
    return f"from_{axis}" if side else f"(1.0 - from_{axis})"


class FsrLink:
    """Fulfils `Link`. Raises one of `gpu.ERRORS`."""

    def __init__(self, gpu: Gpu, scale: int) -> None:
        self.gpu = gpu
        self.factor = Fraction(scale)
        self._scale = scale
        self._easu, self._rcas = gpu.get_pipeline(write_easu()), gpu.get_pipeline(write_rcas())
        centres = [(phase + 0.5) / scale - 0.5 for phase in range(scale)]
        table = np.array([(floor(at), at - floor(at)) for at in centres], np.float32)
        self._phases = gpu.device.create_buffer_with_data(data=table.tobytes(), usage=wgpu.BufferUsage.STORAGE)

    def list_dispatches(self, size: Size, held: Size, picture: Any, result: Any) -> tuple[list[Dispatch], list[Any]]:
        large = size.times(self._scale)
        between = self.gpu.create_buffer(BYTES_A_PIXEL * large.width * large.height, wgpu.BufferUsage.STORAGE)
        small_dims, large_dims = make_dims(self.gpu, [*held, self._scale]), make_dims(self.gpu, [*large, 1])
        easu = Dispatch(
            self._easu,
            small_dims,
            (picture, self._phases, between),
            partial(_trace_easu, self._scale, held),
            row=large.width,
        )
        rcas = Dispatch(self._rcas, large_dims, (between, result), partial(_trace_rcas, large))
        return [easu, rcas], [between, small_dims, large_dims]

    def close(self) -> None:
        self._phases.destroy()


def _trace_easu(scale: int, held: Size, wanted: Boxes) -> tuple[Boxes, Boxes]:
    return wanted, areas.grow(areas.divide_by(wanted, scale), RADIUS, RADIUS, held)


def _trace_rcas(large: Size, wanted: Boxes) -> tuple[Boxes, Boxes]:
    return wanted, areas.grow(wanted, 1, 1, large)
