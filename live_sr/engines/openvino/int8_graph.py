"""Writes a network trained here as an OpenVINO graph whose inner layers compute in int8.

The first layer sees levels that eight bits cannot tell apart once they are weighted, and the last one carries the
interpolation itself: both stay in floating point. The measured ranges of the layers between them are in the model's
card (`live-sr export --int8`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from live_sr.models.cellnet_weights import CELL, CellNetWeights, Values
from live_sr.pipeline.frame import Size

STEPS = 255  # between the 256 values of eight bits


def build_int8_network(network: CellNetWeights, ranges: Sequence[tuple[float, float]], size: Size) -> ov.Model:
    """The network for RGB float in 0..1, (1, 3, H, W), not clamped. `size` is even.

    ranges: the least and the largest value of the input of each layer between the first and the last.
    """
    rgb = ops.parameter([1, 3, size.height, size.width], np.float32)
    cells = ops.space_to_depth(ops.pad(rgb, [0, 0, CELL, CELL], [0, 0, CELL, CELL], "edge"), "blocks_first", CELL)
    features = cells
    for number, layer in enumerate(network.layers):
        weight = ops.constant(layer.weight)
        if number:
            features = _store_values(features, *ranges[number - 1])
            weight = _store_weights(layer.weight)
        features = ops.prelu(_convolve(features, weight, layer.bias, border=1), ops.constant(layer.slope))
    last = _convolve(ops.concat([features, cells], 1), ops.constant(network.weight), network.bias, border=0)
    enlarged = ops.depth_to_space(last, "depth_first", CELL * network.scale)
    return ov.Model([enlarged], [rgb], "CellNet in int8")


def _store_values(values: ov.Node, least: float, most: float) -> ov.Node:
    """The values as multiples of a step, of which zero is one. PReLU's are seldom far below zero."""
    least, most = min(least, 0.0), max(most, 1e-6)
    step = (most - least) / STEPS
    below = round(-least / step)
    ends = [ops.constant(np.float32(end)) for end in (-below * step, (STEPS - below) * step)]
    return ops.fake_quantize(values, *ends, *ends, STEPS + 1)


def _store_weights(weight: Values) -> ov.Node:
    """The weights as multiples of a step for each channel that they write."""
    most = np.maximum(np.abs(weight).max(axis=(1, 2, 3), keepdims=True), np.float32(1e-9))
    ends = [ops.constant(-most), ops.constant(most)]
    return ops.fake_quantize(ops.constant(weight), *ends, *ends, STEPS)


def _convolve(values: ov.Node, weight: ov.Node, bias: Values, border: int) -> ov.Node:
    pads = [border, border]
    return ops.add(ops.convolution(values, weight, [1, 1], pads, pads, [1, 1]), ops.constant(bias.reshape(1, -1, 1, 1)))
