"""Games whose levels are named when they start: the missions of Colobot, and the maps of MegaGlest."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from live_sr.errors import MissingPart
from live_sr.pipeline.frame import Size
from live_sr.training.pairs.game_process import find_program
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine, NumberedFrames
from live_sr.training.pairs.renderers.native_window import GameWindow, choose, play_window

COLOBOT = Path("/usr/share/games/colobot/levels")
COLOBOT_INSTALL = "colobot xvfb gcc libc6-dev"
UP, RIGHT = (82, 0x40000052), (79, 0x4000004F)  # scan code and key code of SDL 2
COLOBOT_WALK = ((140, *UP, 300), (200, *RIGHT, 45), (290, *RIGHT, 30))

MEGAGLEST = Path("/usr/share/games/megaglest")
MEGAGLEST_INSTALL = "megaglest xvfb gcc libc6-dev"
MEGAGLEST_TOUR = ((25, *RIGHT, 9), (34, *UP, 14))
MEGAGLEST_WINDOW = "Windowed=true\nScreenWidth=960\nScreenHeight=540\nFactorySound=None\n"


def list_colobot_levels() -> Sequence[str]:
    """As the game names them: a category, a chapter and two digits. Raises MissingPart."""
    find_program("colobot", COLOBOT_INSTALL)
    levels = [path.parent.relative_to(COLOBOT).parts for path in COLOBOT.glob("*/chapter*/level*/scene.txt")]
    if not levels:
        raise MissingPart(f"there are no levels in {COLOBOT}", "Debian: apt install colobot")
    return sorted(f"{category}{int(chapter[-3:])}{int(level[-3:]):02}" for category, chapter, level in levels)


def draw_colobot(scene: str, size: Size, times: FrameTimes, scale: int) -> NumberedFrames:
    """Raises LiveSRError."""
    program = find_program("colobot", COLOBOT_INSTALL)
    with tempfile.TemporaryDirectory(prefix="make-pairs-") as saved:
        Path(saved, "colobot.ini").write_text("[Setup]\nMSAA=1\nMultisample=1\n")
        command = [program, "-runscene", scene, "-resolution", "960x540", "-savedir", saved]
        yield from play_window(GameWindow(command, COLOBOT_WALK), scene, size, times, scale)


def list_megaglest_maps() -> Sequence[str]:
    """Raises MissingPart."""
    find_program("megaglest", MEGAGLEST_INSTALL)
    maps = sorted(path.stem for path in MEGAGLEST.glob("maps/*.*m") if "_" not in path.stem)
    if not maps:
        raise MissingPart(f"there are no maps in {MEGAGLEST}", "Debian: apt install megaglest")
    return maps


def draw_megaglest(scene: str, size: Size, times: FrameTimes, scale: int) -> NumberedFrames:
    """A map under one of the game's landscapes, from where its first player would begin. Raises LiveSRError."""
    program = find_program("megaglest", MEGAGLEST_INSTALL)
    landscapes = sorted(path.name for path in MEGAGLEST.glob("tilesets/*"))
    with tempfile.TemporaryDirectory(prefix="make-pairs-") as home:
        settings = Path(home, ".megaglest", "glestuser.ini")
        settings.parent.mkdir()
        settings.write_text(MEGAGLEST_WINDOW)
        command = [program, f"--preview-map={scene},{choose(scene, 'landscape', landscapes)}"]
        yield from play_window(GameWindow(command, MEGAGLEST_TOUR, {"HOME": home}), scene, size, times, scale)


ENGINES = (
    GameEngine(
        "megaglest",
        "GPL-2.0-or-later AND CC-BY-SA-3.0",
        "train",
        list_megaglest_maps,
        draw_megaglest,
        FrameTimes(first=24, every=9, most=3),
    ),
    GameEngine(
        "colobot",
        "GPL-3.0-or-later",
        "train",
        list_colobot_levels,
        draw_colobot,
        FrameTimes(first=150, every=90, most=3),
    ),
)
