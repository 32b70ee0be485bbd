"""The weights of a network trained here as NumPy arrays, without PyTorch and ONNX, and folded for pictures in BGRA."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from live_sr.errors import ModelError

CELL = 2  # as in architectures/cellnet.py, which needs PyTorch

PEAK = 256
"""A level v enters the hidden layers as v / PEAK: exact in bf16 and fp16, where v / 255 would be rounded."""

Values = npt.NDArray[np.float32]

# Of the files that `architectures.cellnet.save` writes
TYPES: dict[str, npt.DTypeLike] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}


@dataclass(frozen=True)
class Layer:
    """A convolution of 3x3 and the slope of the PReLU after it. weight: (out, in, 3, 3); bias and slope: (out,)."""

    weight: Values
    bias: Values
    slope: Values


@dataclass(frozen=True)
class CellNetWeights:
    """A CellNet for RGB in 0..1.

    The first layer reads cells of 12 channels: place (y, x), then colour. The last one, `weight` and `bias`, reads the
    features and then the cells, and writes 3 * (CELL * scale)² channels: colour, then place (y, x).
    """

    scale: int
    layers: tuple[Layer, ...]
    weight: Values
    bias: Values

    @property
    def features(self) -> int:
        return len(self.layers[0].bias)

    @property
    def has_shapes_of_cellnet(self) -> bool:
        """Whether the arrays fit together, with the same number of features in all hidden layers."""
        inside = 3 * CELL**2
        for layer in self.layers:
            if layer.weight.shape[1:] != (inside, 3, 3) or layer.bias.shape != layer.slope.shape:
                return False
            if layer.weight.shape[:1] != layer.bias.shape:
                return False
            inside = len(layer.weight)
        outside = 3 * (CELL * self.scale) ** 2
        last = (outside, inside + 3 * CELL**2, 3, 3)
        return bool(self.layers) and self.weight.shape == last and self.bias.shape == (outside,)


def read_weights(path: Path) -> CellNetWeights:
    """The network in a .safetensors file of `live-sr train` or `export`. Raises ModelError if it holds no such one."""
    try:
        arrays, about = _read_safetensors(path)
        depth = sum(name.startswith("body.") for name in arrays) // 2
        names = ["head", *(f"body.{i}" for i in range(depth))]
        slopes = [arrays[f"acts.{i}.weight"] for i in range(depth + 1)]
        layers = [
            Layer(arrays[f"{name}.weight"], arrays[f"{name}.bias"], slope)
            for name, slope in zip(names, slopes, strict=True)
        ]
        weight, bias = arrays["tail.weight"], arrays["tail.bias"]
        features = weight.shape[1] - 3 * CELL**2
        layers[0] = Layer(_order_by_place(layers[0].weight), layers[0].bias, layers[0].slope)
        weight = np.concatenate((weight[:, :features], _order_by_place(weight[:, features:])), 1)
        network = CellNetWeights(int(about["scale"]), tuple(layers), weight, bias)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None
    except (ValueError, KeyError, TypeError, IndexError):
        network = None
    if network is None or not network.has_shapes_of_cellnet:
        raise ModelError(f"{path} holds no network of live-sr's own architecture", "use another engine")
    return network


def fold_for_levels(network: CellNetWeights) -> CellNetWeights:
    """The same network from cells of BGRA to BGR in levels of 0..255.

    The hidden layers read cells in v / PEAK and compute with values that are 255 / PEAK as large, which only their
    biases notice: convolutions and PReLU are homogeneous. The last layer reads cells in levels. Cells have 16 channels:
    place, then blue, green, red and alpha, whose weights are zero. The last layer writes place, then blue, green, red.
    """
    first = network.layers[0]
    layers = [Layer(layer.weight, layer.bias * np.float32(255 / PEAK), layer.slope) for layer in network.layers]
    layers[0] = Layer(_read_bgra(first.weight), layers[0].bias, first.slope)
    features = len(layers[-1].weight)
    weight = np.concatenate((network.weight[:, :features] * PEAK, _read_bgra(network.weight[:, features:])), 1)
    return CellNetWeights(
        network.scale, tuple(layers), _write_bgr(weight, network.scale), _write_bgr(network.bias * 255, network.scale)
    )


def _read_safetensors(path: Path) -> tuple[dict[str, Values], Mapping[str, str]]:
    """The tensors in float32, and the metadata. The file: length of the header (8 bytes), header (JSON), tensors."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    about = header.pop("__metadata__")
    arrays = {}
    for name, tensor in header.items():
        first, end = tensor["data_offsets"]
        values: Values = np.frombuffer(data[start + first : start + end], TYPES[tensor["dtype"]]).astype(np.float32)
        arrays[name] = values.reshape(tensor["shape"])
    return arrays, about


def _order_by_place(weight: Values) -> Values:
    """From kernels that read colour, then place, to kernels that read place, then colour."""
    parts = weight.reshape(len(weight), 3, CELL**2, 3, 3)
    return np.ascontiguousarray(parts.swapaxes(1, 2)).reshape(weight.shape)


def _read_bgra(weight: Values) -> Values:
    """From kernels that read cells of RGB, (out, 12, 3, 3), to kernels that read cells of BGRA, alpha with zeros."""
    rgb = weight.reshape(len(weight), CELL**2, 3, 3, 3)
    return np.concatenate((rgb[:, :, ::-1], np.zeros_like(rgb[:, :, :1])), 2).reshape(len(weight), -1, 3, 3)


def _write_bgr(weight: Values, scale: int) -> Values:
    """From weights that write colour, then place, to weights that write place, then colour, in the order BGR."""
    rgb = weight.reshape(3, (CELL * scale) ** 2, *weight.shape[1:])
    return np.ascontiguousarray(np.moveaxis(rgb[::-1], 0, 1).reshape(weight.shape))
