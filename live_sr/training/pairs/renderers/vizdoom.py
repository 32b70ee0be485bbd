"""ViZDoom: ZDoom's software renderer, with the levels of Freedoom and ViZDoom's own scenarios."""

from __future__ import annotations

from live_sr.pipeline.frame import Size
from live_sr.training.pairs.renderers.child_program import ChildProgram, Wheel
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine

# Maps that the test pairs of another renderer show. Nothing may learn their walls.
NEVER = {"e1m3", "e1m8", "e2m4", "e2m9", "e3m5", "e4m1", "e4m6", *(f"map{n:02}" for n in range(2, 33, 5))}
SCENARIOS = ("deadly_corridor", "deathmatch", "defend_the_center", "health_gathering_supreme", "my_way_home")
SIZES = ((320, 200), (320, 180), (320, 240), (400, 225), (400, 250), (400, 300), (256, 192))

PROGRAM = ChildProgram("vizdoom_walk", (Wheel("vizdoom", "vizdoom==1.3.2"),))


def list_scenes() -> list[str]:
    """Raises MissingPart."""
    PROGRAM.check()
    phase_1 = [f"e{episode}m{number}" for episode in range(1, 5) for number in range(1, 10)]
    phase_2 = [f"map{number:02}" for number in range(1, 33)]
    return [*(name for name in (*phase_1, *phase_2) if name not in NEVER), *SCENARIOS]


ENGINES = (
    GameEngine(
        name="vizdoom",
        licence="BSD-3-Clause",
        use="train",
        list_scenes=list_scenes,
        draw=PROGRAM.draw,
        times=FrameTimes(first=35, every=80, most=3),
        sizes=tuple(Size(*size) for size in SIZES),
    ),
)
