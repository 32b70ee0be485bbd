"""NVIDIA's own TensorRT-RTX compiles our networks, for GTX 16xx up to RTX 50xx. That needs no GPU, only its two wheels.

By default a part of the matrix is compiled in which every network in every precision appears, and every size with every
compute capability; `pytest -m rtx_matrix` compiles all of it, in some ten minutes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from live_sr.engines.tensorrt import library, rtx_build
from live_sr.engines.tensorrt.library import TensorRTLibrary
from live_sr.engines.tensorrt.rtx_build_spec import RtxBuildSpec
from live_sr.errors import EngineError, ModelError
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Size

pytestmark = pytest.mark.needs("tensorrt_rtx_bindings", "tensorrt_rtx_libs")

CARDS = zoo.list_cards()
PRECISIONS = ("fp16", "fp32")
SIZES = (Size(480, 270), Size(960, 540), Size(1280, 720), Size(1920, 1080))
CAPABILITIES = ("7.5", "8.6", "8.9", "12.0")  # Turing, Ampere, Ada, Blackwell
PEERS = Path(__file__).resolve().parents[3] / "shared" / "peers"

Row = tuple[ModelCard, str, Size, str]


def list_spanning_rows() -> Iterator[Row]:
    """Every network in every precision once; size and capability take turns so that all pairs of them appear."""
    pairs = itertools.cycle(itertools.product(SIZES, CAPABILITIES))
    for (card, precision), (size, capability) in zip(itertools.product(CARDS, PRECISIONS), pairs, strict=False):
        yield card, precision, size, capability


def name_row(row: Row) -> str:
    card, precision, size, capability = row
    return f"{card.name}-x{card.scale}-{precision}-{size}-{capability}"


SPANNING = list(list_spanning_rows())
MATRIX = list(itertools.product(CARDS, PRECISIONS, SIZES, CAPABILITIES))


def compile_card(card: ModelCard, precision: str, size: Size, capability: str, *, dynamic: bool = False) -> bytes:
    """As the building process does it. Raises LiveSRError with the compiler's words."""
    spec = RtxBuildSpec.for_window(card, size, precision, capability, dynamic=dynamic)
    assert spec.dynamic == dynamic
    return rtx_build.make(spec, lambda words: None)


def compile_model(model: ModelProto, *profile: Size) -> bytes:
    shapes = (profile[0], profile[1], profile[2]) if profile else None
    return rtx_build.compile_network(get_library(), model.SerializeToString(), "8.6", shapes, "this network")


def get_library() -> TensorRTLibrary:
    return library.load_tensorrt_rtx()


def is_engine_for(engine: bytes, card: ModelCard) -> bool:
    """Whether it is large enough to hold the network's weights, which without a GPU is all that can be asked."""
    return len(engine) > 2 * card.parameters > 0


@pytest.mark.parametrize("row", SPANNING, ids=name_row)
def test_every_network_compiles(row: Row) -> None:
    assert is_engine_for(compile_card(*row), row[0])


def test_what_is_compiled_by_default_spans_the_matrix() -> None:
    assert {(card.label, precision) for card, precision, _, _ in SPANNING} == {
        (card.label, precision) for card in CARDS for precision in PRECISIONS
    }
    assert {row[2:] for row in SPANNING} == set(itertools.product(SIZES, CAPABILITIES))


@pytest.mark.parametrize(("precision", "capability"), [("int8", "8.6"), ("int8", "12.0"), ("fp8", "8.9")])
@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.name}-x{card.scale}")
def test_every_network_compiles_in_eight_bits(card: ModelCard, precision: str, capability: str) -> None:
    assert compile_card(card, precision, Size(480, 270), capability)


@pytest.mark.parametrize(("precision", "capability"), [("int8", "7.5"), ("fp8", "8.6")])
def test_a_gpu_that_lacks_a_precision_is_told(precision: str, capability: str) -> None:
    with pytest.raises(EngineError, match=f"{precision} needs a GPU of compute capability 8") as told:
        compile_card(zoo.find("fast", 2), precision, Size(480, 270), capability)
    assert "fp16" in told.value.remedy


