"""Puts the pixel format conversions of a network into its OpenVINO graph."""

from __future__ import annotations

from functools import partial

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino.preprocess import PrePostProcessor

from live_sr.models.card import ModelCard
from live_sr.pipeline.frame import Size


def wrap_openvino_io(network: ov.Model, card: ModelCard, size: Size, peak: int, top: int = 255) -> ov.Model:
    """Adds the conversions: BGRA (1, H, W, 4) in, BGRA (1, H * scale, W * scale, 4) out.

    Both are uint8 where the highest level `top` is 255, and uint16 where it is 65535. `size` is the picture's.
    `network` must already be shaped for `size.round_up(card.multiple)`: the graph repeats the right and the lower edge
    up to that size, and cuts the same part off the result.

    A level v enters as v / peak, and a value y leaves as y * peak. The peak is `top`, or 256 where the graph computes
    in bf16: eight significant bits hold v / 256 exactly, but v / 255 only rounded, which is 0.17 levels too high on
    average. The network then sees the picture 0.4 % darker and returns it 0.4 % brighter. In a network of convolutions
    and piecewise linear activations only the biases notice.
    """
    padded = size.round_up(card.multiple)
    large = size.times(card.scale) if padded != size else None
    levels = ov.Type.u8 if top == 255 else ov.Type.u16
    steps = PrePostProcessor(network)
    steps.input().tensor().set_element_type(levels).set_shape([1, size.height, size.width, 4])
    steps.input().preprocess().custom(partial(_convert_input, size=size, padded=padded, peak=peak))
    steps.output().postprocess().custom(partial(_convert_output, large=large, peak=peak, top=top))
    return steps.build()


def _convert_input(picture: ov.Output, size: Size, padded: Size, peak: int) -> ov.Output:
    """BGRA levels to RGB planes in 0..1, with the edge repeated up to `padded`."""
    planes = ops.convert(ops.transpose(picture, [0, 3, 1, 2]), "f32")
    rgb = ops.gather(planes, ops.constant(np.array([2, 1, 0])), ops.constant(1))
    values = ops.multiply(rgb, ops.constant(np.float32(1 / peak)))
    if padded != size:
        ends = [0, 0, padded.height - size.height, padded.width - size.width]
        values = ops.pad(values, [0, 0, 0, 0], ends, "edge")
    return values.output(0)


def _convert_output(enlarged: ov.Output, large: Size | None, peak: int, top: int) -> ov.Output:
    """RGB planes to opaque BGRA levels, cut to `large`; None: nothing is cut off."""
    # One 1x1 convolution reorders RGB to BGRA and scales: a whole x2 network at 480x270 took 5.6 ms, and 9 ms with
    # reordering, multiplying and appending alpha one after the other (2 cores of Zen 4, bf16). Rounding and clamping
    # fuse with it and see its float32 sums; "half_to_even" because sums of bf16 values are often ties.
    weights = np.zeros((4, 3, 1, 1), np.float32)
    weights[0, 2] = weights[1, 1] = weights[2, 0] = peak
    alpha = np.array([0, 0, 0, top], np.float32).reshape(1, 4, 1, 1)
    levels = ops.add(ops.convolution(enlarged, ops.constant(weights), [1, 1], [0, 0], [0, 0], [1, 1]), alpha)
    rounded = ops.round(ops.clamp(levels, 0.0, float(top)), "half_to_even")
    picture = ops.convert(ops.transpose(rounded, [0, 2, 3, 1]), "u8" if top == 255 else "u16")
    if large is not None:
        picture = ops.slice(picture, [0, 0], [large.height, large.width], [1, 1], [1, 2])
    return picture.output(0)
