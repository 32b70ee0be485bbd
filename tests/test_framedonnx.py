"""The ONNX graph with its conversions says what the CPU engine says, in the types that it promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from live_sr.engine.openvino import OpenVINOEngine
from live_sr.errors import ModelError
from live_sr.frame import Frame, Pixels, Size, fresh
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.framedonnx import INPUT, OUTPUT, framed

SHIPPED = {card.label: card for card in zoo.cards()}
SIZES = [Size(64, 48), Size(37, 23), Size(1, 1), Size(2, 9)]
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}


def noise(size: Size) -> Pixels:
    pixels = fresh(size)
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
        done = enlarged(framed(card, size, precision), pixels)
        assert done.shape == reference.shape
        difference = np.abs(done - reference)
        assert difference.max() <= 1, precision
        assert (difference > 0).mean() < differing, precision
        assert (done[..., 3] == 255).all()


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("label", ["fast x2", "quality x4"])
def test_the_graph_computes_in_one_type_and_uint8_is_only_at_its_ends(label: str, precision: str) -> None:
    model = onnx.load_model_from_string(framed(SHIPPED[label], Size(37, 23), precision))
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
@pytest.mark.parametrize("kind", [resize, upsample, shuffled])
def test_models_of_others_repeat_pixels_exactly(
    tmp_path: Path, kind: Callable[[Path], ModelCard], precision: str
) -> None:
    pixels = noise(Size(7, 5))
    done = enlarged(framed(kind(tmp_path), Size(7, 5), precision), pixels)
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
    (lambda folder: resize(folder, kind=TensorProto.FLOAT16), "fp32", "its input is float16, not float"),
    (quantised, "fp16", "cannot take frames of 7x5 in fp16"),
]


@pytest.mark.parametrize(("make", "precision", "words"), TROUBLES, ids=[words for _, _, words in TROUBLES])
def test_what_cannot_be_done_is_told(
    tmp_path: Path, make: Callable[[Path], ModelCard], precision: str, words: str
) -> None:
    with pytest.raises(ModelError) as told:
        framed(make(tmp_path), Size(7, 5), precision)
    assert words in told.value.message
    assert told.value.remedy and "\n" not in told.value.message
