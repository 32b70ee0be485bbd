"""Inspects a model file with OpenVINO: inputs, outputs, possible sizes and unsupported operators."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path

import openvino as ov

from live_sr.engines.openvino.engine import get_core, summarise_error
from live_sr.engines.openvino.network_form import ModelPort, NetworkForm, UnsuitableNetwork, find_form, shape_for_rgb
from live_sr.errors import ModelError
from live_sr.pipeline.frame import Size

PEAK = 255  # nothing is computed here; any other would do


class UnknownOperators(Exception):
    """OpenVINO cannot read the model; the arguments are the operators that it does not know."""


class OpenVINOModel:
    """A model that OpenVINO has read."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError for a file that is no model, UnknownOperators for operators that OpenVINO lacks."""
        self._path = path
        try:
            model = get_core().read_model(path)
        except RuntimeError as error:
            operators = _parse_unknown_operators(str(error))
            if operators:
                raise UnknownOperators(*operators) from None
            what = f"{path} is not a model that OpenVINO can read: {summarise_error(error)}"
            raise ModelError(what, "export it again, or get the file again") from None
        self._model = model
        self.inputs = tuple(ModelPort.describe(port) for port in model.inputs)
        self.outputs = tuple(ModelPort.describe(port) for port in model.outputs)

    def find_form(self) -> NetworkForm:
        """How it takes a picture. Raises UnsuitableNetwork."""
        return find_form(self._model)

    def infer_output_shape(self, size: Size) -> tuple[int, ...] | str:
        """The shape of the output for an RGB picture of that size, or the reason why there is none."""
        reshaped = self._reshape(size)
        if isinstance(reshaped, str):
            return reshaped
        shape = reshaped.output(0).partial_shape
        return "the size of its output is not fixed" if shape.is_dynamic else tuple(shape.get_max_shape())

    def compute_largest_step_bytes(self, size: Size) -> int:
        """The most bytes that one operation reads and writes in fp32; 0 where that is not known."""
        reshaped = self._reshape(size)
        if isinstance(reshaped, str):
            return 0
        most = 0
        for node in reshaped.get_ops():
            ports = [node.input(i) for i in range(node.get_input_size())]
            ports += [node.output(i) for i in range(node.get_output_size())]
            shapes = [port.get_partial_shape() for port in ports]
            most = max(most, sum(4 * prod(shape.get_shape()) for shape in shapes if not shape.is_dynamic))
        return int(most)

    def find_unsupported_operators(self, size: Size) -> list[str]:
        """The types of operators that OpenVINO's CPU plugin refuses."""
        reshaped = self._reshape(size)
        if isinstance(reshaped, str):
            return []
        try:
            supported = get_core().query_model(reshaped, "CPU")
        except RuntimeError as error:
            return [summarise_error(error)]
        ends = ("Parameter", "Result", "Constant")
        return sorted(
            {
                node.get_type_name()
                for node in reshaped.get_ops()
                if node.get_friendly_name() not in supported and node.get_type_name() not in ends
            }
        )

    def _reshape(self, size: Size) -> ov.Model | str:
        """The model for pictures of that size, or the reason why there is none."""
        try:
            return shape_for_rgb(get_core().read_model(self._path), size, PEAK)
        except UnsuitableNetwork as error:
            return error.why
        except RuntimeError as error:
            return summarise_error(error)


def _parse_unknown_operators(message: str) -> list[str]:
    """The operators in OpenVINO's message "No conversion rule found for operations: Foo-17, com.Bar"."""
    found = re.search(r"No conversion rule found for operations: ([^\n]+)", message)
    return [re.sub(r"-\d+$", "", name.strip()) for name in found[1].split(",")] if found else []
