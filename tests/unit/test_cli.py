"""The command line: light to start, and plain about mistakes."""

import subprocess
import sys

import pytest

from live_sr import backends, cli

HEAVY = ("PyQt6", "openvino", "torch", "cv2", "av", "numpy.testing", "mss", "Xlib", "onnxruntime")


def test_parsing_a_command_line_imports_nothing_heavy() -> None:
    code = f"import sys; from live_sr import cli; cli.make_parser(); print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (["run", "--window", "doom", "--config", "no-such.toml"], "there is no settings file no-such.toml", 2),
        (["bench", "--model", "fasst", "--seconds", "0.1"], 'Did you mean "fast"', 7),
        (["bench", "--source", "no-such.mp4", "--seconds", "0.1"], "no-such.mp4", None),
        (["bench", "--engine", "openvin", "--seconds", "0.1"], 'Did you mean "openvino"', 8),
        (["demo", "--hud", "detail", "--model", "fast", "--scale", "3", "--no-window"], "there is no x3 of fast", 7),
    ],
)
def test_a_mistake_is_one_sentence_with_a_remedy_and_an_exit_code(
    arguments: list[str], sentence: str, code: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code = cli.main(arguments)
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told
    assert exit_code == code or (code is None and exit_code > 1)


def test_the_help_of_the_live_program_names_every_engine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # no name is broken at its hyphen
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    words = capsys.readouterr().out.replace(",", " ").split()
    assert {engine.name for engine in backends.ENGINES} <= set(words)


@pytest.mark.parametrize(
    "arguments",
    [["run", "--region", "1,2,3"], ["bench", "--size", "480"], ["demo", "--scale", "5"], ["run", "--seconds", "-1"]],
)
def test_a_flag_that_cannot_be_read_ends_with_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "is not a" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "words"),
    [({}, "there is no screen"), ({"WAYLAND_DISPLAY": "wayland-0"}, "needs XWayland"), ({"DISPLAY": ":987"}, "")],
)
def test_without_a_display_run_says_so_and_ends_with_code_4(
    environment: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["run", "--window", "doom"]) == 4
    told = capsys.readouterr().err
    assert words in told
    assert len(told.strip().splitlines()) == 2  # a sentence and a remedy
