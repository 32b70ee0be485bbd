"""Game engines that draw the same instants at any size, without a player and without a graphics card.

Each module here drives some of them in one way, and lists them in ENGINES. It imports nothing heavy until it draws.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from live_sr.errors import UsageError, did_you_mean
from live_sr.terminal import print_result
from live_sr.training.pairs.renderers.game_engine import GameEngine

MODULES: tuple[str, ...] = (
    "arcade",
    "car_races",
    "level_games",
    "light_cycles",
    "panda3d",
    "pygame_ce",
    "raylib",
    "rolling_balls",
    "scrolling_levels",
    "snow_races",
    "vizdoom",
    "web",
)


def list_engines() -> list[GameEngine]:
    """All engines, by name."""
    modules = (importlib.import_module(f"{__name__}.{module}") for module in MODULES)
    return sorted((engine for module in modules for engine in module.ENGINES), key=lambda engine: engine.name)


def find_engine(name: str) -> GameEngine:
    """Raises UsageError for a name that no engine has."""
    engines = {engine.name: engine for engine in list_engines()}
    if name not in engines:
        what = f'no engine is called "{name}".{did_you_mean(name, list(engines))}'
        raise UsageError(what, "`live-sr pairs engines` prints them")
    return engines[name]


def print_engines() -> int:
    for engine in list_engines():
        print_result(f"{engine.name:20} to {engine.use:5} {engine.licence}")
    return 0


def print_scenes(names: Sequence[str]) -> int:
    """Of the engines with these names. Raises LiveSRError."""
    for name in names:
        for scene in find_engine(name).list_scenes():
            print_result(scene)
    return 0
