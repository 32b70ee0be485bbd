"""The inside of an ONNX file: its operators in order, and its constants as far as they are shapes. Needs no library.

Field numbers are those of onnx.proto; `onnxfile` says what a protobuf message looks like.
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

PASSING = ("Cast", "Identity", "DequantizeLinear")

SMALL = 64  # values of a constant that are read; larger ones are weights

Number = int | float


class Unreadable(Exception):
    """It is no ONNX file, or one that ends too early."""


@dataclass(frozen=True)
class Constant:
    """A tensor in the file; `values` are empty where it is large or neither of int64 nor of float32."""

    dims: tuple[int, ...]
    values: tuple[Number, ...] = ()


@dataclass(frozen=True)
class Node:
    """One operator. Of its attributes those that are numbers, rows of numbers or words."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: Mapping[str, tuple[Number, ...]] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def number(self, name: str, default: int) -> int:
        return int(self.numbers.get(name, (default,))[0])


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which they can run. `input` and `output` are the first of each that is no constant."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]
    input: str
    output: str


def read(path: Path) -> Graph:
    """Raises Unreadable, or OSError where the file cannot be read."""
    data = memoryview(path.read_bytes())
    nodes: list[Node] = []
    constants: dict[str, Constant] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    try:
        for part in (value for number, value in _fields(data) if number == GRAPH and isinstance(value, memoryview)):
            for number, value in _fields(part):
                if number == NODE:
                    node, inside = _node(_part(value))
                    nodes.append(node)
                    constants |= dict.fromkeys(node.outputs, inside) if inside else {}
                elif number == INITIALIZER:
                    name, constant = _constant(_part(value))
                    constants[name] = constant
                elif number in (GRAPH_INPUT, GRAPH_OUTPUT):
                    (inputs if number == GRAPH_INPUT else outputs).append(_name(_part(value)))
    except (IndexError, struct.error, UnicodeDecodeError):
        raise Unreadable("it is truncated or no ONNX file") from None
    for node in nodes:  # weights that are kept in fp16 or int8
        if node.op in PASSING and node.inputs[0] in constants:
            constants[node.outputs[0]] = constants[node.inputs[0]]
    inputs = [name for name in inputs if name not in constants]
    if not inputs or not outputs:
        raise Unreadable("it holds no network")
    return Graph(tuple(nodes), constants, inputs[0], outputs[0])


def _node(data: memoryview) -> tuple[Node, Constant | None]:
    """And, of a Constant node, what it holds."""
    inputs: list[str] = []
    outputs: list[str] = []
    op = ""
    numbers: dict[str, tuple[Number, ...]] = {}
    words: dict[str, str] = {}
    inside = None
    for number, value in _fields(data):
        if number in (INPUT, OUTPUT, OP_TYPE):
            word = str(_part(value), "utf-8")
            if number == OP_TYPE:
                op = word
            else:
                (inputs if number == INPUT else outputs).append(word)
        elif number == ATTRIBUTE:
            name, read = _attribute(_part(value))
            if isinstance(read, str):
                words[name] = read
            elif isinstance(read, Constant):
                inside = read
            else:
                numbers[name] = read
    if op == "Constant" and inside is None:
        held = next(iter(numbers.values()), ())
        inside = Constant((len(held),), held)
    return Node(op, tuple(inputs), tuple(outputs), numbers, words), inside if op == "Constant" else None


def _attribute(data: memoryview) -> tuple[str, tuple[Number, ...] | str | Constant]:
    """AttributeProto: name 1, f 2, i 3, s 4, t 5, floats 7, ints 8."""
    name, word, tensor = "", None, None
    numbers: list[Number] = []
    for number, value in _fields(data):
        match number:
            case 1:
                name = str(_part(value), "utf-8")
            case 2:
                numbers.append(struct.unpack("<f", _part(value))[0])
            case 3:
                numbers.append(_signed(value))
            case 4:
                word = str(_part(value), "utf-8", "replace")
            case 5:
                tensor = _constant(_part(value))[1]
            case 7:
                numbers += struct.unpack(f"<{len(_part(value)) // 4}f", _part(value))
            case 8:
                numbers += _varints(value)
    return name, tensor or (tuple(numbers) if word is None else word)


def _constant(data: memoryview) -> tuple[str, Constant]:
    dims: list[int] = []
    name, kind, raw = "", 0, memoryview(b"")
    values: list[Number] = []
    for number, value in _fields(data):
        if number == DIMS:
            dims += _varints(value)
        elif number == DATA_TYPE and isinstance(value, int):
            kind = value
        elif number == NAME:
            name = str(_part(value), "utf-8")
        elif number == RAW:
            raw = _part(value)
        elif number == FLOATS and math.prod(dims) <= SMALL:
            values += struct.unpack(f"<{len(_part(value)) // 4}f", _part(value))
        elif number == INT64S and math.prod(dims) <= SMALL:
            values += _varints(value)
    if raw and math.prod(dims) <= SMALL and kind in (FLOAT, INT64):
        letter, size = ("f", 4) if kind == FLOAT else ("q", 8)
        values += struct.unpack(f"<{len(raw) // size}{letter}", raw)
    return name, Constant(tuple(dims), tuple(values))


def _name(data: memoryview) -> str:
    """Of a ValueInfoProto."""
    return next((str(_part(value), "utf-8") for number, value in _fields(data) if number == 1), "")


def _part(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise IndexError
    return value


def _varints(value: int | memoryview) -> list[int]:
    """A repeated field of integers: one, or many packed together."""
    if isinstance(value, int):
        return [_signed(value)]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(_signed(number))
    return found


def _signed(value: int | memoryview) -> int:
    if isinstance(value, memoryview):
        raise IndexError
    return value - (1 << 64) if value >> 63 else value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message: an integer, or the bytes of anything else."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise IndexError
        if at + size > len(data):
            raise IndexError
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise IndexError
