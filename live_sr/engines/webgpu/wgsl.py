"""What all shaders here have in common, as text in WGSL.

One dispatch computes one layer of the whole picture, or of some areas of it: each workgroup finds its area in a table
that the dispatch has.

No loop ends at a constant number. Drivers unroll such loops: nine taps of Mesa 22's software driver were never done
compiling, and half of them took 57 s on Mesa 25.
"""

from __future__ import annotations

from collections.abc import Sequence

from live_sr.engines.webgpu.arithmetic import FP32, Arithmetic

GROUP = (8, 8)  # threads of a workgroup
AREA = "first", "count", "left", "top", "right", "bottom", "begin", "pitch", "from_x", "from_y", "end_x", "end_y"
"""An area in the table of a dispatch. first: its first workgroup. count: of areas in the table. left to bottom: what is
computed, in the layer's positions. For a layer that writes a picture: from_x to end_y is what it writes, in pixels of
the picture, and pixel (x, y) is the element begin + y * pitch + x of its buffer."""
AREAS = 16  # in a table; a plan of changed regions has at most 13
WORKGROUPS = 32768  # side by side in a dispatch; WebGPU allows for 65535

HALF = """
fn load(v: vec2<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y)); }
fn keep(v: vec4<f32>) -> vec2<u32> { return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw)); }
"""
PLAIN = """
fn load(v: vec4<{stored}>) -> vec4<{number}> {{ return vec4<{number}>(v); }}
fn keep(v: vec4<{number}>) -> vec4<{stored}> {{ return vec4<{stored}>(v); }}
"""
PIXEL = """
fn pixel(x: i32, y: i32) -> vec4<{number}> {{
  let column = u32(clamp(x, 0, i32(dims.width) - 1));
  let row = u32(clamp(y, 0, i32(dims.height) - 1));
  let found = picture[row * dims.width + column];
  return {value};
}}
"""
DRAW = """
fn draw(area: Area, x: u32, y: u32, bgr: vec3<f32>) {{
  if (x >= area.from_x && x < area.end_x && y >= area.from_y && y < area.end_y) {{
    let none = any((bitcast<vec3<u32>>(bgr) & vec3(0x7f800000u)) == vec3(0x7f800000u));
    let bgra = vec4<f32>(bgr, select(1.0, 0.0, none));
    target_[area.begin + y * area.pitch + x] = {value};
  }}
}}
"""


def name_stored(arithmetic: Arithmetic) -> str:
    """The type of four values in memory."""
    if arithmetic.half_sums:
        return "vec4<f16>"
    return "vec2<u32>" if arithmetic.stores_half else "vec4<f32>"


def name_pixel(arithmetic: Arithmetic, *, in_bytes: bool) -> str:
    """The type of a pixel in memory: BGRA of 8 bits each, or between two links of a chain four values in 0..1."""
    return "u32" if in_bytes else name_stored(arithmetic)


def write_pixel(number: str, *, in_bytes: bool) -> str:
    """The function `pixel`, which reads `picture`; beyond its edges, the pixel at the edge."""
    value = f"vec4<{number}>(unpack4x8unorm(found))" if in_bytes else f"vec4<{number}>(load(found))"
    return PIXEL.format(number=number, value=value)


def write_draw(*, in_bytes: bool) -> str:
    """The function `draw`, which writes a pixel to `target_`, unless it lies outside of what the area writes.

    A pixel of the picture is opaque, unless its numbers are none (NaN or infinite); that is seen by the bits of their
    exponents, because compilers may take it that every number is one. Between two links of a chain they stay none.
    """
    clamped = "select(clamp(bgra, vec4<f32>(), vec4<f32>(1.0)), bgra, none)"
    return DRAW.format(value="pack4x8unorm(bgra)" if in_bytes else f"keep({clamped})")


def find_area(positions: int) -> list[str]:
    """Finds the area, and the first of the positions that this thread computes. Ends threads outside of it."""
    wide, high = positions * GROUP[0], GROUP[1]
    return [
        f"let number = at_group.y * {WORKGROUPS}u + at_group.x;",
        "var at_area = 0u;",
        "for (var other = 1u; other < areas[0].count; other++) {",
        "if (areas[other].first <= number) { at_area = other; } }",
        "let area = areas[at_area];",
        f"let across = (area.right - area.left + {wide - 1}u) / {wide}u;",
        "let within = number - area.first;",
        f"let x = area.left + within % across * {wide}u + at_thread.x * {positions}u;",
        f"let y = area.top + within / across * {high}u + at_thread.y;",
        "if (x >= area.right || y >= area.bottom) { return; }",
    ]


def assemble(
    dims: Sequence[str],
    bindings: Sequence[str],
    functions: Sequence[str],
    body: Sequence[str],
    *,
    arithmetic: Arithmetic = FP32,
    number: str = "f32",
) -> str:
    """The whole shader. dims: fields of the uniform buffer. number: the type of a sum."""
    packed = arithmetic.stores_half and not arithmetic.half_sums
    stored = "f16" if arithmetic.half_sums else "f32"
    return "\n".join(
        (
            "enable f16;" if arithmetic.half_sums else "",
            f"struct Dims {{ {', '.join(f'{name}: u32' for name in dims)} }};",
            f"struct Area {{ {', '.join(f'{name}: u32' for name in AREA)} }};",
            "@group(0) @binding(0) var<uniform> dims: Dims;",
            f"@group(0) @binding(1) var<uniform> areas: array<Area, {AREAS}>;",
            *(f"@group(0) @binding({place}) {text};" for place, text in enumerate(bindings, 2)),
            HALF if packed else PLAIN.format(stored=stored, number=number),
            *functions,
            f"@compute @workgroup_size({GROUP[0]}, {GROUP[1]})",
            "fn main(@builtin(workgroup_id) at_group: vec3<u32>, @builtin(local_invocation_id) at_thread: vec3<u32>) {",
            f"let zero = vec4<{number}>();",
            *body,
            "}",
        )
    )
