"""A game that stands still is captured at two sizes, what is no pair is refused, and its window gets its size back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import numpy as np
import paused_toy
import pytest
from patience import LONG_S, until
from screens import Screen, command_toy, read_toy

from live_sr import cli, manage
from live_sr.config import Settings
from live_sr.desktop.x11 import X11Desktop
from live_sr.errors import SourceClosed, UsageError
from live_sr.pipeline.frame import Rect, Size
from live_sr.training.learn import command
from live_sr.training.learn.options import LearnOptions
from live_sr.training.pairs import paused_game, paused_session
from live_sr.training.pairs.options import PairsOptions, PausedInput

SMALL, LARGE = Size(320, 180), Size(640, 360)


class ToyGame:
    """A running paused_toy.py, and what the window manager says of its window."""

    def __init__(self, screen: Screen, mode: str) -> None:
        script = str(Path(paused_toy.__file__))
        self._process = screen.talk(sys.executable, script, *map(str, SMALL), "Toy game", mode)
        self._id = int(read_toy(self._process))
        self._display = screen.display

    def show_scene(self, number: int) -> None:
        command_toy(self._process, "scene", number)

    def resize(self, size: Size) -> None:
        command_toy(self._process, "resize", *size)
        until(lambda: self.find_place().size == size, "the window has its new size")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def find_place(self) -> Rect:
        with closing(X11Desktop(self._display)) as desktop:
            state = desktop.get_window_state(self._id)
        assert state is not None
        return state.rect


class Player:
    """Answers each question with Enter, after having done what `script` says; then the input ends."""

    def __init__(self, *script: Callable[[], None] | None) -> None:
        self._script = iter(script)
        self.questions: list[str] = []

    def __call__(self, question: str) -> str:
        self.questions.append(question)
        try:
            act = next(self._script)
        except StopIteration:
            raise EOFError from None
        if act is not None:
            act()
        return ""


@pytest.fixture
def make_pairs(screen: Screen, tmp_path: Path) -> Callable[[Player, int], int]:
    def run(player: Player, scale: int = 2) -> int:
        return paused_session.run(PausedInput("toy game", None, scale), PairsOptions(tmp_path / "pairs"), player)

    return run


MakePairs = Callable[..., int]


def read_pair(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    small, large = (cv2.imread(str(folder / "pairs" / side / f"{name}.png")) for side in ("lr", "hr"))
    return small, large


def draw(size: Size, number: int) -> np.ndarray:
    return paused_toy.draw_scene(*size, number)[..., :3]


def test_both_pictures_are_what_the_game_draws_at_both_sizes(
    screen: Screen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_pairs: MakePairs,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(paused_game, "SETTLES_S", LONG_S)
    toy = ToyGame(screen, "draws")
    place = toy.find_place()
    assert make_pairs(Player(None, lambda: toy.show_scene(1))) == 0
    for number, name in enumerate(("toy-game-001_00001", "toy-game-002_00001")):
        small, large = read_pair(tmp_path, name)
        np.testing.assert_array_equal(small, draw(SMALL, number))
        np.testing.assert_array_equal(large, draw(LARGE, number))
    assert toy.find_place() == place, "where it was, and as large"
    assert "2 pairs written, 0 refused, 2 places in all" in capsys.readouterr().out
    rows = (tmp_path / "pairs" / "manifest.csv").read_text().splitlines()
    assert len(rows) == 3
    assert "render" in rows[1]
    assert "Toy game" in rows[1]
    toy.show_scene(2)
    assert make_pairs(Player(None)) == 0
    assert (tmp_path / "pairs" / "hr" / "toy-game-003_00001.png").exists(), "the places count on"


@pytest.mark.parametrize(
    ("mode", "settles_s", "still_s", "reason"),
    [
        ("stretches", 12.0, 0.5, "the game only stretches its picture (nearest)"),
        ("retro", 12.0, 0.5, "the game only stretches its picture, which has the same number of pixels"),
        ("more", 12.0, 0.5, "things are x1.00 as large in the large picture, not x2"),
        ("moves", 8.0, 4.0, "the game's picture does not stand still"),
        ("restless", 8.0, 4.0, "the game's large picture does not stand still"),
        ("jumps", 12.0, 0.5, "the game has moved meanwhile"),
    ],
)
def test_what_is_no_pair_is_refused_with_its_reason(
    mode: str, settles_s: float, still_s: float, reason: str, screen: Screen, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, make_pairs: MakePairs, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(paused_game, "SETTLES_S", settles_s)
    monkeypatch.setattr(paused_game, "STILL_S", still_s)
    toy = ToyGame(screen, mode)
    place = toy.find_place()
    assert make_pairs(Player(None)) == 1
    output = capsys.readouterr().out
    assert f"refused: {reason}" in output
    assert "0 pairs written, 1 refused" in output
    assert not (tmp_path / "pairs").exists()
    assert toy.find_place() == place


def test_the_same_picture_again_and_one_larger_than_the_screen_are_refused(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, make_pairs: MakePairs, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(paused_game, "SETTLES_S", LONG_S)
    toy = ToyGame(screen, "draws")
    assert make_pairs(Player(None, None)) == 0
    assert "refused: it is the same picture as before" in capsys.readouterr().out
    toy.resize(Size(400, 225))
    assert make_pairs(Player(None), 4) == 1
    assert "refused: 400x225 x4 is 1600x900, larger than the screen (1280x720)" in capsys.readouterr().out
    assert toy.find_place().size == Size(400, 225)


def test_where_the_window_does_not_follow_the_player_changes_its_size(
    screen: Screen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_pairs: MakePairs,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(paused_game, "SETTLES_S", LONG_S)
    monkeypatch.setattr(paused_game, "FOLLOWS_S", 1.0)
    toy = ToyGame(screen, "fixed")
    player = Player(None, lambda: toy.resize(LARGE), lambda: toy.resize(SMALL))
    assert make_pairs(player) == 0
    assert "Choose 640x360 in the game's own menu" in player.questions[1]
    assert "Change it back to 320x180" in player.questions[2]
    small, large = read_pair(tmp_path, "toy-game-001_00001")
    np.testing.assert_array_equal(small, draw(SMALL, 0))
    np.testing.assert_array_equal(large, draw(LARGE, 0))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_window_gets_its_size_back_however_it_is_ended(how: signal.Signals, screen: Screen, tmp_path: Path) -> None:
    toy = ToyGame(screen, "restless")
    place = toy.find_place()
    with started_pairs(screen, tmp_path) as process:
        assert process.stdin is not None
        print(file=process.stdin, flush=True)
        until(lambda: toy.find_place().size == LARGE, "the window is large")
        process.send_signal(how)
        until(lambda: process.poll() is not None, "its end")
        until(lambda: toy.find_place() == place, "the window is as it was")
        assert process.stdout is not None
        output = process.stdout.read()
    assert "Traceback" not in output
    assert how == signal.SIGKILL or "0 pairs written" in output


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGKILL])
def test_pairs_of_a_session_that_was_killed_stay_and_the_next_one_goes_on_with_them(
    how: signal.Signals, screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_pairs: MakePairs
) -> None:
    monkeypatch.setattr(paused_game, "SETTLES_S", LONG_S)
    toy = ToyGame(screen, "draws")
    place = toy.find_place()
    with started_pairs(screen, tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = ""
        while "written" not in line:  # a busy machine may need another try
            print(file=process.stdin, flush=True)
            line = process.stdout.readline()
            assert line, "it ended"
        process.send_signal(how)
        until(lambda: process.poll() is not None, "its end")
    assert "toy-game-001_00001" in (tmp_path / "pairs" / "manifest.csv").read_text()
    until(lambda: toy.find_place() == place, "the window is as it was")
    first = read_pair(tmp_path, "toy-game-001_00001")
    toy.show_scene(1)
    assert make_pairs(Player(None)) == 0
    for before, now in zip(first, read_pair(tmp_path, "toy-game-001_00001"), strict=True):
        np.testing.assert_array_equal(before, now)
    np.testing.assert_array_equal(read_pair(tmp_path, "toy-game-002_00001")[0], draw(SMALL, 1))


def heed_signals() -> None:
    """A test run that was started in the background, or under nohup, ignores these, and its children inherit that."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def started_pairs(screen: Screen, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`live-sr pairs paused` in a process of its own, which is ended at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "live_sr", "pairs", "paused", "--window", "toy game", "--scale", "2", "--out", "pairs"],
        env={**screen.env, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=heed_signals,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()


def test_a_mistake_is_a_sentence(screen: Screen, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pairs", "paused", "--window", "no such game", "--out", str(tmp_path / "pairs")]) == 3
    assert "there is no window" in capsys.readouterr().err
    assert not (tmp_path / "pairs").exists()


def add_model(file: Path, replace: bool) -> int:
    return manage.add_models([file], None, None, replace=replace, settings=Settings())


@pytest.mark.torch
@pytest.mark.needs("safetensors", "onnx", "onnxruntime")
def test_learn_takes_pairs_goes_on_with_them_and_trains(
    screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(paused_game, "SETTLES_S", LONG_S)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(command, "FEWEST_PAIRS", 3)
    toy = ToyGame(screen, "draws")
    place = toy.find_place()
    models = command.OwnModels(manage.check_new_name, add_model)
    options = LearnOptions("toy game", steps=2, priority="normal")

    def end_with_too_few() -> None:
        raise EOFError

    with pytest.raises(UsageError, match="holds 1 pair, too few to train with: 3 are needed"):
        command.run(options, models, None, Player(None, end_with_too_few))
    player = Player(lambda: toy.show_scene(1), lambda: toy.show_scene(2))
    code = command.run(options, models, None, player)
    assert player.questions[0].startswith("Pair 2 of at least 3: pause the game and press Enter here")
    assert player.questions[2].startswith("3 pairs. Enter takes another one; t and Enter begins the training")
    output = capsys.readouterr().out
    assert "trained with 2 pairs" in output
    kept = [path.name for path in (tmp_path / "live-sr" / "models").glob("*.onnx")]
    assert (code, kept) in ((0, ["toy-game-x2.onnx"]), (1, []))
    assert ("not kept: " in output) == (code == 1)
    assert len(list((tmp_path / "live-sr" / "pairs" / "toy-game" / "hr").iterdir())) == 3
    assert toy.find_place() == place


def test_learn_says_once_where_it_stopped_when_the_game_ends(
    screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(paused_game, "SETTLES_S", LONG_S)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    toy = ToyGame(screen, "draws")
    models = command.OwnModels(manage.check_new_name, add_model)
    with pytest.raises(SourceClosed, match="the game's window was closed, and 1 pair of it are too few"):
        command.run(LearnOptions("toy game"), models, None, Player(None, toy.close))
    assert "window was closed" not in capsys.readouterr().out
    assert len(list((tmp_path / "live-sr" / "pairs" / "toy-game" / "hr").iterdir())) == 1
