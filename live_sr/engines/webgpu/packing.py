"""Arranges the weights of a CellNet as the shaders read them: four outputs side by side, for tap after tap."""

from __future__ import annotations

import numpy as np

from live_sr.engines.webgpu.arithmetic import Arithmetic
from live_sr.models.cellnet_weights import CELL, CellNetWeights, Layer, Values

PLACES = CELL**2  # pixels of a cell


def pack(network: CellNetWeights, arithmetic: Arithmetic, slices: int) -> list[bytes]:
    """The layers' buffers of a network for RGB, as one that reads and writes BGR in 0..1.

    slices: equal parts of the last buffer, each for a part of the output pixels of a cell.
    """
    first, *others = network.layers
    first = Layer(_read_bgr(first.weight), first.bias, first.slope)
    arrays = [_pack_hidden(layer) for layer in (first, *others)] + [_pack_last(network, slices)]
    kept = np.float16 if arithmetic.stores_half else np.float32
    return [array.astype(kept).tobytes() for array in arrays]


def _pack_hidden(layer: Layer) -> Values:
    """[tap][input][output], then biases, then slopes."""
    return np.concatenate((_order_by_tap(layer.weight), layer.bias, layer.slope))


def _pack_last(network: CellNetWeights, slices: int) -> Values:
    """[slice][tap][input][output] and the slice's biases. Inputs: the cell, then the features. Outputs: pixel, BGR."""
    features = network.features
    weight = np.concatenate((_read_bgr(network.weight[:, features:]), network.weight[:, :features]), 1)
    pixels = (CELL * network.scale) ** 2
    weight = np.moveaxis(weight.reshape(3, pixels, *weight.shape[1:])[::-1], 0, 1).reshape(weight.shape)
    bias = network.bias.reshape(3, pixels)[::-1].T.reshape(-1)
    parts = zip(np.split(weight, slices), np.split(bias, slices), strict=True)
    return np.concatenate([values for one, offset in parts for values in (_order_by_tap(one), offset)])


def _order_by_tap(weight: Values) -> Values:
    """(out, in, 3, 3) as one row: tap, then input, then output."""
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0)).reshape(-1)


def _read_bgr(weight: Values) -> Values:
    """From kernels that read place, then RGB, to kernels that read place, then BGR."""
    return weight.reshape(len(weight), PLACES, 3, 3, 3)[:, :, ::-1].reshape(weight.shape)
