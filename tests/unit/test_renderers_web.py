"""Engines of npm in Chromium: what is missing is said in one sentence, and every scene repeats itself at every size."""

import shutil

import cv2
import numpy as np
import pytest

from live_sr.errors import MissingPart
from live_sr.pipeline.frame import Size
from live_sr.system import paths
from live_sr.training.pairs.renderers import browser, web
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine

SMALL = Size(320, 200)


def hide_npm(monkeypatch: pytest.MonkeyPatch) -> None:
    find = shutil.which
    monkeypatch.setattr("shutil.which", lambda program: None if program == "npm" else find(program))


def test_a_missing_browser_is_answered_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "PROGRAMS", ("no-such-browser",))
    with pytest.raises(MissingPart) as caught:
        web.ENGINES[0].list_scenes()
    assert caught.value.message == "Chromium is not installed"
    assert caught.value.remedy == "Debian: apt install chromium"


def test_missing_packages_without_npm_are_answered_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide_npm(monkeypatch)
    with pytest.raises(MissingPart) as caught:
        web.install_packages(["no-such-package@1.2.3"])
    assert caught.value.remedy == "Debian: apt install npm"


@pytest.mark.parametrize("engine", web.ENGINES, ids=lambda engine: engine.name)
def test_a_scene_is_the_same_instant_at_every_size(engine: GameEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    if paths.get_npm_folder() is None:
        pytest.skip("there is no folder for npm's packages")
    hide_npm(monkeypatch)  # so that nothing is downloaded
    try:
        scene = engine.list_scenes()[0]
        small, again = (dict(engine.draw(scene, SMALL, FrameTimes(4, 3, 2), 1)) for _ in range(2))
        large = dict(engine.draw(scene, Size(1280, 800), FrameTimes(4, 3, 1), 4))
    except MissingPart as error:
        pytest.skip(error.message)
    assert list(small) == [4, 7]
    assert all(np.array_equal(small[number], again[number]) for number in small)
    assert small[4].std() > 2
    shrunk = cv2.resize(large[4], (320, 200), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(shrunk - small[4]).mean() < 20  # two pictures of different instants or colours differ more
