"""What the HUD says, as tables of lines; and that it can be read over any picture."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PyQt6 import sip
from PyQt6.QtCore import qInstallMessageHandler
from PyQt6.QtGui import QGuiApplication, QImage, QPainter

from live_sr.frame import Pixels, Size, fresh
from live_sr.latency import STAGES, Percentiles, Report
from live_sr.nvml import Gpu
from live_sr.overlay.hud import Hud, HudState
from live_sr.overlay.hud_text import LEVELS, MEASURES, Tone, lines, rows, tone_of, tone_of_rate

REPORT = Report(
    seconds=5.0,
    captured_fps=60.04,
    upscaled_fps=59.9,
    shown_fps=59.8,
    low_fps=41.26,
    duplicates=345,
    dropped=12,
    shown=299,
    total=Percentiles(10.6, 12.04, 13.1, 20.25),
    stages={name: Percentiles(1.0 + i, 2.0 + i, 3.0 + i, 14.0 + i) for i, name in enumerate(STAGES)},
    intervals_ms=np.array([16.7] * 200 + [34.0] + [16.7] * 50 + [60.0] + [16.7] * 40),
)
STATE = HudState(REPORT, "fast", 2, "openvino", "bf16", Size(480, 270), Size(960, 540))
GPU = Gpu(
    "NVIDIA GeForce RTX 4070",
    driver="610.12",
    cuda="13.1",
    capability="8.9",
    load=98,
    clock_mhz=210,
    max_clock_mhz=2520,
    used_bytes=3 << 30,
    total_bytes=12 << 30,
    celsius=61,
    watts=38.2,
    limit_watts=200.0,
    state=8,
)
ON_NVIDIA = replace(STATE, engine="tensorrt", precision="fp16", gpu=GPU, runtime="TensorRT 11.0.0", advice=GPU.advice)
EMPTY = Report(5.0, 0, 0, 0, 0, 0, 0, 0, Percentiles(0, 0, 0, 0), {}, np.zeros(0))


@pytest.fixture
def qt(monkeypatch: pytest.MonkeyPatch) -> Iterator[QGuiApplication]:
    """Pictures and text need no screen; what Qt complains about fails the test."""
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert QGuiApplication.instance() is None, "an earlier test left its Qt application behind"
    complaints: list[str | None] = []
    before = qInstallMessageHandler(lambda kind, context, message: complaints.append(message))
    app = QGuiApplication(["live-sr"])
    yield app
    sip.delete(app)
    qInstallMessageHandler(before)
    assert complaints == []


def laid(hud: Hud, under: Pixels) -> Pixels:
    """The picture with the HUD painted over it."""
    pixels = under.copy()
    height, width, _ = pixels.shape
    image = QImage(sip.voidptr(pixels.ctypes.data), width, height, width * 4, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    hud.paint(painter, Size(width, height))
    painter.end()
    return pixels


def under(kind: str, size: Size) -> Pixels:
    pixels = fresh(size)
    if kind == "bright":
        pixels[...] = 255
    elif kind == "busy":
        pixels[..., :3] = np.random.default_rng(1).integers(0, 256, (size.height, size.width, 3), np.uint8)
    return pixels


@pytest.mark.parametrize(
    ("what", "change", "columns", "expected"),
    [
        (
            "all in one line",
            {},
            120,
            [" 59.8 fps   1 % low  41.3    10.6 ms p99  13.1   fast ×2 · openvino bf16   480×270 → 960×540"],
        ),
        (
            "wrapped between the figures in a narrow window",
            {},
            40,
            [" 59.8 fps   1 % low  41.3", " 10.6 ms p99  13.1", "fast ×2 · openvino bf16", "480×270 → 960×540"],
        ),
        (
            "a scale that fits, no precision, no sizes yet",
            {"scale": "fit", "engine": "bicubic", "precision": "", "input": None},
            120,
            [" 59.8 fps   1 % low  41.3    10.6 ms p99  13.1   fast fit · bicubic"],
        ),
        (
            "what is wrong with the source, and what a key just did; notes are for the detail",
            {"source": "reopening: the window is minimised", "message": "model: fast ×2", "notes": ("no GPU",)},
            120,
            [
                " 59.8 fps   1 % low  41.3    10.6 ms p99  13.1   fast ×2 · openvino bf16   480×270 → 960×540",
                "source: reopening: the window is minimised",
                "model: fast ×2",
            ],
        ),
    ],
)
def test_the_line(what, change, columns, expected):
    assert lines(replace(STATE, **change), "line", columns) == expected, what


def test_the_detail():
    notes = tuple(f"fallback number {n}" for n in range(1, 6))
    state = replace(STATE, notes=notes, source="waiting for the window", message="HUD: detail")
    assert lines(state, "detail") == [
        "fast ×2 · openvino bf16   480×270 → 960×540",
        "",
        "captured   60.0   upscaled   59.9   shown      59.8 fps",
        "1 % low    41.3   dropped      12   duplicates  345",
        "",
        "ms             p50     p95     p99   worst",
        "capture        1.0     2.0     3.0    14.0",
        "wait           2.0     3.0     4.0    15.0",
        "upscale        3.0     4.0     5.0    16.0",
        "show           4.0     5.0     6.0    17.0",
        "total         10.6    12.0    13.1    20.2",
        "capture → handed to the compositor; excludes scan-out",
        "source: waiting for the window",
        "note: fallback number 3",
        "note: fallback number 4",
        "note: fallback number 5",
        "notes older than these: 2",
        "HUD: detail",
    ]


def test_the_detail_on_nvidia():
    budget = "fast instead of balanced, to keep to 8 ms"
    said = lines(replace(ON_NVIDIA, budget=budget, build="building quality x2: 40 %"), "detail")
    assert said[:6] == [
        "fast ×2 · tensorrt fp16   480×270 → 960×540",
        "GeForce RTX 4070   load  98 %   210 of 2520 MHz",
        "VRAM 3.0 of 12.0 GB   61 °C   38 of 200 W   P8",
        "TensorRT 11.0.0   driver 610.12",
        "",
        "captured   60.0   upscaled   59.9   shown      59.8 fps",
    ]
    assert said[-4:] == [
        "building quality x2: 40 %",
        budget,
        "the card runs at 210 of 2520 MHz: set its power mode to",
        "  maximum performance",
    ]


def test_the_line_is_the_same_on_nvidia_but_for_a_build():
    plain = replace(STATE, engine="tensorrt", precision="fp16")
    assert lines(ON_NVIDIA, "line", 120) == lines(plain, "line", 120)
    assert lines(replace(ON_NVIDIA, build="building"), "line", 120) == [*lines(plain, "line", 120), "building"]


def test_a_card_that_tells_little_is_named():
    assert lines(replace(STATE, gpu=Gpu("NVIDIA card")), "detail")[1:3] == ["card", ""]


def test_off_says_nothing():
    assert lines(replace(STATE, source="lost", message="hello"), "off") == []


def test_before_the_first_frame_the_figures_are_zero_and_without_colour():
    above, _ = rows(replace(STATE, report=EMPTY), "detail")
    assert {span.tone for row in above for span in row} == {Tone.PLAIN, Tone.DIM}


def test_the_detail_says_what_it_measures_in_any_width():
    for columns in (20, 40, 56):
        assert MEASURES in " ".join(lines(STATE, "detail", columns))


@pytest.mark.parametrize("columns", [20, 42, 56, 120])
@pytest.mark.parametrize("level", LEVELS)
def test_long_notes_are_wrapped_to_the_width(level, columns):
    state = replace(STATE, notes=("the engine failed in mid-run: " + "very " * 40 + "badly",), source="x" * 300)
    table = 42  # is not broken
    assert all(len(line) <= max(columns, table) for line in lines(state, level, columns))


def test_large_numbers_keep_the_columns():
    busy = replace(REPORT, duplicates=1_234_567, dropped=45_678, upscaled_fps=1234.5)
    said = lines(replace(STATE, report=busy), "detail")
    assert said[2:4] == [
        "captured   60.0   upscaled   1234   shown      59.8 fps",
        "1 % low    41.3   dropped     45k   duplicates   1M",
    ]


@pytest.mark.parametrize(
    ("ms", "tone"),
    [(5.0, Tone.GOOD), (16.7, Tone.GOOD), (19.0, Tone.GOOD), (25.0, Tone.FAIR), (33.4, Tone.FAIR), (50.0, Tone.POOR)],
)
def test_frame_times_have_colours(ms, tone):
    assert tone_of(ms) is tone
    assert tone_of_rate(1000 / ms) is tone


# Painted


def brightness(pixels: Pixels) -> np.ndarray:
    return pixels[..., :3].astype(int) @ np.array([114, 587, 299]) / 1000


@pytest.mark.parametrize("size", [Size(960, 540), Size(1920, 1080)])
@pytest.mark.parametrize("kind", ["dark", "bright", "busy"])
@pytest.mark.parametrize("level", ["line", "detail"])
def test_it_can_be_read_over_any_picture(qt, level, kind, size):
    hud = Hud(level)
    hud.update(STATE, size)
    without = under(kind, size)
    pixels = laid(hud, without)
    rows_hit, columns_hit = np.nonzero((pixels != without).any(axis=2))
    panel = brightness(pixels[rows_hit.min() : rows_hit.max(), columns_hit.min() : columns_hit.max()])
    assert np.percentile(panel, 50) < 70  # the ground
    assert (panel > 170).mean() > 0.005  # the letters


@pytest.mark.parametrize(
    ("corner", "left", "top"),
    [
        ("top-left", True, True),
        ("top-right", False, True),
        ("bottom-left", True, False),
        ("bottom-right", False, False),
    ],
)
def test_it_keeps_to_its_corner(qt, corner, left, top):
    size = Size(960, 540)
    hud = Hud("detail", corner)
    hud.update(STATE, size)
    pixels = under("bright", size)
    y, x = np.nonzero((laid(hud, pixels) != pixels).any(axis=2))
    assert (x.min() < 20, x.max() > 940) == (left, not left)
    assert (y.min() < 20, y.max() > 520) == (top, not top)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", [Size(1, 1), Size(64, 36), Size(320, 180), Size(3840, 2160)])
def test_it_copes_with_any_window(qt, size, level):
    hud = Hud(level)
    hud.update(replace(STATE, notes=("a note of some length that has to be wrapped somewhere",) * 3), size)
    laid(hud, fresh(size))


@pytest.mark.parametrize("state", [STATE, ON_NVIDIA])
def test_in_a_small_window_the_whole_panel_is_still_inside(qt, state):
    size = Size(320, 180)
    hud = Hud("detail")
    hud.update(state, size)
    pixels = under("bright", size)
    changed = (laid(hud, pixels) != pixels).any(axis=2)
    assert not changed[-1].any()
    assert not changed[:, -1].any()


def test_off_paints_nothing_at_once(qt):
    size = Size(640, 360)
    hud = Hud("line")
    hud.update(STATE, size)
    assert [hud.next_level(), hud.next_level()] == ["detail", "off"]
    assert np.array_equal(laid(hud, under("busy", size)), under("busy", size))


def test_the_text_changes_with_update_only(qt):
    size = Size(640, 360)
    hud = Hud("line")
    hud.update(STATE, size)
    first = laid(hud, fresh(size))
    assert np.array_equal(first, laid(hud, fresh(size)))
    hud.update(replace(STATE, message="model: large ×4"), size)
    assert not np.array_equal(first, laid(hud, fresh(size)))


def test_slow_frames_stand_out_in_the_graph(qt):
    size = Size(960, 540)

    def reddish(intervals: list[float]) -> int:
        hud = Hud("detail")
        hud.update(replace(STATE, report=replace(REPORT, intervals_ms=np.array(intervals))), size)
        pixels = laid(hud, fresh(size)).astype(int)
        return int(((pixels[..., 2] - pixels[..., 1]) > 60).sum())

    assert reddish([16.7] * 300) == 0
    assert reddish([16.7] * 150 + [70.0] + [16.7] * 149) > 50


FONTLESS = """
from PyQt6.QtGui import QGuiApplication
from test_hud import *
app = QGuiApplication([])
hud = Hud("detail")
hud.update(STATE, Size(640, 360))
same = np.array_equal(laid(hud, under("busy", Size(640, 360))), under("busy", Size(640, 360)))
print(hud.problem)
print(same)
"""


def test_without_any_font_it_says_so_and_paints_no_empty_panel(qt, tmp_path, monkeypatch):
    assert Hud().problem == ""
    (tmp_path / "fonts.conf").write_text("<fontconfig></fontconfig>")
    monkeypatch.setenv("FONTCONFIG_FILE", str(tmp_path / "fonts.conf"))
    monkeypatch.setenv("PYTHONPATH", str(__file__).rpartition("/")[0])
    done = subprocess.run([sys.executable, "-c", FONTLESS], capture_output=True, text=True, timeout=60)
    problem, same = done.stdout.splitlines()
    assert problem.startswith("There is no font on this system")
    assert same == "True"
