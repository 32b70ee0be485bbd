"""The CPU engine returns the network's result at any size, in place, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from leaks import MEGABYTE, check_nothing_stays
from onnx import TensorProto, helper, numpy_helper

from live_sr.engines.cache import openvino_blobs
from live_sr.engines.openvino.engine import OpenVINOEngine, get_core
from live_sr.errors import EngineError, ModelError
from live_sr.models.card import ModelCard
from live_sr.pipeline.frame import Frame, Pixels, Size, Stamps, get_size, make_black

if TYPE_CHECKING:
    from torch import nn

    from live_sr.models.architectures.cellnet import CellNet

HERE = [
    p for p in ("fp32", "bf16") if p == "fp32" or "BF16" in get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
]


def export(net: nn.Module, path: Path) -> None:
    import torch

    sizes = {2: "height", 3: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package calls itself old
        torch.onnx.export(
            net,
            (torch.rand(1, 3, 8, 12),),
            str(path),
            input_names=["rgb"],
            output_names=["enlarged"],
            dynamic_axes={"rgb": sizes, "enlarged": {2: "large_height", 3: "large_width"}},
            opset_version=17,
            dynamo=False,
        )


def cellnet(scale: int, strength: float) -> CellNet:
    """Random weights; `strength` is how much they add to the interpolation."""
    import torch

    from live_sr.models.architectures.cellnet import CellNet

    torch.manual_seed(scale)
    net = CellNet(scale, 16, 2).eval()
    with torch.no_grad():
        net.tail.weight[:, :16] *= strength
    return net


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelCard]:
    """plain: bicubic interpolation by a CellNet. busy: with the rest of it at work. nearest: repeats pixels."""
    torch = pytest.importorskip("torch")
    from live_sr.models.architectures.cellnet import CELL

    folder = tmp_path_factory.mktemp("models")
    made = {}
    for scale in (2, 4):
        for name, strength in (("plain", 0.0), ("busy", 20.0)):
            card = ModelCard(name, scale, folder / f"{name}-x{scale}.onnx", multiple=CELL)
            export(cellnet(scale, strength), card.onnx)
            made[card.label] = card
    card = ModelCard("nearest", 2, folder / "nearest-x2.onnx")
    repeat = torch.nn.Conv2d(3, 12, 1, bias=False)
    with torch.no_grad():
        repeat.weight.copy_(torch.eye(3).repeat_interleave(4, 0)[..., None, None])
    export(torch.nn.Sequential(repeat, torch.nn.PixelShuffle(2)), card.onnx)
    return {**made, card.label: card}


def noise(size: Size, seed: int = 0) -> Pixels:
    pixels = make_black(size)
    pixels[..., :3] = np.random.default_rng(seed).integers(0, 256, (size.height, size.width, 3))
    return pixels


def enlarged(card: ModelCard, pixels: Pixels, precision: str = "fp32") -> Pixels:
    engine = OpenVINOEngine(card, precision=precision, threads=1)
    done = engine.upscale(Frame(pixels))
    engine.close()
    assert done is not None
    return done.pixels


def expected(card: ModelCard, pixels: Pixels) -> np.ndarray:
    """What PyTorch makes of it, as float BGR, with the edge repeated up to the model's multiple."""
    import torch

    size = get_size(pixels)
    room = size.round_up(card.multiple)
    ends = ((0, room.height - size.height), (0, room.width - size.width), (0, 0))
    padded = np.pad(pixels[..., 2::-1], ends, "edge").transpose(2, 0, 1).astype(np.float32) / 255
    with torch.no_grad():
        large = cellnet(card.scale, 20.0 if card.name == "busy" else 0.0)(torch.from_numpy(padded)[None])[0].numpy()
    large = large[::-1, : size.height * card.scale, : size.width * card.scale]
    return (large.transpose(1, 2, 0) * 255).clip(0, 255)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("size", [(64, 48), (1, 1), (1, 40), (40, 1), (37, 23), (487, 273)])
def test_the_result_equals_pytorchs(cards: dict[str, ModelCard], size: tuple[int, int], scale: int) -> None:
    card = cards[f"busy x{scale}"]
    pixels = noise(Size(*size))
    done = enlarged(card, pixels)
    assert get_size(done) == Size(*size).times(scale)
    assert (done[..., 3] == 255).all()
    assert np.abs(done[..., :3] - expected(card, pixels)).max() < 0.51


