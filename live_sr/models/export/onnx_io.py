"""Adds the pixel conversions to a model's ONNX graph: BGRA uint8 in, BGRA uint8 out.

Types are fixed: TensorRT for RTX treats a network as "strongly typed" and computes in fp16 exactly where the graph says
so. Only the input and the output are uint8, each with its cast beside it, because TensorRT has that type for nothing
else. A network trained here is written anew by `onnx_cellnet`; any other keeps its graph and gets nodes around it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from live_sr.errors import ModelError
from live_sr.models import cellnet_weights, zoo
from live_sr.models.card import ModelCard
from live_sr.models.export import cellnet_reader, onnx_cellnet, quantization
from live_sr.models.export.onnx_cellnet import cast_tensor, make_pixels_info, write_prelu
from live_sr.models.export.precisions import QUANTIZED
from live_sr.pipeline.frame import Size

INPUT, OUTPUT = onnx_cellnet.INPUT, onnx_cellnet.OUTPUT

TYPES = {"fp32": TensorProto.FLOAT, **dict.fromkeys(("fp16", *QUANTIZED), TensorProto.FLOAT16)}  # outside the rounding
OLDEST, OPSET = 13, 17  # operators of an older set than the first are converted to the second
ALWAYS_FLOAT = {"Resize": 2, "Upsample": 1}  # which input (its scales) is fp32 whatever the picture is in
PREFIX = "network/"  # of all the model's own names
ONE_PICTURE = "use a model whose input is RGB float (1, 3, H, W) of any height and width"


def wrap_onnx_io(card: ModelCard, size: Size, precision: str, *, dynamic: bool = False) -> bytes:
    """The model of `card` as a serialised ONNX model for frames of `size` pixels, in one of `precisions.PRECISIONS`.

    Input "frame": BGRA uint8 (1, H, W, 4). Output "picture": BGRA uint8 (1, H * scale, W * scale, 4), rounded half to
    even, alpha 255. The edge is repeated to the right and below up to a multiple of the network's, and the result
    cropped. All weights and activations have that precision. In int8 and fp8 the first and the last layer and what is
    outside of convolutions are fp16; only networks whose ranges were measured can be had in these.

    With `dynamic`, height and width are free and `size` is not used. Then both must be multiples of
    `get_multiple(card)`: who runs the graph repeats the edge and crops the result. Raises ModelError.
    """
    zoo.verify(card)
    room = None if dynamic else size.round_up(card.multiple)
    model = _load_network(card, room)
    network = cellnet_reader.read_cellnet(model)
    kind, stored = TYPES[precision], _find_quantization(card, precision)
    try:
        if network is not None and network.scale == card.scale:
            model = onnx_cellnet.build_graph(network, None if dynamic else size, kind, stored)
            _check(model, card, precision)
        else:
            _wrap_network(model, card, None if dynamic else size, precision)
    except OverflowError as error:
        what = str(error).removeprefix(PREFIX)
        raise ModelError(f"{card.onnx} cannot compute in {precision}: {what}", 'use precision = "fp32"') from None
    return bytes(model.SerializeToString())


def _find_quantization(card: ModelCard, precision: str) -> quantization.Quantization | None:
    """None for another precision than int8 and fp8. Raises ModelError for a network whose ranges are not known."""
    if precision not in QUANTIZED:
        return None
    found = quantization.find_quantization(card.onnx, precision)
    if found is None:
        what = f"{card.label} cannot be computed in {precision}: the ranges of its layers were not measured"
        raise ModelError(what, 'use precision = "fp16", or a network that comes with live-sr')
    return found


def _wrap_network(model: ModelProto, card: ModelCard, size: Size | None, precision: str) -> None:
    """Puts nodes around the network, in place. Raises ModelError or OverflowError."""
    room = size.round_up(card.multiple) if size else None
    large = size.times(card.scale) if size else None
    graph, kind = model.graph, TYPES[precision]
    _set_type(graph, kind)
    _rewrite_activations(graph)
    inside, outside = graph.input[0].name, graph.output[0].name
    before = list(_make_input_nodes(inside, kind, pad=room != size))
    after = list(_make_output_nodes(outside, crop=room != size))
    nodes = [*before, *graph.node, *after]
    for field in (graph.node, graph.input, graph.output, graph.value_info):
        del field[:]
    graph.node.extend(nodes)
    graph.input.append(make_pixels_info(INPUT, size))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.UINT8, [1, None, None, 4]))
    graph.initializer.extend(_make_constants(size, room, card.scale, kind))
    inferred = _check(model, card, precision)
    _check_scale(inferred, card, outside, room)
    graph.output[0].CopyFrom(make_pixels_info(OUTPUT, large))


def _load_network(card: ModelCard, room: Size | None) -> ModelProto:
    """The model in the file, with prefixed names, checked to take a picture of `room`; None: of any size.

    Raises ModelError.
    """
    try:
        model = onnx.load(card.onnx)
        there = {opset.domain: opset.version for opset in model.opset_import}
        if there.get("", there.get("ai.onnx", 0)) < OLDEST:
            model = onnx.version_converter.convert_version(model, OPSET)
        model = onnx.compose.add_prefix(model, PREFIX)
    except Exception as error:  # onnx has no base class of its own; protobuf's errors come through it too
        raise ModelError(
            f"{card.onnx} is not a model that ONNX can read: {_get_last_line(error)}", "use another model or engine"
        ) from error
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    what = _explain_unsuitable(inputs, list(graph.output), room)
    if what:
        raise ModelError(f"{card.onnx} cannot enlarge pictures: {what}", ONE_PICTURE)
    del graph.input[:]
    graph.input.extend(inputs)
    return model


def _explain_unsuitable(
    inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], room: Size | None
) -> str:
    """Why this network does not map one RGB picture of that size to one picture, or an empty string."""
    if len(inputs) != 1 or len(outputs) != 1:
        return f"it has {len(inputs)} inputs and {len(outputs)} outputs"
    for side, value in (("input", inputs[0]), ("output", outputs[0])):
        kind = value.type.tensor_type.elem_type
        if kind not in TYPES.values():
            return f"its {side} is {TensorProto.DataType.Name(kind).lower()}, not float or float16"
    dims = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]  # 0 where it is free
    if len(dims) != 4 or any(dim not in (0, want) for dim, want in zip(dims, (1, 3), strict=False)):
        return f"its input is {dims}"
    if room is None:
        return f"its input is {dims}, which is not free" if any(dims[2:]) else ""
    if any(dim not in (0, want) for dim, want in zip(dims[2:], (room.height, room.width), strict=True)):
        return f"its input is {dims} and frames of {room} are needed"
    return ""


def _make_input_nodes(inside: str, kind: int, *, pad: bool) -> Iterator[NodeProto]:
    """The nodes from the frame to the input of the network."""
    yield helper.make_node("Cast", [INPUT], ["levels"], to=kind)
    yield helper.make_node("Transpose", ["levels"], ["planes"], perm=[0, 3, 1, 2])
    yield helper.make_node("Gather", ["planes", "swapped"], ["rgb"], axis=1)  # leaves alpha behind
    yield helper.make_node("Mul", ["rgb", "a level"], ["unpadded" if pad else inside])
    if pad:
        yield helper.make_node("Pad", ["unpadded", "edges"], [inside], mode="edge")


def _make_output_nodes(outside: str, *, crop: bool) -> Iterator[NodeProto]:
    """From what the network says to the picture."""
    if crop:
        yield helper.make_node("Slice", [outside, "corner", "far corner", "sides"], ["cropped"])
    yield helper.make_node("Mul", ["cropped" if crop else outside, "levels in all"], ["unclamped"])
    yield helper.make_node("Clip", ["unclamped", "black", "levels in all"], ["clamped"])
    yield helper.make_node("Round", ["clamped"], ["rounded"])  # half to even
    yield helper.make_node("Gather", ["rounded", "swapped"], ["bgr"], axis=1)
    # Before the transposition, Pad needs no kernel of its own
    yield helper.make_node("Pad", ["bgr", "a channel", "levels in all"], ["opaque"], mode="constant")
    yield helper.make_node("Transpose", ["opaque"], ["whole"], perm=[0, 2, 3, 1])
    yield helper.make_node("Cast", ["whole"], [OUTPUT], to=TensorProto.UINT8)


def _make_constants(size: Size | None, room: Size | None, scale: int, kind: int) -> Iterator[TensorProto]:
    def whole(name: str, *values: int) -> TensorProto:
        return numpy_helper.from_array(np.array(values, np.int64), name)

    def level(name: str, value: float) -> TensorProto:
        return numpy_helper.from_array(np.array(value, helper.tensor_dtype_to_np_dtype(kind)), name)

    yield whole("swapped", 2, 1, 0)
    yield whole("a channel", 0, 0, 0, 0, 0, 1, 0, 0)
    yield level("a level", 1 / 255)
    yield level("levels in all", 255)
    yield level("black", 0)
    if size and room and room != size:
        large = size.times(scale)
        yield whole("edges", 0, 0, 0, 0, 0, 0, room.height - size.height, room.width - size.width)
        yield whole("corner", 0, 0)
        yield whole("far corner", large.height, large.width)
        yield whole("sides", 2, 3)


def _rewrite_activations(graph: GraphProto) -> None:
    """Writes PReLU in a form that the compiler fuses, unless its slope is computed."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        slope = constants.get(node.input[1]) if node.op_type == "PRelu" else None
        if slope is None:
            nodes.append(node)
            continue
        written, constant = write_prelu(node.input[0], slope, node.output[0])
        nodes += written
        if constant is not slope:
            graph.initializer.append(constant)
    del graph.node[:]
    graph.node.extend(nodes)