@pytest.mark.rtx_matrix
@pytest.mark.parametrize("row", MATRIX, ids=name_row)
def test_the_whole_matrix_compiles(row: Row) -> None:
    assert is_engine_for(compile_card(*row), row[0])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_chain_compiles(precision: str, tmp_path: Path) -> None:
    card = resolve("fast-restore+resize:0.5+fast", 2, cache=tmp_path).get_card(2)
    assert card is not None
    assert compile_card(card, precision, Size(480, 270), "8.6")


@pytest.mark.parametrize("name", ["cunny-4x16-f32", "cunny-8x32-f32"])
def test_a_network_published_elsewhere_compiles(name: str) -> None:
    if not (PEERS / "CuNNy").is_dir():
        pytest.skip("the published networks are not beside the project")
    (card,) = [card for card in zoo.read_file(PEERS / "CuNNy" / f"{name}.onnx") if card.scale == 2]
    assert compile_card(card, "fp16", Size(640, 480), "7.5")


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_an_odd_size_compiles(capability: str) -> None:
    card = zoo.find("fast", 2)
    assert is_engine_for(compile_card(card, "fp16", Size(487, 273), capability), card)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.name}-x{card.scale}")
def test_one_engine_for_windows_of_every_size_compiles(card: ModelCard) -> None:
    assert is_engine_for(compile_card(card, "fp16", Size(640, 480), "8.9", dynamic=True), card)


# Broken networks, in one sentence each


def make_network(
    *nodes: onnx.NodeProto, kind: int = TensorProto.UINT8, shape: tuple[object, ...] = (1, 8, 8, 4)
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("picture", kind, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def to_half() -> onnx.NodeProto:
    return helper.make_node("Cast", ["frame"], ["levels"], to=TensorProto.FLOAT16)


def test_colours_that_are_exchanged_before_the_cast_are_told() -> None:
    exchange = helper.make_node("Transpose", ["frame"], ["turned"], perm=[0, 2, 1, 3], name="turn")
    cast = helper.make_node("Cast", ["turned"], ["levels"], to=TensorProto.FLOAT16)
    model = make_network(exchange, cast, helper.make_node("Cast", ["levels"], ["picture"], to=TensorProto.UINT8))
    tell_one_sentence(model, r"does not accept this network: .* first input has type UInt8 .*\(at turn, Transpose\)")


def test_a_free_size_without_a_profile_is_told() -> None:
    model = make_network(
        to_half(),
        helper.make_node("Cast", ["levels"], ["picture"], to=TensorProto.UINT8),
        shape=(1, "height", 8, 4),
    )
    tell_one_sentence(model, "could not compile this network: .*profile")


def test_an_operator_that_it_lacks_is_told() -> None:
    draw = helper.make_node("Multinomial", ["flat"], ["drawn"], sample_size=4, name="draw")
    flat = helper.make_node("Flatten", ["levels"], ["flat"])
    model = make_network(to_half(), flat, draw, helper.make_node("Cast", ["drawn"], ["picture"], to=TensorProto.UINT8))
    tell_one_sentence(model, r"does not accept this network: .*\(at draw, Multinomial\)")


def test_an_output_that_is_no_picture_is_told() -> None:
    model = make_network(to_half(), helper.make_node("Relu", ["levels"], ["picture"]), kind=TensorProto.FLOAT16)
    tell_one_sentence(model, "the output of this network is half, not uint8")


def test_a_weight_that_fp16_cannot_hold_is_told(tmp_path: Path) -> None:
    card = zoo.find("turbo", 2)
    model = onnx.load(card.onnx)
    weight = max(model.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float32) * 1e6, weight.name))
    onnx.save(model, tmp_path / "large-x2.onnx")
    with pytest.raises(ModelError, match=r"cannot compute in fp16: .* is as large as") as told:
        compile_card(ModelCard("large", 2, tmp_path / "large-x2.onnx", multiple=card.multiple), "fp16", SIZES[0], "8.6")
    assert "fp32" in told.value.remedy


def tell_one_sentence(model: ModelProto, words: str) -> None:
    with pytest.raises((ModelError, EngineError), match=words) as told:
        compile_model(model)
    assert "\n" not in told.value.message and "cudaError" not in told.value.message and told.value.remedy
