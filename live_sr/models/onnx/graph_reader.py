"""Reads the graph of an ONNX file without a library: its operators in order, and its small constants.

Field numbers are those of onnx.proto; `file_header` says what a protobuf message looks like.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

GRAPH = 7  # of ModelProto
NODE, INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 1, 5, 11, 12  # of GraphProto
INPUT, OUTPUT, OP_TYPE, ATTRIBUTE = 1, 2, 4, 5  # of NodeProto
DIMS, DATA_TYPE, FLOATS, INT64S, NAME, RAW = 1, 2, 4, 7, 8, 9  # of TensorProto
FLOAT, INT64 = 1, 7  # of TensorProto.DataType
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

PASSED_THROUGH = ("Cast", "Identity", "DequantizeLinear")

MAX_VALUES = 64  # constants with more values are weights, which are not read

Number = int | float


class UnreadableGraph(Exception):
    """The file is not ONNX, or it is truncated."""


@dataclass(frozen=True)
class Constant:
    """A tensor in the file. `values` is empty if the tensor is large, or neither int64 nor float32."""

    dims: tuple[int, ...]
    values: tuple[Number, ...] = ()


@dataclass(frozen=True)
class OnnxNode:
    """One operator, with those of its attributes that are numbers, lists of numbers or strings."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: Mapping[str, tuple[Number, ...]] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def number(self, name: str, default: int) -> int:
        return int(self.numbers.get(name, (default,))[0])


@dataclass(frozen=True)
class OnnxGraph:
    """Nodes in an order in which they can run, and the names of the first input and output that are no constants."""

    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, Constant]
    input: str
    output: str


def read_graph(path: Path) -> OnnxGraph:
    """Raises Unreadable, or OSError where the file cannot be read."""
    data = memoryview(path.read_bytes())
    nodes: list[OnnxNode] = []
    constants: dict[str, Constant] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    try:
        for part in (
            value for number, value in _read_fields(data) if number == GRAPH and isinstance(value, memoryview)
        ):
            for number, value in _read_fields(part):
                if number == NODE:
                    node, inside = _read_node(_require_bytes(value))
                    nodes.append(node)
                    constants |= dict.fromkeys(node.outputs, inside) if inside else {}
                elif number == INITIALIZER:
                    name, constant = _read_constant(_require_bytes(value))
                    constants[name] = constant
                elif number in (GRAPH_INPUT, GRAPH_OUTPUT):
                    (inputs if number == GRAPH_INPUT else outputs).append(_read_name(_require_bytes(value)))
    except (IndexError, struct.error, UnicodeDecodeError):
        raise UnreadableGraph("it is truncated or not an ONNX file") from None
    for node in nodes:  # for weights that are stored in fp16 or int8
        if node.op in PASSED_THROUGH and node.inputs[0] in constants:
            constants[node.outputs[0]] = constants[node.inputs[0]]
    inputs = [name for name in inputs if name not in constants]
    if not inputs or not outputs:
        raise UnreadableGraph("it holds no network")
    return OnnxGraph(tuple(nodes), constants, inputs[0], outputs[0])


def _read_node(data: memoryview) -> tuple[OnnxNode, Constant | None]:
    """The node, and the tensor that a Constant node holds."""
    inputs: list[str] = []
    outputs: list[str] = []
    op = ""
    numbers: dict[str, tuple[Number, ...]] = {}
    words: dict[str, str] = {}
    inside = None
    for number, value in _read_fields(data):
        if number in (INPUT, OUTPUT, OP_TYPE):
            word = str(_require_bytes(value), "utf-8")
            if number == OP_TYPE:
                op = word
            else:
                (inputs if number == INPUT else outputs).append(word)
        elif number == ATTRIBUTE:
            name, read = _read_attribute(_require_bytes(value))
            if isinstance(read, str):
                words[name] = read
            elif isinstance(read, Constant):
                inside = read
            else:
                numbers[name] = read
    if op == "Constant" and inside is None:
        held = next(iter(numbers.values()), ())
        inside = Constant((len(held),), held)
    return OnnxNode(op, tuple(inputs), tuple(outputs), numbers, words), inside if op == "Constant" else None


def _read_attribute(data: memoryview) -> tuple[str, tuple[Number, ...] | str | Constant]:
    """AttributeProto: name 1, f 2, i 3, s 4, t 5, floats 7, ints 8."""
    name, word, tensor = "", None, None
    numbers: list[Number] = []
    for number, value in _read_fields(data):
        match number:
            case 1:
                name = str(_require_bytes(value), "utf-8")
            case 2:
                numbers.append(struct.unpack("<f", _require_bytes(value))[0])
            case 3:
                numbers.append(_to_signed(value))
            case 4:
                word = str(_require_bytes(value), "utf-8", "replace")
            case 5:
                tensor = _read_constant(_require_bytes(value))[1]
            case 7:
                numbers += struct.unpack(f"<{len(_require_bytes(value)) // 4}f", _require_bytes(value))
            case 8:
                numbers += _read_varints(value)
    return name, tensor or (tuple(numbers) if word is None else word)


def _read_constant(data: memoryview) -> tuple[str, Constant]:
    dims: list[int] = []
    name, kind, raw = "", 0, memoryview(b"")
    values: list[Number] = []
    for number, value in _read_fields(data):
        if number == DIMS:
            dims += _read_varints(value)
        elif number == DATA_TYPE and isinstance(value, int):
            kind = value
        elif number == NAME:
            name = str(_require_bytes(value), "utf-8")
        elif number == RAW:
            raw = _require_bytes(value)
        elif number == FLOATS and math.prod(dims) <= MAX_VALUES:
            values += struct.unpack(f"<{len(_require_bytes(value)) // 4}f", _require_bytes(value))
        elif number == INT64S and math.prod(dims) <= MAX_VALUES:
            values += _read_varints(value)
    if raw and math.prod(dims) <= MAX_VALUES and kind in (FLOAT, INT64):
        letter, size = ("f", 4) if kind == FLOAT else ("q", 8)
        values += struct.unpack(f"<{len(raw) // size}{letter}", raw)
    return name, Constant(tuple(dims), tuple(values))


def _read_name(data: memoryview) -> str:
    """The name in a ValueInfoProto."""
    return next((str(_require_bytes(value), "utf-8") for number, value in _read_fields(data) if number == 1), "")


def _require_bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise IndexError
    return value


def _read_varints(value: int | memoryview) -> list[int]:
    """The values of a repeated field of integers: a single one, or several packed together."""
    if isinstance(value, int):
        return [_to_signed(value)]
    found, at = [], 0
    while at < len(value):
        number, at = _read_varint(value, at)
        found.append(_to_signed(number))
    return found


def _to_signed(value: int | memoryview) -> int:
    if isinstance(value, memoryview):
        raise IndexError
    return value - (1 << 64) if value >> 63 else value


def _read_fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The number and value of each field of a message. The value is an integer for a varint, else bytes."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _read_varint(data, at)
            yield tag >> 3, value
            continue
        if kind == BYTES:
            size, at = _read_varint(data, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise IndexError
        if at + size > len(data):
            raise IndexError
        yield tag >> 3, data[at : at + size]
        at += size


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise IndexError
