"""`live-sr bench`: what its JSON holds, what it can be fed with, and how it answers to mistakes."""

import json
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from live_sr import bench, cli
from live_sr.latency import STAGES

RUN_KEYS = ["model", "scale", "engine", "precision", "size", "seconds", "frames", "fps", "dropped"]
RUN_KEYS += ["latency_ms", "stages_ms"]
PERCENTILES = ["p50", "p95", "p99", "max"]


@pytest.fixture(autouse=True)
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short warm-up, in a folder of its own."""
    monkeypatch.setattr(bench, "WARM_UP_S", 0.1)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> int:
    """The exit code of a short run with the nearest filter, unless the arguments say otherwise."""
    usual = ["--model", "nearest", "--size", "37x23", "--seconds", "0.3"]
    try:
        return cli.main(["bench", *usual, *arguments])
    except SystemExit as ended:  # argparse's own way
        return int(ended.code or 0)


def figures(*arguments: str) -> dict[str, Any]:
    assert run(*arguments, "--json", "figures.json") == 0
    read: dict[str, Any] = json.loads(Path("figures.json").read_text(encoding="utf-8"))
    return read


def clip(path: Path, frames: int = 12) -> str:
    """Frames of 40x30, 60 a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=60)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = 40, 30
        for number in range(frames):
            picture = np.full((30, 40, 3), 255 * number // frames, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return str(path)


def check_percentiles(told: dict[str, float]) -> None:
    assert list(told) == PERCENTILES
    assert 0 <= told["p50"] <= told["p95"] <= told["p99"] <= told["max"]


def test_the_json_has_exactly_the_documented_schema() -> None:
    data = figures()
    assert list(data) == ["schema", "machine", "runs"]
    assert data["schema"] == 1
    assert {"system", "processor", "cores", "python", "live_sr", "packages", "load", "date"} <= set(data["machine"])
    assert data["machine"]["packages"]["numpy"] == np.__version__
    (told,) = data["runs"]
    assert list(told) == RUN_KEYS
    assert (told["model"], told["scale"], told["engine"], told["size"]) == ("nearest", 2, "filters", "37x23")
    assert isinstance(told["precision"], str)
    assert told["seconds"] >= 0.3
    assert told["frames"] > 0
    assert told["fps"] == pytest.approx(told["frames"] / told["seconds"], rel=0.01)
    check_percentiles(told["latency_ms"])
    assert tuple(told["stages_ms"]) == STAGES == ("capture", "wait", "upscale", "show")
    for stage in told["stages_ms"].values():
        check_percentiles(stage)
        assert stage["max"] <= told["latency_ms"]["max"]


def test_running_free_drops_nothing() -> None:
    (told,) = figures()["runs"]
    assert told["dropped"] == 0


def test_every_combination_is_one_run_over_all_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    data = figures("--model", "nearest,bilinear", "--scale", "2,3", "--rounds", "2", "--seconds", "0.2")
    sides = [(told["model"], told["scale"]) for told in data["runs"]]
    assert sides == [("nearest", 2), ("nearest", 3), ("bilinear", 2), ("bilinear", 3)]
    rows = capsys.readouterr().out.splitlines()
    for model, scale in sides:
        assert sum(row.startswith(f"{model} x{scale} ") for row in rows) == 1
    assert rows[-1] == "written to figures.json"


def test_the_table_says_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    told = capsys.readouterr().out
    assert "free-running" in told
    for word in ("fps", "p50", "p95", "p99", "worst", "upscale", "rest", "nearest x2", "37x23", "cores", "load"):
        assert word in told
    assert list(Path().iterdir()) == []  # nothing is written unless asked for


def test_paced_frames_come_no_faster_than_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    (told,) = figures("--pace", "40", "--seconds", "0.5")["runs"]
    assert 0 < told["frames"] <= told["seconds"] * 40 + 2
    assert "fed at 40 fps" in capsys.readouterr().out


@pytest.mark.parametrize("pace", [[], ["--pace", "60"]])
def test_a_video_is_a_source_and_is_repeated_for_as_long_as_asked(tmp_path: Path, pace: list[str]) -> None:
    path = clip(tmp_path / "clip.mp4")
    (told,) = figures("--source", path, "--seconds", "0.6", *pace)["runs"]
    assert told["size"] == "40x30"  # the video's, whatever --size says
    assert told["seconds"] >= 0.6
    assert told["frames"] > 12 or pace


@pytest.mark.parametrize("size", ["1x1", "1x50", "50x1", "487x273"])
def test_any_size_is_measured(size: str) -> None:
    (told,) = figures("--size", size)["runs"]
    assert told["size"] == size
    assert told["frames"] > 0


def test_an_older_file_is_replaced_whole() -> None:
    Path("figures.json").write_text("x" * 100_000)
    assert figures()["schema"] == 1
    assert [path.name for path in Path().iterdir()] == ["figures.json"]


@pytest.mark.parametrize("target", ["missing/figures.json", "folder", "."])
def test_a_json_file_that_cannot_be_written_is_a_sentence_and_leaves_nothing_half_done(
    target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder").mkdir()
    code = run("--json", target)
    told = capsys.readouterr()
    assert code > 0
    assert "cannot be written" in told.err
    assert target in told.err
    assert [path.name for path in Path().rglob("*")] == ["folder"]


def test_the_figures_are_shown_even_if_they_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    run("--json", "missing/figures.json")
    assert "nearest x2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "fasst"], 'no model called "fasst". Did you mean "fast"?'),
        (["--model", "nearst"], 'Did you mean "nearest"?'),
        (["--model", "nearest,fasst"], 'no model called "fasst"'),
        (["--model", "fast", "--engine", "openvin"], 'no engine called "openvin". Did you mean "openvino"?'),
        (["--engine", "openvin"], "openvin"),  # a filter too
        (["--model", "fast", "--engine", "filters"], "fast is a network"),
        (["--precision", "int3"], "int3"),
        (["--size", "100000x100000"], "too large"),
        (["--model", "missing.onnx"], "missing.onnx"),
        (["--source", "missing.mp4"], "missing.mp4 cannot be played"),
        (["--source", "text.txt"], "text.txt"),
        (["--size", "480"], "is not a size"),
        (["--size", "0x5"], "is not a size"),
        (["--seconds", "-1"], "--seconds"),
        (["--scale", "abc"], "abc"),
        (["--scale", "0"], "0"),
        (["--rounds", "0"], "--rounds"),
        (["--pace", "0"], "--pace"),
        (["--pace", "-5"], "--pace"),
        (["--pace", "nan"], "--pace"),
    ],
)
def test_a_mistake_is_a_sentence(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.txt").write_text("not a video\n")
    code = run(*arguments)
    told = capsys.readouterr().err
    assert code > 0
    assert words in told
    assert "Traceback" not in told


@pytest.mark.parametrize("arguments", [[], ["--pace", "60"], ["--source", "missing.mp4"], ["--model", "fasst"]])
def test_no_thread_is_left(arguments: list[str]) -> None:
    before = set(threading.enumerate())
    run(*arguments)
    assert set(threading.enumerate()) <= before
