"""SuperTux: a penguin runs and jumps through scrolling levels, with coins and messages shown over them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from live_sr.errors import MissingPart
from live_sr.pipeline.frame import Size
from live_sr.training.pairs.game_process import find_program
from live_sr.training.pairs.renderers.game_engine import FrameTimes, GameEngine, NumberedFrames
from live_sr.training.pairs.renderers.native_window import GameWindow, choose, play_window

LEVELS = Path("/usr/share/games/supertux2/levels")
FOLDERS = ("world1", "world2", "bonus1", "bonus2", "bonus3", "revenge_in_redmond")
INSTALL = "supertux xvfb gcc libc6-dev"
SPACE, RIGHT = (44, 32), (79, 0x4000004F)  # scan code and key code of SDL 2
ROWS = 540  # for which the picture is laid out
TESTED = ("above_arctic_skies", "fork_in_the_road", "journey_begins", "via_nostalgica")  # networks are measured on them
SETTINGS = """\
(supertux-config
  (profile 1) (show_fps #f) (show_player_pos #f) (developer #f) (confirmation_dialog #f)
  (pause_on_focusloss #f) (custom_mouse_cursor #f)
  (video (fullscreen #f) (video "opengl") (vsync #f) (window_width {width}) (window_height {height})
    (window_resizable #f) (aspect_width 0) (aspect_height 0) (magnification {magnification}))
  (audio (sound_enabled #f) (music_enabled #f)))
"""


def list_scenes() -> Sequence[str]:
    """The level's folder and name: all that are played, without those of the tests. Raises MissingPart."""
    find_program("supertux2", INSTALL)
    levels = [path for folder in FOLDERS for path in sorted((LEVELS / folder).glob("*.stl"))]
    if not levels:
        raise MissingPart(f"there are no levels in {LEVELS}", "Debian: apt install supertux-data")
    return [f"{path.parent.name}_{path.stem}" for path in levels if _is_drawn(path.stem)]


def _is_drawn(level: str) -> bool:
    return level not in TESTED and level != "intro" and "cutscene" not in level


def find_level(scene: str) -> Path:
    folder = next(folder for folder in FOLDERS if scene.startswith(f"{folder}_"))
    return LEVELS / folder / f"{scene.removeprefix(f'{folder}_')}.stl"


def draw(scene: str, size: Size, times: FrameTimes, scale: int) -> NumberedFrames:
    """Raises LiveSRError."""
    program = find_program("supertux2", INSTALL)
    jumps = [(frame, *SPACE, 13) for frame in range(30, 400, 32)]
    with tempfile.TemporaryDirectory(prefix="make-pairs-") as folder:
        magnification = choose(scene, "magnification", ("0.75", "0.75", "0.75", "1.0", "1.5"))
        width = round(ROWS * size[0] / size[1])
        settings = SETTINGS.format(width=width, height=ROWS, magnification=magnification)
        Path(folder, "config").write_text(settings)
        command: list[str | Path] = [
            program,
            "--userdir",
            folder,
            "--window",
            "--geometry",
            f"{width}x{ROWS}",
            find_level(scene),
        ]
        keys = [(15, *SPACE, 2), (25, *RIGHT, 1000), *jumps]
        yield from play_window(GameWindow(command, keys, step_us=31_250, textures=("",)), scene, size, times, scale)


ENGINES = (
    GameEngine(
        "supertux",
        "GPL-2.0-or-later AND CC-BY-SA-4.0",
        "train",
        list_scenes,
        draw,
        FrameTimes(first=60, every=32, most=4),
    ),
)
