"""Extreme Tux Racer: a penguin slides down its courses, with speed, time and herrings shown over the snow."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from live_sr.errors import MissingPart
from live_sr.pipeline.frame import Size
from live_sr.training.pairs.game_process import find_program
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine, NumberedFrames
from live_sr.training.pairs.renderers.native_window import GameWindow, play_window

DATA = Path("/usr/share/games/etr")
INSTALL = "extremetuxracer xvfb gcc libc6-dev"
ENTER, DOWN = 0xFF0D, 0xFF54  # KeySyms of X
STEP_US = 100_000


def list_scenes() -> Sequence[str]:
    """The courses. Raises MissingPart."""
    find_program("etr", INSTALL)
    try:
        courses = (DATA / "courses" / "default" / "courses.lst").read_text()
    except OSError:
        raise MissingPart(f"there are no courses in {DATA}", f"Debian: apt install {INSTALL}") from None
    return re.findall(r"^\*.*\[dir\] *(\w+)", courses, re.MULTILINE)


def draw(scene: str, size: Size, times: FrameTimes, scale: int) -> NumberedFrames:
    """Raises LiveSRError."""
    program = find_program("etr", INSTALL)
    number = list_scenes().index(scene)
    keys = [
        *((3, 0, ENTER, 1), (6, 0, DOWN, 1), (9, 0, ENTER, 1)),
        *((12 + at, 0, DOWN, 1) for at in range(number)),
        *((frame, 0, ENTER, 1) for frame in (36, 42)),
    ]
    with tempfile.TemporaryDirectory(prefix="make-pairs-") as folder:
        window = GameWindow([program], keys, {"HOME": folder}, STEP_US)
        yield from play_window(window, scene, size, times, scale)


ENGINES = (
    GameEngine(
        "extremetuxracer",
        "GPL-2.0-or-later",
        "test",
        list_scenes,
        draw,
        FrameTimes(first=60, every=25, most=2),
        sizes=(Size(480, 270), Size(640, 360), Size(320, 180)),  # it lays its picture out for 16:9
    ),
)
