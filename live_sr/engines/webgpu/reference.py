"""CellNets and resizes in plain NumPy: slow, and the measure of what the shaders draw."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from live_sr.engines.webgpu.links import Part
from live_sr.engines.webgpu.resampling import ResamplingKernel, make_resize
from live_sr.models.cellnet_weights import CELL, CellNetWeights, Values
from live_sr.pipeline.frame import Pixels


def draw(parts: Sequence[Part], pixels: Pixels, multiple: int = 1) -> Pixels:
    """A picture in BGRA, enlarged in fp32 by one network or the parts of a chain, as `NetworkOnGpu` describes."""
    height, width = pixels.shape[:2]
    rgb: Values = pixels[..., 2::-1].astype(np.float32) / np.float32(255)
    rgb = np.pad(rgb, ((0, -height % multiple), (0, -width % multiple), (0, 0)), "edge")
    scale = Fraction(1)
    for part in parts:
        if isinstance(part, Fraction):
            rgb = resample(make_resize(part), rgb)
            scale *= part
        else:
            rgb = _enlarge(part, rgb)
            scale *= part.scale
        rgb = np.clip(rgb, 0, 1)
    done = np.full((int(height * scale), int(width * scale), 4), 255, np.uint8)
    done[..., :3] = np.rint(rgb[: len(done), : done.shape[1], ::-1] * 255)
    return done


def resample(kernel: ResamplingKernel, rgb: Values) -> Values:
    """A picture (rows, columns, 3), resized along both axes."""
    phases, step = kernel.factor.as_integer_ratio()
    for axis in (0, 1):
        rgb = np.moveaxis(rgb, axis, 0)
        made = np.arange(len(rgb) * phases // step)
        starts = made // phases * step + np.array(kernel.starts)[made % phases]
        taps = np.clip(starts[:, None] + np.arange(kernel.weights.shape[1]), 0, len(rgb) - 1)
        weights = kernel.weights[made % phases].astype(np.float32)
        rgb = np.moveaxis(np.einsum("ot,ot...->o...", weights, rgb[taps]), 0, axis)
    return rgb


def _enlarge(network: CellNetWeights, rgb: Values) -> Values:
    height, width = rgb.shape[:2]
    rgb = np.pad(rgb, ((0, height % CELL), (0, width % CELL), (0, 0)), "edge")
    rgb = np.pad(rgb, ((CELL, CELL), (CELL, CELL), (0, 0)), "edge")
    rows, columns = rgb.shape[0] // CELL, rgb.shape[1] // CELL
    cells = rgb.reshape(rows, CELL, columns, CELL, 3).transpose(0, 2, 1, 3, 4).reshape(rows, columns, -1)
    features: Values = cells
    for layer in network.layers:
        features = _convolve(np.pad(features, ((1, 1), (1, 1), (0, 0))), layer.weight) + layer.bias
        features = np.where(features > 0, features, features * layer.slope)
    last = _convolve(np.concatenate((features, cells), 2), network.weight) + network.bias
    side = CELL * network.scale
    picture = last.reshape(rows - 2, columns - 2, 3, side, side).transpose(0, 3, 1, 4, 2)
    picture = picture.reshape((rows - 2) * side, (columns - 2) * side, 3)
    return picture[: height * network.scale, : width * network.scale]


def _convolve(picture: Values, weight: Values) -> Values:
    """(rows, columns, in) with kernels (out, in, 3, 3): (rows - 2, columns - 2, out)."""
    windows = sliding_window_view(picture, (3, 3), (0, 1))
    return windows.reshape(*windows.shape[:2], -1) @ weight.reshape(len(weight), -1).T
