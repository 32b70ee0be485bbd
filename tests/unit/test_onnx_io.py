"""The ONNX graph with its conversions says what the CPU engine says, in the types that it promises."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from live_sr.engines.openvino.engine import OpenVINOEngine
from live_sr.errors import ModelError
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.export import cellnet_reader
from live_sr.models.export.onnx_io import INPUT, OUTPUT, get_multiple, wrap_onnx_io
from live_sr.models.export.quantization import encode_fp8
from live_sr.pipeline.frame import Frame, Pixels, Size, make_black

SHIPPED = {card.label: card for card in zoo.list_cards()}
SIZES = [Size(64, 48), Size(37, 23), Size(1, 1), Size(2, 9)]
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}


def noise(size: Size) -> Pixels:
    pixels = make_black(size)
    pixels[..., :3] = np.random.default_rng(1).integers(0, 256, (size.height, size.width, 3))
    return pixels


def enlarged(graph: bytes, pixels: Pixels) -> Pixels:
    """By ONNX Runtime on the CPU, which computes fp16 in fp32 and rounds to fp16 between the nodes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    (picture,) = session.run([OUTPUT], {INPUT: pixels[np.newaxis]})
    done: Pixels = picture[0]
    return done


def by_openvino(card: ModelCard, pixels: Pixels) -> Pixels:
    engine = OpenVINOEngine(card, precision="fp32", threads=1)
    done = engine.upscale(Frame(pixels))
    engine.close()
    assert done is not None
    return done.pixels


@pytest.mark.parametrize("label", SHIPPED)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_shipped_model_says_what_the_cpu_engine_says(label: str, size: Size) -> None:
    card, pixels = SHIPPED[label], noise(size)
    reference = by_openvino(card, pixels).astype(int)
    for precision, differing in (("fp32", 0.02), ("fp16", 0.3)):
        done = enlarged(wrap_onnx_io(card, size, precision), pixels)
        assert done.shape == reference.shape
        difference = np.abs(done - reference)
        assert difference.max() <= 1, precision
        assert (difference > 0).mean() < differing, precision
        assert (done[..., 3] == 255).all()


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("label", ["fast x2", "quality x4"])
def test_the_graph_computes_in_one_type_and_uint8_is_only_at_its_ends(label: str, precision: str) -> None:
    model = onnx.load_model_from_string(wrap_onnx_io(SHIPPED[label], Size(37, 23), precision))
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    wanted = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT
    kinds = {value.type.tensor_type.elem_type for value in inferred.value_info}
    kinds |= {tensor.data_type for tensor in inferred.initializer}
    assert kinds & FLOATS == {wanted}
    assert TensorProto.UINT8 not in kinds
    casts = [node for node in inferred.node if node.op_type == "Cast"]
    assert len(casts) == 2
    assert casts[0].input[0] == INPUT and casts[1].output[0] == OUTPUT
    shapes = [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in inferred.value_info]
    assert all(all(shape) for shape in shapes), "every shape is fixed"


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("size", [Size(487, 273), Size(96, 64), Size(5, 8)], ids=str)
@pytest.mark.parametrize("label", ["turbo x4", "fast x2", "quality x2"])
def test_a_network_written_anew_says_what_its_own_graph_says(
    label: str, size: Size, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, pixels = SHIPPED[label], noise(size)
    anew = wrap_onnx_io(card, size, precision)
    assert b"SpaceToDepth" in anew and b"PRelu" not in anew
    monkeypatch.setattr(cellnet_reader, "read_cellnet", lambda model: None)
    own = wrap_onnx_io(card, size, precision)
    assert b"network/conv0" in own and b"network/conv0" not in anew
    difference = np.abs(enlarged(anew, pixels).astype(int) - enlarged(own, pixels))
    assert difference.max() <= 1
    assert (difference > 0).mean() < (0.3 if precision == "fp16" else 0.01)


def changed(folder: Path, label: str, change: Callable[[onnx.ModelProto], None]) -> ModelCard:
    """A copy of a shipped network with something changed in its file."""
    model = onnx.load(SHIPPED[label].onnx)
    change(model)
    path = folder / "changed-x2.onnx"
    onnx.save(model, path)
    return ModelCard("changed", 2, path, multiple=2)


def steepen(model: onnx.ModelProto) -> None:
    """Slopes from -2 to 3: above 1, PReLU is not the larger of x and slope * x."""
    for tensor in model.graph.initializer:
        if tensor.name.startswith("slope"):
            slopes = np.linspace(-2, 3, tensor.dims[0], dtype=np.float16).reshape(-1, 1, 1)
            tensor.CopyFrom(numpy_helper.from_array(slopes, tensor.name))


def mirror(model: onnx.ModelProto) -> None:
    """Pads with the mirrored edge."""
    model.graph.node[0].attribute[0].s = b"reflect"


def stretch(model: onnx.ModelProto) -> None:
    """Shuffles in another order."""
    next(attribute for attribute in model.graph.node[-1].attribute if attribute.name == "mode").s = b"DCR"


def skip_one(model: onnx.ModelProto) -> None:
    """The last layer sees the features of another layer."""
    node = next(node for node in model.graph.node if node.op_type == "Concat")
    node.input[0] = "features1"


CHANGES = [(steepen, True), (mirror, False), (stretch, False), (skip_one, False)]


@pytest.mark.parametrize(("change", "ours"), CHANGES, ids=[change.__name__ for change, _ in CHANGES])
def test_a_network_that_looks_like_ours_is_computed_as_its_file_says(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], ours: bool
) -> None:
    card, size = changed(tmp_path, "fast x2", change), Size(36, 22)
    pixels = noise(size)
    graph = wrap_onnx_io(card, size, "fp32")
    assert (b"network/" not in graph) == ours
    assert np.abs(enlarged(graph, pixels).astype(int) - by_openvino(card, pixels)).max() <= 1


