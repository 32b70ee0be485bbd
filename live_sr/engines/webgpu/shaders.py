"""The shaders of a CellNet in WGSL, as text.

Features lie in memory as planes of four channels; each plane has a border of zeros, so that a convolution needs no test
at the edges. A thread computes all output channels of some positions side by side, so that a weight, once read, serves
several of them.
"""

from __future__ import annotations

from live_sr.engines.webgpu import wgsl
from live_sr.engines.webgpu.arithmetic import Arithmetic
from live_sr.models.cellnet_weights import CELL

DIMS = ("width", "height", "columns", "rows", "pitch", "plane", "taps", "groups", "places")
"""The uniform buffer. columns and rows: of cells. pitch and plane: vectors of a row and a plane of the features."""

SUMS = 32  # vectors of four sums that a thread keeps in registers, at most
MOST_POSITIONS = 4  # of a thread
SLICE = 4  # output pixels of the last layer that a thread computes: three vectors

COMPONENTS = "xyzw"


def count_positions(outputs: int) -> int:
    """How many positions a thread of a layer with `outputs` vectors of four channels computes."""
    return max(1, min(MOST_POSITIONS, SUMS // outputs))


def count_slices(scale: int) -> int:
    """How many threads share the output pixels of a cell of the last layer."""
    return (CELL * scale) ** 2 // SLICE


def write_hidden(features: int, arithmetic: Arithmetic, *, first: bool, reads_bytes: bool = True) -> str:
    """A 3x3 convolution with PReLU. The first layer reads the picture's cells, the others the layer before.

    reads_bytes: the picture is in BGRA of 8 bits; else it is the result of another network.
    Bindings: dims, areas, input, output, weights. Its areas include one cell of replicated border on each side.
    """
    outputs = features // 4
    positions = range(count_positions(outputs))
    taps = 9 * (12 if first else features) * outputs
    stored = wgsl.name_stored(arithmetic)
    body = [
        *_begin(outputs, len(positions), f"{taps}u"),
        "var at_weight = 0u;",
        "for (var tap = 0u; tap < dims.taps; tap++) {",
        *(_read_cells(positions) if first else _begin_groups("y + tap / 3u", "x + tap % 3u")),
        *([] if first else _read_features(positions)),
        *_multiply(3 if first else 4, outputs, positions),
        *([] if first else ["at += dims.plane;"]),
        "} }",
    ]
    for p in positions:
        body.append(f"if (x + {p}u < area.right) {{ let to = (y + 1u) * dims.pitch + x + {p + 1}u;")
        for o in range(outputs):
            slope = f"load(weights[{taps + outputs + o}u])"
            body.append(
                f"target_[to + {o}u * dims.plane] = keep(select(s{p}_{o} * {slope}, s{p}_{o}, s{p}_{o} > zero));"
            )
        body.append("}")
    pixel = wgsl.name_pixel(arithmetic, in_bytes=reads_bytes)
    bindings = [
        f"var<storage, read> picture: array<{pixel}>" if first else f"var<storage, read> source: array<{stored}>",
        f"var<storage, read_write> target_: array<{stored}>",
        f"var<storage, read> weights: array<{stored}>",
    ]
    number = "f16" if arithmetic.half_sums else "f32"
    functions = [wgsl.write_pixel(number, in_bytes=reads_bytes)] if first else []
    return wgsl.assemble(DIMS, bindings, functions, body, arithmetic=arithmetic, number=number)


def write_last(
    features: int, scale: int, arithmetic: Arithmetic, *, reads_bytes: bool = True, writes_bytes: bool = True
) -> str:
    """A 3x3 convolution of the picture's cells and the features, which writes BGRA. Its sums are always in fp32.

    reads_bytes and writes_bytes: as above; else the result is for another network, and is not rounded.
    Bindings: dims, areas, picture, features, weights, output. Its areas are of cells; threads share the output pixels
    of a cell in slices.
    """
    side = CELL * scale
    outputs = 3 * SLICE // 4
    positions = range(count_positions(outputs))
    part = 9 * (12 + features) * outputs + outputs
    body = [
        *_begin(outputs, len(positions), f"at_group.z * {part}u + {part - outputs}u"),
        f"var at_weight = at_group.z * {part}u;",
        "for (var tap = 0u; tap < dims.taps; tap++) {",
        "for (var place = 0u; place < dims.places; place++) {",
        "let row = 2 * (i32(y + tap / 3u) - 1) + i32(place >> 1u);",
        *(f"let v{p} = pixel(2 * (i32(x + tap % 3u) + {p} - 1) + i32(place & 1u), row);" for p in positions),
        *_multiply(3, outputs, positions),
        "}",
        *_begin_groups("y + 1u + tap / 3u", "x + 1u + tap % 3u"),
        *_read_features(positions),
        *_multiply(4, outputs, positions),
        "at += dims.plane; } }",
    ]
    for p in positions:
        body.append(f"if (x + {p}u < area.right) {{")
        for pixel in range(SLICE):
            channels = (3 * pixel + colour for colour in range(3))
            bgr = ", ".join(f"s{p}_{c // 4}.{COMPONENTS[c % 4]}" for c in channels)
            place = f"at_group.z * {SLICE}u + {pixel}u"
            at = f"(x + {p}u) * {side}u + ({place}) % {side}u, y * {side}u + ({place}) / {side}u"
            body.append(f"draw(area, {at}, vec3<f32>({bgr}));")
        body.append("}")
    stored = wgsl.name_stored(arithmetic)
    bindings = [
        f"var<storage, read> picture: array<{wgsl.name_pixel(arithmetic, in_bytes=reads_bytes)}>",
        f"var<storage, read> source: array<{stored}>",
        f"var<storage, read> weights: array<{stored}>",
        f"var<storage, read_write> target_: array<{wgsl.name_pixel(arithmetic, in_bytes=writes_bytes)}>",
    ]
    functions = [wgsl.write_pixel("f32", in_bytes=reads_bytes), wgsl.write_draw(in_bytes=writes_bytes)]
    return wgsl.assemble(DIMS, bindings, functions, body, arithmetic=arithmetic)


def _begin(outputs: int, positions: int, bias: str) -> list[str]:
    """Finds what this thread computes, and starts its sums with the biases."""
    return [
        *wgsl.find_area(positions),
        f"let at_bias = {bias};",
        *(f"var s{p}_{o} = load(weights[at_bias + {o}u]);" for p in range(positions) for o in range(outputs)),
    ]


def _begin_groups(row: str, column: str) -> list[str]:
    return [f"var at = ({row}) * dims.pitch + {column};", "for (var group = 0u; group < dims.groups; group++) {"]


def _read_features(positions: range) -> list[str]:
    return [f"let v{p} = load(source[at + {p}u]);" for p in positions]


def _read_cells(positions: range) -> list[str]:
    """Reads a pixel of each cell. Outside of the grid are zeros; the picture's own border is replicated."""
    return [
        "for (var place = 0u; place < dims.places; place++) {",
        "let cell_y = i32(y + tap / 3u) - 1;",
        "let inside = cell_y >= 0 && cell_y < i32(dims.rows) + 2;",
        *(
            line
            for p in positions
            for line in (
                f"let c{p} = i32(x + tap % 3u) + {p - 1};",
                f"let v{p} = select(zero, pixel(2 * c{p} - 2 + i32(place & 1u), 2 * cell_y - 2 + i32(place >> 1u)), "
                f"inside && c{p} >= 0 && c{p} < i32(dims.columns) + 2);",
            )
        ),
    ]


def _multiply(inputs: int, outputs: int, positions: range) -> list[str]:
    """Adds `inputs` channels of the values read, times their weights, to the sums."""
    lines = []
    for i in range(inputs):
        for o in range(outputs):
            sums = (f"s{p}_{o} = fma(vec4(v{p}.{COMPONENTS[i]}), w, s{p}_{o});" for p in positions)
            lines.append(f"{{ let w = load(weights[at_weight + {i * outputs + o}u]); {' '.join(sums)} }}")
    return [*lines, f"at_weight += {inputs * outputs}u;"]
