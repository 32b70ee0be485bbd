"""Where a game's picture is in a Windows capture, and which capture is chosen: pure functions, as tables."""

from __future__ import annotations

import numpy as np
import pytest

from live_sr.capture import win_geometry
from live_sr.capture.win_geometry import Output
from live_sr.capture.win_selection import choose_backend
from live_sr.errors import SourceLost
from live_sr.pipeline.desktop_contracts import Monitor
from live_sr.pipeline.frame import Rect, Size, make_black

Four = tuple[int, int, int, int]

LEFT = Output(0, 1, "LEFT", Rect(-1280, -200, 1280, 1024))
MAIN = Output(0, 0, "MAIN", Rect(0, 0, 1920, 1080))
RIGHT = Output(1, 0, "RIGHT", Rect(1920, 0, 2560, 1440))
OUTPUTS = (MAIN, LEFT, RIGHT)


@pytest.mark.parametrize(
    ("rect", "output", "box"),
    [
        (Rect(0, 0, 1920, 1080), MAIN, (0, 0, 1920, 1080)),
        (Rect(100, 50, 640, 480), MAIN, (100, 50, 740, 530)),
        (Rect(-1280, -200, 640, 480), LEFT, (0, 0, 640, 480)),
        (Rect(-641, -1, 640, 480), LEFT, (639, 199, 1279, 679)),
        (Rect(1920, 1000, 10, 440), RIGHT, (0, 1000, 10, 1440)),
        (Rect(1919, 0, 1, 1), MAIN, (1919, 0, 1920, 1)),
    ],
)
def test_a_rectangle_of_the_desktop_is_found_on_its_output(rect: Rect, output: Output, box: win_geometry.Box) -> None:
    assert win_geometry.find_output(rect, OUTPUTS) == output
    assert win_geometry.to_output_box(rect, output) == box


@pytest.mark.parametrize(
    ("rect", "outputs", "reason"),
    [
        (Rect(1800, 100, 640, 480), OUTPUTS, "lies across MAIN and RIGHT"),
        (Rect(-10, 0, 20, 20), OUTPUTS, "lies across MAIN and LEFT"),
        (Rect(100, 900, 640, 480), OUTPUTS, "lies partly outside the screen MAIN"),
        (Rect(-1281, 0, 64, 48), OUTPUTS, "lies partly outside the screen LEFT"),
        (Rect(9000, 0, 64, 48), OUTPUTS, "no screen that can be duplicated shows"),
        (Rect(0, 0, 64, 48), (), "no screen that can be duplicated shows"),
    ],
)
def test_a_rectangle_on_no_single_output_is_refused_with_the_reason(
    rect: Rect, outputs: tuple[Output, ...], reason: str
) -> None:
    with pytest.raises(SourceLost, match=reason) as error:
        win_geometry.find_output(rect, outputs)
    assert error.value.remedy


FRAMES = {  # client area, DWM's bounds, window: x, y, width, height; size of the frame; box
    "titled": ((101, 131, 640, 480), (100, 100, 642, 512), (93, 100, 656, 519), (642, 512), (1, 31, 641, 511)),
    "borderless": ((0, 0, 1920, 1080), (0, 0, 1920, 1080), (0, 0, 1920, 1080), (1920, 1080), (0, 0, 1920, 1080)),
    "further left": (
        (-799, -69, 640, 480),
        (-800, -100, 642, 512),
        (-807, -100, 656, 519),
        (642, 512),
        (1, 31, 641, 511),
    ),
    "maximised": ((0, 31, 1920, 1009), (0, 0, 1920, 1040), (-8, -8, 1936, 1056), (1936, 1056), (8, 39, 1928, 1048)),
    "growing": ((101, 131, 800, 600), (100, 100, 802, 632), (93, 100, 816, 639), (642, 512), (1, 31, 642, 512)),
    "shrinking": ((101, 131, 320, 240), (100, 100, 322, 272), (93, 100, 336, 279), (642, 512), (1, 31, 321, 271)),
    "minimised": ((-32000, -32000, 0, 0), (100, 100, 642, 512), (-32000, -32000, 160, 28), (642, 512), None),
}


@pytest.mark.parametrize(("client", "bounds", "window", "frame", "box"), FRAMES.values(), ids=FRAMES)
def test_the_client_area_is_found_in_the_frame_of_its_window(
    client: Four, bounds: Four, window: Four, frame: tuple[int, int], box: win_geometry.Box | None
) -> None:
    assert win_geometry.compute_client_box(Rect(*client), Rect(*bounds), Rect(*window), Size(*frame)) == box


@pytest.mark.parametrize("gap", [0, 5])
def test_a_copy_has_the_colours_of_the_surface_and_is_opaque(gap: int) -> None:
    surface = np.random.default_rng(1).integers(0, 256, (12, 16 + gap, 4), np.uint8)
    cut = surface[2:10, :16]
    into = make_black(Size(16, 8))
    copy = win_geometry.copy_opaque(cut, into)
    assert copy is into
    assert np.array_equal(copy[..., :3], cut[..., :3])
    assert (copy[..., 3] == 255).all()
    assert win_geometry.copy_opaque(cut, make_black(Size(3, 3))).shape == (8, 16, 4)


@pytest.mark.parametrize(
    ("stamp", "now", "seen"),
    [
        (5_000_000_000, 5_004_000_000, 5_004_000_000 - 4_000_000),
        (0, 5_004_000_000, 5_004_000_000),  # no stamp
        (5_005_000_000, 5_004_000_000, 5_004_000_000),  # from the future: another clock
        (1_000_000_000, 5_004_000_000, 5_004_000_000),  # a picture that has stood still
    ],
)
def test_the_systems_stamp_counts_where_it_can_be_believed(stamp: int, now: int, seen: int) -> None:
    assert win_geometry.choose_seen_ns(stamp, now) == seen


# Which capture

SCREENS = (Monitor("MAIN", MAIN.rect, primary=True), Monitor("LEFT", LEFT.rect))
GAME = Rect(-900, 0, 640, 480)


@pytest.mark.parametrize(
    ("rect", "excluded", "works", "has_window", "chosen", "against_duplication"),
    [
        (GAME, True, True, True, "dxgi", ""),
        (GAME, True, True, False, "dxgi", ""),
        (GAME, False, True, True, "wgc", "refused to hide the overlay"),
        (GAME, False, True, False, "mss", "refused to hide the overlay"),
        (GAME, True, False, True, "wgc", "adapter cannot duplicate"),
        (GAME, False, False, True, "wgc", "adapter cannot duplicate"),
        (Rect(-320, 0, 640, 480), True, True, True, "wgc", "across MAIN and LEFT"),
        (Rect(1600, 0, 640, 480), True, True, True, "wgc", "outside the screen"),
        (Rect(5000, 0, 640, 480), True, True, True, "wgc", "outside the screen"),
        (Rect(-320, 0, 640, 480), True, True, False, "mss", "across MAIN and LEFT"),
    ],
)
def test_duplication_is_preferred_and_passed_over_with_the_reason(
    rect: Rect, excluded: bool, works: bool, has_window: bool, chosen: str, against_duplication: str
) -> None:
    choice, passed_over = choose_backend(rect, SCREENS, excluded, works, has_window=has_window)
    assert choice == chosen
    assert [name for name, _ in passed_over] == ["dxgi", "wgc"][: ["dxgi", "wgc", "mss"].index(chosen)]
    if passed_over:
        assert against_duplication in passed_over[0][1]
