"""How far a network sees: how many pixels around a part of its input reach that part of its output.

Read from the ONNX file. The operators are followed twice. Forwards, for how many input pixels one position of each
tensor stands for, which tells where the network treats all places alike and how much memory its tensors take; and
backwards, as an interval of positions: what does this stretch of the output need of each tensor, and so of the input?
A network with an operator that is not known here, or that looks at the whole picture, is not told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from live_sr.models import onnxnodes
from live_sr.models.onnxnodes import Constant, Graph, Node

FLOAT_BYTES = 4
FAR = 4096  # steps from the picture's edge to the stretch that is followed: further than any network sees
HALF = Fraction(1, 2)

# Of these each position of the result sees that position and no other
SUMS = {"Abs", "Add", "Div", "Exp", "Log", "Max", "Min", "Mul", "Neg", "Pow", "Reciprocal", "Sqrt", "Sub", "Sum"}
STEPS = {"Ceil", "Clip", "Equal", "Floor", "Greater", "Less", "Round", "Sign", "ThresholdedRelu", "Where"}
CURVES = {"Erf", "Gelu", "HardSigmoid", "HardSwish", "Mish", "Sigmoid", "Softplus", "Softsign", "Swish", "Tanh"}
UNITS = {"Elu", "LeakyRelu", "PRelu", "Relu", "Selu"}
SAME = {"BatchNormalization", "Cast", "DequantizeLinear", "Dropout", "Identity", "QuantizeLinear"}
POINTWISE = SUMS | STEPS | CURVES | UNITS | SAME

Stretch = tuple[int, int]
"""First and last position along one axis."""


@dataclass(frozen=True)
class Field:
    """What the way of a picture through a network asks of tiles.

    step: pixels; tiles must begin at multiples of it, for the network treats only such places alike. reach: pixels that
    a tile must have beyond the part of it that is kept, where that part begins and ends at multiples of `step`.
    memory: bytes in fp32 that are held at once for each pixel of the input.
    """

    reach: int
    step: int
    memory: int


class Unknown(Exception):
    """An operator that is not followed here."""


@dataclass(frozen=True)
class Grid:
    """A tensor of positions: input pixels from one to the next, along both axes alike, and channels."""

    pitch: Fraction
    channels: int

    @property
    def memory(self) -> Fraction:
        """Bytes for each pixel of the input."""
        return self.channels * FLOAT_BYTES / self.pitch**2


def of(path: Path) -> Field | None:
    """Of the network in an ONNX file; None where it cannot be told."""
    try:
        graph = onnxnodes.read(path)
        grids = _grids(graph)
        pitch = grids[graph.output].pitch
        step = math.lcm(*(grid.pitch.numerator for grid in grids.values()))
        reach = max(_reach(graph, grids, step, pitch, axis) for axis in (0, 1))
        return Field(reach, step, math.ceil(_most_held(graph, grids)))
    except (Unknown, onnxnodes.Unreadable, OSError, KeyError, IndexError, ZeroDivisionError):
        return None  # a foreign file may also lack what its operators need


def _reach(graph: Graph, grids: Mapping[str, Grid], step: int, pitch: Fraction, axis: int) -> int:
    first = FAR * step
    wanted = {graph.output: (int(first / pitch), int((first + step) / pitch) - 1)}
    for node in reversed(graph.nodes):
        made = next((wanted[name] for name in node.outputs if name in wanted), None)
        if made is None:
            continue
        needed = _needed(node, graph.constants, made, axis)
        for name in _pictures(node, grids):
            known = wanted.get(name, needed)
            wanted[name] = (min(known[0], needed[0]), max(known[1], needed[1]))
    low, high = wanted[graph.input]
    return max(first - low, high - (first + step - 1), 0)


def _pictures(node: Node, grids: Mapping[str, Grid]) -> list[str]:
    """Its inputs that are tensors of positions, without weights and the like."""
    return [name for name in node.inputs if name in grids]


def _grids(graph: Graph) -> dict[str, Grid]:
    """Of each tensor that depends on the picture. Raises Unknown."""
    grids = {graph.input: Grid(Fraction(1), 3)}
    for node in graph.nodes:
        given = [grids[name] for name in _pictures(node, grids)]
        if node.op == "Shape" or not given:
            continue  # of sizes, or of weights: no picture
        if len({grid.pitch for grid in given}) > 1:
            raise Unknown(node.op)
        made = _made(node, graph.constants, given)
        for name in node.outputs:
            grids[name] = made
    return grids


def _made(node: Node, constants: Mapping[str, Constant], given: list[Grid]) -> Grid:
    grid = given[0]
    block = node.number("blocksize", 1)
    if node.op in POINTWISE:
        return Grid(grid.pitch, max(one.channels for one in given))
    match node.op:
        case "Conv":
            return Grid(grid.pitch * _strides(node)[0], _weights(node, constants).dims[0])
        case "ConvTranspose":
            channels = _weights(node, constants).dims[1] * node.number("group", 1)
            return Grid(grid.pitch / _strides(node)[0], channels)
        case "MaxPool" | "AveragePool":
            return Grid(grid.pitch * _strides(node)[0], grid.channels)
        case "DepthToSpace":
            return Grid(grid.pitch / block, grid.channels // block**2)
        case "SpaceToDepth":
            return Grid(grid.pitch * block, grid.channels * block**2)
        case "Resize" | "Upsample":
            return Grid(grid.pitch / _factor(node, constants), grid.channels)
        case "Concat" if node.number("axis", 0) == 1:
            return Grid(grid.pitch, sum(one.channels for one in given))
        case "Pad" | "Slice" | "Split":
            return grid
    raise Unknown(node.op)


def _needed(node: Node, constants: Mapping[str, Constant], made: Stretch, axis: int) -> Stretch:
    """The positions of its input that a stretch of its output sees. axis: 0 down, 1 across."""
    low, high = made
    block = node.number("blocksize", 1)
    match node.op:
        case "Conv" | "MaxPool" | "AveragePool" | "ConvTranspose":
            stride, dilation, before = _strides(node)[axis], _row(node, "dilations", 1)[axis], _pads(node)[axis]
            kernel = _row(node, "kernel_shape", 0)[axis] or _weights(node, constants).dims[2 + axis]
            span = (kernel - 1) * dilation
            if node.op == "ConvTranspose":
                return -((span - low - before) // stride), (high + before) // stride
            return low * stride - before, high * stride - before + span
        case "DepthToSpace":
            return low // block, high // block
        case "SpaceToDepth":
            return low * block, high * block + block - 1
        case "Resize" | "Upsample":
            return _sampled(node, _factor(node, constants), made)
        case "Pad":
            before = _padded(node, constants)[axis]
            return low - before, high - before
        case "Slice":
            cut = _sliced(node, constants)[axis]
            return low + cut, high + cut
        case "Split" if node.number("axis", 0) != 1:
            raise Unknown("Split of the picture")
    return made


def _strides(node: Node) -> tuple[int, int]:
    down, across = _row(node, "strides", 1)
    if down != across:
        raise Unknown("strides that differ")
    return down, across


def _row(node: Node, name: str, default: int) -> tuple[int, int]:
    """A number for each of the two axes. Raises Unknown where the operator has one axis, or three."""
    values = [int(value) for value in node.numbers.get(name, (default, default))]
    if len(values) != 2:
        raise Unknown(node.op)
    return values[0], values[1]


def _pads(node: Node) -> tuple[int, int]:
    """What is added above and to the left."""
    if node.words.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise Unknown("auto_pad")
    pads = [int(value) for value in node.numbers.get("pads", (0, 0, 0, 0))]
    return pads[0], pads[1]


def _weights(node: Node, constants: Mapping[str, Constant]) -> Constant:
    return constants[node.inputs[1]]


def _input(node: Node, constants: Mapping[str, Constant], at: int) -> tuple[int | float, ...]:
    """The values of a constant input, empty where it is left out. Raises KeyError where it is computed."""
    if len(node.inputs) <= at or not node.inputs[at]:
        return ()
    return constants[node.inputs[at]].values


def _padded(node: Node, constants: Mapping[str, Constant]) -> tuple[int, int]:
    """Rows added above and columns added to the left."""
    pads = [int(value) for value in node.numbers.get("pads", ()) or _input(node, constants, 1)]
    if len(pads) != 8 or _input(node, constants, 3):
        raise Unknown("pads of some axes")
    return pads[2], pads[3]


def _sliced(node: Node, constants: Mapping[str, Constant]) -> tuple[int, int]:
    """Rows cut off above and columns cut off to the left."""
    starts, axes, steps = (
        [int(value) for value in node.numbers.get(name, ()) or _input(node, constants, at)]
        for name, at in (("starts", 1), ("axes", 3), ("steps", 4))
    )
    cut = {2: 0, 3: 0}
    for i, start in enumerate(starts):
        axis = axes[i] if axes else i
        if axis in cut and start >= 0 and (not steps or steps[i] == 1):
            cut[axis] = start
        elif axis != 1:
            raise Unknown("a slice counted from the end")
    return cut[2], cut[3]


def _factor(node: Node, constants: Mapping[str, Constant]) -> Fraction:
    """By how much it enlarges. Raises Unknown where both axes differ or it depends on the picture's size."""
    at = 1 if node.op == "Upsample" or len(node.inputs) < 3 else 2
    scales = node.numbers.get("scales", ()) or _input(node, constants, at)
    if len(scales) != 4 or scales[2] != scales[3] or _input(node, constants, 3):
        raise Unknown("a resize to a size")
    return Fraction(scales[2]).limit_denominator(1000)


def _sampled(node: Node, factor: Fraction, made: Stretch) -> Stretch:
    mode = node.words.get("mode", "nearest")
    placing = node.words.get("coordinate_transformation_mode", "half_pixel" if node.op == "Resize" else "asymmetric")
    if placing not in ("half_pixel", "asymmetric", "pytorch_half_pixel") or node.number("antialias", 0):
        raise Unknown(f"a resize with {placing}")
    if mode == "nearest" and factor.denominator == 1:
        return made[0] // factor.numerator, made[1] // factor.numerator
    shift = Fraction(0) if placing == "asymmetric" else HALF
    low, high = (math.floor((position + shift) / factor - shift) for position in made)
    return (low - 1, high + 2) if mode == "cubic" else (low, high + 1)


def _most_held(graph: Graph, grids: Mapping[str, Grid]) -> Fraction:
    """Bytes for each input pixel where most tensors are still needed; pointwise operators work in place."""
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
