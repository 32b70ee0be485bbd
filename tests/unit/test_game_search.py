"""Which window takes the place of one that the game has closed."""

from __future__ import annotations

import pytest

from live_sr.app.game_search import GameSearch, find_successor
from live_sr.pipeline.desktop_contracts import WindowInfo
from live_sr.pipeline.frame import Rect


def make_window(number: int, title: str, process: str = "quake", pid: int = 0, kind: str = "") -> WindowInfo:
    return WindowInfo(number, title, process, pid, Rect(0, 0, 640, 480), kind)


LOST = make_window(1, "Quake - 144 fps", pid=100, kind="quake.Quake")


@pytest.mark.parametrize(
    ("windows", "found"),
    [
        ([make_window(2, "Full screen", pid=100)], 2),
        ([make_window(2, "Quake - 30 fps", pid=200, kind="quake.Quake")], 2),  # started again
        ([make_window(2, "Quake - 144 fps", "other", pid=200)], 2),
        ([make_window(2, "Quake - 144 fps", pid=300), make_window(3, "Menu", pid=100)], 3),  # its own process first
        ([make_window(2, "Browser", "browser", pid=200, kind="b.B")], None),
        ([make_window(9, "Log", pid=100)], None),  # it was there beside the game
        ([make_window(2, "Quake - 30 fps", "other", pid=200, kind="quake.Quake")], None),
        ([], None),
    ],
)
def test_a_window_of_the_same_process_program_or_title_takes_the_place(
    windows: list[WindowInfo], found: int | None
) -> None:
    successor = find_successor(windows, LOST, others={9})
    assert (None if successor is None else successor.id) == found


def test_a_window_that_the_player_did_not_name_is_followed_only_after_the_named_one() -> None:
    now, windows = [0.0], [make_window(2, "Quake - 30 fps", kind="quake.Quake")]
    named: list[WindowInfo] = []
    search = GameSearch(lambda: windows, None, lambda: next(iter(named), None), wait=True, clock=lambda: now[0])
    assert search.find() is None
    windows[:] = named[:] = [LOST]
    assert search.find() is None, "it looks twice a second"
    now[0] = 0.5
    assert search.find() == LOST
    windows[:], named[:] = [make_window(2, "Quake - 30 fps", kind="quake.Quake")], []
    now[0] = 1.0
    assert search.find() == windows[0]