def _set_type(graph: GraphProto, kind: int) -> None:
    """Gives every weight and every activation one floating-point type. Raises OverflowError.

    A weight that is stored in a smaller type and cast where it is used is stored in the new type, without the cast.
    """
    weights = {tensor.name for tensor in graph.initializer if tensor.data_type in TYPES.values()}
    same = {node.output[0]: node.input[0] for node in graph.node if _find_cast_type(node) and node.input[0] in weights}
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
            tensor.CopyFrom(cast_tensor(tensor, TensorProto.FLOAT if tensor.name in scales else kind))
    del graph.node[:]
    graph.node.extend(nodes)


def _set_node_type(node: NodeProto, kind: int) -> None:
    """Changes the type of a constant or a cast. Raises OverflowError."""
    cast = _find_cast_type(node)
    if cast is not None:
        cast.i = kind
    if node.op_type == "ConstantOfShape" and not node.attribute:
        node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.zeros(1, np.float32))))
    for attribute in node.attribute if node.op_type in ("Constant", "ConstantOfShape") else ():
        if attribute.name in ("value_float", "value_floats"):
            values = np.array(helper.get_attribute_value(attribute), np.float32)
            attribute.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(values)))
        if attribute.type == AttributeProto.TENSOR and attribute.t.data_type in TYPES.values():
            attribute.t.CopyFrom(cast_tensor(attribute.t, kind))


