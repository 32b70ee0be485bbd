"""Armagetron Advanced: cycles of the computer race in arenas of many sizes and shapes."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from live_sr.errors import MissingPart
from live_sr.pipeline.frame import Size
from live_sr.training.pairs.game_process import find_program
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine, NumberedFrames
from live_sr.training.pairs.renderers.native_window import DOWN, ENTER, GameWindow, choose, play_window

DATA = Path("/usr/share/games/armagetronad")
SETTINGS = Path("/etc/armagetronad")
MAPS = ("square-1.0.1", "40-gon-0.2", "diamond-1.0.2", "inaktek-0.7.2", "repeat-0.3.2", "sumo_4x4-0.1.1")
FLOORS = (".03 .35 .5", ".2 .2 .2", ".4 .15 .1", ".1 .4 .15", ".5 .5 .55", ".35 .1 .45")
ARENAS = 36
MENU = ((60, *ENTER), (100, *ENTER), (140, *DOWN), (160, *ENTER))  # past the title, to a local game


def list_scenes() -> Sequence[str]:
    """Raises MissingPart."""
    find_program("armagetronad.real", "armagetronad xvfb gcc libc6-dev")
    if not DATA.is_dir():
        raise MissingPart(f"there is no {DATA}", "Debian: apt install armagetronad")
    return [f"arena{number:02}" for number in range(ARENAS)]


def draw(scene: str, size: Size, times: FrameTimes, scale: int) -> NumberedFrames:
    """Raises LiveSRError."""
    program = find_program("armagetronad.real", "armagetronad xvfb gcc libc6-dev")
    with tempfile.TemporaryDirectory(prefix="make-pairs-") as folder:
        # the last file that the game reads: /etc's settings.cfg would overrule user.cfg
        Path(folder, "autoexec.cfg").write_text(write_settings(scene))
        folders = ("--userconfigdir", folder, "--vardir", folder, "--datadir", DATA, "--configdir", SETTINGS)
        yield from play_window(GameWindow([program, *folders, "-w"], MENU), scene, size, times, scale)


def write_settings(scene: str) -> str:
    """The game's own settings for a scene."""
    number = zlib.crc32(scene.encode())
    red, green, blue = choose(scene, "floor", FLOORS).split()
    arena = choose(scene, "map", MAPS)
    maps = {path.name: path for path in DATA.glob("resource/included/**/*.aamap.xml")}
    lines = [
        *("FIRST_USE 0", "SHOW_FPS 0", "TEXT_OUT 0", "SP_TEAMS_MIN 8", "SP_TEAMS_MAX 12", "SP_AI_IQ 100"),
        *(f"SP_MIN_PLAYERS {5 + number % 6}", f"SP_NUM_AIS {5 + number % 6}", f"SP_SIZE_FACTOR {-4 - number % 3}"),
        *(f"FLOOR_MIRROR {number // 7 % 4}", f"HIGH_RIM {number // 3 % 2}"),
        *(f"FLOOR_RED {red}", f"FLOOR_GREEN {green}", f"FLOOR_BLUE {blue}", f"SP_SPEED_FACTOR {number // 11 % 2}"),
        *(f"SKY_WOBBLE {number // 13 % 2}", f"UPPER_SKY {number // 17 % 2}", f"LOWER_SKY {number // 19 % 2}"),
    ]
    if found := maps.get(f"{arena}.aamap.xml"):
        lines.append(f"MAP_FILE {found.relative_to(DATA / 'resource' / 'included')}")
    return "\n".join(lines) + "\n"


ENGINES = (
    GameEngine(
        "armagetronad", "GPL-2.0-or-later", "train", list_scenes, draw, FrameTimes(first=330, every=110, most=4)
    ),
)
