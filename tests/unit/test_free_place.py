"""Where the window goes that shows a captured part of the screen, and must not be captured with it."""

from __future__ import annotations

import pytest

from live_sr.app.free_place import find_free_place
from live_sr.errors import UsageError
from live_sr.pipeline.desktop_contracts import Monitor
from live_sr.pipeline.frame import Rect

MAIN = Monitor("main", Rect(0, 0, 1280, 720), primary=True)
LEFT = Monitor("left", Rect(-1920, 0, 1920, 1080))


@pytest.mark.parametrize(
    ("captured", "monitors", "place"),
    [
        (Rect(0, 0, 640, 720), [MAIN], Rect(648, 40, 624, 672)),  # the other half
        (Rect(640, 100, 640, 500), [MAIN], Rect(8, 40, 624, 672)),
        (Rect(0, 0, 1280, 400), [MAIN], Rect(8, 440, 1264, 272)),  # below it
        (Rect(0, 0, 1280, 720), [MAIN, LEFT], Rect(-1912, 40, 1904, 1032)),  # the other monitor
        (Rect(100, 100, 320, 200), [MAIN, LEFT], Rect(-1912, 40, 1904, 1032)),
    ],
)
def test_the_window_goes_to_the_largest_free_place(captured: Rect, monitors: list[Monitor], place: Rect) -> None:
    assert find_free_place(captured, monitors) == place


@pytest.mark.parametrize("captured", [Rect(0, 0, 1280, 720), Rect(100, 100, 1080, 520), Rect(-100, -100, 3000, 3000)])
def test_where_there_is_no_room_a_sentence_says_what_to_do(captured: Rect) -> None:
    with pytest.raises(UsageError, match="no room"):
        find_free_place(captured, [MAIN])
