"""`live-sr pairs engine`, with an engine that draws at once: which of its pictures become pairs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from live_sr import cli
from live_sr.errors import LiveSRError
from live_sr.imaging.degradation import Picture
from live_sr.pipeline.frame import Size
from live_sr.training.pairs import command, renderers
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine


def draw_waves(size: Size, shift: float) -> Picture:
    y, x = np.mgrid[0 : size.height, 0 : size.width] / size.height
    grey = (127 + 60 * np.sin(9 * x + shift) + 60 * np.cos(7 * y)).astype(np.uint8)
    return np.dstack([grey] * 3)


def draw(scene: str, size: Size, times: FrameTimes, scale: int) -> Iterator[tuple[int, Picture]]:
    if scene == "broken":
        raise LiveSRError("the page failed", "leave it out")
    for kept in range(times.most):
        number = times.first + kept * times.every
        yield number, draw_waves(size, 0 if scene == "frozen" else number)


ENGINE = GameEngine(
    "waves", "CC0-1.0", "train", lambda: ["broken", "frozen", "moving"], draw, FrameTimes(first=4, every=2, most=3)
)


@pytest.fixture(autouse=True)
def only_waves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderers, "list_engines", lambda: [ENGINE])


def test_scenes_that_fail_or_stand_still_are_told_and_the_others_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["pairs", "engine", "waves", "--sizes", "160x120", "--out", str(tmp_path)]) == 0
    drawn = sorted(path.name for path in (tmp_path / "lr").iterdir())
    assert drawn == ["frozen_00004.png", "moving_00004.png", "moving_00006.png", "moving_00008.png"]
    assert cv2.imread(str(tmp_path / "hr" / "moving_00004.png")).shape == (480, 640, 3)
    said = capsys.readouterr().out
    assert "left out: broken: the page failed" in said
    assert "left out: frozen_00006: it shows the same as a frame before it" in said
    assert "waves,moving,render" in (tmp_path / "manifest.csv").read_text()


def test_an_unknown_scene_or_engine_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pairs", "engine", "waves", "movin", "--out", str(tmp_path)]) == 2
    assert 'waves has no scene "movin". Did you mean' in capsys.readouterr().err
    assert cli.main(["pairs", "engine", "wave", "--out", str(tmp_path)]) == 2
    assert 'no engine is called "wave". Did you mean' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_where_games_cannot_run_it_is_said_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "get_platform", lambda: "win32")
    assert cli.main(["pairs", "engine", "waves", "--out", str(tmp_path)]) == 2
    assert "on Linux only" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_engines_and_their_scenes_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pairs", "engines"]) == 0
    assert capsys.readouterr().out.split() == ["waves", "to", "train", "CC0-1.0"]
    assert cli.main(["pairs", "engines", "waves"]) == 0
    assert capsys.readouterr().out.splitlines() == ["broken", "frozen", "moving"]


@pytest.fixture
def set_hangup() -> Iterator[Callable[[signal.Handlers], object]]:
    """Says what SIGHUP does; a test run under nohup ignores it."""
    before = signal.getsignal(signal.SIGHUP)
    yield lambda handler: signal.signal(signal.SIGHUP, handler)
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP"])
def test_kill_and_a_closed_terminal_end_the_engine_and_keep_what_was_made(
    how: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    set_hangup: Callable[[signal.Handlers], object],
) -> None:
    set_hangup(signal.SIG_DFL)
    ended: list[str] = []

    def draw_until_killed(scene: str, size: Size, times: FrameTimes, scale: int) -> Iterator[tuple[int, Picture]]:
        try:
            if scene == "moving" and size.width > 160:
                signal.raise_signal(signal.Signals[how])
            yield times.first, draw_waves(size, 0)
        finally:
            ended.append(scene)

    monkeypatch.setattr(
        renderers,
        "list_engines",
        lambda: [replace(ENGINE, list_scenes=lambda: ["still", "moving"], draw=draw_until_killed)],
    )
    assert cli.main(["pairs", "engine", "waves", "--sizes", "160x120", "--out", str(tmp_path)]) == 130
    assert ended[-1] == "moving"
    assert [path.name for path in (tmp_path / "lr").iterdir()] == ["still_00004.png"]
    assert "still_00004.png" in (tmp_path / "manifest.csv").read_text()


def test_under_nohup_drawing_goes_on_when_the_terminal_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_hangup: Callable[[signal.Handlers], object]
) -> None:
    set_hangup(signal.SIG_IGN)

    def draw_and_hang_up(scene: str, size: Size, times: FrameTimes, scale: int) -> Iterator[tuple[int, Picture]]:
        signal.raise_signal(signal.SIGHUP)
        yield times.first, draw_waves(size, 0)

    monkeypatch.setattr(
        renderers, "list_engines", lambda: [replace(ENGINE, list_scenes=lambda: ["still"], draw=draw_and_hang_up)]
    )
    assert cli.main(["pairs", "engine", "waves", "--sizes", "160x120", "--out", str(tmp_path)]) == 0
