"""Writes a network trained here as an ONNX graph with uint8 ends, in the form that TensorRT-RTX compiles best.

The order of the colours and the scale of the levels are folded into the weights, as in `torch_io`. The rest of the form
was found by comparing what the compiler makes of each (docs/gpu-status.md): one kernel for each convolution, one before
the first and one after the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from live_sr.models.cellnet_weights import CELL, PEAK, CellNetWeights, Values, fold_for_levels
from live_sr.models.export.quantization import Quantization
from live_sr.pipeline.frame import Size

INPUT, OUTPUT = "frame", "picture"
BGRA = 4
OPSET = 19  # the first with fp8, and with fp16 in QuantizeLinear


def build_graph(
    network: CellNetWeights, size: Size | None, kind: int, quantization: Quantization | None = None
) -> ModelProto:
    """A model from INPUT, BGRA uint8 (1, H, W, 4), to OUTPUT, BGRA uint8 (1, H * scale, W * scale, 4) with alpha 255.

    size: of the frames, any; None: free, but even. kind: the ONNX type of all weights and activations. quantization: of
    the weights and inputs of all layers but the first and the last. Levels are clamped to 0..255 and rounded half to
    even. Raises OverflowError if a weight does not fit into the type.
    """
    parts = _Parts(kind)
    _write_network(parts, fold_for_levels(network), size, quantization)
    sizes = (size, size.times(network.scale)) if size else (None, None)
    ports = [make_pixels_info(name, of) for name, of in zip((INPUT, OUTPUT), sizes, strict=True)]
    graph = helper.make_graph(parts.nodes, "CellNet with uint8 ends", ports[:1], ports[1:], parts.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


def make_pixels_info(name: str, size: Size | None) -> onnx.ValueInfoProto:
    """Describes an input or output with BGRA pixels; None: of any size."""
    sides: list[int | str] = [size.height, size.width] if size else [f"{name} height", f"{name} width"]
    return helper.make_tensor_value_info(name, TensorProto.UINT8, [1, *sides, BGRA])


class _Parts:
    """Nodes and constants of a graph that is being written."""

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def add_values(self, name: str, values: npt.ArrayLike) -> str:
        self.constants.append(cast_tensor(numpy_helper.from_array(np.asarray(values, np.float32), name), self.kind))
        return name

    def add_rounding(self, name: str, values: str, step: float, quantization: Quantization) -> str:
        """Activations that are stored as multiples of `step`."""
        ends = [self.add_values(f"{name}/step", step), f"{name}/zero"]
        self.constants.append(quantization.make_zero(ends[1]))
        stored = self.add("QuantizeLinear", [values, *ends], f"{name}/stored")
        return self.add("DequantizeLinear", [stored, *ends], name)

    def add_quantized(self, name: str, weight: Values, quantization: Quantization) -> str:
        """Weights that are stored as multiples of one step: with one for each channel, the compiler fuses less."""
        ends = [self.add_values(f"{name}/step", np.abs(weight).max() / quantization.largest), f"{name}/zero"]
        step = numpy_helper.to_array(self.constants[-1]).astype(np.float32)  # as it is rounded in the graph
        self.constants.append(quantization.make_zero(ends[1]))
        self.constants.append(quantization.store(f"{name}/stored", weight / step))
        return self.add("DequantizeLinear", [f"{name}/stored", *ends], name)

    def add_prelu(self, values: str, slope: Values, output: str) -> str:
        self.add_values(f"{output}/slope", slope)
        nodes, self.constants[-1] = write_prelu(values, self.constants[-1], output)
        self.nodes += nodes
        return output

    def add_integers(self, name: str, *values: int) -> str:
        self.constants.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name


def write_prelu(values: str, slope: TensorProto, output: str) -> tuple[list[NodeProto], TensorProto]:
    """PReLU in a form that the compiler fuses into the convolution before it; a PRelu is a kernel of its own.

    Returns its nodes and the constant that takes the slope's place. max(x, slope * x) is only right up to a slope of 1;
    above, it is x + (1 - slope) * relu(-x).
    """
    slopes = numpy_helper.to_array(slope)
    if slopes.max() <= 1:
        sloped = f"{output}/sloped"
        nodes = [helper.make_node("Mul", [values, slope.name], [sloped])]
        return [*nodes, helper.make_node("Max", [values, sloped], [output])], slope
    rest = numpy_helper.from_array((1 - slopes.astype(np.float32)).astype(slopes.dtype), f"{output}/rest")
    negated, below, added = (f"{output}/{part}" for part in ("negated", "below", "added"))
    nodes = [
        helper.make_node("Neg", [values], [negated]),
        helper.make_node("Relu", [negated], [below]),
        helper.make_node("Mul", [below, rest.name], [added]),
        helper.make_node("Add", [values, added], [output]),
    ]
    return nodes, rest


def cast_tensor(tensor: TensorProto, kind: int) -> TensorProto:
    """The tensor in another floating-point type. Raises OverflowError where that makes a finite value infinite."""
    values = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        cast = values.astype(helper.tensor_dtype_to_np_dtype(kind))
    if (np.isfinite(values) & ~np.isfinite(cast)).any():
        raise OverflowError(f"{tensor.name or 'a constant'} is as large as {np.abs(values).max():.3g}")
    return numpy_helper.from_array(cast, tensor.name)


def _write_network(
    parts: _Parts, network: CellNetWeights, size: Size | None, quantization: Quantization | None
) -> None:
    add, add_values = parts.add, parts.add_values
    # With an operation after the shuffling, the first kernel writes what a convolution can read as it is; with two, it
    # writes the cells to their place in `both` as well, and Concat needs no kernel that copies.
    features = cells = add("Mul", [_write_cells(parts, size), add_values("a level", 1 / PEAK)], "cells")
    for i, layer in enumerate(network.layers):
        if i and quantization:
            features = parts.add_rounding(f"input{i}", features, quantization.get_step(i - 1), quantization)
            weight = parts.add_quantized(f"weight{i}", layer.weight, quantization)
        else:
            weight = add_values(f"weight{i}", layer.weight)
        convolved = add("Conv", [features, weight, add_values(f"bias{i}", layer.bias)], f"convolution{i}", pads=[1] * 4)
        features = parts.add_prelu(convolved, layer.slope.reshape(-1, 1, 1), f"features{i}")
    levels = add("Mul", [cells, add_values("peak", PEAK)], "cells again")
    both = add("Concat", [features, levels], "both", axis=1)
    last = add("Conv", [both, add_values("weight", network.weight), add_values("bias", network.bias)], "levels out")
    _write_picture(parts, last, network.scale, size)


def _write_cells(parts: _Parts, size: Size | None) -> str:
    """From the frame to the cells with one cell of border, (1, 16, h + 2, w + 2), in levels: place, then colour."""
    odd = (size.height % CELL, size.width % CELL) if size else (0, 0)
    border = parts.add_integers("border", 0, CELL, CELL, 0, 0, CELL + odd[0], CELL + odd[1], 0)
    levels = parts.add("Cast", [INPUT], "levels", to=parts.kind)
    framed = parts.add("Pad", [levels, border], "framed", mode="edge")
    planes = parts.add("Transpose", [framed], "planes", perm=[0, 3, 1, 2])
    return parts.add("SpaceToDepth", [planes], "cells in", blocksize=CELL)


def _write_picture(parts: _Parts, levels: str, scale: int, size: Size | None) -> None:
    """From the levels, (1, 3 * side², h, w), to the picture. The reshapes need no size, so that it can stay free."""
    add, whole = parts.add, parts.add_integers
    side = CELL * scale
    full = parts.add_values("full", 255)
    clamped = add("Clip", [levels, parts.add_values("black", 0), full], "clamped")
    rounded = add("Round", [clamped], "rounded")  # half to even
    rows = add("Transpose", [rounded], "cells out", perm=[0, 2, 3, 1])
    rows = add("Reshape", [rows, whole("parted", 0, 0, 0, side, side * 3)], "rows of cells")
    rows = add("Transpose", [rows], "cells of rows", perm=[0, 1, 3, 2, 4])  # (1, h, side, w, side * 3)
    rows = add("Reshape", [rows, whole("down", 1, 1, -1, 0, side * 3)], "whole rows")
    rows = add("Reshape", [rows, whole("across", 1, 1, 0, -1, 3)], "pixels")
    picture = add("Squeeze", [rows, whole("first", 0)], "bgr")
    if size and (size.width % CELL or size.height % CELL):
        large = size.times(scale)
        ends = [whole("corner", 0, 0), whole("far corner", large.height, large.width), whole("sides", 1, 2)]
        picture = add("Slice", [picture, *ends], "cropped")
    opaque = add("Pad", [picture, whole("alpha", *[0] * 7, 1), full], "opaque", mode="constant")
    add("Cast", [opaque], OUTPUT, to=TensorProto.UINT8)
