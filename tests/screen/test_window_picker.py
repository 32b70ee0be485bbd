"""Windows are found by their titles and processes, or by asking the user."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from live_sr.desktop.window_picker import ask_for_window, find_window, find_windows
from live_sr.errors import WindowNotFound
from live_sr.pipeline.desktop_contracts import WindowInfo
from live_sr.pipeline.frame import Rect

WINDOWS = [
    WindowInfo(1, "Freedoom: Phase 1 - Chocolate Doom 3.0.0", "chocolate-doom", 100, Rect(0, 0, 640, 400)),
    WindowInfo(2, "How to play doom - Browser", "browser", 200, Rect(0, 0, 1280, 720)),
    WindowInfo(3, "", "openttd", 300, Rect(-10, 5, 487, 273)),
    WindowInfo(4, "Untitled\x1b[31m\n2", "editor", 200, Rect(0, 0, 1, 1)),
]


@pytest.mark.parametrize(
    ("title", "pid", "found"),
    [
        ("DOOM", 0, [1, 2]),
        ("chocolate doom", 0, [1]),
        ("openttd", 0, [3]),
        ("chocolate-doom", 0, [1]),
        ("doom", 200, [2]),
        ("", 200, [2, 4]),
        ("", 0, [1, 2, 3, 4]),
        ("doom", 300, []),
        ("quake", 0, []),
    ],
)
def test_a_window_is_found_by_title_then_by_process(title: str, pid: int, found: list[int]) -> None:
    assert [w.id for w in find_windows(WINDOWS, title, pid)] == found


@pytest.mark.parametrize(
    ("title", "pid", "message"),
    [
        ("chocolte doom", 0, 'no window has "chocolte doom" in its title. Did you mean "chocolate-doom"?'),
        ("Freedom: Phase 1", 0, 'no window has "Freedom: Phase 1" in its title. Did you mean "Freedoom: Phase 1"?'),
        ("opentd", 0, 'no window has "opentd" in its title. Did you mean "openttd"?'),
        ("zzz", 0, 'no window has "zzz" in its title.'),
        ("", 999, "there is no window of process 999"),
    ],
)
def test_a_missing_window_is_reported_with_the_most_similar_name(title: str, pid: int, message: str) -> None:
    with pytest.raises(WindowNotFound) as missing:
        find_window(WINDOWS, title, pid)
    assert missing.value.message == message
    assert missing.value.remedy


def test_of_several_windows_the_topmost_is_found() -> None:
    assert find_window(WINDOWS, "doom").id == 1


def test_with_no_window_at_all_a_title_is_not_found() -> None:
    with pytest.raises(WindowNotFound, match="there is no window"):
        find_window([], "doom")


def answer_with(*answers: str) -> tuple[Callable[[str], str], list[str]]:
    """A user who gives these answers and then ends the input, and the list of the questions."""
    left, asked = list(answers), []

    def ask(question: str) -> str:
        asked.append(question)
        if not left:
            raise EOFError
        return left.pop(0)

    return ask, asked


@pytest.mark.parametrize(
    ("answers", "picked"),
    [
        (["2"], 2),
        ([" 3 "], 3),
        (["0", "5", "", "-1", "1.5", "x", "doom", "1"], 1),
        (["browser"], 2),
        (["openttd"], 3),
    ],
)
def test_a_number_or_a_part_of_the_title_picks_and_anything_else_is_asked_again(
    answers: list[str], picked: int
) -> None:
    ask, asked = answer_with(*answers)
    assert ask_for_window(WINDOWS, ask).id == picked
    assert len(asked) == len(answers)


def test_the_list_shows_title_size_and_process_of_each_window() -> None:
    ask, asked = answer_with("1")
    ask_for_window(WINDOWS, ask)
    lines = asked[0].splitlines()
    assert len(lines) == len(WINDOWS) + 1
    for line, window in zip(lines, WINDOWS, strict=False):
        assert str(window.rect.size) in line
        assert f"{window.process} ({window.pid})" in line
    assert "Chocolate Doom" in lines[0]
    assert "(no title)" in lines[2]


def test_a_title_cannot_send_control_codes_to_the_terminal() -> None:
    ask, asked = answer_with("1")
    ask_for_window(WINDOWS, ask)
    assert "\x1b" not in asked[0]


@pytest.mark.parametrize("answers", [(), ("7",)])
def test_the_end_of_the_input_gives_a_sentence(answers: tuple[str, ...]) -> None:
    with pytest.raises(WindowNotFound, match="no window was chosen"):
        ask_for_window(WINDOWS, answer_with(*answers)[0])


def test_nothing_is_asked_when_no_window_is_open() -> None:
    ask, asked = answer_with("1")
    with pytest.raises(WindowNotFound, match="no window to choose"):
        ask_for_window([], ask)
    assert not asked
