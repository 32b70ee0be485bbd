"""From pairs of a game to a network that is kept or thrown away: what `live-sr learn` says, keeps and leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from patience import until

from live_sr import cli, config
from live_sr.models.resolve import list_names
from live_sr.training.learn.figures import LearnedFigures

pytestmark = [pytest.mark.torch, pytest.mark.needs("safetensors", "onnx", "onnxruntime")]

ROOT = Path(__file__).parents[2]
SHADE = 40  # levels by which the game's large pictures are brighter: what a network learns in a few steps
MakePairs = Callable[..., Path]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folders, and the one for temporary files."""
    for variable in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "APPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "user"))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it remembers the folder that it found
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "user"


@pytest.fixture
def make_pairs(tmp_path: Path) -> MakePairs:
    def make(count: int = 10, shade: int = SHADE) -> Path:
        random = np.random.default_rng(1)
        folder = tmp_path / "My Game"
        for number in range(count):
            coarse = random.integers(0, 200, (12, 16, 3)).astype(np.uint8)
            large = cv2.resize(coarse, (256, 192), interpolation=cv2.INTER_CUBIC)
            small = cv2.resize(large, (64, 48), interpolation=cv2.INTER_AREA)
            for side, picture in (("lr", small), ("hr", cv2.add(large, np.full_like(large, shade)))):
                (folder / side).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / side / f"my-game-{number:03}_00001.png"), picture)
        return folder

    return make


def learn(*arguments: object) -> int:
    """At ordinary priority: on a machine that runs other tests, an idle process may wait for ever."""
    return cli.main(["learn", "--priority", "normal", *map(str, arguments)])


def start_learning(folder: Path, **more: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "live_sr", "learn", "--pairs", str(folder), "--steps", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **more,  # type: ignore[call-overload]
    )