@pytest.mark.skipif("bf16" not in HERE, reason="this processor does not compute in bf16")
@pytest.mark.parametrize("scale", [2, 4])
def test_bf16_stays_close_to_pytorch(cards: dict[str, ModelCard], scale: int) -> None:
    card = cards[f"busy x{scale}"]
    pixels = noise(Size(96, 64))
    difference = enlarged(card, pixels, "bf16")[..., :3] - expected(card, pixels)
    assert 10 * np.log10(255**2 / (difference**2).mean()) > 52
    assert abs(difference.mean()) < 0.3


@pytest.mark.parametrize("precision", HERE)
def test_every_level_of_every_colour_is_kept(cards: dict[str, ModelCard], precision: str) -> None:
    levels = np.arange(256, dtype=np.uint8)
    pixels = make_black(Size(256, 4))
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = levels, 255 - levels, np.roll(levels, 77)
    done = enlarged(cards["nearest x2"], pixels, precision)
    assert (done == pixels.repeat(2, 0).repeat(2, 1)).all()


@pytest.mark.parametrize("precision", HERE)
@pytest.mark.parametrize("scale", [2, 4])
def test_flat_pictures_stay_flat_and_are_not_biased(cards: dict[str, ModelCard], scale: int, precision: str) -> None:
    engine = OpenVINOEngine(cards[f"plain x{scale}"], precision=precision, threads=1)
    differences = []
    for level in range(256):
        pixels = make_black(Size(8, 6))
        pixels[..., :3] = (level, 255 - level, (level * 7) % 256)
        done = engine.upscale(Frame(pixels))
        assert done is not None
        differences.append(done.pixels.astype(int) - pixels[0, 0])
    assert np.abs(differences).max() <= (0 if precision == "fp32" else 1)
    assert abs(np.mean(differences)) < 0.1


def test_pictures_that_need_padding_continue_those_that_do_not(cards: dict[str, ModelCard]) -> None:
    pixels = noise(Size(41, 31))
    even = np.ascontiguousarray(pixels[:30, :40])
    far = 2 * 8  # what is cut off is felt a few cells away
    assert (
        enlarged(cards["busy x2"], pixels)[: 60 - far, : 80 - far] == enlarged(cards["busy x2"], even)[:-far, :-far]
    ).all()


def test_the_result_is_drawn_into_the_lent_picture_and_keeps_its_moment(cards: dict[str, ModelCard]) -> None:
    engine = OpenVINOEngine(cards["busy x2"], precision="fp32")
    engine.warm_up(Size(32, 24))
    into, stamps = make_black(Size(64, 48)), Stamps(seen=7)
    first = engine.upscale(Frame(noise(Size(32, 24)), stamps, 9), into)
    assert first is not None
    assert first.pixels is into
    assert (first.stamps, first.number) == (stamps, 9)
    kept = into.copy()
    other = make_black(Size(64, 48))
    engine.upscale(Frame(noise(Size(32, 24), seed=1)), other)
    assert (into == kept).all()  # it belongs to the caller now
    assert (other != kept).any()


def test_a_frame_is_only_read_and_may_be_read_only(cards: dict[str, ModelCard]) -> None:
    pixels = noise(Size(32, 24))
    before = pixels.copy()
    normal = enlarged(cards["busy x2"], pixels)
    assert (pixels == before).all()
    pixels.flags.writeable = False
    assert (enlarged(cards["busy x2"], pixels) == normal).all()
    window = np.zeros((24, 64, 4), np.uint8)[:, 16:48]
    window[...] = before
    assert (enlarged(cards["busy x2"], window) == normal).all()


def test_a_change_of_size_is_followed(cards: dict[str, ModelCard]) -> None:
    engine = OpenVINOEngine(cards["busy x2"], precision="fp32")
    engine.warm_up(Size(32, 24))
    for size in (Size(32, 24), Size(17, 9), Size(1, 1), Size(32, 24)):
        done = engine.upscale(Frame(noise(size)))
        assert done is not None
        assert get_size(done.pixels) == size.times(2)


