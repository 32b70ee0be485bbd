"""The kernel of `fused_cellnet`, in a module of its own because Triton is not always installed.

Triton compiles the functions below from their source: they are a small language inside Python, without types that mypy
could check. `fused_cellnet` says what they compute, and why in this way.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# ruff: noqa: N803, N806  # what the compiler knows as a constant is in capitals, as everywhere in Triton

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=("height", "columns", "tiles", "programs"))
def enlarge(
    picture,  # int32 (height, width): BGRA
    enlarged,  # int32 (height * SCALE, width * SCALE): BGRA
    weights,  # fp16, in the layout of `fused_cellnet.pack_weights`
    biases,  # fp32: of each hidden layer FEATURES biases and FEATURES slopes, then those of B, G and R
    scratch,  # fp16: for each program ROOM cells of 16 and twice ROOM cells of FEATURES
    width,
    height,
    columns,  # of tiles
    tiles,
    programs,
    SCALE: tl.constexpr,
    FEATURES: tl.constexpr,
    DEPTH: tl.constexpr,
    TILE_X: tl.constexpr,
    TILE_Y: tl.constexpr,
    ROOM: tl.constexpr,
    GUARD: tl.constexpr,
    BLOCK: tl.constexpr,
    SPAN: tl.constexpr,
    GROUP: tl.constexpr,
    STAGES: tl.constexpr,
):
    """A whole picture: each program takes every `programs`-th tile of TILE_X x TILE_Y cells."""
    HALO: tl.constexpr = DEPTH + 2
    PITCH: tl.constexpr = TILE_X + 2 * HALO
    TAPS: tl.constexpr = 9 if SPAN == 1 else 3 * SPAN
    program = tl.program_id(0)
    cells = scratch + program * (ROOM * (16 + 2 * FEATURES)) + GUARD * 16
    features = cells + (ROOM - GUARD) * 16 + GUARD * FEATURES
    for tile in tl.range(program, tiles, programs, num_stages=1):
        left = (tile % columns) * TILE_X - HALO  # the cell of the picture that is the first of the tile's memory
        top = (tile // columns) * TILE_Y - HALO
        tl.debug_barrier()  # the tile before has been read completely
        _unshuffle(picture, cells, left, top, width, height, PITCH, TILE_Y + 2 * HALO, BLOCK)
        tl.debug_barrier()
        _run_hidden_layer(
            cells, features, weights, biases, 0, left, top, width, height,
            16, FEATURES, PITCH, TILE_Y + 2 * HALO, BLOCK, SPAN, STAGES,
        )  # fmt: skip
        for layer in tl.range(1, DEPTH + 1, num_stages=1):
            tl.debug_barrier()
            _run_hidden_layer(
                features + ((layer - 1) % 2) * (ROOM * FEATURES), features + (layer % 2) * (ROOM * FEATURES),
                weights + TAPS * 16 * FEATURES + (layer - 1) * (TAPS * FEATURES * FEATURES),
                biases + layer * (2 * FEATURES), layer, left, top, width, height,
                FEATURES, FEATURES, PITCH, TILE_Y + 2 * HALO, BLOCK, SPAN, STAGES,
            )  # fmt: skip
        tl.debug_barrier()
        _run_last_layer(
            cells, features + (DEPTH % 2) * (ROOM * FEATURES),
            weights + TAPS * 16 * FEATURES + DEPTH * (TAPS * FEATURES * FEATURES),
            biases + (DEPTH + 1) * (2 * FEATURES), enlarged, left, top, width, height,
            SCALE, FEATURES, HALO, PITCH, TILE_Y, BLOCK, SPAN, GROUP, STAGES,
        )  # fmt: skip


@triton.jit
def _unshuffle(picture, cells, left, top, width, height, PITCH: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """The tile's cells as fp16 levels / 256; zero beyond the one cell of border that repeats the picture's edge."""
    k = tl.arange(0, 16)  # colour * 4 + row * 2 + column, as CellNet orders them
    for first in tl.range(0, ROWS * PITCH, BLOCK, num_stages=1):
        place = first + tl.arange(0, BLOCK)
        x = left + place % PITCH
        y = top + place // PITCH
        column = tl.minimum(tl.maximum(2 * x[:, None] + k[None, :] % 2, 0), width - 1)
        row = tl.minimum(tl.maximum(2 * y[:, None] + k[None, :] // 2 % 2, 0), height - 1)
        level = (tl.load(picture + row * width + column) >> (k // 4 * 8)[None, :]) & 255
        inside = (x >= -1) & (x <= (width + 1) // 2) & (y >= -1) & (y <= (height + 1) // 2)
        value = tl.where(inside[:, None], level.to(tl.float32) * (1 / 256), 0.0)
        tl.store(cells + (place * 16)[:, None] + k[None, :], value.to(tl.float16))


@triton.jit
def _run_hidden_layer(
    source, target, weights, biases, layer, left, top, width, height,
    CHANNELS: tl.constexpr, FEATURES: tl.constexpr, PITCH: tl.constexpr, ROWS: tl.constexpr,
    BLOCK: tl.constexpr, SPAN: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """A hidden layer, on the part of the tile that the layers after it need; zero elsewhere, as the padding."""
    margin = layer + 1
    n = tl.arange(0, FEATURES)
    bias = tl.load(biases + n)
    slope = tl.load(biases + FEATURES + n)
    for first in tl.range(margin * PITCH, (ROWS - margin) * PITCH, BLOCK, num_stages=1):
        total = tl.zeros((BLOCK, FEATURES), tl.float32)
        k = tl.arange(0, SPAN * CHANNELS)
        for step in tl.range(0, 9 if SPAN == 1 else 3, num_stages=STAGES):
            place = first + _compute_offset(step, PITCH, SPAN) + tl.arange(0, BLOCK)
            values = tl.load(source + (place * CHANNELS)[:, None] + k[None, :])
            kernel = tl.load(weights + step * (SPAN * CHANNELS * FEATURES) + (k * FEATURES)[:, None] + n[None, :])
            total = tl.dot(values, kernel, total)
        total += bias[None, :]
        total = tl.where(total > 0, total, total * slope[None, :])
        place = first + tl.arange(0, BLOCK)
        x = place % PITCH
        y = place // PITCH
        needed = (x >= margin) & (x < PITCH - margin) & (y < ROWS - margin)
        x += left
        y += top
        inside = needed & (x >= -1) & (x <= (width + 1) // 2) & (y >= -1) & (y <= (height + 1) // 2)
        total = tl.where(inside[:, None], total, 0.0)
        tl.store(target + (place * FEATURES)[:, None] + n[None, :], total.to(tl.float16))


@triton.jit
def _run_last_layer(
    cells, features, weights, biases, enlarged, left, top, width, height,
    SCALE: tl.constexpr, FEATURES: tl.constexpr, HALO: tl.constexpr, PITCH: tl.constexpr, TILE_Y: tl.constexpr,
    BLOCK: tl.constexpr, SPAN: tl.constexpr, GROUP: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """The last layer, GROUP pixels of each cell at a time in all three colours, and its pixels to their places."""
    SIDE: tl.constexpr = 2 * SCALE
    STEPS: tl.constexpr = 9 if SPAN == 1 else 3
    OF_CELLS: tl.constexpr = STEPS * SPAN * 16 * GROUP  # weights of one group and colour
    OF_FEATURES: tl.constexpr = STEPS * SPAN * FEATURES * GROUP
    n = tl.arange(0, GROUP)
    for first in tl.range(HALO * PITCH, (HALO + TILE_Y) * PITCH, BLOCK, num_stages=1):
        for group in tl.range(0, SIDE * SIDE, GROUP, num_stages=1):
            kernels = weights + group // GROUP * (3 * (OF_CELLS + OF_FEATURES))
            blue = tl.zeros((BLOCK, GROUP), tl.float32)
            green = tl.zeros((BLOCK, GROUP), tl.float32)
            red = tl.zeros((BLOCK, GROUP), tl.float32)
            blue, green, red = _add_colours(
                blue, green, red, cells, kernels, first, 16, PITCH, BLOCK, SPAN, GROUP, STAGES
            )
            blue, green, red = _add_colours(
                blue, green, red, features, kernels + 3 * OF_CELLS, first, FEATURES, PITCH, BLOCK, SPAN, GROUP, STAGES
            )
            pixel = group + n
            blue = _quantize(blue + tl.load(biases + pixel)[None, :])
            green = _quantize(green + tl.load(biases + SIDE * SIDE + pixel)[None, :])
            red = _quantize(red + tl.load(biases + 2 * SIDE * SIDE + pixel)[None, :])
            colour = blue | (green << 8) | (red << 16) | -16777216  # alpha 255, as int32 has it
            place = first + tl.arange(0, BLOCK)
            x = place % PITCH
            y = place // PITCH
            needed = (x >= HALO) & (x < PITCH - HALO) & (y < HALO + TILE_Y)
            column = (left + x)[:, None] * SIDE + (pixel % SIDE)[None, :]
            row = (top + y)[:, None] * SIDE + (pixel // SIDE)[None, :]
            inside = needed[:, None] & (column < width * SCALE) & (row < height * SCALE)
            tl.store(enlarged + row * (width * SCALE) + column, colour, mask=inside)


@triton.jit
def _add_colours(
    blue, green, red, source, weights, first,
    CHANNELS: tl.constexpr, PITCH: tl.constexpr, BLOCK: tl.constexpr, SPAN: tl.constexpr, GROUP: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """The sums of three colours with a part of the last convolution added."""
    k = tl.arange(0, SPAN * CHANNELS)
    n = tl.arange(0, GROUP)
    OF_STEP: tl.constexpr = SPAN * CHANNELS * GROUP
    for step in tl.range(0, 9 if SPAN == 1 else 3, num_stages=STAGES):
        place = first + _compute_offset(step, PITCH, SPAN) + tl.arange(0, BLOCK)
        values = tl.load(source + (place * CHANNELS)[:, None] + k[None, :])
        kernels = weights + step * (3 * OF_STEP) + (k * GROUP)[:, None] + n[None, :]
        blue = tl.dot(values, tl.load(kernels), blue)
        green = tl.dot(values, tl.load(kernels + OF_STEP), green)
        red = tl.dot(values, tl.load(kernels + 2 * OF_STEP), red)
    return blue, green, red


@triton.jit
def _compute_offset(step, PITCH: tl.constexpr, SPAN: tl.constexpr):
    """How far from a place the first one lies that a step of its convolution reads."""
    return (step // 3 - 1) * PITCH + step % 3 - 1 if SPAN == 1 else (step - 1) * PITCH - 1


@triton.jit
def _quantize(value):
    """Clamped to 0..255 and rounded half to even, as int32: a float of 2^23 and more has no bits behind the point."""
    near = tl.minimum(tl.maximum(value, 0.0), 255.0) + 8388608.0
    return near.to(tl.int32, bitcast=True) & 255
