"""What config.toml says of engines holds for every command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from live_sr import cli
from live_sr.config import Settings
from live_sr.engines import graph_choice
from live_sr.engines.options import EngineOptions

SETTINGS = '[engine]\nbackend = "openvino"\ncache = "mine"\nthreads = 1\nprecision = "fp32"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where commands are started. Settings name the folder `mine`; the usual one is elsewhere.

    What earlier tests found out about the graphs of a network is forgotten, since a process that builds knows only what
    is in the usual folder.
    """
    graph_choice.open_trial_memory.cache_clear()
    for variable in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "LOCALAPPDATA", "APPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "usual"))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    (tmp_path / "pairs" / "lr").mkdir(parents=True)
    (tmp_path / "pairs" / "hr").mkdir()
    cv2.imwrite(str(tmp_path / "pairs" / "lr" / "a.png"), noise)
    cv2.imwrite(str(tmp_path / "pairs" / "hr" / "a.png"), noise.repeat(2, 0).repeat(2, 1))
    yield tmp_path
    graph_choice.open_trial_memory.cache_clear()


def kept(folder: Path) -> set[str]:
    """The suffixes of what is in the folder and those in it, but for what trials found out about this machine."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "trials.json"]
    return {path.suffix for path in files} - {".secret"}


COMMANDS = {
    "bench": "bench --model turbo --size 48x32 --seconds 0.5 --free",
    "evaluate": "evaluate pairs --models turbo --metrics psnr_y",
    "upscale": "upscale pairs/lr/a.png -o large.png --model turbo --scale 2",
    "demo": "demo --no-window --seconds 0.5 --model turbo",
    "engines build": "engines build --model turbo --scale 2 --size 48x32",
    "models show": "models show turbo+turbo",
}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, id=name, marks=pytest.mark.needs(*(["onnx"] if name == "models show" else [])))
        for name, command in COMMANDS.items()
    ],
)
def test_every_command_keeps_its_engines_in_the_configured_folder(command: str, folder: Path) -> None:
    assert cli.main([*command.split(), "--config", "settings.toml"]) == 0
    assert kept(folder / "mine") == ({".onnx", ".toml"} if "models show" in command else {".blob", ".json", ".lock"})
    assert kept(folder / "usual") == set()


def test_what_engines_build_made_is_found_by_the_others(folder: Path) -> None:
    config = ["--config", "settings.toml"]
    assert cli.main([*COMMANDS["engines build"].split(), *config]) == 0
    made = sorted((folder / "mine").rglob("*.blob"))
    assert len(made) == 1
    graph_choice.open_trial_memory.cache_clear()  # as after the next start
    assert cli.main([*COMMANDS["bench"].split(), *config]) == 0
    assert sorted((folder / "mine").rglob("*.blob")) == made


@pytest.mark.parametrize(
    ("command", "words"), [("engines list", "no compiled engine in mine"), ("doctor", "mine (does not exist yet")]
)
@pytest.mark.parametrize("place", ["command", "action", "working folder"])
def test_the_commands_that_list_look_into_the_configured_folder(
    command: str, words: str, place: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *action = command.split()
    given = ["--config", "settings.toml"]
    if place == "working folder":
        (folder / "settings.toml").rename("config.toml")
        given = []
    assert cli.main([first, *given, *action] if place == "command" else [first, *action, *given]) == 0
    assert words in " ".join(capsys.readouterr().out.split())


def row_of(run: Callable[..., int], *arguments: str) -> dict[str, str]:
    assert run([*COMMANDS["bench"].split(), "--config", "settings.toml", "--json", "b.json", *arguments]) == 0
    (row,) = json.loads(Path("b.json").read_text(encoding="utf-8"))["rows"]
    return dict(row)


def test_flags_that_are_not_given_do_not_override_the_file() -> None:
    row = row_of(cli.main)
    assert (row["engine"], row["precision"]) == ("openvino", "fp32")
    assert row_of(cli.main, "--precision", "bf16")["precision"] == "bf16"


def test_the_settings_become_engine_options() -> None:
    settings = Settings.model_validate(
        {"engine": {"backend": "openvino", "cache": "mine", "threads": 3, "precision": "fp32", "queue": 2}}
    )
    wanted = EngineOptions("openvino", "fp32", 3, Path("mine"))
    assert EngineOptions.from_settings(settings) == wanted, "files have nothing to wait for"
    assert EngineOptions.from_settings(settings, live=True).queue == 2


def test_upscale_takes_the_configured_model(folder: Path) -> None:
    (folder / "settings.toml").write_text('[model]\nname = "nearest"\nscale = 4\n', encoding="utf-8")
    upscale = ["upscale", "pairs/lr/a.png", "-o", "large.png", "--config", "settings.toml"]
    assert cli.main(upscale) == 0
    large = cv2.imread("large.png")
    assert large is not None and (large == cv2.imread("pairs/hr/a.png")).all(), "as it is, by the smallest scale"
