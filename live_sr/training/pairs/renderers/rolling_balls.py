"""Neverball: a ball rolls over tilted floors, with its score and clock. Its levels of all sets."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from live_sr.errors import MissingPart
from live_sr.pipeline.frame import Size
from live_sr.training.pairs.game_process import find_program
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine, NumberedFrames
from live_sr.training.pairs.renderers.native_window import GameWindow, play_window

DATA = Path("/usr/share/games/neverball")
INSTALL = "neverball xvfb gcc libc6-dev"
STARTS = 30  # the frame at which the ball may roll
STEP_US = 100_000
UP, LEFT, RIGHT = (((1 << 30) | code) for code in (82, 80, 79))  # as SDL 2 names keys that have no character
SETTINGS = """\
fullscreen 0
width {width}
height 540
multisample 0
vsync 0
fps 0
reflection {reflection}
background 1
shadow 1
"""


def list_scenes() -> Sequence[str]:
    """Every fourth level of each set. Raises MissingPart."""
    find_program("neverball", INSTALL)
    levels = find_levels()
    if not levels:
        raise MissingPart(f"there are no levels in {DATA}", "Debian: apt install neverball-data")
    return list(levels)[::4]


def find_levels() -> dict[str, str]:
    """The levels' files, by the names of their scenes."""
    lines = [line.strip() for path in sorted(DATA.glob("set-*.txt")) for line in path.read_text().splitlines()]
    return {
        file.removeprefix("map-").removesuffix(".sol").replace("/", "-"): file
        for file in lines
        if file.endswith(".sol")
    }


def draw(scene: str, size: Size, times: FrameTimes, scale: int) -> NumberedFrames:
    """Raises LiveSRError."""
    program = find_program("neverball", INSTALL)
    number = zlib.crc32(scene.encode())
    with tempfile.TemporaryDirectory(prefix="make-pairs-") as folder:
        Path(folder, ".neverball").mkdir()
        settings = SETTINGS.format(width=round(540 * size[0] / size[1]), reflection=number % 2)
        Path(folder, ".neverball", "neverballrc").write_text(settings)
        aside = (LEFT, RIGHT)[number // 2 % 2]
        keys = [(4, 40, 13, 1), (STARTS, 82, UP, 8), (STARTS + 4 + number // 4 % 8, 0, aside, 4)]
        window = GameWindow([program, "-l", find_levels()[scene]], keys, {"HOME": folder}, STEP_US)
        yield from play_window(window, scene, size, times, scale)


ENGINES = (
    GameEngine(
        "neverball", "GPL-2.0-or-later", "test", list_scenes, draw, FrameTimes(first=STARTS + 7, every=10, most=2)
    ),
)
