"""TORCS: robots race cars on all its tracks, seen by its cameras."""

from __future__ import annotations

import re
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from live_sr.errors import MissingPart
from live_sr.pipeline.frame import Size
from live_sr.training.pairs.game_process import find_program
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine, NumberedFrames
from live_sr.training.pairs.renderers.native_window import GameWindow, choose, play_window

DATA = Path("/usr/share/games/torcs")
INSTALL = "torcs xvfb gcc libc6-dev"
WINDOW_SIZE = Size(960, 540)
ROBOTS = (("berniw", 9), ("olethros", 9), ("lliaw", 9), ("inferno", 9), ("tita", 9), ("bt", 9), ("damned", 9))
CAMERAS = (("F2",), ("F2", "F2"), ("F3",), ("F4",), ("F5",), ("F8",), ("F9",), ("F10",))  # as the game names its views
FUNCTION_KEYS = {f"F{number}": 256 + number for number in range(1, 13)}
ENTER = 13


def list_scenes() -> Sequence[str]:
    """Raises MissingPart."""
    find_program("torcs", INSTALL)
    tracks = sorted(path.parent.name for path in DATA.glob("tracks/*/*/*.xml") if path.stem == path.parent.name)
    if not tracks:
        raise MissingPart(f"there are no tracks in {DATA}", "Debian: apt install torcs")
    return tracks


def draw(scene: str, size: Size, times: FrameTimes, scale: int) -> NumberedFrames:
    """Raises LiveSRError."""
    program = find_program("torcs", INSTALL)
    with tempfile.TemporaryDirectory(prefix="make-pairs-") as folder:
        settings = Path(folder, ".torcs", "config")
        (settings / "raceman").mkdir(parents=True)
        screen = (DATA / "config" / "screen.xml").read_text()
        for name, value in (("x", WINDOW_SIZE[0]), ("y", WINDOW_SIZE[1])):
            screen = re.sub(rf'(name="{name}" val=)"\d+"', rf'\1"{value}"', screen, count=1)
        (settings / "screen.xml").write_text(screen)
        (settings / "raceman" / "quickrace.xml").write_text(write_race(scene))
        menu = [(frame, 0, ENTER, 2) for frame in range(20, 90, 10)]
        views = [
            (120 + 5 * at, 0, FUNCTION_KEYS[key], 2)
            for at, key in enumerate(CAMERAS[choose_number(scene, len(CAMERAS))])
        ]
        window = GameWindow([program], [*menu, *views], {"HOME": folder})
        yield from play_window(window, scene, size, times, scale)


def choose_number(scene: str, count: int) -> int:
    return int(choose(scene, "camera", [str(number) for number in range(count)]))


def write_race(scene: str) -> str:
    """The game's description of a race on that track."""
    race = (DATA / "config" / "raceman" / "quickrace.xml").read_text()
    category = next(iter(DATA.glob(f"tracks/*/{scene}"))).parent.name
    race = re.sub(
        r'(name="name" val=)"[^"]*"(/>\s*<attstr name="category" val=)"[^"]*"', rf'\1"{scene}"\2"{category}"', race
    )
    first = zlib.crc32(scene.encode())
    drivers = [
        f'<section name="{at + 1}"><attnum name="idx" val="{1 + (first + at) % count}"/>'
        f'<attstr name="module" val="{robot}"/></section>'
        for at, (robot, count) in enumerate(ROBOTS)
    ]
    head = race.split('<section name="Drivers">', 1)[0]
    index = 1 + first % ROBOTS[0][1]
    module = f'<attstr name="focused module" val="{ROBOTS[0][0]}"/><attnum name="focused idx" val="{index}"/>'
    middle = f'<section name="Drivers"><attnum name="maximum number" val="40"/>{module}{"".join(drivers)}</section>'
    return head + middle + "</params>\n"


ENGINES = (
    GameEngine(
        "torcs", "GPL-2.0-or-later AND LAL-1.3", "train", list_scenes, draw, FrameTimes(first=200, every=170, most=4)
    ),
)
