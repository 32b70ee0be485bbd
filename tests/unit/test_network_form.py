"""ONNX networks with other inputs and outputs than float32 RGB: each enlarges as the same network in that form."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from live_sr import manage
from live_sr.config import Settings
from live_sr.engines import tiled_factory
from live_sr.engines.openvino.engine import OpenVINOEngine
from live_sr.engines.options import EngineOptions
from live_sr.models.card import ModelCard
from live_sr.models.resolve import Model
from live_sr.pipeline.frame import Frame, Pixels, get_size

FLOAT, HALF, LEVELS = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8
FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def write(
    path: Path,
    *,
    channels: int = 3,
    taken: int = FLOAT,
    made: int = FLOAT,
    last: bool = False,
    made_last: bool = False,
    sides: tuple[int | str, int | str] = ("h", "w"),
) -> ModelCard:
    """A network that doubles every pixel, and makes it a quarter darker."""
    weights = np.zeros((channels * 4, channels, 1, 1), np.float32)
    for channel in range(channels):
        weights[channel * 4 : (channel + 1) * 4, channel] = 0.75
    inside, outside = [f"in{n}" for n in range(4)], [f"out{n}" for n in range(4)]
    most = numpy_helper.from_array(np.float32(255), "most")
    nodes: list[NodeProto] = []
    node = helper.make_node
    nodes += [node("Cast", ["picture"], [inside[0]], to=FLOAT)]
    nodes += (
        [node("Div", [inside[0], "most"], [inside[1]])]
        if taken == LEVELS
        else [node("Identity", [inside[0]], [inside[1]])]
    )
    nodes += [
        node("Transpose", [inside[1]], [inside[2]], perm=FIRST) if last else node("Identity", [inside[1]], [inside[2]])
    ]
    nodes += [node("Conv", [inside[2], "weights"], ["features"])]
    nodes += [node("DepthToSpace", ["features"], [outside[0]], blocksize=2, mode="CRD")]
    nodes += [
        node("Transpose", [outside[0]], [outside[1]], perm=LAST)
        if made_last
        else node("Identity", [outside[0]], [outside[1]])
    ]
    if made == LEVELS:
        nodes += [node("Mul", [outside[1], "most"], [outside[2]]), node("Round", [outside[2]], [outside[3]])]
    else:
        nodes += [node("Identity", [outside[1]], [outside[3]])]
    nodes += [node("Cast", [outside[3]], ["enlarged"], to=made)]
    small = [1, *sides, channels] if last else [1, channels, *sides]
    large = [1, "H", "W", channels] if made_last else [1, channels, "H", "W"]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("picture", taken, small)],
        [helper.make_tensor_value_info("enlarged", made, large)],
        [numpy_helper.from_array(weights, "weights"), most],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return ModelCard(path.stem, 2, path)


def enlarge(card: ModelCard, precision: str, picture: Pixels) -> Pixels:
    engine = OpenVINOEngine(card, precision=precision)
    engine.warm_up(get_size(picture))
    done = engine.upscale(Frame(picture))
    assert done is not None
    engine.close()
    return done.pixels


@pytest.fixture
def picture() -> Pixels:
    picture = np.random.default_rng(3).integers(0, 256, (22, 30, 4), np.uint8)
    picture[..., 3] = 255
    return picture


FORMS = {
    "fp16": {"taken": HALF, "made": HALF},
    "fp16 to float32": {"taken": HALF},
    "float64": {"taken": TensorProto.DOUBLE, "made": TensorProto.DOUBLE},
    "uint8": {"taken": LEVELS, "made": LEVELS},
    "channels last": {"last": True, "made_last": True},
    "channels last to first": {"last": True},
    "uint8, channels last": {"taken": LEVELS, "made": LEVELS, "last": True, "made_last": True},
    "of one size": {"taken": HALF, "made": HALF, "sides": (22, 30)},
}


@pytest.mark.parametrize("precision", ["fp32", "auto"])
@pytest.mark.parametrize("form", FORMS)
def test_other_ends_change_nothing_else(tmp_path: Path, picture: Pixels, form: str, precision: str) -> None:
    expected = enlarge(write(tmp_path / "plain.onnx"), precision, picture).astype(int)
    found = enlarge(write(tmp_path / "other.onnx", **FORMS[form]), precision, picture)  # type: ignore[arg-type]
    assert np.abs(found - expected).max() <= 1
    assert np.abs(found[0::2, 0::2, :3] - picture[..., :3] * 0.75).max() <= 1.01


@pytest.mark.parametrize("sides", [(48, 64), (41, 33)])
@pytest.mark.parametrize("form", ["channels first", "channels last", "channels last to first"])
def test_a_network_for_one_size_enlarges_pictures_in_tiles_of_that_size(
    tmp_path: Path, picture: Pixels, form: str, sides: tuple[int, int]
) -> None:
    picture = np.tile(picture, (4, 5, 1))
    card = write(tmp_path / "one.onnx", sides=sides, **FORMS.get(form, {}))  # type: ignore[arg-type]
    with closing(tiled_factory.make_tiled_engine(Model.from_card(card), 2, EngineOptions("openvino"))) as engine:
        done = engine.upscale(Frame(picture))
    assert done is not None
    assert np.abs(done.pixels[0::2, 0::2, :3] - picture[..., :3] * 0.75).max() <= 1.01


@pytest.mark.parametrize("form", ["channels first", "channels last", "fp16"])
def test_a_luma_network_enlarges_the_luma_and_bicubic_the_colours(tmp_path: Path, picture: Pixels, form: str) -> None:
    more = {"channels last": {"last": True, "made_last": True}, "fp16": FORMS["fp16"]}.get(form, {})
    found = enlarge(write(tmp_path / "luma.onnx", channels=1, **more), "fp32", picture)  # type: ignore[arg-type]
    planes = picture[..., 2::-1].astype(np.float32)
    luma = planes @ np.array([0.299, 0.587, 0.114], np.float32)
    colours = cv2.resize(planes - luma[..., None], (60, 44), interpolation=cv2.INTER_CUBIC)
    expected = np.clip(colours + 0.75 * luma.repeat(2, 0).repeat(2, 1)[..., None], 0, 255)
    assert np.abs(found[..., 2::-1] - expected).max() <= 1


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"taken": HALF, "made": HALF}, ["its input is f16", "its output is f16", "sizes any"]),
        ({"last": True, "made_last": True}, ["its channels come last", "sizes any"]),
        ({"channels": 1}, ["it enlarges luma; the colours are interpolated (bicubic)", "sizes any"]),
        ({"taken": LEVELS, "sides": (48, 64)}, ["its input is u8", "sizes any"]),
    ],
)
def test_what_is_converted_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: dict[str, object], says: list[str]
) -> None:
    card = write(tmp_path / "other.onnx", **form)  # type: ignore[arg-type]
    assert manage.check_models([card.onnx], Settings()) == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in (*says, "x2", "it can be used"):
        assert words in said
