"""A model's ONNX file with its conversions in the graph, for runtimes that read ONNX: BGRA uint8 in, BGRA uint8 out.

Shapes are fixed, and the types are meant: TensorRT-RTX takes a network as "strongly typed", so it computes in fp16
exactly where the graph says so. Only the input and the output are uint8, each with its cast beside it, because TensorRT
has that type for nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from live_sr.errors import ModelError
from live_sr.frame import Size
from live_sr.models import zoo
from live_sr.models.card import ModelCard

INPUT, OUTPUT = "frame", "picture"

TYPES = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16}
OLDEST, OPSET = 13, 17  # operators of an older set than the first are converted to the second
ALWAYS_FLOAT = {"Resize": 2, "Upsample": 1}  # which input (its scales) is fp32 whatever the picture is in
PREFIX = "network/"  # before all names of the model's own
ONE_PICTURE = "use a model whose input is RGB float (1, 3, H, W) of any height and width"


def framed(card: ModelCard, size: Size, precision: str) -> bytes:
    """The model of `card` as a serialised ONNX model for frames of `size` pixels; `precision` is fp16 or fp32.

    Input "frame": BGRA uint8 (1, H, W, 4). Output "picture": BGRA uint8 (1, H * scale, W * scale, 4), rounded half to
    even, alpha 255. The edge is repeated to the right and below up to a multiple of `card.multiple`, and what became of
    that cut off. All weights and activations are of that precision. Raises ModelError.
    """
    zoo.verify(card)
    room = _padded(size, card.multiple)
    model = _network(card, room)
    graph = model.graph
    try:
        _set_type(graph, TYPES[precision])
    except OverflowError as error:
        raise ModelError(f"{card.onnx} cannot compute in {precision}: {error}", 'use precision = "fp32"') from None
    inside, outside = graph.input[0].name, graph.output[0].name
    before = list(_before(inside, size, room, TYPES[precision]))
    after = list(_after(outside, size.times(card.scale), TYPES[precision], crop=room != size))
    nodes = [*before, *graph.node, *after]
    for field in (graph.node, graph.input, graph.output, graph.value_info):
        del field[:]
    graph.node.extend(nodes)
    graph.input.append(_pixels(INPUT, size))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.UINT8, [1, None, None, 4]))
    graph.initializer.extend(_constants(size, room, card.scale, TYPES[precision]))
    _check(model, card, outside, room, precision)
    graph.output[0].CopyFrom(_pixels(OUTPUT, size.times(card.scale)))
    return bytes(model.SerializeToString())


def _network(card: ModelCard, room: Size) -> ModelProto:
    """The model in the file, its names prefixed and its shape that of `room`. Raises ModelError."""
    try:
        model = onnx.load(card.onnx)
        there = {opset.domain: opset.version for opset in model.opset_import}
        if there.get("", there.get("ai.onnx", 0)) < OLDEST:
            model = onnx.version_converter.convert_version(model, OPSET)
        model = onnx.compose.add_prefix(model, PREFIX)
    except Exception as error:  # onnx has no base class of its own; protobuf's errors come through it too
        raise ModelError(
            f"{card.onnx} is not a model that ONNX can read: {_last_line(error)}", "use another model or engine"
        ) from error
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    what = _not_a_picture(inputs, list(graph.output), room)
    if what:
        raise ModelError(f"{card.onnx} cannot enlarge pictures: {what}", ONE_PICTURE)
    del graph.input[:]
    graph.input.extend(inputs)
    return model


def _not_a_picture(inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], room: Size) -> str:
    """Why this is no network from one RGB picture of that size to one, or an empty string."""
    if len(inputs) != 1 or len(outputs) != 1:
        return f"it has {len(inputs)} inputs and {len(outputs)} outputs"
    for side, value in (("input", inputs[0]), ("output", outputs[0])):
        kind = value.type.tensor_type.elem_type
        if kind != TensorProto.FLOAT:
            return f"its {side} is {TensorProto.DataType.Name(kind).lower()}, not float"
    dims = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]  # 0 where it is free
    if len(dims) != 4 or any(dim not in (0, want) for dim, want in zip(dims, (1, 3), strict=False)):
        return f"its input is {dims}"
    if any(dim not in (0, want) for dim, want in zip(dims[2:], (room.height, room.width), strict=True)):
        return f"its input is {dims} and frames of {room} are needed"
    return ""


def _before(inside: str, size: Size, room: Size, kind: int) -> Iterator[NodeProto]:
    """From the frame to what the network reads."""
    yield helper.make_node("Cast", [INPUT], ["levels"], to=kind)
    yield helper.make_node("Transpose", ["levels"], ["planes"], perm=[0, 3, 1, 2])
    yield helper.make_node("Gather", ["planes", "swapped"], ["rgb"], axis=1)  # leaves alpha behind
    yield helper.make_node("Mul", ["rgb", "a level"], ["unpadded" if room != size else inside])
    if room != size:
        yield helper.make_node("Pad", ["unpadded", "edges"], [inside], mode="edge")


def _after(outside: str, large: Size, kind: int, *, crop: bool) -> Iterator[NodeProto]:
    """From what the network says to the picture."""
    if crop:
        yield helper.make_node("Slice", [outside, "corner", "far corner", "sides"], ["cropped"])
    yield helper.make_node("Gather", ["cropped" if crop else outside, "swapped"], ["bgr"], axis=1)
    yield helper.make_node("Mul", ["bgr", "levels in all"], ["unclamped"])
    yield helper.make_node("Clip", ["unclamped", "black", "levels in all"], ["clamped"])
    yield helper.make_node("Round", ["clamped"], ["rounded"])  # half to even
    yield helper.make_node("Transpose", ["rounded"], ["opaque"], perm=[0, 2, 3, 1])
    yield helper.make_node("Pad", ["opaque", "a channel", "levels in all"], ["whole"], mode="constant")
    yield helper.make_node("Cast", ["whole"], [OUTPUT], to=TensorProto.UINT8)


def _constants(size: Size, room: Size, scale: int, kind: int) -> Iterator[TensorProto]:
    def whole(name: str, *values: int) -> TensorProto:
        return numpy_helper.from_array(np.array(values, np.int64), name)

    def level(name: str, value: float) -> TensorProto:
        return numpy_helper.from_array(np.array(value, helper.tensor_dtype_to_np_dtype(kind)), name)

    yield whole("swapped", 2, 1, 0)
    yield whole("a channel", 0, 0, 0, 0, 0, 0, 0, 1)
    yield level("a level", 1 / 255)
    yield level("levels in all", 255)
    yield level("black", 0)
    if room != size:
        large = size.times(scale)
        yield whole("edges", 0, 0, 0, 0, 0, 0, room.height - size.height, room.width - size.width)
        yield whole("corner", 0, 0)
        yield whole("far corner", large.height, large.width)
        yield whole("sides", 2, 3)


def _set_type(graph: GraphProto, kind: int) -> None:
    """Make every weight, and every activation, of one floating-point type. Raises OverflowError.

    A weight that is kept in a smaller type and cast where it is used becomes one of the type it is used in.
    """
    weights = {tensor.name for tensor in graph.initializer if tensor.data_type in TYPES.values()}
    same = {node.output[0]: node.input[0] for node in graph.node if _cast_to(node) and node.input[0] in weights}
    nodes = [node for node in graph.node if node.output[0] not in same]
    for node in nodes:
        node.input[:] = [same.get(name, name) for name in node.input]
    places = [(node, ALWAYS_FLOAT.get(node.op_type, len(node.input))) for node in nodes]
    scales = {node.input[place] for node, place in places if place < len(node.input)}
    for node in nodes:
        if node.output[0] not in scales:
            _set_node_type(node, kind)
    for tensor in graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(_cast(tensor, TensorProto.FLOAT if tensor.name in scales else kind))
    del graph.node[:]
    graph.node.extend(nodes)


def _set_node_type(node: NodeProto, kind: int) -> None:
    """The type of what a node makes out of nothing or says that it casts to. Raises OverflowError."""
    cast = _cast_to(node)
    if cast is not None:
        cast.i = kind
    if node.op_type == "ConstantOfShape" and not node.attribute:
        node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.zeros(1, np.float32))))
    for attribute in node.attribute if node.op_type in ("Constant", "ConstantOfShape") else ():
        if attribute.name in ("value_float", "value_floats"):
            values = np.array(helper.get_attribute_value(attribute), np.float32)
            attribute.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(values)))
        if attribute.type == AttributeProto.TENSOR and attribute.t.data_type in TYPES.values():
            attribute.t.CopyFrom(_cast(attribute.t, kind))


def _cast_to(node: NodeProto) -> AttributeProto | None:
    """Where a Cast to floating point says to which; None of any other node."""
    to = [attribute for attribute in node.attribute if node.op_type == "Cast" and attribute.name == "to"]
    return to[0] if to and to[0].i in TYPES.values() else None


def _cast(tensor: TensorProto, kind: int) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        cast = values.astype(helper.tensor_dtype_to_np_dtype(kind))
    if (np.isfinite(values) & ~np.isfinite(cast)).any():
        name = tensor.name.removeprefix(PREFIX)
        raise OverflowError(f"{name or 'a constant'} is as large as {np.abs(values).max():.3g}")
    return numpy_helper.from_array(cast, tensor.name)


def _check(model: ModelProto, card: ModelCard, outside: str, room: Size, precision: str) -> None:
    """That types and shapes agree all through the graph, and that it enlarges as its card says. Raises ModelError.

    What ONNX cannot tell of a graph that computes its own sizes, as exported networks with windows do, is let be: the
    runtime is given the size of what comes out.
    """
    try:
        onnx.checker.check_model(model)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(
            f"{card.onnx} cannot take frames of {room} in {precision}: {_last_line(error)}",
            "use another model, precision or engine",
        ) from error
    made = [value for value in inferred.graph.value_info if value.name == outside]
    dims = [dim.dim_value for value in made for dim in value.type.tensor_type.shape.dim]
    wanted = (1, 3, room.height * card.scale, room.width * card.scale)
    if len(dims) not in (0, 4) or any(dim not in (0, want) for dim, want in zip(dims, wanted, strict=False)):
        raise ModelError(
            f"{card.onnx} makes {dims} of [1, 3, {room.height}, {room.width}], which is not x{card.scale}",
            "choose the scale it was made for, or correct its card",
        )


def _pixels(name: str, size: Size) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.UINT8, [1, size.height, size.width, 4])


def _padded(size: Size, multiple: int) -> Size:
    """The least size not below `size` with both sides multiples of `multiple`."""
    return Size(-(-size.width // multiple) * multiple, -(-size.height // multiple) * multiple)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
