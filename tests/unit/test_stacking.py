"""Between which windows the overlay goes, as tables."""

from __future__ import annotations

import numpy as np
import pytest

from live_sr.app.stacking import Arrangement, StackingPolicy, WhenInactive
from live_sr.pipeline.desktop_contracts import StackedWindow, WindowOwner
from live_sr.pipeline.frame import Rect, cut_out_all

MONITOR = Rect(0, 0, 1280, 720)
NAMES: dict[str, WindowOwner] = {"g": "game", "d": "popup", "o": "overlay", "p": "program", "s": "system"}


def make_stack(text: str, places: dict[int, Rect] | None = None) -> list[StackedWindow]:
    """ "p1* o0 g9": topmost first; owner, id, and a star at the active one."""
    found = []
    for word in text.split():
        number = int(word[1:].rstrip("*"))
        rect = (places or {}).get(number, Rect(100, 100, 320, 200))
        found.append(StackedWindow(number, rect, NAMES[word[0]], active=word.endswith("*")))
    return found


@pytest.mark.parametrize(
    ("stack", "below", "in_place"),
    [
        ("o0 g1*", None, True),
        ("g1* o0", None, False),  # the game was raised
        ("p2 g1* o0 p3", None, False),
        ("s5 g1* o0", 5, False),  # a notification stays above
        ("s5 o0 g1*", 5, True),
        ("o0 s5 g1*", 5, False),
        ("s9 o0 g1*", None, True),  # outside the monitor
        ("o0", None, True),
        ("", None, True),
    ],
)
def test_the_overlay_goes_above_the_game_and_below_notifications(stack: str, below: int | None, in_place: bool) -> None:
    found = make_stack(stack, {9: Rect(-100, -100, 1, 1)})
    assert StackingPolicy("hide").arrange(found, MONITOR) == Arrangement(False, below, in_place)


@pytest.mark.parametrize(("when_inactive", "hidden"), [("hide", True), ("stay", False), ("below", True)])
def test_a_native_wayland_window_in_use_is_not_covered(when_inactive: WhenInactive, hidden: bool) -> None:
    policy = StackingPolicy(when_inactive)
    assert not policy.arrange(make_stack("o0 g1 p0*", {0: MONITOR}), MONITOR).hidden, "the terminal it was started from"
    assert not policy.arrange(make_stack("o0 g1*"), MONITOR).hidden
    assert policy.arrange(make_stack("o0 g1 p0*", {0: MONITOR}), MONITOR).hidden == hidden
    assert not policy.arrange(make_stack("o0 g1*"), MONITOR).hidden


def test_the_games_dialogs_above_it_are_let_through() -> None:
    dialog, menu, lower = Rect(300, 200, 200, 100), Rect(10, 20, 30, 40), Rect(0, 0, 50, 50)
    found = make_stack("o0 d2* d3 g1 d4", {2: dialog, 3: menu, 4: lower})
    assert StackingPolicy("hide").arrange(found, MONITOR).openings == (dialog, menu)


@pytest.mark.parametrize(
    ("menu", "captures", "captured"),
    [
        (Rect(100, 100, 30, 40), True, [3, 2]),
        (Rect(390, 260, 30, 40), True, [3, 2]),  # up to the game's corner
        (Rect(391, 260, 30, 40), True, []),
        (Rect(900, 500, 30, 40), True, []),
        (Rect(100, 100, 30, 40), False, []),
    ],
)
def test_dialogs_within_the_game_are_captured_lowest_first_unless_one_reaches_outside(
    menu: Rect, captures: bool, captured: list[int]
) -> None:
    game, dialog = Rect(100, 100, 320, 200), Rect(300, 200, 60, 50)
    found = make_stack("o0 d2* d3 g1 d4", {1: game, 2: menu, 3: dialog})
    where = StackingPolicy("hide", lambda: captures).arrange(found, MONITOR, game)
    assert [window.id for window in where.captured] == captured
    assert where.openings == (() if captured else (menu, dialog))


def test_a_window_of_the_game_over_the_whole_screen_hides_the_overlay() -> None:
    found = make_stack("o0 d2* g1", {2: MONITOR})
    assert StackingPolicy("stay").arrange(found, MONITOR).hidden


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("hide", Arrangement(hidden=True)),
        ("stay", Arrangement()),
        ("below", Arrangement(openings=(Rect(400, 300, 320, 200),))),
    ],
)
def test_another_program_that_becomes_active_is_seen_or_not_as_set(
    setting: WhenInactive, expected: Arrangement
) -> None:
    policy, browser = StackingPolicy(setting), {4: Rect(400, 300, 320, 200)}
    assert policy.arrange(make_stack("o0 g1* p4", browser), MONITOR) == Arrangement()
    assert policy.arrange(make_stack("o0 p4* g1", browser), MONITOR) == expected
    assert policy.arrange(make_stack("o0 p4 g1*", browser), MONITOR) == Arrangement()


def test_what_is_left_around_openings_is_exact() -> None:
    whole = Rect(10, 20, 40, 30)
    holes = [Rect(0, 0, 20, 30), Rect(15, 25, 20, 10), Rect(45, 45, 100, 100), Rect(200, 200, 5, 5)]
    left = np.zeros((100, 100), int)
    for part in cut_out_all(whole, holes):
        left[part.y : part.y + part.height, part.x : part.x + part.width] += 1
    expected = np.zeros_like(left)
    expected[20:50, 10:50] = 1
    for hole in holes:
        expected[hole.y : hole.y + hole.height, hole.x : hole.x + hole.width] = 0
    assert np.array_equal(left, expected)


def test_a_program_on_another_monitor_does_not_hide_the_overlay() -> None:
    policy = StackingPolicy("hide")
    policy.arrange(make_stack("o0 g1*"), MONITOR)
    elsewhere = make_stack("p4* o0 g1", {4: Rect(1400, 100, 320, 200)})
    assert policy.arrange(elsewhere, MONITOR) == Arrangement()


def test_the_terminal_that_live_sr_was_started_from_does_not_hide_it_until_the_player_has_left_it() -> None:
    policy = StackingPolicy("hide")
    assert not policy.arrange(make_stack("p4* g1"), MONITOR).hidden
    assert not policy.arrange(make_stack("o0 p4* g1"), MONITOR).hidden
    assert not policy.arrange(make_stack("o0 g1* p4"), MONITOR).hidden
    assert policy.arrange(make_stack("p4* o0 g1"), MONITOR).hidden
    assert policy.arrange(make_stack("p5* p4 o0 g1"), MONITOR).hidden