def heed_signals() -> None:
    """A test run that was started in the background, or under nohup, ignores these, and its children inherit that."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def list_models(data: Path) -> set[str]:
    return {path.name for path in data.rglob("*.onnx")}


def add_own_model(data: Path) -> Path:
    """A model of the user's that has the game's name; its file."""
    shipped = ROOT / "live_sr" / "models" / "weights" / "turbo-x2.onnx"
    assert cli.main(["models", "add", str(shipped), "--name", "my-game"]) == 0
    (mine,) = data.rglob("my-game-x2.onnx")
    return mine


def list_scratch(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "scratch").glob("live-sr*"))


def test_a_better_network_is_kept_used_and_removed(
    make_pairs: MakePairs, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_pairs()
    assert learn("--pairs", folder, "--steps", 40) == 0
    output = capsys.readouterr().out
    assert "trained with 7 pairs" in output
    assert "3 pairs of places that it was not trained with" in output
    assert "added my-game x2" in output
    assert list_models(data) == {"my-game-x2.onnx"}
    assert "my-game" in list_names(), "which the hotkey for the next model goes through"
    assert not list_scratch(tmp_path)

    lines = output[output.index("[[profile]]") : output.index("`live-sr models remove")]
    assert tomllib.loads(lines)
    (tmp_path / "config.toml").write_text(lines.replace("TITLE", "My Game"))
    settings = config.load(tmp_path / "config.toml", ("My Game 2",))
    assert (settings.model.name, settings.model.scale) == ("my-game", 2)

    assert learn("--pairs", folder, "--steps", 60) == 0
    assert "my-game, as it is" in capsys.readouterr().out, "its own earlier network is measured, and replaced"
    assert cli.main(["models", "remove", "my-game"]) == 0
    assert not list_models(data)
    assert len(list((folder / "lr").iterdir())) == 10


def test_another_network_of_the_same_game_has_a_name_of_its_own(
    make_pairs: MakePairs, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from live_sr.models.architectures import cellnet

    folder = make_pairs()
    assert learn("--pairs", folder, "--steps", 40) == 0
    assert learn("--pairs", folder, "--model", "turbo", "--steps", 40) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {line[0] for line in lines if len(line) == 2} >= {"my-game", "my-game-turbo", "turbo", "fast"}
    assert list_models(data) == {"my-game-x2.onnx", "my-game-turbo-x2.onnx"}
    for name, of in (("my-game-turbo", "turbo"), ("my-game", "fast")):
        network, _ = cellnet.load(next(data.rglob(f"{name}-x2.safetensors")))
        assert network.shape == cellnet.FAMILY[of, 2]


def test_a_network_that_is_not_better_is_thrown_away(
    make_pairs: MakePairs, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_pairs(shade=0)
    assert learn("--pairs", folder, "--steps", 1) == 1
    output = capsys.readouterr().out
    assert "not kept: it is " in output
    assert "0.3 dB are wanted" in output
    assert not list_models(data)
    assert not list_scratch(tmp_path)
    assert len(list((folder / "hr").iterdir())) == 10


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--pairs", "My Game"), 2, "holds 9 pairs, too few to train with: 10 are needed"),
        (("--pairs", "nothing"), 2, "holds 0 pairs"),
        (("--pairs", "My Game", "--name", "fast"), 2, '"fast" comes with live-sr'),
        (("--pairs", "My Game", "--name", "a b"), 2, "cannot be the name of a model"),
    ],
)
def test_a_mistake_is_a_sentence(
    arguments: tuple[str, ...], code: int, said: str, make_pairs: MakePairs, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pairs(9)
    assert learn(*arguments) == code
    assert said in capsys.readouterr().err


def test_pairs_of_two_places_cannot_be_judged(make_pairs: MakePairs, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_pairs(12)
    for picture in sorted(folder.rglob("*.png")):
        number = int(picture.stem[8:11])
        picture.rename(picture.with_name(f"place{number % 2}_{number:05}.png"))
    assert learn("--pairs", folder) == 2
    assert "holds pairs of 2 places, and 3 are needed" in capsys.readouterr().err


def test_a_folder_for_models_that_cannot_be_written_is_told_before_the_training(
    make_pairs: MakePairs, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.mkdir()
    (data / "live-sr").write_text("no folder")
    assert learn("--pairs", make_pairs(), "--steps", 40) == 7
    said = capsys.readouterr()
    assert "training begins" not in said.out
    assert "Traceback" not in said.err


def test_a_model_whose_card_is_broken_is_never_replaced(
    make_pairs: MakePairs, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_pairs()
    mine = add_own_model(data)
    mine.with_suffix(".toml").write_text("broken")
    before = mine.read_bytes()
    assert learn("--pairs", folder, "--steps", 40) == 2
    assert "whose card cannot be read" in capsys.readouterr().err
    assert mine.read_bytes() == before


def test_a_model_that_it_has_not_made_is_never_replaced(
    make_pairs: MakePairs, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_pairs()
    mine = add_own_model(data)
    before = mine.read_bytes()
    capsys.readouterr()
    assert learn("--pairs", folder, "--steps", 40) == 2
    said = capsys.readouterr().err
    assert "you have a model my-game x2 already, which `live-sr learn` has not made" in said
    assert "--name" in said
    assert mine.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupted_training_leaves_the_pairs_and_nothing_else(
    how: str, make_pairs: MakePairs, data: Path, tmp_path: Path
) -> None:
    folder = make_pairs()
    process = start_learning(folder, preexec_fn=heed_signals)
    try:
        until(lambda: list_scratch(tmp_path) or process.poll() is not None, "it has begun")
        until(lambda: psutil.Process(process.pid).children() or process.poll() is not None, "it trains")
        children = psutil.Process(process.pid).children()
        process.send_signal(signal.Signals[how])
        output = process.communicate()[0]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "interrupted: no network was made; the pairs stay in " in output
    assert "Traceback" not in output
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert not list_models(data)
    assert not list_scratch(tmp_path)
    assert len(list((folder / "lr").iterdir())) == 10


@pytest.mark.skipif(sys.platform == "win32", reason="limits")
def test_a_full_disk_is_a_sentence_and_leaves_no_network(
    make_pairs: MakePairs, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import resource

    folder = make_pairs()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        assert learn("--pairs", folder, "--steps", 2) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capfd.readouterr().err
    assert "have room, and try again" in said
    assert "Traceback" not in said
    assert not list_models(data)


@pytest.mark.parametrize(
    ("learned", "before", "best_filter", "earlier", "kept"),
    [
        (30.4, 30.0, 29.0, None, True),
        (30.2, 30.0, 29.0, None, False),
        (30.4, 30.0, 30.2, None, False),
        (30.4, 30.0, 29.0, 30.5, False),
        (30.6, 30.0, 29.0, 30.5, True),
        (float("nan"), 30.0, 29.0, None, False),
    ],
)
def test_it_has_to_beat_the_start_the_filters_and_an_earlier_one(
    learned: float, before: float, best_filter: float, earlier: float | None, kept: bool
) -> None:
    filters = {"bilinear": 20.0, "bicubic": best_filter}
    figures = LearnedFigures("", learned, before, filters, earlier, 3, 7, 1.0, 1.0)
    assert (figures.defect == "") == kept