def test_a_dynamic_graph_takes_frames_of_every_size(tmp_path: Path) -> None:
    """Of every size that is a multiple; the pictures are those of a graph for that size."""
    for card, multiple in ((SHIPPED["fast x2"], 2), (SHIPPED["quality x4"], 2), (shuffled(tmp_path), 4)):
        assert get_multiple(card) == multiple
        dynamic = wrap_onnx_io(card, Size(1, 1), "fp16", dynamic=True)
        for size in (Size(8, 4), Size(40, 64), Size(132, 28)):
            pixels = noise(size)
            fixed = enlarged(wrap_onnx_io(card, size, "fp16"), pixels)
            assert fixed.shape == (size.height * card.scale, size.width * card.scale, 4)
            assert (enlarged(dynamic, pixels) == fixed).all()


def test_a_network_without_a_card_takes_an_odd_size(tmp_path: Path) -> None:
    """Nothing says that it works on cells of two pixels, but its graph."""
    bare = dataclasses.replace(SHIPPED["fast x2"], multiple=1)
    assert get_multiple(bare) == 2
    pixels = noise(Size(15, 9))
    assert np.array_equal(
        enlarged(wrap_onnx_io(bare, Size(15, 9), "fp32"), pixels),
        enlarged(wrap_onnx_io(SHIPPED["fast x2"], Size(15, 9), "fp32"), pixels),
    )


def a_model(
    folder: Path, nodes: list[onnx.NodeProto], *, weights: dict[str, np.ndarray] | None = None, opset: int = 17,
    shape: tuple[int | str, ...] = (1, 3, "h", "w"), inputs: int = 1, kind: int = TensorProto.FLOAT, multiple: int = 1,
) -> ModelCard:  # fmt: skip
    """A network from "x" to "y" in a file, said to make pictures twice as large."""
    graph = helper.make_graph(
        nodes,
        "a model",
        [helper.make_tensor_value_info("x" * (i + 1), kind, shape) for i in range(inputs)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(values, name) for name, values in (weights or {}).items()],
    )
    path = folder / "own-x2.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return ModelCard("own", 2, path, multiple=multiple)


def resize(folder: Path, **options: object) -> ModelCard:
    """Repeats every pixel: its scales are fp32 whatever the picture is in."""
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest", nearest_mode="floor",
                            coordinate_transformation_mode="asymmetric")  # fmt: skip
    return a_model(folder, [node], weights={"scales": np.array([1, 1, 2, 2], np.float32)}, **options)  # type: ignore[arg-type]


def resize_in_half_precision(folder: Path) -> ModelCard:
    return resize(folder, kind=TensorProto.FLOAT16)


def upsample(folder: Path) -> ModelCard:
    node = helper.make_node("Upsample", ["x", "scales"], ["y"], mode="nearest")
    return a_model(folder, [node], weights={"scales": np.array([1, 1, 2, 2], np.float32)}, opset=9)


