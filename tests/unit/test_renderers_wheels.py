"""Engines that come as wheels: what is missing is said in one sentence, and every scene repeats itself."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from live_sr.errors import MissingPart
from live_sr.pipeline.frame import Size
from live_sr.training.pairs import command
from live_sr.training.pairs.options import EngineInput, PairsOptions
from live_sr.training.pairs.renderers import arcade, panda3d, pygame_ce, raylib, vizdoom
from live_sr.training.pairs.renderers.child_program import ChildProgram, Wheel
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine, NumberedFrames

ENGINES = (*arcade.ENGINES, *panda3d.ENGINES, *pygame_ce.ENGINES, *raylib.ENGINES, *vizdoom.ENGINES)
SMALL = Size(320, 200)


def test_a_missing_wheel_is_answered_with_the_line_that_installs_it() -> None:
    program = ChildProgram("vizdoom_walk", (Wheel("no_such_engine", "no-such-engine==1.2"),))
    with pytest.raises(MissingPart) as caught:
        next(program.draw("map01", SMALL, FrameTimes(1, 1, 1), 1))
    assert caught.value.message == "no_such_engine is not installed"
    assert caught.value.remedy == 'pip install "no-such-engine==1.2"'


def test_vizdoom_draws_no_map_of_the_test_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wheel, "check", lambda self: None)
    scenes = vizdoom.list_scenes()
    assert {"e1m1", "map01"} < {*scenes}
    assert not {"e1m3", "e1m8", "e2m4", "e2m9", "e3m5", "e4m1", "e4m6", "map02", "map07", "map32"} & {*scenes}


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_a_scene_drawn_twice_is_the_same(engine: GameEngine) -> None:
    try:
        scene = engine.list_scenes()[0]
    except MissingPart as error:
        pytest.skip(error.message)
    first, second = (dict(engine.draw(scene, SMALL, FrameTimes(2, 3, 2), 1)) for _ in range(2))
    assert list(first) == list(second) == [2, 5]
    assert all(np.array_equal(first[number], second[number]) for number in first)
    assert first[2].shape == (200, 320, 3)
    assert first[2].std() > 2


@pytest.mark.parametrize("scene", ["shooter-1", "platforms-1", "board-1"])
def test_a_flat_game_shows_the_same_at_every_size(scene: str) -> None:
    (engine,) = raylib.ENGINES
    try:
        assert scene in engine.list_scenes()
    except MissingPart as error:
        pytest.skip(error.message)
    (small,), (large,) = (
        [picture for _, picture in engine.draw(scene, size, FrameTimes(15, 1, 1), 1)]
        for size in (SMALL, Size(960, 600))
    )
    shrunk = cv2.resize(large, (320, 200), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(small.ravel(), shrunk.ravel())[0, 1] > 0.9


def test_an_engine_that_has_few_sizes_draws_at_one_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(scene: str, size: Size, times: FrameTimes, scale: int) -> NumberedFrames:
        y, x = np.mgrid[0 : size.height, 0 : size.width] / size.height
        grey = (127 + 60 * np.sin(9 * x) + 60 * np.cos(7 * y)).astype(np.uint8)
        yield times.first, np.dstack([grey] * 3)

    engine = GameEngine("waves", "CC0-1.0", "train", lambda: ["one"], draw, FrameTimes(4, 1, 1), (Size(160, 120),))
    monkeypatch.setattr(command, "find_engine", lambda name: engine)
    for asked, drawn in ((Size(480, 270), (120, 160)), (Size(160, 120), (120, 160))):
        out = tmp_path / f"{asked.width}"
        source = EngineInput("waves", (), (asked,), None)
        assert command.run(source, PairsOptions(out=out, format="png")) == 0
        assert cv2.imread(str(out / "lr" / "one_00004.png")).shape[:2] == drawn
        assert cv2.imread(str(out / "hr" / "one_00004.png")).shape[:2] == (480, 640)
