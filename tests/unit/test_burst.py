"""When a picture that is drawn in parts is captured."""

from __future__ import annotations

import pytest

from live_sr.capture.burst import LONGEST_NS, MARGIN_NS, MEMORY, BurstTimer

FRAME_NS = 16_700_000


def play(timer: BurstTimer, count: int, parts: tuple[int, ...], start: int = FRAME_NS) -> list[int]:
    """Plays frames whose parts come after the given times; returns how long each frame waited."""
    waits = []
    for number in range(count):
        begun = start + number * FRAME_NS
        timer.begin(begun)
        for part in parts:
            if begun + part < timer.compute_due():
                timer.extend(begun + part)
        waits.append(timer.compute_due() - begun)
    return waits


def test_a_game_that_draws_at_once_waits_only_while_it_is_being_learnt() -> None:
    waits = play(BurstTimer(), MEMORY + 50, ())
    assert set(waits[: MEMORY - 1]) == {LONGEST_NS}
    assert set(waits[MEMORY:]) == {0}


@pytest.mark.parametrize("last", [100_000, 700_000, 1_500_000])
def test_a_game_that_draws_in_parts_waits_for_its_last_part_and_hardly_longer(last: int) -> None:
    waits = play(BurstTimer(), 3 * MEMORY, (last // 2, last))
    assert set(waits[MEMORY:]) == {min(LONGEST_NS, last + MARGIN_NS)}


def test_a_game_that_begins_to_draw_in_parts_is_noticed_at_its_next_part() -> None:
    timer = BurstTimer()
    play(timer, 2 * MEMORY, ())
    begun = 1000 * FRAME_NS
    timer.begin(begun)
    assert timer.compute_due() == begun
    timer.begin(begun + 600_000)  # its second half, too late for that picture
    timer.begin(begun + FRAME_NS)
    assert timer.compute_due() == begun + FRAME_NS + 600_000 + MARGIN_NS


def test_a_game_that_no_longer_draws_in_parts_waits_no_longer() -> None:
    timer = BurstTimer()
    play(timer, 2 * MEMORY, (500_000,))
    assert play(timer, 3 * MEMORY, (), start=1000 * FRAME_NS)[-1] == 0
