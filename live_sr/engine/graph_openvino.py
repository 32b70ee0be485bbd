"""What OpenVINO sees in a model file: its ends, the sizes it takes, and the operators it does not know."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path

import openvino as ov

from live_sr.engine.openvino import core
from live_sr.errors import ModelError
from live_sr.frame import Size


@dataclass(frozen=True)
class End:
    """An input or output. sides: None where a dimension is free; () when not even their number is fixed."""

    name: str
    kind: str  # f32, u8 ...
    sides: tuple[int | None, ...]

    def __str__(self) -> str:
        sides = ", ".join("any" if side is None else str(side) for side in self.sides)
        return f"{self.name or '(no name)'}, {self.kind}, [{sides}]"


class Unknown(Exception):
    """The arguments are the operators that OpenVINO does not have; none: the message says what else is wrong."""


class Graph:
    """A model that OpenVINO has read."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError when the file is none, Unknown for operators that OpenVINO does not have."""
        self._path = path
        try:
            model = core().read_model(path)
        except RuntimeError as error:
            operators = _unknown(str(error))
            if operators:
                raise Unknown(*operators) from None
            what = f"{path} is not a model that OpenVINO can read: {_told(error)}"
            raise ModelError(what, "export it again, or get the file again") from None
        self.inputs = tuple(_end(port) for port in model.inputs)
        self.outputs = tuple(_end(port) for port in model.outputs)

    def made(self, size: Size) -> tuple[int, ...] | str:
        """The shape of the output for an RGB picture of that size, or why there is none."""
        shaped = self._shaped(size)
        if isinstance(shaped, str):
            return shaped
        shape = shaped.output(0).partial_shape
        return "what it makes has no fixed size" if shape.is_dynamic else tuple(shape.get_max_shape())

    def largest_bytes(self, size: Size) -> int:
        """Of what one step of the network reads and makes, at most, in fp32; 0 where that cannot be told."""
        shaped = self._shaped(size)
        if isinstance(shaped, str):
            return 0
        most = 0
        for node in shaped.get_ops():
            ports = [node.input(i) for i in range(node.get_input_size())]
            ports += [node.output(i) for i in range(node.get_output_size())]
            shapes = [port.get_partial_shape() for port in ports]
            most = max(most, sum(4 * prod(shape.get_shape()) for shape in shapes if not shape.is_dynamic))
        return int(most)

    def unknown(self, size: Size) -> list[str]:
        """Kinds of operators that the processor's plug-in would refuse."""
        shaped = self._shaped(size)
        if isinstance(shaped, str):
            return []
        try:
            taken = core().query_model(shaped, "CPU")
        except RuntimeError as error:
            return [_told(error)]
        ends = ("Parameter", "Result", "Constant")
        return sorted(
            {
                node.get_type_name()
                for node in shaped.get_ops()
                if node.get_friendly_name() not in taken and node.get_type_name() not in ends
            }
        )

    def _shaped(self, size: Size) -> ov.Model | str:
        model = core().read_model(self._path)
        try:
            model.reshape([1, 3, size.height, size.width])
        except RuntimeError as error:
            return _told(error)
        return model


def _end(port: ov.Output) -> End:
    shape = port.get_partial_shape()
    sides: tuple[int | None, ...] = ()
    if shape.rank.is_static:
        sides = tuple(side.get_length() if side.is_static else None for side in shape)
    names = sorted(port.get_names())
    return End(names[0] if names else "", port.get_element_type().get_type_name(), sides)


def _unknown(message: str) -> list[str]:
    """The operators in what the reader complains of: "No conversion rule found for operations: Foo-17, com.Bar"."""
    found = re.search(r"No conversion rule found for operations: ([^\n]+)", message)
    return [re.sub(r"-\d+$", "", name.strip()) for name in found[1].split(",")] if found else []


def _told(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
