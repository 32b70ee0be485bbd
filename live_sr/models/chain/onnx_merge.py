"""Merges the stages of a chain, ONNX networks and resizes, into one ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from live_sr.errors import ModelError
from live_sr.models.card import ModelCard

OPSET = 17


def merge(chain: Sequence[ModelCard | Fraction]) -> bytes:
    """Returns a serialised model; a fraction stands for a resize by that factor. Raises ModelError.

    Input "rgb", float32 (1, 3, H, W) in 0..1, output "enlarged". Between two stages there is a clamp to 0..1.
    """
    try:
        links = [_make_link(stage, number) for number, stage in enumerate(chain)]
        opset = max(OPSET, *(_get_opset(link) for link in links))
        format_ = max(link.ir_version for link in links)
        links = [_convert(link, opset, format_) for link in links]
        whole = links[0]
        for link in links[1:]:
            ends = [(whole.graph.output[0].name, link.graph.input[0].name)]
            whole = onnx.compose.merge_models(whole, link, io_map=ends)
        _rename(whole, {whole.graph.input[0].name: "rgb", whole.graph.output[0].name: "enlarged"})
        for field in (whole.graph.value_info, whole.graph.input, whole.graph.output):
            del field[:]
        whole.graph.input.append(_make_port("rgb", ""))
        whole.graph.output.append(_make_port("enlarged", "_out"))
        onnx.checker.check_model(whole)
    except ModelError:
        raise
    except Exception as error:  # onnx has no common base class for its errors, and passes protobuf's on
        label = " and ".join(stage.label if isinstance(stage, ModelCard) else f"resize x{stage}" for stage in chain)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        what = lines[-1] if lines else type(error).__name__
        raise ModelError(f"{label} cannot be made one graph: {what}", "use them one at a time") from error
    return bytes(whole.SerializeToString())


def _make_link(stage: ModelCard | Fraction, number: int) -> ModelProto:
    """One stage with unique names. Its input is clamped, except in the first stage. Raises ModelError."""
    model = _load_network(stage) if isinstance(stage, ModelCard) else _make_resize(stage)
    inner = model.graph
    if number:
        inside = inner.input[0].name
        for node in inner.node:
            node.input[:] = [CLAMPED if name == inside else name for name in node.input]
        inner.node.insert(0, helper.make_node("Clip", [inside, f"{CLAMPED} black", f"{CLAMPED} white"], [CLAMPED]))
        for name, level in (("black", 0), ("white", 1)):
            inner.initializer.append(numpy_helper.from_array(np.array(level, np.float32), f"{CLAMPED} {name}"))
    del inner.value_info[:]
    prefixed: ModelProto = onnx.compose.add_prefix(model, f"stage{number}/")
    return prefixed


CLAMPED = "clamped between two stages"


def _load_network(card: ModelCard) -> ModelProto:
    model = onnx.load(card.onnx)
    inner = model.graph
    weights = {tensor.name for tensor in inner.initializer}
    inputs = [value for value in inner.input if value.name not in weights]
    if len(inputs) != 1 or len(inner.output) != 1:
        what = f"it has {len(inputs)} inputs and {len(inner.output)} outputs"
        raise ModelError(f"{card.onnx} cannot be in a chain: {what}", "use a network from one picture to one")
    sides = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim][2:]
    if any(sides):
        what = f"{card.onnx} cannot be in a chain: it is made for pictures of {sides[-1]}x{sides[0]} only"
        raise ModelError(what, "export it with free height and width")
    for value in (inputs[0], inner.output[0]):
        if value.type.tensor_type.elem_type != TensorProto.FLOAT:
            raise ModelError(f"{card.onnx} cannot be in a chain: it is not of float32", "export it in float32")
    del inner.input[:]
    inner.input.extend(inputs)
    return model


def _get_opset(model: ModelProto) -> int:
    return max((int(one.version) for one in model.opset_import if one.domain in ("", "ai.onnx")), default=OPSET)


def _convert(model: ModelProto, opset: int, format_: int) -> ModelProto:
    """The model in the given versions: merging requires the same ones for all."""
    if _get_opset(model) != opset:
        model = onnx.version_converter.convert_version(model, opset)
    model.ir_version = format_
    return model


def _make_resize(factor: Fraction) -> ModelProto:
    """Cubic interpolation up by the numerator, then the mean over cells of denominator squared."""
    up, cells = factor.numerator, factor.denominator
    nodes, values = [], []
    name = "picture"
    if up > 1 or cells == 1:
        half = "half_pixel"
        ends = [name, "", "scales"], ["larger"]
        nodes.append(
            helper.make_node("Resize", *ends, mode="cubic", coordinate_transformation_mode=half, cubic_coeff_a=-0.75)
        )
        values.append(numpy_helper.from_array(np.array([1, 1, up, up], np.float32), "scales"))
        name = "larger"
    if cells > 1:
        nodes.append(helper.make_node("AveragePool", [name], ["cells"], kernel_shape=[cells] * 2, strides=[cells] * 2))
        name = "cells"
    ports = [_make_port("picture", ""), _make_port(name, "_out")]
    inner = helper.make_graph(nodes, "resize", ports[:1], ports[1:], values)
    return helper.make_model(inner, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def _make_port(name: str, which: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, f"height{which}", f"width{which}"])


def _rename(model: ModelProto, names: dict[str, str]) -> None:
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
