"""How legible upscaled text is: the score, and the sheet that is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PyQt6 import sip
from PyQt6.QtGui import QGuiApplication

from tools.benchmarks import legibility as read_text


@pytest.fixture(scope="module", autouse=True)
def qt() -> Iterator[None]:
    application = QGuiApplication(["read_text", *read_text.OFFSCREEN])
    yield
    sip.delete(application)  # the tests of the window make their own


@pytest.mark.parametrize(
    ("a", "b", "edits"),
    [
        ("", "", 0),
        ("sword", "sword", 0),
        ("sword", "", 5),
        ("", "sword", 5),
        ("level 1", "leve1 l", 2),
        ("ab", "ba", 2),
    ],
)
def test_the_distance_of_two_texts_is_the_letters_to_change(a: str, b: str, edits: int) -> None:
    assert read_text.compute_edit_distance(a, b) == edits


@pytest.mark.parametrize(
    ("said", "seen", "score"),
    [
        (["Save", "Load"], ["Save", "Load"], 1.0),
        (["Save", "Load"], ["Save", "Lo4d"], 7 / 8),
        (["Save", "Load"], ["", ""], 0.0),
        (["Save", "Load"], ["Save", "nothing like it at all"], 0.5),  # no worse than wholly wrong
    ],
)
def test_accuracy_is_the_share_of_letters_read_right(said: list[str], seen: list[str], score: float) -> None:
    assert read_text.compute_accuracy(said, seen) == pytest.approx(score)


def test_a_few_sheets_hold_every_kind_of_text() -> None:
    sheets = [read_text.design_sheet(number, np.random.default_rng(number)) for number in range(20)]
    assert {sheet.font for sheet in sheets} == set(read_text.FONTS)
    for kinds in ("light_on_dark", "hinted", "smooth"):
        assert {getattr(sheet, kinds) for sheet in sheets} == {False, True}
    assert {sheet.grain > 0 for sheet in sheets} == {False, True}
    assert all(line.said for sheet in sheets for line in sheet.lines)
    assert {line.height for line in sheets[0].lines} == set(range(8, 17))


@pytest.mark.parametrize("number", range(4))
def test_every_line_is_cut_out_whole_and_dark_on_light(number: int) -> None:
    sheet = replace(read_text.design_sheet(number, np.random.default_rng(number)), grain=0.0)
    for times in (1, 2):
        picture = read_text.paint_sheet(sheet, number, times)
        assert picture.shape == (270 * times, 480 * times, 4)
        strips = list(read_text.cut_lines(sheet, picture))
        assert len(strips) == len(sheet.lines)
        for strip in strips:
            ink = strip < np.median(strip) - 60
            assert ink.any()
            assert not ink[[0, -1]].any()  # no letter is cut
            assert not ink[:, -4 * times :].any()  # nor runs out of the sheet


def test_a_filter_enlarges_the_sheets_it_is_given() -> None:
    sheets = [read_text.paint_sheet(read_text.design_sheet(n, np.random.default_rng(n)), n) for n in range(2)]
    large = read_text.upscale_sheets("nearest", 2, sheets)
    assert all(np.array_equal(big[::2, ::2], small) for big, small in zip(large, sheets, strict=True))


def test_a_gain_comes_with_how_far_it_is_to_be_trusted() -> None:
    said = ["Sword"] * 4
    assert read_text.compute_advantage(said, said, said) == (0.0, 0.0)
    gain, error = read_text.compute_advantage(said, said, ["Sword", "Sword", "Sword", ""])
    assert gain == pytest.approx(0.25)
    assert error > 0.1  # one line of four
    assert read_text.compute_advantage(said, ["Swor"] * 4, said) == (pytest.approx(-0.2), 0.0)