def shuffled(folder: Path) -> ModelCard:
    """The same, with a Constant for its weights and a shuffle."""
    weights = np.zeros((12, 3, 1, 1), np.float32)
    for colour in range(3):
        weights[colour * 4 : colour * 4 + 4, colour] = 1
    nodes = [
        helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weights)),
        helper.make_node("Constant", [], ["none"], value_float=0.0),
        helper.make_node("Conv", ["x", "w"], ["planes"]),
        helper.make_node("Add", ["planes", "none"], ["more"]),
        helper.make_node("DepthToSpace", ["more"], ["y"], blocksize=2, mode="CRD"),
    ]
    return a_model(folder, nodes, multiple=4)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("kind", [resize, resize_in_half_precision, upsample, shuffled])
def test_models_of_others_repeat_pixels_exactly(
    tmp_path: Path, kind: Callable[[Path], ModelCard], precision: str
) -> None:
    pixels = noise(Size(7, 5))
    done = enlarged(wrap_onnx_io(kind(tmp_path), Size(7, 5), precision), pixels)
    assert (done == pixels.repeat(2, 0).repeat(2, 1)).all()


def constants(folder: Path) -> ModelCard:
    """Too large for fp16."""
    nodes = [helper.make_node("Mul", ["x", "huge"], ["more"]), *_grown("more")]
    return a_model(folder, nodes, weights={"huge": np.array(1e6, np.float32), **SCALES})


def three_times(folder: Path) -> ModelCard:
    return a_model(folder, _grown("x"), weights={"scales": np.array([1, 1, 3, 3], np.float32)})


def nonsense(folder: Path) -> ModelCard:
    (folder / "own-x2.onnx").write_bytes(b"\x12\x04abc")
    return ModelCard("own", 2, folder / "own-x2.onnx")


def quantised(folder: Path) -> ModelCard:
    """What it says of types does not survive a change of them."""
    nodes = [helper.make_node("Range", ["x0", "x1", "x1"], ["r"]), helper.make_node("Add", ["x", "r"], ["z"])]
    weights = {"x0": np.array(0, np.float32), "x1": np.array(1, np.float32), **SCALES}
    return a_model(folder, [*nodes, *_grown("z")], weights=weights)


SCALES = {"scales": np.array([1, 1, 2, 2], np.float32)}


def _grown(name: str) -> list[onnx.NodeProto]:
    return [helper.make_node("Resize", [name, "", "scales"], ["y"], mode="nearest")]


TROUBLES = [
    (lambda folder: ModelCard("own", 2, folder / "none.onnx"), "fp32", "is missing"),
    (nonsense, "fp32", "cannot be used"),
    (constants, "fp16", "cannot compute in fp16: huge is as large as 1e+06"),
    (three_times, "fp32", "which is not x2"),
    (lambda folder: resize(folder, inputs=2), "fp32", "2 inputs"),
    (lambda folder: resize(folder, shape=(1, 1, "h", "w")), "fp32", "its input is [1, 1, 0, 0]"),
    (lambda folder: resize(folder, shape=(1, 3, 64, 64)), "fp32", "frames of 7x5 are needed"),
    (lambda folder: resize(folder, kind=TensorProto.DOUBLE), "fp32", "its input is double, not float or float16"),
    (quantised, "fp16", "cannot take frames of 7x5 in fp16"),
    (lambda folder: changed(folder, "fast x4", lambda model: None), "fp16", "which is not x2"),
]


@pytest.mark.parametrize(("precision", "kind"), [("int8", TensorProto.INT8), ("fp8", TensorProto.FLOAT8E4M3FN)])
@pytest.mark.parametrize("label", SHIPPED)
def test_every_shipped_network_has_a_graph_with_fewer_bits_in_the_middle(label: str, precision: str, kind: int) -> None:
    card, size = SHIPPED[label], Size(20, 12)
    model = onnx.load_model_from_string(wrap_onnx_io(card, size, precision))
    made_by = {node.output[0]: node for node in model.graph.node}
    stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    for number, convolution in enumerate(convolutions):
        sources = [made_by.get(name) for name in convolution.input[:2]]
        middle = 0 < number < len(convolutions) - 1
        assert [source is not None and source.op_type == "DequantizeLinear" for source in sources] == [middle] * 2 or (
            not middle and sources[1] is None
        )
        if middle:
            assert stored[sources[1].input[0]] == stored[sources[0].input[2]] == kind  # type: ignore[union-attr]
        else:
            assert stored[convolution.input[1]] == TensorProto.FLOAT16


