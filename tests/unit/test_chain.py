"""Chains: models one after the other, as one model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from live_sr.engines import factory
from live_sr.engines.openvino.engine import OpenVINOEngine
from live_sr.engines.options import EngineOptions
from live_sr.errors import LiveSRError, ModelError
from live_sr.models import pytorch, zoo
from live_sr.models.card import ModelCard, format_card
from live_sr.models.chain import spec as chain
from live_sr.models.chain.spec import ResizeStage
from live_sr.models.export import onnx_io
from live_sr.models.resolve import Kind, resolve
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size

pytestmark = pytest.mark.torch

HALF = ResizeStage(Fraction(1, 2))


def network(
    folder: Path,
    name: str,
    scale: int,
    multiple: int = 1,
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
    sides: Sequence[str | int] = ("h", "w"),
    inputs: int = 1,
) -> ModelCard:
    """A convolution with random weights, in `multiple`² cells, and what PixelShuffle makes of it."""
    side = scale * multiple
    rng = np.random.default_rng(scale)
    weights = rng.normal(0, 0.02, (3 * side**2, 3 * multiple**2, 3, 3)).astype(np.float32)
    for colour in range(3):
        weights[colour * side**2 : (colour + 1) * side**2, colour * multiple**2, 1, 1] += 0.9
    ports = [
        helper.make_tensor_value_info("x", kind, [1, 3, *sides]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, "H", "W"]),
    ]
    nodes = [
        helper.make_node("SpaceToDepth", ["x"], ["cells"], blocksize=multiple),
        helper.make_node("Conv", ["cells", "weights"], ["features"], pads=[1] * 4),
        helper.make_node("DepthToSpace", ["features"], ["y"], blocksize=side, mode="CRD"),
    ]
    graph = helper.make_graph(nodes, name, ports[:1], ports[1:], [numpy_helper.from_array(weights, "weights")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    for number in range(1, inputs):
        model.graph.input.append(helper.make_tensor_value_info(f"more{number}", TensorProto.FLOAT, [1]))
    path = folder / f"{name}-x{scale}.onnx"
    onnx.save(model, path)
    return ModelCard(name, scale, path, multiple=multiple, parameters=weights.size, macs_per_pixel=100)


def noise(size: Size) -> Pixels:
    rough = np.random.default_rng(size.width).integers(20, 236, (size.height, size.width, 4), np.uint8)
    rough[..., 3] = 255
    return rough


def enlarged(card: ModelCard, picture: Pixels) -> Pixels:
    engine = OpenVINOEngine(card, precision="fp32", threads=1)
    try:
        done = engine.upscale(Frame(picture))
        assert done is not None
        return done.pixels
    finally:
        engine.close()


def shrunk(picture: Pixels, by: int) -> Pixels:
    size = get_size(picture)
    cells = picture.reshape(size.height // by, by, size.width // by, by, 4).astype(np.float32).mean((1, 3))
    small: Pixels = np.rint(cells).astype(np.uint8)
    return small


def levels(one: Pixels, other: Pixels) -> npt.NDArray[np.int64]:
    apart: npt.NDArray[np.int64] = np.abs(one.astype(np.int64) - other)
    return apart


def test_a_chain_is_its_parts_one_after_the_other(tmp_path: Path) -> None:
    first, second = network(tmp_path, "clean", 1, multiple=2), network(tmp_path, "large", 2, multiple=2, opset=13)
    whole = chain.compose("clean+large", [first, second], tmp_path / "kept")
    assert (whole.scale, whole.multiple, whole.parameters, whole.macs_per_pixel) == (
        *(2, 2, first.parameters + second.parameters), 200,
    )  # fmt: skip
    picture = noise(Size(48, 36))
    apart = enlarged(second, enlarged(first, picture))
    together = enlarged(whole, picture)
    assert together.shape == (72, 96, 4)
    assert levels(together, apart).max() <= 2, "in between nothing is rounded to levels, that is all"
    assert levels(together, apart).mean() < 0.5


@pytest.mark.parametrize("order", ["first", "last"])
def test_a_resize_is_a_part_like_any_other(tmp_path: Path, order: str) -> None:
    four = network(tmp_path, "large", 4)
    picture = noise(Size(48, 32))
    stages: list[chain.Stage] = [HALF, four] if order == "first" else [four, HALF]
    whole = chain.compose("a", stages, tmp_path)
    want = enlarged(four, shrunk(picture, 2)) if order == "first" else shrunk(enlarged(four, picture), 2)
    together = enlarged(whole, picture)
    assert together.shape == want.shape == (64, 96, 4)
    assert levels(together, want).max() <= 2


def test_a_resize_by_a_fraction_keeps_flat_colours_and_the_place_of_things(tmp_path: Path) -> None:
    whole = chain.compose("a", [ResizeStage(Fraction(3, 2)), network(tmp_path, "large", 2)], tmp_path)
    assert whole.scale == 3 and whole.multiple == 2
    picture = np.zeros((12, 16, 4), np.uint8)
    picture[..., 3], picture[:, 8:, :3] = 255, 200
    done = enlarged(whole, picture)
    assert done.shape == (36, 48, 4)
    assert done[18, 12, 0] < 20 and done[18, 36, 0] > 120


def test_windows_of_any_size_fit_a_chain(tmp_path: Path) -> None:
    """The sides must suit the stages after a change of size, too."""
    stages: list[chain.Stage] = [network(tmp_path, "two", 2), HALF, HALF, network(tmp_path, "four", 4, multiple=8)]
    assert chain.compute_multiple(stages) == 16
    assert chain.compute_multiple([network(tmp_path, "a", 2), network(tmp_path, "b", 2, multiple=8)]) == 4
    assert chain.compute_multiple([ResizeStage(Fraction(2, 3)), network(tmp_path, "c", 3)]) == 3
    whole = chain.compose("a", stages, tmp_path)
    assert whole.scale == 2
    assert enlarged(whole, noise(Size(37, 23))).shape == (46, 74, 4)


def test_what_a_stage_costs_is_told_at_its_size(tmp_path: Path) -> None:
    costs = chain.estimate_costs(
        [network(tmp_path, "a", 2), HALF, network(tmp_path, "b", 1), network(tmp_path, "c", 2)]
    )
    assert [cost.label for cost in costs] == ["a x2", "resize x1/2", "b x1", "c x2"]
    assert [cost.before for cost in costs] == [1, 2, 1, 1]
    assert [cost.after for cost in costs] == [2, 1, 1, 2]
    assert [cost.macs_per_pixel for cost in costs] == [100, 0, 100, 100]
    twice = [network(tmp_path, "a", 2), network(tmp_path, "a", 2)]
    assert [cost.macs_per_pixel for cost in chain.estimate_costs(twice)] == [100, 400], (
        "the second sees four times the pixels"
    )
    unknown = dataclasses.replace(twice[0], macs_per_pixel=0)
    assert chain.compose("a", [unknown, twice[1]], tmp_path).macs_per_pixel == 0, "not known, rather than too little"


def test_a_chain_is_kept_under_all_that_it_depends_on(tmp_path: Path) -> None:
    first, second = network(tmp_path, "a", 1), network(tmp_path, "b", 2)
    kept = chain.compose("a+b", [first, second], tmp_path / "kept")
    made = kept.onnx.stat().st_mtime_ns
    assert chain.compose("a+b", [first, second], tmp_path / "kept") == kept
    assert kept.onnx.stat().st_mtime_ns == made, "it was found"
    data = bytearray(kept.onnx.read_bytes())
    data[-20] ^= 1
    kept.onnx.write_bytes(data)
    again = chain.compose("a+b", [first, second], tmp_path / "kept")
    zoo.verify(again)
    assert again == kept, "a damaged one is made again"
    other = dataclasses.replace(first, multiple=2)
    assert chain.compose("a+b", [other, second], tmp_path / "kept").onnx != kept.onnx
    network(tmp_path, "a", 1, multiple=4)  # another network in the same file
    assert chain.compose("a+b", [first, second], tmp_path / "kept").onnx != kept.onnx


def test_the_other_way_to_run_onnx_takes_a_chain(tmp_path: Path) -> None:
    """What TensorRT-RTX is given."""
    whole = chain.compose("a", [HALF, network(tmp_path, "a", 4, multiple=2)], tmp_path)
    framed = onnx.load_from_string(onnx_io.wrap_onnx_io(whole, Size(31, 22), "fp16"))
    assert [dim.dim_value for dim in framed.graph.output[0].type.tensor_type.shape.dim] == [1, 44, 62, 4]


# Names

SCALES = {"fast": (2, 4), "clean": (1,), "three": (3,), "quality": (2,)}


def find_cards(word: str) -> Sequence[ModelCard]:
    if word not in SCALES:
        raise ModelError(f'there is no model called "{word}"', f"one of {', '.join(SCALES)}")
    return [ModelCard(word, scale, Path("nowhere.onnx")) for scale in SCALES[word]]


@pytest.mark.parametrize(
    ("name", "scales"),
    [
        ("clean+fast", (2, 4)),
        ("fast+clean", (2, 4)),
        ("resize:0.5+fast", (1, 2)),
        ("resize:1/2+fast+fast", (2, 4, 8)),
        ("resize:2/3+three", (2,)),
        ("clean + clean", (1,)),
        ("resize:1.5+fast", (3, 6)),
    ],
)
def test_a_chain_has_the_scales_that_its_parts_come_to(name: str, scales: tuple[int, ...]) -> None:
    assert chain.parse(name, find_cards).scales == scales


def test_what_enlarges_does_so_as_late_as_it_can() -> None:
    stages = chain.parse("resize:0.5+fast+fast", find_cards).choose_stages(4)
    assert stages == [HALF, *find_cards("fast")]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clean+", "a part of it is empty"),
        ("+", "a part of it is empty"),
        ("clean+wrong", 'no model called "wrong"'),
        ("resize:0.5+three", "would make x3/2"),
        ("resize:0.5+clean", "would make x1/2"),
        ("resize:2+resize:0.5", "has no network in it"),
        ("resize:1280x720+fast", "is a size"),
        ("resize:0+fast", "is no resize"),
        ("resize:-1+fast", "is no resize"),
        ("resize:big+fast", "is no resize"),
        ("resize:1/0+fast", "is no resize"),
        ("resize:0.37+fast", "is no resize"),
        ("resize:nan+fast", "is no resize"),
        ("resize:9+fast", "is no resize"),
        ("fast+fast+fast+three", "would make"),
    ],
)
def test_a_chain_that_cannot_be_is_a_sentence(name: str, words: str) -> None:
    with pytest.raises(LiveSRError) as caught:
        chain.parse(name, find_cards)
    assert words in caught.value.message and caught.value.remedy
    assert "\n" not in caught.value.message


def test_another_scale_than_the_chains_is_told() -> None:
    with pytest.raises(ModelError, match=r"no x3 of the chain clean[+]fast: x2, x4"):
        chain.parse("clean+fast", find_cards).choose_stages(3)


# Where the parts come from


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of compiled engines; the models of `SCALES` are there as the user's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    models = tmp_path / "data" / "live-sr" / "models"
    models.mkdir(parents=True)
    for word, scales in SCALES.items():
        for scale in scales:
            card = dataclasses.replace(network(models, f"my-{word}", scale), macs_per_pixel=0)
            card.onnx.with_suffix(".toml").write_text(format_card(card), encoding="utf-8")
    return tmp_path / "kept"


def test_a_chain_of_names_is_one_model(own: Path) -> None:
    model = resolve("my-clean+my-fast", cache=own)
    assert model.scales == (2, 4)
    card = model.get_card(4)
    assert card is not None and card.onnx.is_relative_to(own)
    assert (card.name, card.scale) == ("my-clean+my-fast", 4)
    assert card.architecture == "my-clean x1 > my-fast x4"
    assert enlarged(card, noise(Size(20, 10))).shape == (40, 80, 4)


def test_a_part_can_be_held_to_one_of_its_scales(own: Path) -> None:
    assert resolve("my-clean+my-fast-x4", cache=own).scales == (4,)
    card = resolve("my-fast-x2+my-fast-x2", cache=own).get_card(4)
    assert card is not None and card.architecture == "my-fast x2 > my-fast x2"
    with pytest.raises(ModelError, match="my-fast-x3"):
        resolve("my-clean+my-fast-x3", cache=own)


def test_a_published_network_in_a_chain_is_converted_once(own: Path, tmp_path: Path) -> None:
    pytorch.import_spandrel()
    from spandrel.architectures.Compact import Compact

    torch.set_num_threads(1)
    torch.manual_seed(1)
    file = tmp_path / "1x_clean.pth"
    torch.save(Compact(num_feat=8, num_conv=2, upscale=1).state_dict(), file)
    card = resolve(f"{file}+my-fast", cache=own).get_card(2)
    assert card is not None and card.architecture == "1x_clean x1 > my-fast x2"
    there = {path: path.stat().st_mtime_ns for path in own.rglob("*")}
    assert resolve(f"{file}+my-fast", cache=own).get_card(2) == card
    assert {path: path.stat().st_mtime_ns for path in own.rglob("*")} == there


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bicubic+fast", "bicubic is a filter, and the parts of a chain are networks and resizes"),
        ("fast+bicubic", "bicubic is a filter"),
        ("gone.pth+fast", "no model file gone.pth"),
        ("fast+net.param", "net.param cannot be in a chain: it runs in ncnn only"),
    ],
)
def test_what_cannot_be_a_part_is_told(own: Path, name: str, words: str) -> None:
    with pytest.raises(ModelError) as caught:
        resolve(name, cache=own)
    assert words in caught.value.message and caught.value.remedy


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sides": [64, 48]}, "for pictures of 48x64 only"),
        ({"kind": TensorProto.FLOAT16}, "not of float32"),
        ({"inputs": 5}, "it has 5 inputs and 1 outputs"),
    ],
)
def test_a_network_that_does_not_fit_a_chain_is_told(tmp_path: Path, changed: dict[str, object], words: str) -> None:
    odd = network(tmp_path, "odd", 2, **changed)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=words):
        chain.compose("odd+odd", [odd, odd], tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_file_whose_name_has_a_plus_is_no_chain(tmp_path: Path) -> None:
    path = network(tmp_path, "a+b", 2).onnx
    assert resolve(str(path)).kind is Kind.NETWORK
    path.unlink()
    with pytest.raises(ModelError, match="no model"):
        resolve(str(path))


def test_the_shipped_models_make_a_chain(tmp_path: Path) -> None:
    first, second = zoo.find("turbo", 2), zoo.find("fast", 2)
    whole = chain.compose("turbo+fast", [first, second], tmp_path)
    picture = noise(Size(32, 24))
    assert levels(enlarged(whole, picture), enlarged(second, enlarged(first, picture))).max() <= 3


def test_a_chain_is_a_model_wherever_one_is_named(tmp_path: Path) -> None:
    assert resolve("resize:0.5+turbo-x4", cache=tmp_path).scales == (2,)
    model = resolve("resize:0.5+turbo", 2, cache=tmp_path)
    model.verify(2)
    engine = factory.make_engine(model, 2, EngineOptions())
    done = engine.upscale(Frame(noise(Size(35, 21))))
    assert done is not None and get_size(done.pixels) == Size(70, 42)
    assert engine.info.model == "resize:0.5+turbo"
    engine.close()
    with pytest.raises(ModelError, match="a filter"):
        resolve("bicubic+fast", 2, cache=tmp_path)
