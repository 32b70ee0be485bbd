"""`live-sr bench`: what its files hold, what it can be fed with, and how it answers to mistakes and to Ctrl-C."""

import csv
import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakes import FakeEngine
from patience import until

from live_sr import cli
from live_sr.bench import measure
from live_sr.bench.baselines import registry
from live_sr.bench.options import BenchOptions
from live_sr.bench.report import read_report
from live_sr.bench.run import output_report
from live_sr.bench.sequence import SequenceSource, read_sequence
from live_sr.errors import LiveSRError
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Frame, Pixels, Size, make_black
from live_sr.pipeline.latency import STAGES

ROW_KEYS = ["model", "scale", "size", "engine", "precision", "pace", "build_s", "cost", "figures", "floor", "reason"]
ROW_KEYS += ["changed_regions"]
FIGURES = ["rounds", "seconds", "frames", "dropped", "fps", "latency_ms", "stages_ms", "device_ms", "curve_ms"]
FIGURES += ["cpu_ms", "drawn"]
PERCENTILES = ["p50", "p95", "p99", "max"]


@pytest.fixture(autouse=True)
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short warm-up, in a folder of its own."""
    monkeypatch.setattr(measure, "WARM_UP_S", 0.1)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> int:
    """The exit code of a short free run with the nearest filter, unless the arguments say otherwise."""
    usual = ["--model", "nearest", "--size", "37x23", "--seconds", "0.3"]
    if "--size" in arguments:
        del usual[2:4]
    if not {"--pace", "--free"} & set(arguments):
        usual.append("--free")
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


def check_tail(told: dict[str, dict[str, float]]) -> None:
    assert list(told) == PERCENTILES
    medians = [told[name]["median"] for name in PERCENTILES]
    assert medians == sorted(medians)
    for spread in told.values():
        assert 0 <= spread["min"] <= spread["median"] <= spread["max"]


def test_the_json_has_exactly_the_documented_schema() -> None:
    data = figures("--rounds", "2")
    top = ["schema", "machine", "source", "seconds", "warm_up_s", "rounds", "before", "after", "interrupted", "rows"]
    assert list(data) == top
    assert data["schema"] == 2
    assert {"system", "processor", "cores", "python", "live_sr", "packages", "load", "date"} <= set(data["machine"])
    assert data["machine"]["packages"]["numpy"] == np.__version__
    (row,) = data["rows"]
    assert list(row) == ROW_KEYS
    assert (row["model"], row["scale"], row["engine"], row["size"]) == ("nearest", 2, "filters", "37x23")
    assert row["pace"] is None
    assert row["cost"] == {"macs": None, "bytes": 4 * 37 * 23 * 5}
    told = row["figures"]
    assert list(told) == FIGURES
    assert told["rounds"] == 2
    assert told["seconds"] >= 0.6
    assert told["frames"] > 0
    assert told["fps"]["min"] <= told["fps"]["median"] <= told["fps"]["max"]
    check_tail(told["latency_ms"])
    assert tuple(told["stages_ms"]) == STAGES == ("capture", "wait", "upscale", "show")
    for stage in told["stages_ms"].values():
        check_tail(stage)
    assert told["curve_ms"] == sorted(told["curve_ms"])


def write_game(path: Path) -> list[Pixels]:
    """A video without loss of a game in which only a small thing moves; returns its frames."""
    frames = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=30, options={"qp": "0"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 480, 270, "bgr24"
        for number in range(10):
            pixels = make_black(Size(480, 270))
            pixels[..., :3] = np.random.default_rng(1).integers(0, 256, (270, 480, 3))
            pixels[40:50, 10 * number : 10 * number + 10, :3] = 255
            frames.append(pixels)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels[..., :3].copy(), "bgr24")))
        container.mux(stream.encode(None))
    return frames


def test_a_recording_is_measured_whole_and_by_what_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_game(tmp_path / "game.mkv")
    flags = (
        "--source",
        "game.mkv",
        "--model",
        "turbo",
        "--engine",
        "openvino",
        "--changed-regions",
        "--free",
        "--seconds",
        "2",
    )

    def measure_both() -> list[dict[str, Any]] | None:
        """None where the machine is too busy to draw a frame in time, or to time one rightly."""
        if run(*flags, "--json", "figures.json") != 0:
            return None
        rows: list[dict[str, Any]] = json.loads(Path("figures.json").read_text(encoding="utf-8"))["rows"]
        complete = all(row["figures"] for row in rows)
        return rows if complete and rows[1]["figures"]["drawn"] < 0.9 else None

    whole, changed = until(measure_both, "a part of the frames is drawn in part")
    assert (whole["changed_regions"], changed["changed_regions"]) == (False, True)
    assert whole["size"] == changed["size"] == "480x270"
    assert whole["figures"]["drawn"] == 1
    assert min(row["figures"]["cpu_ms"]["median"] for row in (whole, changed)) > 0
    output = capsys.readouterr().out
    assert re.search(r"turbo x2 .*changed regions", output)
    assert "drawn" in output


def test_a_sequence_is_played_again_and_again_and_each_frame_when_it_is_due(tmp_path: Path) -> None:
    frames = write_game(tmp_path / "game.mkv")
    found = read_sequence(tmp_path / "game.mkv")
    assert [np.array_equal(one, other) for one, other in zip(found, frames, strict=True)] == [True] * 10
    assert len(read_sequence(tmp_path / "game.mkv", 3 * frames[0].nbytes)) == 3, "as many as there is room for"
    at_once = SequenceSource(found, None)
    assert at_once.size == Size(480, 270)
    played = [at_once.next_frame(0) for _ in range(23)]
    assert all(frame and np.array_equal(frame.pixels, frames[n % 10]) for n, frame in enumerate(played))
    paced = SequenceSource(found, 50.0)
    seen: list[int] = []
    while len(seen) < 5:
        frame = paced.next_frame(0.1)
        seen += [frame.stamps.seen] if frame else []
    steps = np.diff(seen) / 20e6
    assert np.abs(steps - np.rint(steps)).max() < 0.001, "each was seen when it was due, however late it came"
    assert steps.min() > 0.9


def test_every_combination_is_run_in_every_mode(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--model", "nearest,bilinear", "--scale", "2,3", "--size", "20x10", "--size", "30x20"]
    data = figures(*flags, "--pace", "50", "--pace", "100", "--free", "--seconds", "0.1")
    sides = [(row["model"], row["scale"], row["size"], row["pace"]) for row in data["rows"]]
    assert sides == [
        (model, scale, size, pace)
        for model in ("nearest", "bilinear")
        for scale in (2, 3)
        for size in ("20x10", "30x20")
        for pace in (None, 50, 100)
    ]
    assert all(row["figures"]["frames"] for row in data["rows"])
    lines = capsys.readouterr().out.splitlines()
    for model, scale, size, _ in sides:
        assert sum(line.startswith(f"{model} x{scale} ") and size in line for line in lines) == 3
    assert lines[-1] == "written to figures.json"


def test_both_ways_of_running_are_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--model", "nearest", "--size", "20x10", "--seconds", "0.1"]) == 0
    told = capsys.readouterr().out
    assert "free-running" in told
    assert "fed at 60 fps" in told


def test_a_filter_is_run_once_however_many_engines_and_precisions_there_are() -> None:
    data = figures("--engines", "openvino,auto", "--precisions", "fp32,auto")
    assert [row["engine"] for row in data["rows"]] == ["filters"]


def test_a_combination_that_cannot_run_is_a_row_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    data = figures("--model", "fast,nearest", "--scale", "3")
    failed, done = data["rows"]
    assert failed["figures"] is None
    assert failed["reason"] == "there is no x3 of fast: x2, x4"
    assert done["figures"]["frames"] > 0
    assert "fast x3, auto at 37x23: there is no x3 of fast" in capsys.readouterr().out


class Failing(FakeEngine):
    """Works until it was built so often."""

    builds = 0

    def warm_up(self, size: Any) -> None:
        Failing.builds += 1
        if Failing.builds > 2:
            raise RuntimeError("out of memory")
        super().warm_up(size)


def test_what_fails_in_a_later_round_keeps_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*asked: object) -> Engine:
        return Failing(2)

    monkeypatch.setattr(Failing, "builds", 0)
    monkeypatch.setattr(registry, "make_engine", make)
    (row,) = figures("--rounds", "4")["rows"]
    assert row["figures"]["rounds"] == 2
    assert row["reason"] == "RuntimeError: out of memory"


class Slow(FakeEngine):
    """Takes longer for a frame than the whole round lasts."""

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        time.sleep(1.0)
        return super().upscale(frame, into)


def test_an_engine_that_is_slower_than_the_round_still_gets_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "make_engine", lambda *asked: Slow(2))
    (row,) = figures("--seconds", "0.1")["rows"]
    assert row["figures"]["frames"] >= 1


class OnACard(FakeEngine):
    """Its card remembers the frames of every run since it was built: three old ones, and what was drawn since."""

    def __init__(self, scale: int) -> None:
        super().__init__(scale)
        self._ms = [1000.0] * 3

    def upscale(self, frame: Any, into: Any = None) -> Any:
        self._ms.append(0.5)
        return super().upscale(frame, into)

    def get_device_ms(self) -> dict[str, list[float]]:
        return {"copy in": self._ms, "compute": [2 * ms for ms in self._ms], "copy out": []}


def test_the_stages_on_a_card_are_told_as_the_card_measured_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(*asked: object) -> Engine:
        return OnACard(2)

    monkeypatch.setattr(registry, "make_engine", make)
    (row,) = figures()["rows"]
    told = row["figures"]["device_ms"]
    assert {stage: tail["max"]["max"] for stage, tail in told.items()} == {"copy in": 0.5, "compute": 1.0}
    header = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("model "))
    assert header.split()[-3:] == ["copy", "in", "compute"]


class Interrupted(FakeEngine):
    """The player presses Ctrl-C while the third one is built."""

    builds = 0

    def warm_up(self, size: Any) -> None:
        Interrupted.builds += 1
        if Interrupted.builds == 3:
            raise KeyboardInterrupt
        super().warm_up(size)


def test_after_ctrl_c_what_was_measured_is_told_and_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(*asked: object) -> Engine:
        return Interrupted(2)

    monkeypatch.setattr(Interrupted, "builds", 0)
    monkeypatch.setattr(registry, "make_engine", make)
    flags = ["--size", "20x10", "--size", "30x20", "--size", "40x30", "--size", "50x40", "--csv", "figures.csv"]
    assert run(*flags, "--json", "figures.json") == 130
    data = json.loads(Path("figures.json").read_text())
    assert data["interrupted"] is True
    assert [row["size"] for row in data["rows"]] == ["20x10", "30x20"]
    assert len(Path("figures.csv").read_text().splitlines()) == 3
    assert "interrupted" in capsys.readouterr().out


def test_progress_goes_to_the_standard_error_only(capsys: pytest.CaptureFixture[str]) -> None:
    run("--rounds", "2", "--scale", "2,3")
    told = capsys.readouterr()
    counts = [line.partition(" left")[0].split(", ")[:2] for line in told.err.splitlines()]
    assert counts == [[f"bench: {25 * done} %", f"{done} of 4 runs"] for done in range(4)]
    assert "left: round 1 of 2, nearest x2 at 37x23" in told.err
    assert "round 1 of 2" not in told.out


def test_the_csv_has_a_line_for_each_row() -> None:
    figures("--scale", "2,3", "--csv", "figures.csv")
    with Path("figures.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["scale"], row["pace"]) for row in rows] == [("nearest", "2", ""), ("nearest", "3", "")]
    for row in rows:
        assert float(row["fps_min"]) <= float(row["fps"]) <= float(row["fps_max"])
        assert float(row["p50_ms"]) <= float(row["max_ms"])
        assert float(row["upscale_p50_ms"]) >= 0


def test_a_report_is_compared_with_itself(capsys: pytest.CaptureFixture[str]) -> None:
    figures("--rounds", "2")
    capsys.readouterr()
    assert cli.main(["bench", "--compare", "figures.json", "figures.json"]) == 0
    told = capsys.readouterr().out
    assert "not the same" not in told
    line = next(line for line in told.splitlines() if line.startswith("nearest x2"))
    assert "1.00" in line
    assert "within the spread" in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "no benchmark of schema 2"),
        ('{"schema": 1, "runs": []}', "but of 1"),
        ('{"schema": 2, "rows": []}', "not a whole benchmark"),
    ],
)
def test_what_is_no_report_cannot_be_compared(
    content: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        Path("a.json").write_text(content)
    assert cli.main(["bench", "--compare", "a.json", "a.json"]) == 2
    assert words in capsys.readouterr().err


def test_the_floor_stands_next_to_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    data = figures("--roofline", "--model", "nearest", "--size", "64x48")
    floor = data["rows"][0]["floor"]
    assert floor["device"] == "processor"
    assert floor["bound"] == "copy"
    assert floor["ms"] == pytest.approx(4 * 64 * 48 * 5 / floor["bandwidth"] * 1000, abs=1e-4)
    assert "×floor" in capsys.readouterr().out


def test_the_table_says_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    told = capsys.readouterr().out
    assert "free-running" in told
    for word in ("fps", "p50", "p95", "p99", "worst", "upscale", "rest", "nearest x2", "37x23", "cores", "load"):
        assert word in told
    assert list(Path().iterdir()) == []  # nothing is written unless asked for


def test_paced_frames_come_no_faster_than_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = figures("--pace", "40", "--seconds", "0.5")["rows"]
    assert 0 < row["figures"]["frames"] <= row["figures"]["seconds"] * 40 + 2
    assert "fed at 40 fps" in capsys.readouterr().out


@pytest.mark.parametrize("pace", [[], ["--pace", "60"]])
def test_a_video_is_a_source_and_is_repeated_for_as_long_as_asked(tmp_path: Path, pace: list[str]) -> None:
    path = clip(tmp_path / "clip.mp4")
    (row,) = figures("--source", path, "--seconds", "0.6", *pace)["rows"]
    assert row["size"] == "40x30"  # the video's, whatever --size says
    assert row["figures"]["seconds"] >= 0.6
    assert row["figures"]["frames"] > 12 or pace


@pytest.mark.parametrize("size", ["1x1", "1x50", "50x1", "487x273"])
def test_any_size_is_measured(size: str) -> None:
    (row,) = figures("--size", size)["rows"]
    assert row["size"] == size
    assert row["figures"]["frames"] > 0


def test_an_older_file_is_replaced_whole() -> None:
    Path("figures.json").write_text("x" * 100_000)
    assert figures()["schema"] == 2
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
    assert "nearest x2" not in told.out, "nothing is measured in vain"
    assert [path.name for path in Path().rglob("*")] == ["folder"]


def test_the_figures_are_shown_even_if_they_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    figures()
    report = read_report(Path("figures.json"))
    capsys.readouterr()
    with pytest.raises(LiveSRError, match="cannot be written"):
        output_report(report, BenchOptions(json=Path("removed-meanwhile/figures.json")))
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
        (["--engines", "eagr"], 'Did you mean "eager"?'),
        pytest.param(
            ["--engine", "eager", "--model", "turbo", "--scale", "3"],
            "there is no x3 of turbo",
            marks=pytest.mark.torch,
        ),
        pytest.param(["--engine", "ncnn", "--model", "turbo"], "turbo-x2.param", marks=pytest.mark.needs("ncnn")),
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
