"""OpenGL games of Debian: what is missing is said in one sentence, and the same instant is drawn at every size."""

from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest

from live_sr.errors import LiveSRError, MissingPart
from live_sr.pipeline.frame import Size
from live_sr.training.pairs import game_process
from live_sr.training.pairs.renderers import (
    car_races,
    level_games,
    light_cycles,
    native_window,
    rolling_balls,
    scrolling_levels,
    snow_races,
)
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine

MODULES = (car_races, level_games, light_cycles, rolling_balls, scrolling_levels, snow_races)
ENGINES = [engine for module in MODULES for engine in module.ENGINES]
DRAWN = (*car_races.ENGINES, *light_cycles.ENGINES)  # the others take longer to start
SMALL = Size(160, 100)
LARGE = Size(320, 200)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_a_missing_game_is_answered_with_the_line_that_installs_it(
    engine: GameEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(game_process, "SEARCH_PATH", "")
    with pytest.raises(MissingPart) as caught:
        engine.list_scenes()
    assert "is not installed" in caught.value.message
    assert caught.value.remedy.startswith("Debian: apt install ")


@pytest.mark.parametrize("engine", DRAWN, ids=lambda engine: engine.name)
def test_a_game_shows_the_same_instant_at_every_size(engine: GameEngine) -> None:
    try:
        scene = engine.list_scenes()[0]
        small, large = (
            dict(engine.draw(scene, size, FrameTimes(30, 3, 2), scale)) for size, scale in ((SMALL, 1), (LARGE, 2))
        )
    except MissingPart as error:
        pytest.skip(error.message)
    assert list(small) == list(large) == [30, 33]
    for number, picture in small.items():
        assert picture.shape == (100, 160, 3)
        shrunk = cv2.resize(large[number], SMALL, interpolation=cv2.INTER_AREA)
        assert picture.std() > 2
        assert np.abs(shrunk.astype(float) - picture).mean() < 12


@pytest.mark.parametrize(("engine", "filters"), [("supertux", {""}), ("colobot", {"", "nearest", "flat"})])
def test_supertux_keeps_its_own_texture_filter_and_others_vary_it(
    engine: str, filters: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()

    def note_settings(window: object, settings: dict[str, str], folder: Path) -> str:
        seen.add(settings["WINDOW_TEXTURES"])
        return "it drew nothing"

    for module in (scrolling_levels, level_games):
        monkeypatch.setattr(module, "find_program", lambda *_: "/bin/true")
    monkeypatch.setattr(native_window, "open_display", lambda: nullcontext(":0"))
    monkeypatch.setattr(native_window, "compile_preload", lambda *_: None)
    monkeypatch.setattr(native_window, "run_game", note_settings)
    drawn = next(one for one in ENGINES if one.name == engine)
    for number in range(20):
        with pytest.raises(LiveSRError, match="drew nothing"):
            list(drawn.draw(f"world1_{number}", SMALL, drawn.times, 1))
    assert seen == filters
