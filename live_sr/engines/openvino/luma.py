"""Makes RGB networks out of luma networks: the network enlarges the luma, bicubic interpolation the colours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as ops

from live_sr.pipeline.frame import Size

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""BT.601 in full range, as in JPEG. Published luma networks are trained and used with it (OpenCV's dnn_superres)."""

RADIUS = 2  # pixels on each side that bicubic interpolation uses
TAPS = 2 * RADIUS + 1


def compute_bicubic_weights(scale: int) -> npt.NDArray[np.float32]:
    """(scale², 5, 5): for each of the pixels that one pixel becomes, row by row, the weights of the pixels around it.

    Cubic convolution as in Keys (1981), with the a = -0.75 that OpenCV uses.
    """
    a = -0.75
    centres = (np.arange(scale) + 0.5) / scale - 0.5
    d = np.abs(np.arange(-RADIUS, RADIUS + 1) - centres[:, np.newaxis])
    near, far = ((a + 2) * d - (a + 3)) * d * d + 1, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    taps = np.where(d < 1, near, np.where(d < 2, far, 0))
    plane: npt.NDArray[np.float32] = np.einsum("yi,xj->yxij", taps, taps).astype(np.float32)
    return plane.reshape(scale**2, TAPS, TAPS)


def add_chroma_path(luma: ov.Model, size: Size, scale: int) -> ov.Model:
    """Turns a float luma network, shaped for `size`, into one for RGB (1, 3, H, W), which it enlarges `scale` times.

    Red, green and blue minus the luma are linear in Cb and Cr. So interpolating these differences interpolates the
    chroma, and adding the new luma converts back to RGB. The interpolation is a convolution and a shuffle, because
    OpenVINO's own cubic interpolation took longer than a network.
    """
    large = size.times(scale)
    rgb = ops.parameter([1, 3, size.height, size.width], np.float32)
    y = ops.convolution(rgb, ops.constant(LUMA.reshape(1, 3, 1, 1)), [1, 1], [0, 0], [0, 0], [1, 1])
    flat = ops.reshape(y, ops.constant(np.array(luma.input(0).get_shape())), special_zero=False)
    for reader in luma.input(0).get_node().output(0).get_target_inputs():
        reader.replace_source_output(flat.output(0))
    result = luma.output(0).get_node().input_value(0)
    new_y = ops.reshape(result, ops.constant(np.array([1, 1, large.height, large.width])), special_zero=False)
    bordered = ops.pad(rgb, [0, 0, RADIUS, RADIUS], [0, 0, RADIUS, RADIUS], "edge")
    weights = np.einsum("ci,pyx->cpiyx", np.eye(3, dtype=np.float32) - LUMA, compute_bicubic_weights(scale))
    kernels = ops.constant(weights.reshape(3 * scale**2, 3, TAPS, TAPS))
    cells = ops.convolution(bordered, kernels, [1, 1], [0, 0], [0, 0], [1, 1])
    colours = ops.depth_to_space(cells, "depth_first", scale)
    return ov.Model([ops.add(colours, new_y)], [rgb], "coloured")
