"""Arranges the weights of a CellNet as cellnet.c reads them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from live_sr.models.cellnet_weights import CELL, PEAK, CellNetWeights, Values, fold_for_levels

TILE, STEP = 16, 32  # output channels of a tile (LANES in cellnet.c), input channels of a step
INPUT = 4 * CELL**2  # channels of a cell of BGRA

Half = npt.NDArray[np.uint16]
"""bf16: the upper half of a float32."""


@dataclass(frozen=True)
class PackedNetwork:
    """The arrays of `Network` in cellnet.c. features and last_channels are multiples of TILE."""

    scale: int
    features: int
    layers: int
    last_channels: int
    weights: Half
    biases: Values
    slopes: Values
    last_bias: Values


def pack(network: CellNetWeights) -> PackedNetwork:
    """A network for RGB in 0..1 as one from BGRA to BGR in levels. Channels up to a multiple of TILE are zero."""
    folded = fold_for_levels(network)
    features = _round_up(folded.features, TILE)
    last_channels = _round_up(len(folded.bias), TILE)
    first = folded.layers[0]
    hidden = [pack_kernel(_pad_outputs(first.weight * np.float32(1 / PEAK), features), (INPUT,))]
    hidden += [
        pack_kernel(_pad_outputs(layer.weight, features), (folded.features,), features) for layer in folded.layers[1:]
    ]
    last = pack_kernel(_pad_outputs(folded.weight, last_channels), (folded.features, INPUT), features)
    return PackedNetwork(
        folded.scale,
        features,
        len(folded.layers),
        last_channels,
        np.concatenate([*hidden, last]),
        np.concatenate([_pad_outputs(layer.bias, features) for layer in folded.layers]),
        np.concatenate([_pad_outputs(layer.slope, features) for layer in folded.layers]),
        _pad_outputs(folded.bias, last_channels),
    )


def pack_kernel(weight: Values, sources: tuple[int, ...], first_source: int = 0) -> Half:
    """Packs weights of shape (out, in, 3, 3), out a multiple of TILE, whose inputs are those of `sources` in turn.

    first_source: the channels that the first source has in memory, if these are more. Each row of the kernel is one
    stretch of its three cells' channels, filled up with zeros to whole steps.
    """
    rows = []
    begin = 0
    for number, channels in enumerate(sources):
        part = weight[:, begin : begin + channels]
        begin += channels
        stored = first_source if number == 0 and first_source else channels
        length = _round_up(3 * stored, STEP)
        stretch = np.zeros((len(weight), 3, 3, stored), np.float32)  # output, row, column, channel
        stretch[..., :channels] = part.transpose(0, 2, 3, 1)
        filled = np.zeros((len(weight), 3, length), np.float32)
        filled[:, :, : 3 * stored] = stretch.reshape(len(weight), 3, -1)
        rows.append(filled.reshape(len(weight), -1))
    inputs = np.concatenate(rows, 1).reshape(len(weight) // TILE, TILE, -1, STEP // 2, 2)
    tiles = to_bf16(inputs).transpose(0, 2, 3, 1, 4)  # tile, step, pair of inputs, output, which of the pair
    pairs = [tiles[i : i + 2].swapaxes(0, 1).ravel() for i in range(0, len(tiles), 2)]
    return np.concatenate(pairs)


def to_bf16(values: Values) -> Half:
    """Rounds half to even. The values are finite."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def _pad_outputs(values: Values, length: int) -> Values:
    padded = np.zeros((length, *values.shape[1:]), np.float32)
    padded[: len(values)] = values
    return padded


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step
