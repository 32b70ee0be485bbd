"""Brings networks of other inputs and outputs to the form that the engines use: RGB in 0..1, float32 (1, 3, H, W).

People export networks with inputs and outputs in fp16 or uint8, with the channels last, or for luma alone. What such a
network computes stays the same: its two ends get conversions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt, prod

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from live_sr.engines.openvino.luma import add_chroma_path
from live_sr.pipeline.frame import Size

KINDS = ("f32", "f16", "bf16", "f64", "u8")
FIRST_TO_LAST, LAST_TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
Convert = Callable[[ov.Output], ov.Output]


class UnsuitableNetwork(Exception):
    """This network does not turn one picture into another. `why`: a clause. `remedy`: empty if there is none."""

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.remedy = remedy


@dataclass(frozen=True)
class ModelPort:
    """An input or output. sides: None where a dimension is dynamic; () when even their number is."""

    name: str
    kind: str  # f32, u8 ...
    sides: tuple[int | None, ...]

    @classmethod
    def describe(cls, port: ov.Output) -> ModelPort:
        shape = port.get_partial_shape()
        sides: tuple[int | None, ...] = ()
        if shape.rank.is_static:
            sides = tuple(side.get_length() if side.is_static else None for side in shape)
        names = sorted(port.get_names())
        return cls(names[0] if names else "", port.get_element_type().get_type_name(), sides)

    def __str__(self) -> str:
        sides = ", ".join("any" if side is None else str(side) for side in self.sides)
        return f"{self.name or '(no name)'}, {self.kind}, [{sides}]"


@dataclass(frozen=True)
class NetworkForm:
    """How a network takes a picture. `channels`: 3 for RGB, 1 for luma."""

    channels: int
    channels_last: bool
    kinds: tuple[str, str]  # of the input and of the output
    height: int | None = None  # None: any
    width: int | None = None

    @property
    def conversions(self) -> list[str]:
        """What is converted, for people."""
        found = [
            f"its {side} is {kind}" for side, kind in zip(("input", "output"), self.kinds, strict=True) if kind != "f32"
        ]
        found += ["its channels come last"] if self.channels_last and self.channels == 3 else []
        return found + (["it enlarges luma; the colours are interpolated (bicubic)"] if self.channels == 1 else [])

    def arrange(self, size: Size) -> list[int]:
        """The shape of its input for pictures of `size`."""
        sides = [size.height, size.width]
        return [1, *sides, self.channels] if self.channels_last else [1, self.channels, *sides]


def find_form(network: ov.Model) -> NetworkForm:
    """Raises UnsuitableNetwork."""
    inputs, outputs = ([ModelPort.describe(port) for port in ports] for ports in (network.inputs, network.outputs))
    if len(inputs) != 1 or len(outputs) != 1:
        names = ", ".join(port.name for port in inputs)
        raise UnsuitableNetwork(f"it has {len(inputs)} inputs ({names}) and {len(outputs)} outputs, and needs one each")
    kinds = (inputs[0].kind, outputs[0].kind)
    for side, kind in zip(("input", "output"), kinds, strict=True):
        if kind not in KINDS:
            raise UnsuitableNetwork(f"its {side} is {kind}", "export it in float32: engines choose their own precision")
    sides = inputs[0].sides
    if not sides:
        return NetworkForm(3, False, kinds)
    if len(sides) != 4:
        raise UnsuitableNetwork(f"its input has {len(sides)} dimensions, and a picture has 4: (1, 3, H, W)")
    if sides[0] not in (None, 1):
        raise UnsuitableNetwork(f"it takes {sides[0]} pictures at once", "export it with a batch of 1, or a free one")
    last = sides[1] not in (1, 3) and sides[3] in (1, 3)
    channels = sides[3] if last else sides[1]
    if channels not in (None, 1, 3):
        raise UnsuitableNetwork(f"it takes {channels} channels, and a picture has 3 (RGB) or 1 (luma)")
    height, width = sides[1:3] if last else sides[2:]
    return NetworkForm(channels or 3, last, kinds, height, width)


def shape_for_rgb(network: ov.Model, size: Size, peak: int) -> ov.Model:
    """The network for pictures of `size`, in the engines' form. May change `network`.

    `peak`: the level that is 1.0. uint8 ends need it. Raises UnsuitableNetwork; RuntimeError if it does not take that
    size.
    """
    form = find_form(network)
    network.reshape(form.arrange(size))
    if not form.conversions:
        return network
    if network.output(0).get_partial_shape().is_dynamic:
        raise UnsuitableNetwork("the size of its output is not fixed")
    network = _replace_ends(network, _make_cast_in(form.kinds[0], peak), _make_cast_out(form.kinds[1], peak))
    if form.channels == 1:
        scale = isqrt(prod(network.output(0).get_shape()) // prod(network.input(0).get_shape()))
        if not scale:
            raise UnsuitableNetwork("its output is smaller than its input")
        return add_chroma_path(network, size, scale)
    if not form.channels_last:
        return network
    last_too = network.output(0).get_shape()[3] == form.channels
    return _replace_ends(
        network,
        lambda rgb: ops.transpose(rgb, FIRST_TO_LAST).output(0),
        lambda made: ops.transpose(made, LAST_TO_FIRST).output(0) if last_too else made,
        [1, 3, size.height, size.width],
    )


def _replace_ends(network: ov.Model, before: Convert, after: Convert, shape: list[int] | None = None) -> ov.Model:
    """The network with conversions around it. `shape`: of the new input, else as it was. It is float32."""
    old = network.input(0)
    rgb = ops.parameter(shape or list(old.get_shape()), np.float32)
    converted = before(rgb.output(0))
    for reader in old.get_node().output(0).get_target_inputs():
        reader.replace_source_output(converted)
    made = network.output(0).get_node().input_value(0)
    return ov.Model([after(made)], [rgb], network.get_friendly_name())


def _make_cast_in(kind: str, peak: int) -> Convert:
    def cast(values: ov.Output) -> ov.Output:
        if kind == "f32":
            return values
        if kind == "u8":
            levels = ops.multiply(values, ops.constant(np.float32(peak)))
            values = ops.round(ops.clamp(levels, 0.0, 255.0), "half_to_even").output(0)
        return ops.convert(values, kind).output(0)

    return cast


def _make_cast_out(kind: str, peak: int) -> Convert:
    def cast(made: ov.Output) -> ov.Output:
        if kind == "f32":
            return made
        values = ops.convert(made, "f32").output(0)
        return ops.multiply(values, ops.constant(np.float32(1 / peak))).output(0) if kind == "u8" else values

    return cast
