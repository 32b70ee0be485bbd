"""The outside of an ONNX file: is it whole, and what goes in and out? Read without its weights and without a library.

An ONNX file is one protobuf message (https://protobuf.dev/programming-guides/encoding, field numbers from onnx.proto):
a row of fields, each a tag and a value, where a nested message is a length and that many bytes. So the weights can be
stepped over, and a file that ends before its lengths say is truncated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import SEEK_END
from pathlib import Path
from typing import BinaryIO

GRAPH, INPUT, OUTPUT = 7, 11, 12  # of ModelProto, then of GraphProto
TYPE, TENSOR_TYPE, SHAPE, DIM, DIM_VALUE = 2, 1, 2, 1, 1  # of ValueInfoProto and what it nests
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class NotWhole(Exception):
    """The file ends too early or is something else; the argument says which."""


@dataclass(frozen=True)
class Shapes:
    """Of the first input and the first output; None for a dimension that is free."""

    input: tuple[int | None, ...]
    output: tuple[int | None, ...]

    @property
    def scale(self) -> int | None:
        """How many times larger the output's height is, where the file fixes both heights."""
        if len(self.input) != 4 or len(self.output) != 4 or not self.input[2] or not self.output[2]:
            return None
        return self.output[2] // self.input[2] or None


def shapes(path: Path) -> Shapes:
    """Raises NotWhole, or OSError where the file cannot be read."""
    with path.open("rb") as file:
        length = file.seek(0, SEEK_END)
        file.seek(0)
        inputs: list[tuple[int | None, ...]] = []
        outputs: list[tuple[int | None, ...]] = []
        for number, _, end in _fields(file, length):
            for inner, _, inner_end in _fields(file, end) if number == GRAPH else ():
                if inner in (INPUT, OUTPUT):
                    (inputs if inner == INPUT else outputs).append(tuple(_dimensions(file, inner_end)))
    if not inputs or not outputs:
        raise NotWhole("it holds no network" if length else "it is empty")
    return Shapes(inputs[0], outputs[0])


def _dimensions(file: BinaryIO, end: int) -> Iterator[int | None]:
    """Of the value described up to `end`."""
    for part in _within(file, end, (TYPE, TENSOR_TYPE, SHAPE)):
        for number, _, dim_end in _fields(file, part):
            values = [value for n, value, _ in _fields(file, dim_end) if n == DIM_VALUE] if number == DIM else []
            yield values[0] if values else None


def _within(file: BinaryIO, end: int, path: tuple[int, ...]) -> Iterator[int]:
    """Ends of the messages found by following field numbers inwards."""
    if not path:
        yield end
        return
    for number, _, inner_end in _fields(file, end):
        if number == path[0]:
            yield from _within(file, inner_end, path[1:])


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, value of a varint, end of a nested message) of each field up to `end`; then steps over its value."""
    while file.tell() < end:
        tag = _varint(file)
        kind = tag & 7
        value = _varint(file) if kind in (VARINT, BYTES) else 0
        size = {VARINT: 0, FIXED64: 8, BYTES: value, FIXED32: 4}.get(kind)
        if size is None or tag >> 3 == 0:
            raise NotWhole("it is not an ONNX file")
        after = file.tell() + size
        if after > end:
            raise NotWhole("it is truncated or not an ONNX file")
        yield tag >> 3, value, after
        file.seek(after)


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise NotWhole("it is truncated")
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    raise NotWhole("it is not an ONNX file")