@pytest.mark.parametrize("precision", HERE)
def test_the_info_names_model_engine_and_precision(cards: dict[str, ModelCard], precision: str) -> None:
    engine = OpenVINOEngine(cards["busy x4"], precision=precision)
    assert str(engine.info) == f"busy x4, openvino {precision}"
    assert (engine.scale, engine.precision) == (4, precision)
    assert OpenVINOEngine(cards["busy x4"]).precision == HERE[-1]


def test_an_unsupported_precision_is_one_sentence(cards: dict[str, ModelCard]) -> None:
    with pytest.raises(EngineError, match=r"does not compute in int3, but in .*fp32") as caught:
        OpenVINOEngine(cards["busy x2"], precision="int3")
    assert "auto" in caught.value.remedy


def simple(path: Path, node: str, picture: list[int | str], large: list[int | str], **attributes: object) -> ModelCard:
    """A model of one operation."""
    ports = (("rgb", picture), ("enlarged", large))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ports]
    graph = helper.make_graph(
        [helper.make_node(node, ["rgb"], ["enlarged"], **attributes)], "g", values[:1], values[1:]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return ModelCard("mine", 2, path)


@pytest.mark.parametrize(
    ("picture", "node", "large", "says"),
    [
        ([1, 5, "h", "w"], "Relu", [1, 5, "h", "w"], "it takes 5 channels"),
        ([4, 3, "h", "w"], "Relu", [4, 3, "h", "w"], "it takes 4 pictures at once"),
        ([1, 3, "h"], "Relu", [1, 3, "h"], "its input has 3 dimensions"),
        ([1, 1, "h", "w"], "Relu", [1, 1, "h", "w"], "not x2"),
        ([1, 1, "h", "w"], "GlobalAveragePool", [1, 1, 1, 1], "its output is smaller than its input"),
        ([1, 3, "h", "w"], "Relu", [1, 3, "h", "w"], "not x2"),
        ([1, 3, "h", "w"], "DoesNotExist", [1, 3, "h", "w"], "DoesNotExist"),
    ],
)
def test_a_model_of_another_kind_is_one_sentence(
    tmp_path: Path, picture: list[int | str], node: str, large: list[int | str], says: str
) -> None:
    card = simple(tmp_path / "mine.onnx", node, picture, large)
    with pytest.raises(ModelError) as caught:
        OpenVINOEngine(card).warm_up(Size(16, 16))
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.remedy


def test_a_model_with_a_free_batch_runs(tmp_path: Path) -> None:
    card = ModelCard("mine", 2, tmp_path / "mine.onnx")
    shape = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "factors")
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, f"{name}h", f"{name}w"])
        for name in ("rgb", "enlarged")
    ]
    node = helper.make_node("Resize", ["rgb", "", "factors"], ["enlarged"], mode="nearest")
    graph = helper.make_graph([node], "g", values[:1], values[1:], [shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), card.onnx)
    assert get_size(enlarged(card, noise(Size(16, 16)))) == Size(32, 32)


def test_a_truncated_model_is_one_sentence(cards: dict[str, ModelCard], tmp_path: Path) -> None:
    path = tmp_path / "half-x2.onnx"
    data = cards["busy x2"].onnx.read_bytes()
    for keep in (0, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:keep])
        with pytest.raises(ModelError) as caught:
            OpenVINOEngine(ModelCard("half", 2, path, multiple=2)).warm_up(Size(16, 16))
        assert caught.value.remedy


def test_a_damaged_model_is_one_sentence(cards: dict[str, ModelCard], tmp_path: Path) -> None:
    path = tmp_path / "odd-x2.onnx"
    model = onnx.load(cards["busy x2"].onnx)
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:10]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError) as caught:
        OpenVINOEngine(ModelCard("odd", 2, path, multiple=2)).warm_up(Size(16, 16))
    assert caught.value.remedy