def _find_cast_type(node: NodeProto) -> AttributeProto | None:
    """The attribute with the target type of a Cast to floating point; None for any other node."""
    to = [attribute for attribute in node.attribute if node.op_type == "Cast" and attribute.name == "to"]
    return to[0] if to and to[0].i in TYPES.values() else None


def _check(model: ModelProto, card: ModelCard, precision: str) -> ModelProto:
    """Checks types and shapes all through the graph; the model with all shapes that are known. Raises ModelError."""
    try:
        onnx.checker.check_model(model)
        return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        shape = [dim.dim_value or "any" for dim in model.graph.input[0].type.tensor_type.shape.dim[1:3]]
        raise ModelError(
            f"{card.onnx} cannot take frames of {shape[1]}x{shape[0]} in {precision}: {_get_last_line(error)}",
            "use another model, precision or engine",
        ) from error


def _check_scale(inferred: ModelProto, card: ModelCard, outside: str, room: Size | None) -> None:
    """Checks that the network enlarges as its card says. Raises ModelError.

    ONNX cannot infer the output size of a graph that computes its own sizes, as exported networks with windows do, or
    one of free size. Such a graph passes, and the runtime is told the size.
    """
    made = [value for value in inferred.graph.value_info if value.name == outside]
    dims = [dim.dim_value for value in made for dim in value.type.tensor_type.shape.dim]
    sides = (room.height, room.width) if room else (0, 0)
    wanted = (1, 3, *(side * card.scale for side in sides))
    if len(dims) not in (0, 4) or any(dim not in (0, want) for dim, want in zip(dims, wanted, strict=False)):
        raise ModelError(
            f"{card.onnx} makes {dims} of {[1, 3, *sides]}, which is not x{card.scale}",
            "choose the scale it was made for, or correct its card",
        )


def get_multiple(card: ModelCard) -> int:
    """The number of pixels that a dynamic graph's height and width must be multiples of. Raises ModelError."""
    network = cellnet_reader.read_cellnet(_load_network(card, None))
    return card.multiple if network is None else math.lcm(card.multiple, cellnet_weights.CELL)


def _get_last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