@pytest.mark.parametrize("precision", ["int8", "fp8"])
@pytest.mark.parametrize("label", ["turbo x2", "fast x4"])
def test_fewer_bits_change_a_picture_a_little(label: str, precision: str) -> None:
    """A soft picture, as noise is nothing that the ranges were measured for."""
    card, size = SHIPPED[label], Size(60, 40)
    rows, columns = np.mgrid[: size.height, : size.width]
    pixels = make_black(size)
    for colour in range(3):
        pixels[..., colour] = 127 + 100 * np.sin(rows / (5 + colour)) * np.cos(columns / (9 - colour))
    whole = enlarged(wrap_onnx_io(card, size, "fp16"), pixels).astype(int)
    fewer = enlarged(wrap_onnx_io(card, size, precision), pixels).astype(int)
    dynamic = enlarged(wrap_onnx_io(card, size, precision, dynamic=True), pixels)
    assert 0 < np.abs(fewer - whole).mean() < 1
    assert (dynamic == fewer).all()


@pytest.mark.parametrize("make", [resize, lambda folder: changed(folder, "fast x2", steepen)], ids=["other", "ours"])
def test_a_network_whose_ranges_are_not_known_has_no_int8(tmp_path: Path, make: Callable[[Path], ModelCard]) -> None:
    with pytest.raises(ModelError, match="were not measured") as told:
        wrap_onnx_io(make(tmp_path), Size(8, 8), "int8")
    assert "fp16" in told.value.remedy


def test_numbers_are_rounded_to_fp8_as_onnx_does() -> None:
    random = np.random.default_rng(1)
    values = (random.normal(size=4000) * 10.0 ** random.integers(-4, 3, 4000)).clip(-448, 448).astype(np.float32)
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E4M3FN)
    ports = [
        helper.make_tensor_value_info(name, kind, [4000])
        for name, kind in (("x", TensorProto.FLOAT), ("y", TensorProto.FLOAT))
    ]
    back = helper.make_node("Cast", ["y8"], ["y"], to=TensorProto.FLOAT)
    node.output[0] = "y8"
    graph = helper.make_graph([node, back], "to fp8", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    stored = helper.make_tensor("codes", TensorProto.FLOAT8E4M3FN, [4000], encode_fp8(values).tobytes(), raw=True)
    node = helper.make_node("Cast", ["codes"], ["y"], to=TensorProto.FLOAT)
    graph = helper.make_graph([node], "from fp8", [], ports[1:], [stored])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    ours = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {})[0]
    assert np.array_equal(ours, session.run(None, {"x": values})[0])


def test_a_network_for_one_size_cannot_be_dynamic(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="which is not free"):
        wrap_onnx_io(resize(tmp_path, shape=(1, 3, 64, 64)), Size(64, 64), "fp16", dynamic=True)


def activated(folder: Path, slopes: list[float]) -> ModelCard:
    nodes = [
        helper.make_node("Sub", ["x", "half"], ["signed"]),
        helper.make_node("PRelu", ["signed", "slopes"], ["bent"]),
        helper.make_node("Add", ["bent", "half"], ["more"]),
        *_grown("more"),
    ]
    weights = {"half": np.array(0.5, np.float32), "slopes": np.array(slopes, np.float32).reshape(3, 1, 1), **SCALES}
    return a_model(folder, nodes, weights=weights)


@pytest.mark.parametrize("slopes", [[0.25, 1, -0.5], [0.25, 1, 1.75]], ids=str)
def test_the_slopes_of_an_activation_are_kept(tmp_path: Path, slopes: list[float]) -> None:
    """Whether or not it can be written as the larger of two values."""
    card, pixels = activated(tmp_path, slopes), noise(Size(7, 5))
    graph = wrap_onnx_io(card, Size(7, 5), "fp32")
    assert b"PRelu" not in graph and (b"Max" in graph) == (max(slopes) <= 1)
    assert np.abs(enlarged(graph, pixels).astype(int) - by_openvino(card, pixels)).max() <= 1


@pytest.mark.parametrize(("make", "precision", "words"), TROUBLES, ids=[words for _, _, words in TROUBLES])
def test_what_cannot_be_done_is_told(
    tmp_path: Path, make: Callable[[Path], ModelCard], precision: str, words: str
) -> None:
    with pytest.raises(ModelError) as told:
        wrap_onnx_io(make(tmp_path), Size(7, 5), precision)
    assert words in told.value.message
    assert told.value.remedy and "\n" not in told.value.message
