"""pygame: small 2D games of flat shapes, pixel art and text."""

from __future__ import annotations

from live_sr.training.pairs.renderers.child_program import ChildProgram, Wheel, name_scenes
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine

PROGRAM = ChildProgram("pygame_games", (Wheel("pygame", "pygame-ce==2.5.8"),))
KINDS = {"shooter": 5, "platformer": 8, "gems": 5, "rogue": 7, "racer": 5, "menu": 6, "aliens": 4}


def list_scenes() -> list[str]:
    """Raises MissingPart."""
    PROGRAM.check()
    return name_scenes(KINDS)


ENGINES = (
    GameEngine(
        name="pygame",
        licence="LGPL-2.1-or-later",
        use="train",
        list_scenes=list_scenes,
        draw=PROGRAM.draw,
        times=FrameTimes(first=20, every=55, most=2),
    ),
)
