"""What the HUD says, as tables of lines; and that it can be read over any picture."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from graphics_card import CARD
from hud_samples import REPORT, STATE, make_background, paint_over
from PyQt6 import sip
from PyQt6.QtCore import qInstallMessageHandler
from PyQt6.QtGui import QGuiApplication

from live_sr.nvidia.nvml import GpuState
from live_sr.overlay.hud import HudOverlay
from live_sr.overlay.hud_text import LEVELS, MEASURES, choose_rate_tone, choose_tone, format_lines, format_rows
from live_sr.overlay.surface import compute_placement
from live_sr.overlay.text_rows import Tone
from live_sr.pipeline.frame import Pixels, Rect, Size, make_black
from live_sr.pipeline.latency import LatencyReport, Percentiles

GPU = replace(
    CARD,
    load=98,
    clock_mhz=210,
    used_bytes=3 << 30,
    celsius=61,
    watts=38.2,
    state=8,
)
ON_NVIDIA = replace(STATE, engine="tensorrt", precision="fp16", gpu=GPU, runtime="TensorRT 11.0.0", advice=GPU.advice)
FIGURES = " 59.8 fps   1 % low  41.3    10.6 ms p99  13.1"
KEYS = (("next_model", "ctrl+alt+m"), ("hud", "ctrl+alt+h"), ("quit", "ctrl+alt+q"))
EMPTY = LatencyReport(5.0, 0, 0, 0, 0, 0, 0, 0, Percentiles(0, 0, 0, 0), {}, np.zeros(0))


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


@pytest.mark.parametrize(
    ("what", "change", "columns", "expected"),
    [
        (
            "all in one line",
            {},
            120,
            [" 59.8 fps   1 % low  41.3    10.6 ms p99  13.1   fast ×2 · openvino bf16   480×270 → 960×540"],
        ),
        ("in one line also in a narrow window: the sizes", {}, 75, [FIGURES + "   fast ×2 · openvino bf16"]),
        ("then the engine", {}, 60, [FIGURES + "   fast ×2"]),
        ("then the slowest frames", {}, 40, [" 59.8 fps    10.6 ms   fast ×2"]),
        ("and the model are left out", {}, 24, [" 59.8 fps    10.6 ms"]),
        (
            "which model runs in place of the chosen one",
            {"budget": "turbo instead of fast, to keep to 33 ms"},
            60,
            [FIGURES + "   fast ×2", "turbo instead of fast, to keep to 33 ms"],
        ),
        (
            "some keys at the start",
            {"keys": KEYS, "introduce": True, "message": "paused"},
            60,
            [FIGURES + "   fast ×2", "paused", "ctrl+alt +   h HUD   q quit"],
        ),
        ("and none later", {"keys": KEYS}, 60, [FIGURES + "   fast ×2"]),
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
        (
            "that it records, above all other news",
            {"recording_s": 754, "message": "model: fast ×2"},
            120,
            [
                " 59.8 fps   1 % low  41.3    10.6 ms p99  13.1   fast ×2 · openvino bf16   480×270 → 960×540",
                "● REC 12:34",
                "model: fast ×2",
            ],
        ),
    ],
)
def test_the_line(what, change, columns, expected):
    assert format_lines(replace(STATE, **change), "line", columns) == expected, what


def test_the_detail_says_how_much_of_the_pictures_was_drawn():
    lines = format_lines(replace(STATE, report=replace(REPORT, drawn=0.194)), "detail")
    assert "redrawn     19%" in lines


def test_in_a_bar_beside_the_picture_the_line_is_as_many_rows_as_it_needs():
    state = replace(STATE, budget="turbo instead of fast")
    assert format_lines(state, "line", 40, stacked=True) == [
        *(" 59.8 fps   1 % low  41.3", " 10.6 ms p99  13.1", "fast ×2 · openvino bf16", "480×270 → 960×540"),
        "turbo instead of fast",
    ]
    assert format_lines(state, "line", 12, stacked=True) == [
        *(" 59.8 fps", "1 % low 41.3", "10.6 ms", "p99 13.1", "fast ×2", "openvino", "  bf16"),
        *("480×270 →", "  960×540", "turbo", "  instead of", "  fast"),
    ]


def test_the_detail_lists_the_keys_under_the_modifiers_that_they_share():
    said = format_lines(replace(STATE, keys=(*KEYS, ("compare", "f8"), ("next_scale", "ctrl+alt+,"))), "detail")
    at = said.index("ctrl+alt +   m model   h HUD   q quit   , scale")
    assert said[at - 1 : at + 2] == ["", said[at], "f8 compare"]


def test_in_narrow_detail_the_table_lacks_the_last_figures():
    said = format_lines(STATE, "detail", 26)
    assert "total         10.6    12.0" in said


def test_the_detail():
    notes = tuple(f"fallback number {n}" for n in range(1, 6))
    state = replace(STATE, notes=notes, source="waiting for the window", message="HUD: detail")
    assert format_lines(state, "detail") == [
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
    said = format_lines(replace(ON_NVIDIA, budget=budget, build="building quality x2: 40 %"), "detail")
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
        "the GPU runs at 210 of 2520 MHz: set its power mode to",
        "  maximum performance",
    ]


def test_the_line_is_the_same_on_nvidia_but_for_a_build():
    plain = replace(STATE, engine="tensorrt", precision="fp16")
    assert format_lines(ON_NVIDIA, "line", 120) == format_lines(plain, "line", 120)
    assert format_lines(replace(ON_NVIDIA, build="building"), "line", 120) == [
        *format_lines(plain, "line", 120),
        "building",
    ]


def test_a_gpu_that_reports_little_is_named():
    assert format_lines(replace(STATE, gpu=GpuState("NVIDIA GPU")), "detail")[1:3] == ["GPU", ""]


def test_off_says_nothing_but_why_the_picture_stands_still():
    assert format_lines(replace(STATE, source="lost", message="hello"), "off") == []
    assert format_lines(replace(STATE, source="lost", status="PAUSED"), "off") == ["PAUSED"]


def test_before_the_first_frame_the_figures_are_zero_and_without_colour():
    above, _ = format_rows(replace(STATE, report=EMPTY), "detail")
    assert {span.tone for row in above for span in row} == {Tone.PLAIN, Tone.DIM}


def test_the_detail_says_what_it_measures_in_any_width():
    for columns in (20, 40, 56):
        assert MEASURES in " ".join(format_lines(STATE, "detail", columns))


@pytest.mark.parametrize("columns", [20, 42, 56, 120])
@pytest.mark.parametrize("level", LEVELS)
def test_long_notes_are_wrapped_to_the_width(level, columns):
    state = replace(STATE, notes=("the engine failed in mid-run: " + "very " * 40 + "badly",), source="x" * 300)
    table = 42  # is not broken
    assert all(len(line) <= max(columns, table) for line in format_lines(state, level, columns))


def test_large_numbers_keep_the_columns():
    busy = replace(REPORT, duplicates=1_234_567, dropped=45_678, upscaled_fps=1234.5)
    said = format_lines(replace(STATE, report=busy), "detail")
    assert said[2:4] == [
        "captured   60.0   upscaled   1234   shown      59.8 fps",
        "1 % low    41.3   dropped     45k   duplicates   1M",
    ]


@pytest.mark.parametrize(
    ("ms", "tone"),
    [(5.0, Tone.GOOD), (16.7, Tone.GOOD), (19.0, Tone.GOOD), (25.0, Tone.FAIR), (33.4, Tone.FAIR), (50.0, Tone.POOR)],
)
def test_frame_times_have_colours(ms, tone):
    assert choose_tone(ms) is tone
    assert choose_rate_tone(1000 / ms) is tone


# Painted


def brightness(pixels: Pixels) -> np.ndarray:
    return pixels[..., :3].astype(int) @ np.array([114, 587, 299]) / 1000


@pytest.mark.parametrize("size", [Size(960, 540), Size(1920, 1080)])
@pytest.mark.parametrize("kind", ["dark", "bright", "busy"])
@pytest.mark.parametrize("level", ["line", "detail"])
def test_it_can_be_read_over_any_picture(qt, level, kind, size):
    hud = HudOverlay(level)
    hud.update(STATE, size)
    without = make_background(kind, size)
    pixels = paint_over(hud, without)
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
    hud = HudOverlay("detail", corner)
    hud.update(STATE, size)
    pixels = make_background("bright", size)
    y, x = np.nonzero((paint_over(hud, pixels) != pixels).any(axis=2))
    assert (x.min() < 20, x.max() > 940) == (left, not left)
    assert (y.min() < 20, y.max() > 520) == (top, not top)


def find_painted(hud: HudOverlay, size: Size) -> Rect:
    pixels = make_background("bright", size)
    y, x = np.nonzero((paint_over(hud, pixels) != pixels).any(axis=2))
    return Rect(int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1)


SCREEN, OLD, SQUARE = Size(1920, 1080), Size(1728, 1080), Size(1080, 1080)


@pytest.mark.parametrize(
    ("what", "level", "corner", "room", "picture", "beside"),
    [
        ("a narrow bar at the left", "line", "top-left", SCREEN, OLD, True),
        ("at the right", "line", "bottom-right", SCREEN, OLD, True),
        ("the detail needs a wider one", "detail", "top-left", SCREEN, OLD, False),
        ("4:3 leaves enough", "detail", "top-right", SCREEN, Size(1440, 1080), True),
        ("above", "line", "top-right", Size(1920, 1200), SCREEN, True),
        ("below", "line", "bottom-left", Size(1920, 1200), SCREEN, True),
        ("a bar too low for it", "line", "bottom-left", Size(1920, 1090), SCREEN, False),
        ("no bar", "line", "top-left", SCREEN, SCREEN, False),
        ("why the picture stands still", "off", "top-left", SCREEN, SQUARE, True),
    ],
)
def test_it_is_beside_the_picture_where_a_bar_has_room_for_it(qt, what, level, corner, room, picture, beside):
    hud = HudOverlay(level, corner)
    place = compute_placement(picture, room)
    hud.update(replace(STATE, keys=KEYS, introduce=True, status="PAUSED"), room, place)
    painted = find_painted(hud, room)
    assert painted.overlaps(place) != beside, what
    assert ("left" in corner) == (painted.x < 30)
    assert ("top" in corner) == (painted.y < 30)


def test_in_a_small_window_the_detail_gives_way_to_the_line(qt):
    size = Size(320, 180)
    line, detail = HudOverlay("line"), HudOverlay("detail")
    for hud in (line, detail):
        hud.update(replace(STATE, notes=("a note that the detail has and the line has not",) * 3), size)
    assert np.array_equal(paint_over(line, make_black(size)), paint_over(detail, make_black(size)))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", [Size(1, 1), Size(64, 36), Size(320, 180), Size(3840, 2160)])
def test_it_copes_with_any_window(qt, size, level):
    hud = HudOverlay(level)
    hud.update(replace(STATE, notes=("a note of some length that has to be wrapped somewhere",) * 3), size)
    paint_over(hud, make_black(size))


@pytest.mark.parametrize("state", [STATE, ON_NVIDIA])
def test_in_a_small_window_the_whole_panel_is_still_inside(qt, state):
    size = Size(320, 180)
    hud = HudOverlay("detail")
    hud.update(state, size)
    pixels = make_background("bright", size)
    changed = (paint_over(hud, pixels) != pixels).any(axis=2)
    assert not changed[-1].any()
    assert not changed[:, -1].any()


def test_off_paints_nothing_at_once(qt):
    size = Size(640, 360)
    hud = HudOverlay("line")
    hud.update(STATE, size)
    assert [hud.select_next_level(), hud.select_next_level()] == ["detail", "off"]
    assert np.array_equal(paint_over(hud, make_background("busy", size)), make_background("busy", size))


def test_the_text_changes_with_update_only(qt):
    size = Size(640, 360)
    hud = HudOverlay("line")
    hud.update(STATE, size)
    first = paint_over(hud, make_black(size))
    assert np.array_equal(first, paint_over(hud, make_black(size)))
    hud.update(replace(STATE, message="model: large ×4"), size)
    assert not np.array_equal(first, paint_over(hud, make_black(size)))


def test_slow_frames_stand_out_in_the_graph(qt):
    size = Size(960, 540)

    def reddish(intervals: list[float]) -> int:
        hud = HudOverlay("detail")
        hud.update(replace(STATE, report=replace(REPORT, intervals_ms=np.array(intervals))), size)
        pixels = paint_over(hud, make_black(size)).astype(int)
        return int(((pixels[..., 2] - pixels[..., 1]) > 60).sum())

    assert reddish([16.7] * 300) == 0
    assert reddish([16.7] * 150 + [70.0] + [16.7] * 149) > 50


FONTLESS = """
import numpy as np
from PyQt6.QtGui import QGuiApplication
from hud_samples import STATE, make_background, paint_over
from live_sr.overlay.hud import HudOverlay
from live_sr.pipeline.frame import Size
app = QGuiApplication([])
hud = HudOverlay("detail")
hud.update(STATE, Size(640, 360))
background = make_background("busy", Size(640, 360))
same = np.array_equal(paint_over(hud, background), background)
print(hud.problem)
print(same)
"""


def test_without_any_font_it_says_so_and_paints_no_empty_panel(qt, tmp_path, monkeypatch):
    assert HudOverlay().problem == ""
    (tmp_path / "fonts.conf").write_text("<fontconfig></fontconfig>")
    monkeypatch.setenv("FONTCONFIG_FILE", str(tmp_path / "fonts.conf"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(Path(__file__).parents[n]) for n in (1, 2)))
    done = subprocess.run([sys.executable, "-c", FONTLESS], capture_output=True, text=True)
    problem, same = done.stdout.splitlines()
    assert problem.startswith("There is no font on this system")
    assert same == "True"
