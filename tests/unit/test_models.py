"""Models of the user's own: tried before they are kept, kept whole, and never in the way of those that are shipped."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from live_sr import cli
from live_sr.engines import factory
from live_sr.engines.options import EngineOptions
from live_sr.errors import ModelError
from live_sr.manage import doctor
from live_sr.models import card as cards
from live_sr.models import zoo
from live_sr.models.card import ModelCard, Scores
from live_sr.models.resolve import list_names, resolve
from live_sr.pipeline.frame import Frame, Size, get_size, make_black


def network(path: Path, scale: int = 2, gain: float = 1.0, fixed: bool = False) -> Path:
    """Repeats every pixel `scale` times each way, times `gain`; `fixed` writes the heights into the file."""
    weights = np.zeros((3 * scale**2, 3, 1, 1), np.float32)
    for channel in range(3):
        weights[channel * scale**2 : (channel + 1) * scale**2, channel] = gain
    sides = ([64, 64], [64 * scale, 64 * scale]) if fixed else (["h", "w"], ["H", "W"])
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, *side])
        for name, side in zip(("rgb", "enlarged"), sides, strict=True)
    ]
    nodes = [
        helper.make_node("Conv", ["rgb", "weights"], ["cells"]),
        helper.make_node("DepthToSpace", ["cells"], ["enlarged"], blocksize=scale, mode="CRD"),
    ]
    weights_there = [helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel())]
    graph = helper.make_graph(nodes, "repeat", ports[:1], ports[1:], weights_there)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, which is not there yet."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    return tmp_path / "data" / "live-sr" / "models"


def models(*arguments: object) -> int:
    return cli.main(["models", *(str(a) for a in arguments)])


def test_an_added_model_is_in_the_cycle_upscales_and_goes_again(own: Path, tmp_path: Path) -> None:
    assert models("add", network(tmp_path / "mine-x2.onnx"), network(tmp_path / "mine-x3.onnx", 3)) == 0
    assert sorted(path.name for path in own.iterdir()) == [
        "mine-x2.onnx", "mine-x2.toml", "mine-x3.onnx", "mine-x3.toml",
    ]  # fmt: skip
    cycle = list_names()
    assert cycle.index("fast") < cycle.index("mine") < cycle.index("nearest")
    assert resolve("mine").scales == (2, 3)
    resolve("mine", 3).verify(3)
    engine = factory.make_engine(resolve("mine"), 3, EngineOptions())
    engine.warm_up(Size(20, 10))
    done = engine.upscale(Frame(make_black(Size(20, 10))))
    assert done is not None
    assert get_size(done.pixels) == Size(60, 30)
    engine.close()
    assert models("remove", "mine", "--scale", 2) == 0
    assert resolve("mine").scales == (3,)
    assert models("remove", "mine") == 0
    assert "mine" not in list_names()
    assert not list(own.iterdir())


def test_what_is_added_has_a_card_by_which_damage_is_recognised(own: Path, tmp_path: Path) -> None:
    models("add", network(tmp_path / "mine-x2.onnx"))
    card = zoo.find("mine", 2, user=own)
    assert card.bytes == (tmp_path / "mine-x2.onnx").stat().st_size
    data = bytearray(card.onnx.read_bytes())
    data[-30] ^= 1
    card.onnx.write_bytes(data)
    with pytest.raises(ModelError, match="differs from what its card describes"):
        resolve("mine", 2).verify(2)


def test_a_card_beside_the_file_comes_along(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = network(tmp_path / "exported.onnx")
    told = ModelCard(
        "exported", 2, path,
        architecture="Repeat", parameters=36, licence="MIT", minutes=7, machine="a toaster", notes='says "hello"',
        psnr_y={"doom": Scores(30.0, 29.0, 28.0, 29.5), "other game": Scores(31.0, 30.0, 29.0)},
    )  # fmt: skip
    path.with_suffix(".toml").write_text(cards.format_card(told), encoding="utf-8")
    assert models("add", path, "--name", "mine") == 0
    kept = zoo.find("mine", 2, user=own)
    assert (kept.architecture, kept.minutes, kept.machine, kept.notes) == ("Repeat", 7, "a toaster", 'says "hello"')
    assert kept.psnr_y == told.psnr_y
    capsys.readouterr()
    assert models("show", "mine") == 0
    said = capsys.readouterr().out
    for words in ("a toaster", "30.00", "29.50", "other game", str(kept.onnx)):
        assert words in said


@pytest.mark.parametrize(
    ("file", "scale", "fixed", "arguments"),
    [
        ("mine.onnx", 2, False, ()),  # nothing tells the scale: it is tried out
        ("mine.onnx", 4, False, ()),
        ("mine.onnx", 3, True, ()),
        ("mine-x4.onnx", 4, False, ()),
        ("wrongly-named-x4.onnx", 2, False, ("--scale", 2, "--name", "mine")),
    ],
)
def test_the_scale_is_found_out(
    own: Path, tmp_path: Path, file: str, scale: int, fixed: bool, arguments: tuple[object, ...]
) -> None:
    assert models("add", network(tmp_path / file, scale, fixed=fixed), *arguments) == 0
    assert [(card.name, card.scale) for card in zoo.read_user_folder(own).cards] == [("mine", scale)]


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("gone.onnx",), "gone.onnx", 7),
        (("picture.png",), "picture.png is not an .onnx file", 7),
        (("short-x2.onnx",), "cannot be used", 7),
        (("good-x2.onnx", "--scale", "3"), "which is not x3; it was not added", 7),
        (("two-inputs-x2.onnx",), "it has 2 inputs (rgb, more) and 1 outputs, and needs one each; it was not added", 7),
        (("good-x2.onnx", "--name", "fast"), '"fast" comes with live-sr', 2),
        (("good-x2.onnx", "--name", "Fast", "--replace"), '"Fast" comes with live-sr', 2),
        (("good-x2.onnx", "--name", "lanczos"), '"lanczos" comes with live-sr', 2),
        (("good-x2.onnx", "--name", "../up"), '"../up" cannot be the name of a model', 2),
        (("good-x2.onnx", "--name", "a,b"), '"a,b" cannot be the name of a model', 2),
    ],
)
def test_what_does_not_work_is_refused_with_a_sentence_and_nothing_is_kept(
    own: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
    code: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = network(Path("good-x2.onnx")).read_bytes()
    Path("short-x2.onnx").write_bytes(whole[:-50])
    Path("picture.png").write_bytes(b"a picture")
    two = onnx.load("good-x2.onnx")
    two.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    two.graph.node.insert(0, helper.make_node("Mul", ["rgb", "more"], ["product"]))
    two.graph.node[1].input[0] = "product"
    onnx.save(two, "two-inputs-x2.onnx")
    assert models("add", *arguments) == code
    said = capsys.readouterr().err
    assert words in said
    assert ".adding-" not in said, "of the copy that was tried nobody has heard"
    assert "Traceback" not in said
    assert not own.exists() or not list(own.iterdir())


def test_nothing_is_overwritten_unasked(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models("add", network(tmp_path / "mine-x2.onnx"))
    before = zoo.find("mine", 2, user=own)
    other = network(tmp_path / "mine-x2.onnx", gain=0.9)
    assert models("add", other) == 2
    assert "you already have a model mine x2" in capsys.readouterr().err
    assert zoo.find("mine", 2, user=own) == before
    assert models("add", other, "--replace") == 0
    after = zoo.find("mine", 2, user=own)
    assert after.sha256 != before.sha256
    zoo.verify(after)
    assert models("add", network(tmp_path / "mine-x4.onnx", 4)) == 0, "another scale is another model"


def test_a_model_for_another_range_of_values_is_added_with_a_warning(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert models("add", network(tmp_path / "bright-x2.onnx", gain=255.0)) == 0
    assert "it may want another range than 0..1" in capsys.readouterr().err
    assert models("add", network(tmp_path / "good-x2.onnx")) == 0
    assert "it may want" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text", "says", "name"),
    [
        ("bad-x2.toml", "name = ", "bad-x2.toml is not valid TOML", "bad"),
        ("gone-x2.toml", 'name = "gone"\nscale = 2\n', "the model gone x2 is missing", "gone"),
        ("mine-x4.toml", 'name = "fast"\nscale = 4\n', 'called "fast" comes with live-sr and is used instead', "fast"),
    ],
)
def test_a_broken_card_of_the_users_stops_nothing_and_is_told(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, text: str, says: str, name: str
) -> None:
    models("add", network(tmp_path / "mine-x2.onnx"))
    network(own / "mine-x4.onnx", 4)
    (own / file).write_text(text)
    shipped = [card.name for card in zoo.list_cards()]
    assert [name for name in list_names() if name in {*shipped, "mine"}] == [*dict.fromkeys(shipped), "mine"]
    assert zoo.find("fast", 4, user=own).onnx.parent == zoo.WEIGHTS
    capsys.readouterr()
    assert models("list") == 0
    said = capsys.readouterr().out
    assert says in said
    assert re.search(r"fast +x2", said)
    told = [
        f for section in doctor.collect_report(None).sections if section.title == "models" for f in section.findings
    ]
    assert any(says in finding.says and not finding.good for finding in told)
    assert models("remove", name) == 0
    assert models("list") == 0
    assert says not in capsys.readouterr().out
    assert "fast" in list_names()


def test_the_list_tells_what_runs_a_model_and_whose_it_is(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models("add", network(tmp_path / "mine-x2.onnx"))
    capsys.readouterr()
    assert models() == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["mine", "x2", "-", "-", "-", "not", "stated", "you", "openvino"] in [row[:9] for row in rows]
    fast = next(row for row in rows if row[:2] == ["fast", "x2"])
    assert "live-sr" in fast
    assert "openvino" in " ".join(fast)


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("remove", "fast"), "fast comes with live-sr", 2),
        (("remove", "bicubic"), "bicubic comes with live-sr", 2),
        (("remove", "mien"), 'Did you mean "mine"', 2),
        (("remove", "mine", "--scale", "4"), 'no model of yours called "mine" with x4', 2),
        (("show", "fats"), 'Did you mean "fast"', 7),
    ],
)
def test_a_wrong_name_is_a_sentence_and_nothing_goes(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str, code: int
) -> None:
    models("add", network(tmp_path / "mine-x2.onnx"))
    assert models(*arguments) == code
    assert words in capsys.readouterr().err
    assert "mine" in list_names()


def test_a_card_that_was_written_reads_the_same(tmp_path: Path) -> None:
    card = ModelCard("a", 3, tmp_path / "a.onnx", notes='"\\ \n\x7f\tü 字', psnr_y={"x y.z": Scores(1.5, 2.0, 3.25)})
    card = replace(card, int8_ranges=((-0.5, 2.25), (0.0, 1e-3)))
    (tmp_path / "a.toml").write_text(cards.format_card(card), encoding="utf-8")
    assert cards.read_card(tmp_path / "a.toml") == card
