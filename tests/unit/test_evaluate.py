"""`live-sr evaluate`: what it can be fed with, what its figures are, what it writes, and how it answers to mistakes."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from live_sr import cli
from live_sr.models import zoo

KEYS = ["set", "name", "scale", "engine", "precision", "degrade", "frames"]
NUMBERS = ["ms", "parameters", "macs_per_pixel", "is_filter"]
QUICK = ["--metrics", "psnr_y"]


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def scene(number: int, width: int = 128, height: int = 96) -> np.ndarray:
    """A drawn picture that moves: edges, a gradient and some texture."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[...] = np.linspace(20, 120, width, dtype=np.uint8)[None, :, None]
    picture += np.random.default_rng(3).integers(0, 25, picture.shape, dtype=np.uint8)
    cv2.circle(picture, (width // 3 + 3 * number, height // 2), height // 4, (40, 200, 250), -1)
    cv2.putText(picture, "score", (8, height - 12), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
    return picture


def smaller(picture: np.ndarray, by: int) -> np.ndarray:
    height, width = picture.shape[:2]
    return cv2.resize(picture, (width // by, height // by), interpolation=cv2.INTER_AREA)


def pairs(folder: str, names: tuple[str, ...] = ("map_00001", "map_00002"), enlarged: int = 2) -> str:
    """A set with lr/ and hr/, the latter `enlarged` times as large."""
    for part in ("lr", "hr"):
        (Path(folder) / part).mkdir(parents=True)
    for number, name in enumerate(names):
        cv2.imwrite(f"{folder}/hr/{name}.png", scene(number))
        cv2.imwrite(f"{folder}/lr/{name}.png", smaller(scene(number), enlarged))
    return folder


def frames(folder: str, count: int = 2) -> str:
    Path(folder).mkdir()
    for number in range(count):
        cv2.imwrite(f"{folder}/shot{number}.png", scene(number, 131, 97))
    return folder


def video(path: str, scale: int) -> str:
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 128 // scale, 96 // scale, "bgr0"
        for number in range(3):
            picture = np.ascontiguousarray(smaller(scene(number), scale))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def run(*arguments: str) -> int:
    try:
        return cli.main(["evaluate", *arguments])
    except SystemExit as ended:  # argparse's own way
        return int(ended.code or 0)


def figures(*arguments: str) -> list[dict[str, Any]]:
    assert run(*arguments, "--json", "q.json") == 0
    rows: list[dict[str, Any]] = json.loads(Path("q.json").read_text(encoding="utf-8"))["rows"]
    return rows


def psnr_y(shown: np.ndarray, target: np.ndarray) -> float:
    """The definition, on BGR."""
    lumas = [16 + (p[8:-8, 8:-8] @ np.array([24.966, 128.553, 65.481])) / 255 for p in (shown, target)]
    return float(10 * np.log10(255**2 / np.mean((lumas[0] - lumas[1]) ** 2)))


@pytest.mark.torch
@pytest.mark.needs("piq", "flip_evaluator")
def test_the_json_has_the_documented_schema() -> None:
    assert run(pairs("arena"), "--models", "nearest,fast", "--json", "q.json") == 0
    data = json.loads(Path("q.json").read_text(encoding="utf-8"))
    assert list(data) == ["schema", "machine", "notes", "rows"]
    assert data["schema"] == 1
    assert {"system", "processor", "cores", "load", "python", "live_sr", "packages", "date"} <= set(data["machine"])
    nearest, fast = data["rows"]
    usual = ["psnr_y", "ssim_y", "haarpsi", "flip", "flicker"]
    assert list(nearest) == KEYS + usual + NUMBERS
    assert [nearest[key] for key in KEYS] == ["arena", "nearest", 2, "filters", "", None, 2]
    assert (nearest["parameters"], nearest["macs_per_pixel"]) == (None, None)
    assert (nearest["is_filter"], fast["is_filter"]) == (True, False)
    card = zoo.find("fast", 2)
    assert (fast["parameters"], fast["macs_per_pixel"]) == (card.parameters, card.macs_per_pixel)
    assert all(isinstance(row[key], float) for row in data["rows"] for key in [*usual, "ms"])
    assert data["notes"] == []


def test_psnr_is_of_the_luma_without_borders_in_the_mean_over_frames() -> None:
    (row,) = figures(pairs("arena"), "--models", "bilinear", *QUICK)
    by_hand = []
    for number in range(2):
        shown = cv2.resize(smaller(scene(number), 2), (128, 96), interpolation=cv2.INTER_LINEAR)
        by_hand.append(psnr_y(shown, scene(number)))
    assert row["psnr_y"] == pytest.approx(np.mean(by_hand), abs=1e-3)


def test_a_larger_reference_is_averaged_to_the_size_asked_for() -> None:
    (row,) = figures(pairs("arena", ("a",), enlarged=4), "--models", "nearest", "--scale", "2", *QUICK)
    shown = cv2.resize(smaller(scene(0), 4), (64, 48), interpolation=cv2.INTER_NEAREST)
    assert row["psnr_y"] == pytest.approx(psnr_y(shown, smaller(scene(0), 2)), abs=1e-3)


def test_plain_frames_are_shrunk_by_each_named_kernel_at_each_scale() -> None:
    rows = figures(frames("shots"), "--models", "nearest", "--degrade", "box,point", "--scale", "2,4", *QUICK)
    assert [(row["scale"], row["degrade"]) for row in rows] == [(2, "box"), (2, "point"), (4, "box"), (4, "point")]
    assert len({row["psnr_y"] for row in rows}) == 4


def test_two_videos_are_compared_frame_by_frame() -> None:
    (row,) = figures("--video", video("small.mkv", 2), video("large.mkv", 1), "--models", "nearest", *QUICK)
    by_hand = []
    for number in range(3):
        shown = cv2.resize(smaller(scene(number), 2), (128, 96), interpolation=cv2.INTER_NEAREST)
        by_hand.append(psnr_y(shown, scene(number)))
    assert (row["set"], row["frames"]) == ("small", 3)
    assert row["psnr_y"] == pytest.approx(np.mean(by_hand), abs=1e-3)


def test_one_video_is_a_set_of_large_frames() -> None:
    (row,) = figures(video("large.mkv", 1), "--degrade", "box", "--models", "nearest", *QUICK)
    assert (row["set"], row["frames"], row["degrade"]) == ("large.mkv", 3, "box")


def test_a_model_of_another_scale_is_averaged_down_and_its_name_says_so() -> None:
    frames("shots", 1)
    fast, nearest = figures("shots", "--degrade", "box", "--models", "fast,nearest", "--scale", "3", *QUICK)
    assert fast["name"] == "fast x4 then /1.33"
    assert nearest["name"] == "nearest"
    assert fast["psnr_y"] > 20  # of a whole picture at the right size


@pytest.mark.parametrize(
    ("names", "measured"),
    [(("map_00001", "map_00002"), True), (("map01_00007", "map02_00007"), False), (("0001", "0002"), True)],
)
def test_flicker_is_told_where_one_place_has_several_frames(names: tuple[str, ...], measured: bool) -> None:
    (row,) = figures(pairs("arena", names), "--models", "nearest", "--metrics", "flicker")
    assert (row["flicker"] is not None) == measured


def test_the_mean_weighs_every_set_alike() -> None:
    rows = figures(pairs("one"), pairs("two", ("a", "b", "c")), "--models", "bilinear,nearest", *QUICK)
    assert [(row["set"], row["name"]) for row in rows[-2:]] == [("mean", "bilinear"), ("mean", "nearest")]
    assert rows[-2]["frames"] == 5
    assert rows[-2]["psnr_y"] == pytest.approx((rows[0]["psnr_y"] + rows[2]["psnr_y"]) / 2, abs=1e-3)


def test_sets_of_the_same_name_are_told_apart() -> None:
    rows = figures(pairs("a/arena"), pairs("b/arena"), "--models", "nearest", *QUICK)
    assert [row["set"] for row in rows] == ["a/arena", "b/arena", "mean"]


def test_a_limit_takes_the_first_frames_of_each_set() -> None:
    (row,) = figures(pairs("arena"), "--models", "nearest", "--limit", "1", *QUICK)
    assert row["frames"] == 1


def test_the_table_marks_the_best_of_each_column(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(pairs("arena"), "--models", "nearest,bicubic", "--metrics", "psnr_y,flicker") == 0
    told = capsys.readouterr().out
    assert "arena x2, rendered small, 2 frames" in told
    nearest, bicubic = (line for line in told.splitlines() if line.startswith(("nearest", "bicubic")))
    assert (nearest + bicubic).count("*") == 3
    assert list(Path().iterdir()) == [Path("arena")]  # nothing is written unless asked for


def test_the_gain_over_the_best_filter_is_told_of_each_set(capsys: pytest.CaptureFixture[str]) -> None:
    sets = (pairs("arena"), pairs("tux", ("level_00001",)))
    assert run(*sets, "--models", "nearest,bicubic,fast", "--json", "q.json", "--metrics", "psnr_y") == 0
    told = capsys.readouterr().out
    rows = {(row["set"], row["name"]): row["psnr_y"] for row in json.loads(Path("q.json").read_text())["rows"]}
    gains = [
        rows[one, "fast"] - max(rows[one, "nearest"], rows[one, "bicubic"]) for one in ("arena", "tux")
    ]  # of each set its own best filter
    line = next(line for line in told.partition("PSNR-Y above the best filter, x2")[2].splitlines() if "fast" in line)
    told_gains = [float(word) for word in line.split()[1:]]
    assert told_gains == pytest.approx([*gains, sum(gains) / 2, min(gains)], abs=0.006)
    assert run(sets[0], "--models", "fast", "--metrics", "psnr_y") == 0
    assert "above the best filter" not in capsys.readouterr().out


def test_the_csv_has_the_rows_of_the_json() -> None:
    rows = figures(pairs("arena"), "--models", "nearest,bilinear", "--csv", "q.csv", *QUICK)
    read = list(csv.DictReader(Path("q.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["name"] for row in read] == ["nearest", "bilinear"]
    assert float(read[0]["psnr_y"]) == rows[0]["psnr_y"]
    assert read[0]["parameters"] == ""


@pytest.mark.needs("flip_evaluator")
@pytest.mark.parametrize("cost", ["ms", "macs"])
def test_a_plot_is_drawn(cost: str) -> None:
    arguments = ["--models", "nearest,fast", "--plot", "new/q.png", "--cost", cost, "--metrics", "psnr_y,flip"]
    assert run(pairs("arena"), *arguments) == 0
    height, width = cv2.imread("new/q.png").shape[:2]
    assert width > 1000  # two panels beside each other
    assert 300 < height < 700


def test_the_sheet_shows_each_set_through_each_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(pairs("arena"), pairs("town"), "--models", "bilinear,bicubic", "--sheet", "q.png", *QUICK) == 0
    sheet = cv2.imread("q.png")
    assert sheet.shape[1] == 10 + 4 * (288 + 10)  # input, two models, reference
    assert run("arena", "town", "--models", "bilinear,bicubic", "--sheet", "q.html", *QUICK) == 0
    page = Path("q.html").read_text(encoding="utf-8")
    assert page.count("<img") == 8
    assert page.count('src="data:image/png;base64,') == 8  # the file needs no other
    assert "reference" in page
    assert "written to q.html" in capsys.readouterr().out


def test_a_model_that_fails_is_told_and_the_others_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken-x2.onnx").write_bytes(b"not a network")
    (row,) = figures(pairs("arena"), "--models", "broken-x2.onnx,nearest", *QUICK)
    assert row["name"] == "nearest"
    (note,) = json.loads(Path("q.json").read_text(encoding="utf-8"))["notes"]
    assert "broken-x2.onnx" in note
    assert note in capsys.readouterr().err


def test_without_the_extra_the_plain_figures_come_and_one_sentence_tells_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("piq", "flip_evaluator", "torch"):
        monkeypatch.setitem(sys.modules, module, None)
    for module in ("live_sr.evaluate.piq_metrics", "live_sr.evaluate.flip"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    (row,) = figures(pairs("arena"), "--models", "nearest")
    assert list(row) == [*KEYS, "psnr_y", "flicker", *NUMBERS]
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    for word in ("ssim_y", "haarpsi", "flip", 'pip install "live-sr[evaluate]"'):
        assert word in told[0]


def test_what_cannot_be_measured_on_this_machine_is_named_and_left_out() -> None:
    (row,) = figures(pairs("arena"), "--models", "bicubic", "--metrics", "all")
    (told,) = json.loads(Path("q.json").read_text(encoding="utf-8"))["notes"] or [""]
    for name in ("ssim_y", "ms_ssim", "haarpsi", "flip", "lpips", "dists", "brisque", "vmaf", "flicker"):
        assert (name in row) != (name in told)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "there is no folder nowhere"),
        ([], "nothing to measure on"),
        (["half"], "none called hr/"),
        (["empty"], "no picture in empty"),
        (["lone"], "no picture of the same name in lr/"),
        (["torn"], "a.png is not a readable picture"),
        (["shots"], "--degrade"),
        (["shots", "--degrade", "blur"], 'no degradation "blur"'),
        (["arena", "--scale", "4"], "use a smaller --scale"),
        (["odd"], "of another shape"),
        (["arena", "--metrics", "psnr"], 'Did you mean "psnr_y"?'),
        (["arena", "--models", "fasst"], 'Did you mean "fast"?'),
        (["arena", "--models", "no.onnx"], "there is no model file no.onnx"),
        (["arena", "--models", "nearest", "--engine", "openvin"], 'Did you mean "openvino"?'),
        (["arena", "--limit", "0"], "--limit 0"),
        pytest.param(["arena", "--plot", "q.jpg"], "end its name in .png", marks=pytest.mark.needs("matplotlib")),
        (["arena", "--json", "arena"], "it is a folder"),
        (["--video", "no.mp4", "no2.mp4"], "no.mp4 cannot be played"),
    ],
)
def test_a_mistake_is_a_sentence(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("half/lr", "empty"):
        Path(folder).mkdir(parents=True)
    for folder in ("arena", "lone", "torn", "odd"):
        pairs(folder, ("a",))
    cv2.imwrite("lone/hr/b.png", scene(1))
    Path("torn/lr/a.png").write_bytes(b"x" * 50)
    cv2.imwrite("odd/lr/a.png", smaller(scene(0), 2)[:, :40])
    frames("shots", 1)
    code = run("--models", "nearest", *QUICK, *arguments)
    told = capsys.readouterr().err
    assert code > 0
    assert words in told
    assert "Traceback" not in told
    assert not list(Path().rglob("*.part"))
