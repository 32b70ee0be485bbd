"""Plays a program for OpenGL so that it shows the same instants at any size.

repeatable_window.c gives it a clock that only its own frames move, and keys at fixed frames. scaled_window.c lets it
lay its picture out for one size and draws it at another: a text of a fixed size in pixels grows with the picture.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from live_sr.errors import LiveSRError
from live_sr.pipeline.frame import Size
from live_sr.training.pairs.game_process import compile_preload, end_process, open_display
from live_sr.training.pairs.renderers.game_engine import FrameTimes, NumberedFrames

SOURCES = tuple(Path(__file__).with_name(name) for name in ("repeatable_window.c", "scaled_window.c"))
TIMEOUT_S = 240  # of one run
ENTER = (36, 13, 2)  # scan code, key code as in SDL 1.2, and frames
DOWN = (103, 274, 2)


@dataclass(frozen=True)
class GameWindow:
    """How a game is started.

    keys: (frame, scan code, key code, frames for which it is held) of each key that is pressed.
    environment: beside the one of this process.
    step_us: of its clock, from frame to frame.
    textures: how they may be filtered, of which each scene takes one: as the game does (""), "nearest", or "flat"
    (without mip levels).
    """

    command: Sequence[str | Path]
    keys: Sequence[tuple[int, int, int, int]] = ()
    environment: dict[str, str] = field(default_factory=dict)
    step_us: int = 33333
    textures: Sequence[str] = ("", "", "nearest", "flat")


def choose(scene: str, purpose: str, choices: Sequence[str]) -> str:
    """One of the choices, which depends on the scene's name alone."""
    return choices[zlib.crc32(f"{scene} {purpose}".encode()) % len(choices)]


def play_window(window: GameWindow, scene: str, size: Size, times: FrameTimes, scale: int) -> NumberedFrames:
    """The frames of a game that is already set up. Raises LiveSRError.

    Only what a game shows (scale 1) is smoothed: large pictures are averaged by who trains with them.
    """
    with tempfile.TemporaryDirectory(prefix="make-pairs-") as name, open_display() as display:
        folder = Path(name)
        frames = folder / "frames"
        frames.mkdir()
        library = folder / "repeatable_window.so"
        compile_preload(library, *SOURCES)
        settings = {
            "DISPLAY": display,
            "LD_PRELOAD": str(library),
            "CLOCK_STEP": str(window.step_us),
            "CLOCK_KEYS": ";".join(":".join(map(str, key)) for key in window.keys),
            "FRAMES_OUT": str(frames),
            "FRAMES_FIRST": str(times.first),
            "FRAMES_EVERY": str(times.every),
            "FRAMES_MOST": str(times.most),
            "WINDOW_DRAWN": "{}x{}".format(*size),
            "WINDOW_SAMPLES": choose(scene, "samples", ("0", "0", "4")) if scale == 1 else "0",
            "WINDOW_TEXTURES": choose(scene, "textures", window.textures),
            "SDL_AUDIODRIVER": "dummy",
            "SDL_VIDEODRIVER": "x11",
            "ALSOFT_DRIVERS": "null",
            "LIBGL_ALWAYS_SOFTWARE": "1",
        }
        why = run_game(window, settings, folder)
        drawn = sorted(frames.glob("*.ppm"))
        if not drawn:
            raise LiveSRError(f"{Path(window.command[0]).name} drew nothing of {scene}; {why}", "try another scene")
        for path in drawn:
            picture = cv2.imread(str(path))
            if picture is not None and picture.shape[:2] == (size[1], size[0]):
                yield int(path.stem), np.asarray(picture, np.uint8)


def run_game(window: GameWindow, settings: dict[str, str], folder: Path) -> str:
    """Runs the game until it ends itself, or TIMEOUT_S have passed. How it ended, for an error."""
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            window.command,
            cwd=folder,
            env={**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), **settings, **window.environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return f"it was still at work after {TIMEOUT_S} s"
        finally:
            end_process(process)
    return f"it said: {log.read_text(errors='replace')[-300:].strip()}"
