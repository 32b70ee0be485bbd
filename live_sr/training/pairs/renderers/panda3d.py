"""Panda3D and Ursina, which is built on it: small places made of what their wheels bring."""

from __future__ import annotations

from live_sr.training.pairs.renderers.child_program import ChildProgram, Wheel, name_scenes
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine

PANDA3D = Wheel("panda3d", "panda3d==1.10.16")
PROGRAM = ChildProgram("panda3d_show", (PANDA3D,), display=True)
URSINA = ChildProgram("ursina_worlds", (PANDA3D, Wheel("ursina", "ursina==7.0.0")), display=True)


def list_panda3d_scenes() -> list[str]:
    """Raises MissingPart."""
    PROGRAM.check()
    return name_scenes({"meadow": 4, "hills": 6, "town": 6, "dungeon": 8, "arena": 6})


def list_ursina_scenes() -> list[str]:
    """Raises MissingPart."""
    URSINA.check()
    return name_scenes({"voxels": 8, "fort": 10, "coast": 6, "side": 6})


ENGINES = (
    GameEngine(
        name="panda3d",
        licence="BSD-3-Clause",
        use="train",
        list_scenes=list_panda3d_scenes,
        draw=PROGRAM.draw,
        times=FrameTimes(first=15, every=100, most=3),
    ),
    GameEngine(
        name="ursina",
        licence="MIT",
        use="train",
        list_scenes=list_ursina_scenes,
        draw=URSINA.draw,
        times=FrameTimes(first=15, every=100, most=3),
    ),
)
