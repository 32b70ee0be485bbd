"""Writes a network trained here as an OpenVINO graph of our own, from BGRA levels to BGRA levels.

The colour conversion, the scale of the levels and alpha are folded into the first and the last convolution. What is
left at the ends only moves bytes: it makes cells of pixels, and pixels of cells.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from live_sr.models.cellnet_weights import CELL, PEAK, CellNetWeights, Values, fold_for_levels
from live_sr.pipeline.frame import Size

BGRA = 4
OPAQUE = 255


def build_folded_graph(network: CellNetWeights, size: Size) -> ov.Model:
    """A graph from BGRA uint8 (1, H, W, 4) to BGRA uint8 (1, H * scale, W * scale, 4) with alpha 255.

    Frames may have any size; where a side is odd, the edge is repeated and cut off again. Levels are rounded half to
    even.
    """
    folded = fold_for_levels(network)
    frame = ops.parameter([1, size.height, size.width, BGRA], np.uint8)
    cells = _write_cells(frame, size)
    features = cells  # levels: a level is exact in bf16, and dividing the weights by a power of two changes no bit
    for number, layer in enumerate(folded.layers):
        weight = layer.weight / np.float32(1 if number else PEAK)
        features = ops.prelu(_convolve(features, weight, layer.bias, border=1), ops.constant(layer.slope))
    rows = _write_rows(ops.concat([features, cells], 1), folded)
    large = size.times(network.scale)
    whole = size.round_up(CELL).times(network.scale)
    picture = _reshape(rows, [1, whole.height, whole.width, BGRA])
    if whole != large:
        picture = ops.slice(picture, [0, 0], [large.height, large.width], [1, 1], [1, 2])
    return ov.Model([picture], [frame], "folded CellNet")


def _write_cells(frame: ov.Output, size: Size) -> ov.Node:
    """From the frame to cells of 16 channels in levels, with one cell of border: (1, 16, h + 2, w + 2), float32."""
    even = size.round_up(CELL)
    ends = [0, CELL + even.height - size.height, CELL + even.width - size.width, 0]
    framed = ops.pad(frame, [0, CELL, CELL, 0], ends, "edge")
    h, w = even.height // CELL + 2, even.width // CELL + 2
    pairs = _reshape(framed, [1, h, CELL, w, CELL * BGRA])
    cells = _reshape(_transpose(pairs, [0, 1, 3, 2, 4]), [1, h, w, CELL * CELL * BGRA])
    return _transpose(ops.convert(cells, "f32"), [0, 3, 1, 2])


def _write_rows(both: ov.Node, folded: CellNetWeights) -> ov.Node:
    """The last layer, from features and cells to (1, h, side, w * side * 4) uint8: rows of pixels in rows of cells.

    Each row of pixels within the cells has a convolution of its own, whose result then lies in memory as the picture
    does. With one convolution for all of them, bytes have to be put into order afterwards: x4 took 1.35 times as long.
    """
    side = CELL * folded.scale
    inside = folded.weight.shape[1]
    weight = np.zeros((side, side, BGRA, inside, 3, 3), np.float32)
    bias = np.full((side, side, BGRA), OPAQUE, np.float32)
    weight[:, :, :3] = folded.weight.reshape(side, side, 3, inside, 3, 3)
    bias[:, :, :3] = folded.bias.reshape(side, side, 3)
    rows = []
    for row in range(side):
        levels = _convolve(both, weight[row].reshape(side * BGRA, inside, 3, 3), bias[row].ravel(), border=0)
        # clamping and rounding fuse with the convolution and see its float32 sums
        rounded = ops.round(ops.clamp(levels, 0.0, 255.0), "half_to_even")
        pixels = ops.convert(_transpose(rounded, [0, 2, 3, 1]), "u8")
        _, h, w, channels = pixels.get_output_shape(0)
        rows.append(_reshape(pixels, [1, h, 1, w * channels]))
    return ops.concat(rows, 2)


def _convolve(values: ov.Node, weight: Values, bias: Values, border: int) -> ov.Node:
    pads = [border, border]
    convolved = ops.convolution(values, ops.constant(np.ascontiguousarray(weight)), [1, 1], pads, pads, [1, 1])
    return ops.add(convolved, ops.constant(bias.reshape(1, -1, 1, 1)))


def _transpose(values: ov.Node, order: list[int]) -> ov.Node:
    return ops.transpose(values, ops.constant(np.array(order)))


def _reshape(values: ov.Node, shape: list[int]) -> ov.Node:
    return ops.reshape(values, ops.constant(np.array(shape)), special_zero=False)
