"""raylib: small places made of its generated meshes and textures, and flat games laid out for 1280x720."""

from __future__ import annotations

from live_sr.training.pairs.renderers.child_program import ChildProgram, Wheel, name_scenes
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine

PROGRAM = ChildProgram("raylib_worlds", (Wheel("pyray", "raylib==6.2.0.0"),), display=True)


def list_scenes() -> list[str]:
    """Raises MissingPart."""
    PROGRAM.check()
    return name_scenes({"hills": 6, "maze": 7, "plaza": 7, "shooter": 16, "platforms": 16, "board": 12})


ENGINES = (
    GameEngine(
        name="raylib",
        licence="Zlib",
        use="train",
        list_scenes=list_scenes,
        draw=PROGRAM.draw,
        times=FrameTimes(first=15, every=100, most=3),
    ),
)
