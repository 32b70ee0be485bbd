"""Reads the shapes of an ONNX file's input and output, and checks that the file is whole, without a library.

An ONNX file is one protobuf message (https://protobuf.dev/programming-guides/encoding, field numbers from onnx.proto):
a sequence of fields, each a tag and a value. A nested message is its length and that many bytes. So the weights can be
skipped, and a file that is shorter than its lengths say is truncated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import SEEK_END
from pathlib import Path
from typing import BinaryIO

from live_sr.pipeline.frame import Size

GRAPH, INPUT, OUTPUT = 7, 11, 12  # of ModelProto, then of GraphProto
TYPE, TENSOR_TYPE, SHAPE, DIM, DIM_VALUE = 2, 1, 2, 1, 1  # of ValueInfoProto and what it nests
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class DamagedFile(Exception):
    """The file is truncated or not ONNX; the argument is a clause that says which."""


@dataclass(frozen=True)
class Shapes:
    """The shapes of the first input and the first output; None for a dimension of any size."""

    input: tuple[int | None, ...]
    output: tuple[int | None, ...]

    @property
    def fixed_size(self) -> Size | None:
        """The only size of pictures that the file allows; None if it allows several."""
        height, width = _get_sides(self.input)
        return Size(width, height) if height and width else None

    @property
    def scale(self) -> int | None:
        """How many times larger the output's height is; None unless the file fixes both heights."""
        small, large = _get_sides(self.input)[0], _get_sides(self.output)[0]
        return (large // small or None) if small and large else None


def _get_sides(shape: tuple[int | None, ...]) -> tuple[int | None, int | None]:
    """Height and width. The channels, RGB or luma, come before them or last."""
    if len(shape) != 4:
        return None, None
    _, first, second, third = shape
    channels_last = first not in (1, 3) and third in (1, 3)
    return (first, second) if channels_last else (second, third)


def read_shapes(path: Path) -> Shapes:
    """Reads the shapes. Raises DamagedFile, or OSError if the file cannot be read."""
    with path.open("rb") as file:
        length = file.seek(0, SEEK_END)
        file.seek(0)
        inputs: list[tuple[int | None, ...]] = []
        outputs: list[tuple[int | None, ...]] = []
        for number, _, end in _read_fields(file, length):
            for inner, _, inner_end in _read_fields(file, end) if number == GRAPH else ():
                if inner in (INPUT, OUTPUT):
                    (inputs if inner == INPUT else outputs).append(tuple(_read_dimensions(file, inner_end)))
    if not inputs or not outputs:
        raise DamagedFile("it holds no network" if length else "it is empty")
    return Shapes(inputs[0], outputs[0])


def _read_dimensions(file: BinaryIO, end: int) -> Iterator[int | None]:
    """The dimensions of the value whose description ends at `end`."""
    for part in _find_messages(file, end, (TYPE, TENSOR_TYPE, SHAPE)):
        for number, _, dim_end in _read_fields(file, part):
            values = [value for n, value, _ in _read_fields(file, dim_end) if n == DIM_VALUE] if number == DIM else []
            yield values[0] if values else None


def _find_messages(file: BinaryIO, end: int, path: tuple[int, ...]) -> Iterator[int]:
    """The ends of the nested messages that a path of field numbers leads to."""
    if not path:
        yield end
        return
    for number, _, inner_end in _read_fields(file, end):
        if number == path[0]:
            yield from _find_messages(file, inner_end, path[1:])


def _read_fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, value of a varint, end of a nested message) of each field up to `end`; skips its value afterwards."""
    while file.tell() < end:
        tag = _read_varint(file)
        kind = tag & 7
        value = _read_varint(file) if kind in (VARINT, BYTES) else 0
        size = {VARINT: 0, FIXED64: 8, BYTES: value, FIXED32: 4}.get(kind)
        if size is None or tag >> 3 == 0:
            raise DamagedFile("it is not an ONNX file")
        after = file.tell() + size
        if after > end:
            raise DamagedFile("it is truncated or not an ONNX file")
        yield tag >> 3, value, after
        file.seek(after)


def _read_varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise DamagedFile("it is truncated")
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    raise DamagedFile("it is not an ONNX file")
