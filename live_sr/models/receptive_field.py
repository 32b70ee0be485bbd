"""Computes the receptive field of a network: how many pixels around a part of its input influence that part.

It is computed from the ONNX file, in two passes over the operators. The forward pass finds how many input pixels one
position of each tensor stands for. From that follow the step at which the network treats all places alike, and the
memory that its tensors take. The backward pass follows an interval of positions from the output to the input: which
interval of each tensor does it need? There is no result for a network with an operator that is not known here, or with
one that looks at the whole picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from live_sr.models.onnx import graph_reader
from live_sr.models.onnx.graph_reader import Constant, OnnxGraph, OnnxNode

FLOAT_BYTES = 4
FAR = 4096  # steps from the picture's edge to the followed interval: more than the radius of any network
HALF = Fraction(1, 2)

# Each position of the result of these depends on the same position of the inputs only
SUMS = {"Abs", "Add", "Div", "Exp", "Log", "Max", "Min", "Mul", "Neg", "Pow", "Reciprocal", "Sqrt", "Sub", "Sum"}
STEPS = {"Ceil", "Clip", "Equal", "Floor", "Greater", "Less", "Round", "Sign", "ThresholdedRelu", "Where"}
CURVES = {"Erf", "Gelu", "HardSigmoid", "HardSwish", "Mish", "Sigmoid", "Softplus", "Softsign", "Swish", "Tanh"}
UNITS = {"Elu", "LeakyRelu", "PRelu", "Relu", "Selu"}
SAME = {"BatchNormalization", "Cast", "DequantizeLinear", "Dropout", "Identity", "QuantizeLinear"}
POINTWISE = SUMS | STEPS | CURVES | UNITS | SAME

Stretch = tuple[int, int]
"""First and last position along one axis."""


@dataclass(frozen=True)
class ReceptiveField:
    """What a network requires of the tiles that a picture is divided into.

    radius: pixels that a tile needs around the part of it that is kept, which begins and ends at multiples of `step`.
    step: pixels; tiles must begin at multiples of it, because the network treats only such places alike. memory: the
    peak, in bytes of fp32 per pixel of the input.
    """

    radius: int
    step: int
    memory: int


class UnknownOperator(Exception):
    """An operator whose receptive field is not known here."""


@dataclass(frozen=True)
class TensorGrid:
    """A tensor that depends on the picture. pitch: input pixels from one position to the next, along both axes."""

    pitch: Fraction
    channels: int

    @property
    def memory(self) -> Fraction:
        """Bytes per pixel of the input."""
        return self.channels * FLOAT_BYTES / self.pitch**2


def compute_receptive_field(path: Path) -> ReceptiveField | None:
    """The receptive field of the network in an ONNX file; None if it is not known."""
    try:
        graph = graph_reader.read_graph(path)
        grids = _trace_grids(graph)
        pitch = grids[graph.output].pitch
        step = math.lcm(*(grid.pitch.numerator for grid in grids.values()))
        radius = max(_trace_radius(graph, grids, step, pitch, axis) for axis in (0, 1))
        return ReceptiveField(radius, step, math.ceil(_compute_peak_memory(graph, grids)))
    except (UnknownOperator, graph_reader.UnreadableGraph, OSError, KeyError, IndexError, ZeroDivisionError):
        return None  # a file from elsewhere may also lack inputs that its operators need


def _trace_radius(graph: OnnxGraph, grids: Mapping[str, TensorGrid], step: int, pitch: Fraction, axis: int) -> int:
    first = FAR * step
    wanted = {graph.output: (int(first / pitch), int((first + step) / pitch) - 1)}
    for node in reversed(graph.nodes):
        made = next((wanted[name] for name in node.outputs if name in wanted), None)
        if made is None:
            continue
        needed = _compute_input_stretch(node, graph.constants, made, axis)
        for name in _list_picture_inputs(node, grids):
            known = wanted.get(name, needed)
            wanted[name] = (min(known[0], needed[0]), max(known[1], needed[1]))
    low, high = wanted[graph.input]
    return max(first - low, high - (first + step - 1), 0)


def _list_picture_inputs(node: OnnxNode, grids: Mapping[str, TensorGrid]) -> list[str]:
    """The inputs of the node that depend on the picture, without weights and sizes."""
    return [name for name in node.inputs if name in grids]


def _trace_grids(graph: OnnxGraph) -> dict[str, TensorGrid]:
    """The grid of each tensor that depends on the picture. Raises UnknownOperator."""
    grids = {graph.input: TensorGrid(Fraction(1), 3)}
    for node in graph.nodes:
        given = [grids[name] for name in _list_picture_inputs(node, grids)]
        if node.op == "Shape" or not given:
            continue  # it computes with sizes or weights, not with the picture
        if len({grid.pitch for grid in given}) > 1:
            raise UnknownOperator(node.op)
        made = _compute_output_grid(node, graph.constants, given)
        for name in node.outputs:
            grids[name] = made
    return grids


def _compute_output_grid(node: OnnxNode, constants: Mapping[str, Constant], given: list[TensorGrid]) -> TensorGrid:
    grid = given[0]
    block = node.number("blocksize", 1)
    if node.op in POINTWISE:
        return TensorGrid(grid.pitch, max(one.channels for one in given))
    match node.op:
        case "Conv":
            return TensorGrid(grid.pitch * _read_strides(node)[0], _find_weights(node, constants).dims[0])
        case "ConvTranspose":
            channels = _find_weights(node, constants).dims[1] * node.number("group", 1)
            return TensorGrid(grid.pitch / _read_strides(node)[0], channels)
        case "MaxPool" | "AveragePool":
            return TensorGrid(grid.pitch * _read_strides(node)[0], grid.channels)
        case "DepthToSpace":
            return TensorGrid(grid.pitch / block, grid.channels // block**2)
        case "SpaceToDepth":
            return TensorGrid(grid.pitch * block, grid.channels * block**2)
        case "Resize" | "Upsample":
            return TensorGrid(grid.pitch / _read_resize_factor(node, constants), grid.channels)
        case "Concat" if node.number("axis", 0) == 1:
            return TensorGrid(grid.pitch, sum(one.channels for one in given))
        case "Pad" | "Slice" | "Split":
            return grid
    raise UnknownOperator(node.op)


def _compute_input_stretch(node: OnnxNode, constants: Mapping[str, Constant], made: Stretch, axis: int) -> Stretch:
    """The interval of its input that an interval of its output depends on. axis: 0 is vertical, 1 horizontal."""
    low, high = made
    block = node.number("blocksize", 1)
    match node.op:
        case "Conv" | "MaxPool" | "AveragePool" | "ConvTranspose":
            stride, dilation, before = (
                _read_strides(node)[axis],
                _read_pair(node, "dilations", 1)[axis],
                _read_pads(node)[axis],
            )
            kernel = _read_pair(node, "kernel_shape", 0)[axis] or _find_weights(node, constants).dims[2 + axis]
            span = (kernel - 1) * dilation
            if node.op == "ConvTranspose":
                return -((span - low - before) // stride), (high + before) // stride
            return low * stride - before, high * stride - before + span
        case "DepthToSpace":
            return low // block, high // block
        case "SpaceToDepth":
            return low * block, high * block + block - 1
        case "Resize" | "Upsample":
            return _compute_sampled_stretch(node, _read_resize_factor(node, constants), made)
        case "Pad":
            before = _read_padding(node, constants)[axis]
            return low - before, high - before
        case "Slice":
            cut = _read_slice(node, constants)[axis]
            return low + cut, high + cut
        case "Split" if node.number("axis", 0) != 1:
            raise UnknownOperator("Split of the picture")
    return made


def _read_strides(node: OnnxNode) -> tuple[int, int]:
    down, across = _read_pair(node, "strides", 1)
    if down != across:
        raise UnknownOperator("strides that differ")
    return down, across


def _read_pair(node: OnnxNode, name: str, default: int) -> tuple[int, int]:
    """An attribute with a number for each of the two axes. Raises UnknownOperator if it has one number, or three."""
    values = [int(value) for value in node.numbers.get(name, (default, default))]
    if len(values) != 2:
        raise UnknownOperator(node.op)
    return values[0], values[1]


def _read_pads(node: OnnxNode) -> tuple[int, int]:
    """The padding above and to the left."""
    if node.words.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise UnknownOperator("auto_pad")
    pads = [int(value) for value in node.numbers.get("pads", (0, 0, 0, 0))]
    return pads[0], pads[1]


def _find_weights(node: OnnxNode, constants: Mapping[str, Constant]) -> Constant:
    return constants[node.inputs[1]]


def _read_input(node: OnnxNode, constants: Mapping[str, Constant], at: int) -> tuple[int | float, ...]:
    """The values of a constant input; empty if it is left out. Raises KeyError if it is computed."""
    if len(node.inputs) <= at or not node.inputs[at]:
        return ()
    return constants[node.inputs[at]].values


def _read_padding(node: OnnxNode, constants: Mapping[str, Constant]) -> tuple[int, int]:
    """Rows added above and columns added to the left."""
    pads = [int(value) for value in node.numbers.get("pads", ()) or _read_input(node, constants, 1)]
    if len(pads) != 8 or _read_input(node, constants, 3):
        raise UnknownOperator("pads of some axes")
    return pads[2], pads[3]


def _read_slice(node: OnnxNode, constants: Mapping[str, Constant]) -> tuple[int, int]:
    """Rows cut off above and columns cut off to the left."""
    starts, axes, steps = (
        [int(value) for value in node.numbers.get(name, ()) or _read_input(node, constants, at)]
        for name, at in (("starts", 1), ("axes", 3), ("steps", 4))
    )
    cut = {2: 0, 3: 0}
    for i, start in enumerate(starts):
        axis = axes[i] if axes else i
        if axis in cut and start >= 0 and (not steps or steps[i] == 1):
            cut[axis] = start
        elif axis != 1:
            raise UnknownOperator("a slice counted from the end")
    return cut[2], cut[3]


def _read_resize_factor(node: OnnxNode, constants: Mapping[str, Constant]) -> Fraction:
    """The factor of a resize. Raises UnknownOperator if the axes differ or it depends on the picture's size."""
    at = 1 if node.op == "Upsample" or len(node.inputs) < 3 else 2
    scales = node.numbers.get("scales", ()) or _read_input(node, constants, at)
    if len(scales) != 4 or scales[2] != scales[3] or _read_input(node, constants, 3):
        raise UnknownOperator("a resize to a size")
    return Fraction(scales[2]).limit_denominator(1000)


