"""Pictures that overflow in half precision are computed again in fp32, and what is no number anywhere is told."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes import FakeEngine
from onnx import TensorProto, helper, numpy_helper

from live_sr import cli
from live_sr.engines import tiled_factory
from live_sr.engines.number_check import NumberCheckedEngine, is_opaque
from live_sr.engines.openvino.engine import OpenVINO16BitEngine, OpenVINOEngine, get_core
from live_sr.engines.options import EngineOptions
from live_sr.errors import EngineError
from live_sr.models.card import ModelCard
from live_sr.models.resolve import Model
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Frame, Pixels, Size, make_black

HALVES = {"fp16": "FP16", "bf16": "BF16"}
HERE = [name for name, word in HALVES.items() if word in get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")]


class Broken(FakeEngine):
    """Makes a pixel of bright pictures transparent, as engines do where a number is none."""

    def __init__(self, precision: str) -> None:
        super().__init__()
        self.info = EngineInfo("toy", 2, "numpy", precision)
        self.closed = False

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        done = super().upscale(frame, into)
        assert done is not None
        done.pixels[-1, -1, 3] = 0 if frame.pixels[0, 0, 0] > 200 else 255
        return done

    def close(self) -> None:
        self.closed = True


def make_grey(level: int) -> Frame[Pixels]:
    pixels = make_black(Size(8, 6))
    pixels[..., :3] = level
    return Frame(pixels)


def test_only_the_pictures_that_overflow_are_computed_again_and_it_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    half, exact = Broken("fp16"), [FakeEngine(), FakeEngine()]
    engine: NumberCheckedEngine[Pixels] = NumberCheckedEngine(half, exact.pop)
    into = make_black(Size(16, 12))
    for level in (10, 240, 20, 250, 30):
        done = engine.upscale(make_grey(level), into)
        assert done is not None and done.pixels is into
        assert (done.pixels == make_grey(level).pixels.repeat(2, 0).repeat(2, 1)).all()
    assert half.levels == [10, 240, 20, 250, 30]
    assert len(exact) == 1, "the engine in fp32 is kept for the next picture"
    assert [record.message for record in caplog.records] == [
        "toy x2 overflows in fp16 here; such pictures are computed again in fp32"
    ]
    engine.close()
    assert half.closed


@pytest.mark.parametrize("exact", [None, lambda: Broken("fp32")], ids=["no other engine", "in fp32 as well"])
def test_what_is_no_number_in_fp32_either_is_one_sentence(exact: object) -> None:
    engine: NumberCheckedEngine[Pixels] = NumberCheckedEngine(Broken("fp16"), exact)  # type: ignore[arg-type]
    assert engine.upscale(make_grey(9)) is not None
    with pytest.raises(EngineError, match=r"toy x2 makes numbers that are none \(NaN or infinite\)") as caught:
        engine.upscale(make_grey(255))
    assert caught.value.remedy


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_single_pixel_is_seen(kind: type) -> None:
    most = np.iinfo(kind).max
    picture = np.zeros((5, 7, 4), kind)
    picture[..., 3] = most
    assert is_opaque(picture)  # type: ignore[type-var]
    picture[3, 2, 3] = most - 1
    assert not is_opaque(picture)  # type: ignore[type-var]


def write(path: Path, factor: float, back: float) -> ModelCard:
    """Multiplies the picture by `factor`, then by `back`, and doubles every pixel."""
    weights = np.zeros((3, 3, 1, 1), np.float32)
    weights[range(3), range(3)] = factor
    spread = np.zeros((12, 3, 1, 1), np.float32)
    for channel in range(3):
        spread[channel * 4 : (channel + 1) * 4, channel] = back
    node = helper.make_node
    nodes = [
        node("Conv", ["picture", "weights"], ["large"]),
        node("Conv", ["large", "spread"], ["features"]),
        node("DepthToSpace", ["features"], ["enlarged"], blocksize=2, mode="CRD"),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, *sides])
        for name, sides in (("picture", ("h", "w")), ("enlarged", ("H", "W")))
    ]
    stored = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(spread, "spread")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return ModelCard(path.stem, 2, path)


@pytest.fixture
def picture() -> Pixels:
    picture = np.random.default_rng(3).integers(1, 256, (22, 30, 4), np.uint8)
    picture[..., 3] = 255
    return picture


@pytest.mark.parametrize("precision", HERE)
@pytest.mark.parametrize("tile", [-1, 0, 16])
def test_openvino_computes_again_what_overflows(
    tmp_path: Path, picture: Pixels, precision: str, tile: int, caplog: pytest.LogCaptureFixture
) -> None:
    card = write(tmp_path / "large.onnx", 3e5, 1 / 3e5)
    options = EngineOptions("openvino", precision)
    with closing(tiled_factory.make_tiled_engine(Model.from_card(card), 2, options, tile)) as engine:
        done = engine.upscale(Frame(picture))
    assert done is not None
    assert np.abs(done.pixels[::2, ::2].astype(int) - picture).max() <= 2
    assert ("overflows in fp16" in caplog.text) == (precision == "fp16")  # bf16 holds numbers as large as fp32


@pytest.mark.parametrize("precision", ["fp32", *HERE])
@pytest.mark.parametrize("wide", [False, True], ids=["8 bits", "16 bits"])
def test_openvino_tells_of_numbers_that_are_none(tmp_path: Path, picture: Pixels, precision: str, wide: bool) -> None:
    card = write(tmp_path / "infinite.onnx", 3e38, 3e3)
    model, options = Model.from_card(card), EngineOptions("openvino", precision)
    with pytest.raises(EngineError, match="numbers that are none"):
        if wide and precision == "fp32":
            with closing(NumberCheckedEngine(OpenVINO16BitEngine(card))) as engine:
                engine.upscale(Frame(picture.astype(np.uint16) * 257))
        else:
            with closing(tiled_factory.make_tiled_engine(model, 2, options)) as eight:
                eight.upscale(Frame(picture))


def test_an_engine_by_itself_marks_what_is_no_number(tmp_path: Path, picture: Pixels) -> None:
    """The live window goes on."""
    card = write(tmp_path / "infinite.onnx", 3e38, 3e3)
    with closing(OpenVINOEngine(card, precision="fp32")) as engine:
        done = engine.upscale(Frame(picture))
    assert done is not None and not is_opaque(done.pixels)


def test_models_check_refuses_a_model_whose_numbers_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "infinite.onnx", 3e38, 3e3)
    assert cli.main(["models", "check", str(tmp_path / "infinite.onnx")]) != 0
    assert "infinite.onnx cannot be used: infinite x2 makes numbers that are none" in capsys.readouterr().err
