"""`live-sr pairs engines --out`, with engines that draw at once: what is drawn where, and what there is to train on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from live_sr import cli
from live_sr.errors import LiveSRError, MissingPart
from live_sr.imaging.degradation import Picture
from live_sr.pipeline.frame import Size
from live_sr.system import toml
from live_sr.training.pairs import command, renderers
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine

drawn: list[str] = []


def draw(scene: str, size: Size, times: FrameTimes, scale: int) -> Iterator[tuple[int, Picture]]:
    drawn.append(scene)
    y, x = np.mgrid[0 : size.height, 0 : size.width] / size.height
    for number in range(times.first, times.first + times.most):
        grey = (127 + 60 * np.sin(9 * x + number) + 60 * np.cos(7 * y)).astype(np.uint8)
        yield number, np.dstack([grey] * 3)


def list_none() -> Sequence[str]:
    raise MissingPart("boats is not installed", "apt install boats")


WAVES = GameEngine("waves", "CC0-1.0", "train", lambda: ["calm", "storm"], draw, FrameTimes(first=0, every=1, most=2))
TIDES = replace(WAVES, name="tides", use="test", list_scenes=lambda: ["ebb"])
BOATS = replace(WAVES, name="boats", list_scenes=list_none)


@pytest.fixture(autouse=True)
def three_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn.clear()
    monkeypatch.setattr(renderers, "list_engines", lambda: [BOATS, TIDES, WAVES])
    monkeypatch.setattr(command, "get_platform", lambda: "linux")


def draw_all(out: Path, *more: str) -> int:
    return cli.main(["pairs", "engines", *more, "--sizes", "160x120", "--out", str(out)])


def read_weights(out: Path) -> dict[str, float]:
    return {source["name"]: source["weight"] for source in toml.read(out / "train.toml")["source"]}


def test_all_that_is_installed_is_drawn_and_what_only_tests_is_kept_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draw_all(tmp_path) == 0
    assert sorted(path.name for path in (tmp_path / "train/waves/lr").iterdir()) == [
        "calm_00000.png",
        "calm_00001.png",
        "storm_00000.png",
        "storm_00001.png",
    ]
    assert len(list((tmp_path / "test/tides/hr").iterdir())) == 2
    assert list(read_weights(tmp_path)) == ["waves"]
    said = capsys.readouterr().out
    assert "boats: not drawn, boats is not installed (apt install boats)" in said
    assert "4 pairs of 1 sources" in said


def test_the_list_is_what_train_takes(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from live_sr.training.dataset import read_sources

    draw_all(tmp_path)
    (source,) = read_sources([], tmp_path / "train.toml", scale=2)
    assert (source.name, len(source.pairs), source.weight) == ("waves", 4, 1.0)


def test_a_second_run_draws_only_what_is_missing(tmp_path: Path) -> None:
    draw_all(tmp_path)
    for side in ("lr", "hr"):
        for path in (tmp_path / "train/waves" / side).glob("storm_*"):
            path.unlink()
    manifest = tmp_path / "train/waves/manifest.csv"
    kept = [line for line in manifest.read_text().splitlines() if "storm" not in line]
    manifest.write_text("\n".join(kept) + "\n")
    drawn.clear()
    assert draw_all(tmp_path) == 0
    assert set(drawn) == {"storm"}
    assert len(list((tmp_path / "train/waves/lr").iterdir())) == 4


def test_weights_that_were_changed_stay_and_other_folders_are_added(tmp_path: Path) -> None:
    draw_all(tmp_path)
    path = tmp_path / "train.toml"
    path.write_text(path.read_text().replace("weight = 1.0", "weight = 5.0"))
    for name in ("doom", "ui", "tides"):  # the last is an engine that nothing may be trained on
        (tmp_path / "train" / name / "lr").mkdir(parents=True)
        (tmp_path / "train" / name / "lr" / "map_00001.png").touch()
    assert draw_all(tmp_path) == 0
    assert read_weights(tmp_path) == {"doom": 3.0, "ui": 1.0, "waves": 5.0}


def test_only_the_named_engines_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw_all(tmp_path, "tides") == 0
    assert drawn == ["ebb", "ebb"]
    assert not (tmp_path / "train.toml").exists()
    assert draw_all(tmp_path, "boats") == 1
    assert draw_all(tmp_path, "wave") == 2
    assert 'no engine is called "wave". Did you mean' in capsys.readouterr().err


def test_an_engine_that_fails_does_not_keep_the_others_from_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> Sequence[str]:
        raise LiveSRError("the boats sank", "swim")

    monkeypatch.setattr(renderers, "list_engines", lambda: [replace(BOATS, list_scenes=fail), WAVES])
    assert draw_all(tmp_path) == 0
    assert "boats: the boats sank" in capsys.readouterr().out
    assert list(read_weights(tmp_path)) == ["waves"]


def test_a_damaged_list_is_a_sentence_before_anything_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.toml").write_text("[[source]]\nweight = 'much'\n")
    assert draw_all(tmp_path) == 2
    assert "train.toml is no list of sources" in capsys.readouterr().err
    assert drawn == []