def _compute_sampled_stretch(node: OnnxNode, factor: Fraction, made: Stretch) -> Stretch:
    mode = node.words.get("mode", "nearest")
    placing = node.words.get("coordinate_transformation_mode", "half_pixel" if node.op == "Resize" else "asymmetric")
    if placing not in ("half_pixel", "asymmetric", "pytorch_half_pixel") or node.number("antialias", 0):
        raise UnknownOperator(f"a resize with {placing}")
    if mode == "nearest" and factor.denominator == 1:
        return made[0] // factor.numerator, made[1] // factor.numerator
    shift = Fraction(0) if placing == "asymmetric" else HALF
    low, high = (math.floor((position + shift) / factor - shift) for position in made)
    return (low - 1, high + 2) if mode == "cubic" else (low, high + 1)


def _compute_peak_memory(graph: OnnxGraph, grids: Mapping[str, TensorGrid]) -> Fraction:
    """Bytes per input pixel at the moment when most tensors are needed; pointwise operators work in place."""
    last: dict[str, int] = {graph.output: len(graph.nodes)}
    for i, node in enumerate(graph.nodes):
        last |= dict.fromkeys(node.inputs, i)
    held = {graph.input: grids[graph.input].memory}
    most = Fraction(0)
    for i, node in enumerate(graph.nodes):
        made = [name for name in node.outputs if name in grids]
        ending = [name for name in node.inputs if name in held and last[name] == i]
        if node.op in POINTWISE:
            for name in ending:
                held.pop(name, None)
        held |= {name: grids[name].memory for name in made}
        most = max(most, sum(held.values(), Fraction(0)))
        for name in ending:
            held.pop(name, None)
    return most
