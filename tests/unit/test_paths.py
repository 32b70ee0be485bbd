"""Where a user's files are: on Linux by the XDG variables, on Windows by AppData, and without a home nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from live_sr import cli
from live_sr.errors import LiveSRError
from live_sr.system import paths

ROOT = Path(__file__).parents[2]
VARIABLES = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the folders of Linux")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "home"


def folders() -> list[Path | None]:
    return [paths.get_config_folder(), paths.get_cache_folder(), paths.get_models_folder(), paths.get_data_folder()]


def usual(home: Path) -> list[Path]:
    data = home / ".local" / "share" / "live-sr"
    return [home / ".config" / "live-sr", home / ".cache" / "live-sr" / "engines", data / "models", data]


def test_the_folders_are_those_of_before(home: Path) -> None:
    assert folders() == usual(home)


def test_the_xdg_variables_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, str(tmp_path / variable))
    data = tmp_path / "XDG_DATA_HOME" / "live-sr"
    cache = tmp_path / "XDG_CACHE_HOME" / "live-sr" / "engines"
    assert folders() == [tmp_path / "XDG_CONFIG_HOME" / "live-sr", cache, data / "models", data]


def test_empty_variables_count_as_not_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")
    paths.unset_empty_variables()
    assert folders() == usual(home)
    assert not any(variable in os.environ for variable in VARIABLES)
    monkeypatch.setenv("HOME", "")
    paths.unset_empty_variables()
    assert "HOME" not in os.environ


def test_engines_of_the_working_folder_come_first(tmp_path: Path) -> None:
    (tmp_path / "engines").mkdir()
    assert paths.get_cache_folder() == Path("engines")


# A user without a home: no HOME, and no entry in the system's list of users

NO_HOME = """
import os, pwd, sys
def refuse(*_):
    raise KeyError("no such user")
pwd.getpwuid = pwd.getpwnam = refuse
for name in [n for n in os.environ if n == "HOME" or n.startswith("XDG_") or n == "DISPLAY"]:
    del os.environ[name]
from live_sr import cli
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("doctor", 0, "there is no home folder"),
        ("demo --no-window --seconds 0.5 --model turbo", 0, "turbo x2"),
        ("models", 0, "turbo"),
        ("engines list", 1, "set HOME to a folder"),
        ("models show turbo+turbo", 1, "set HOME to a folder"),
        ("models remove mine", 1, "set HOME to a folder"),
        ("bench --model nearest --size 48x32 --seconds 0.5 --free", 0, "nearest x2"),
        ("bench --config tilde.toml", 2, "write the whole path"),
    ],
)
def test_without_a_home_there_is_a_default_or_a_sentence(command: str, code: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "tilde.toml").write_text('engine.cache = "~/x"\n', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", NO_HOME, *command.split()],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not [path for path in tmp_path.rglob("*") if "~" in path.name]


def test_what_needs_a_folder_says_what_it_is_for() -> None:
    with pytest.raises(LiveSRError, match="models cannot be kept"):
        paths.require_folder(None, "models")
    assert paths.require_folder(Path("here"), "models") == Path("here")


def test_an_empty_home_is_not_the_root_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    (tmp_path / "config.toml").write_text('engine.cache = "~/x"\n', encoding="utf-8")
    assert cli.main(["engines", "list"]) in (0, 2)
    assert not Path("/x").exists()
