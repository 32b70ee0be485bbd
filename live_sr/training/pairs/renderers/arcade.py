"""Arcade: a library for 2D games in Python, with its example games. Their art is Kenney's, in the public domain."""

from __future__ import annotations

from live_sr.pipeline.frame import Size
from live_sr.training.pairs.renderers.child_program import ChildProgram, Wheel
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine

PROGRAM = ChildProgram("arcade_example", (Wheel("arcade", "arcade==3.3.3"),))
EXAMPLES = (
    "astar_pathfinding",
    "background_scrolling",
    "camera_platform",
    "drawing_text",
    "light_demo",
    "maze_depth_first",
    "minimap_camera",
    "minimap_texture",
    "platform_tutorial.12_tiled",
    "platform_tutorial.14_multiple_levels",
    "platform_tutorial.18_enemies",
    "procedural_caves_bsp",
    "procedural_caves_cellular",
    "pymunk_box_stacks",
    "pymunk_pegboard",
    "shape_list_demo_skylines",
    "slime_invaders",
    "sprite_change_coins",
    "sprite_collect_coins_background",
    "sprite_collect_rotating",
    "sprite_enemies_in_platformer",
    "sprite_explosion_bitmapped",
    "sprite_moving_platforms",
    "sprite_tiled_map",
    "sprite_tiled_map_with_levels",
    "template_platformer",
)


def list_scenes() -> tuple[str, ...]:
    """Raises MissingPart."""
    PROGRAM.check()
    return EXAMPLES


ENGINES = (
    GameEngine(
        name="arcade",
        licence="CC0-1.0 AND MIT",
        use="test",
        list_scenes=list_scenes,
        draw=PROGRAM.draw,
        times=FrameTimes(first=50, every=70, most=2),
        sizes=(Size(640, 360), Size(480, 270)),  # as wide as the games are laid out
    ),
)