def test_the_compile_cache_is_used_and_kept_small(
    cards: dict[str, ModelCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_blobs, "MAX_BLOBS", 3)
    cache = tmp_path / "engines"
    pixels = noise(Size(16, 16))
    normal = enlarged(cards["busy x2"], pixels)
    for side in (8, 10, 12, 14, 16, 16):
        engine = OpenVINOEngine(cards["busy x2"], precision="fp32", cache=cache)
        engine.warm_up(Size(side, side))
        done = engine.upscale(Frame(noise(Size(side, side))))
    assert done is not None
    assert (done.pixels == normal).all()
    assert 1 <= len(list(cache.glob("*.blob"))) <= 3


def test_an_unwritable_cache_is_ignored(cards: dict[str, ModelCard], tmp_path: Path) -> None:
    taken = tmp_path / "engines"
    taken.write_text("a file where the folder should be")
    engine = OpenVINOEngine(cards["busy x2"], cache=taken)
    engine.warm_up(Size(16, 16))
    engine.close()
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    engine = OpenVINOEngine(cards["busy x2"], cache=locked)
    engine.warm_up(Size(16, 16))
    engine.close()


def test_a_damaged_cache_is_ignored(cards: dict[str, ModelCard], tmp_path: Path) -> None:
    normal = enlarged(cards["busy x2"], noise(Size(16, 16)))
    for _ in range(2):
        engine = OpenVINOEngine(cards["busy x2"], precision="fp32", cache=tmp_path)
        done = engine.upscale(Frame(noise(Size(16, 16))))
        engine.close()
        assert done is not None
        assert (done.pixels == normal).all()
        for blob in tmp_path.glob("*.blob"):
            blob.chmod(0o600)
            blob.write_bytes(blob.read_bytes()[:1000])


def test_a_flipped_bit_in_the_cache_is_noticed_and_told_once(
    cards: dict[str, ModelCard], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    normal = enlarged(cards["busy x2"], noise(Size(16, 16)))

    def draw() -> Pixels:
        engine = OpenVINOEngine(cards["busy x2"], precision="fp32", cache=tmp_path)
        done = engine.upscale(Frame(noise(Size(16, 16))))
        engine.close()
        assert done is not None
        return done.pixels

    draw()
    (blob,) = tmp_path.glob("*.blob")
    written = blob.read_bytes()
    for place in range(0, len(written), len(written) // 5):
        damaged = bytearray(written)
        damaged[place] ^= 4
        blob.chmod(0o600)
        blob.write_bytes(damaged)
        caplog.clear()
        assert (draw() == normal).all()
        assert [record.message for record in caplog.records if "damaged" in record.message] == [
            f"{blob} is not used: it was changed or damaged; it is built again"
        ]
        assert blob.read_bytes() != damaged
    caplog.clear()
    assert (draw() == normal).all()
    assert not caplog.records


def test_a_half_written_cache_is_not_read(cards: dict[str, ModelCard], tmp_path: Path) -> None:
    """A process that was killed leaves no checksum. In a file that is whole, nothing tells that it was damaged."""
    for left in (b"", b"damaged"):
        (tmp_path / "1.blob").write_bytes(left)
        engine = OpenVINOEngine(cards["busy x2"], precision="fp32", cache=tmp_path)
        engine.warm_up(Size(16, 16))
        engine.close()
        assert not (tmp_path / "1.blob").exists()
        assert len(list(tmp_path.glob("*.blob"))) == 1


def test_engines_of_many_sizes_leave_no_memory_behind(cards: dict[str, ModelCard]) -> None:
    sizes = iter(Size(16 + i % 20, 12 + i // 20) for i in range(6 * 34))

    def play() -> None:
        for size in islice(sizes, 34):
            engine = OpenVINOEngine(cards["busy x2"])
            engine.warm_up(size)
            engine.close()

    check_nothing_stays(play, 4 * MEGABYTE)


def test_nothing_is_left_in_the_home_of_the_player_for_statistics(tmp_path: Path) -> None:
    """OpenVINO's Python package would leave an identifier there, and send."""
    code = "import live_sr.engines.openvino.engine, sys; print(sys.modules['openvino_telemetry'])"
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    environment.pop("CI", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
    assert list(tmp_path.iterdir()) == []


def test_a_precision_that_is_listed_and_fails_is_replaced_by_fp32() -> None:
    """With fewer instructions allowed, OpenVINO may list bf16 all the same, and fail when it compiles."""
    code = (
        "from live_sr.engines.openvino.engine import OpenVINOEngine as E\n"
        "from live_sr.models.resolve import resolve\n"
        "from live_sr.pipeline.frame import Frame, Size, make_black\n"
        "engine = E(resolve('fast').get_card(2))\n"
        "engine.warm_up(Size(64, 48))\n"
        "print(engine.precision, engine.upscale(Frame(make_black(Size(64, 48)))).pixels.shape)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "fp32 (96, 128, 4)"
