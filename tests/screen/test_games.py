"""Real games under real window managers: the picture, clicks, dialogs, other programs, full screen, a new start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from matrix_games import GAMES
from matrix_trial import Trial
from screens import Screen

BY_NAME = {game.name: game for game in GAMES}


@pytest.fixture
def play(screen: Screen, tmp_path: Path) -> Iterator[Callable[[str], Trial]]:
    trials: list[Trial] = []

    def start(name: str) -> Trial:
        trials.append(Trial(screen, BY_NAME[name], tmp_path))
        trials[-1].start()
        return trials[-1]

    yield start
    for trial in trials:
        trial.close()


@pytest.mark.parametrize("screen", ["icewm"], indirect=True)
def test_dosbox_is_played_in_its_window_and_on_the_full_screen(play: Callable[[str], Trial]) -> None:
    trial = play("dosbox")
    trial.check_picture()
    trial.check_click()
    trial.check_dialog()
    trial.check_another_program()
    trial.check_full_screen()
    trial.check_start_again()


@pytest.mark.parametrize("screen", ["metacity"], indirect=True)
def test_openttd_is_played(play: Callable[[str], Trial]) -> None:
    trial = play("openttd")
    trial.check_picture()
    trial.check_click()
    trial.check_dialog()
    trial.check_another_program()
