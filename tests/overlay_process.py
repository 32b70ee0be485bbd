"""Runs `live-sr run` in a process of its own, and compares what the screen shows with what the engine makes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import mss
import numpy as np
from patience import until
from screens import HD, Screen
from Xlib.display import Display

from live_sr.capture.x11 import X11Source
from live_sr.engines import factory
from live_sr.engines.filters.engine import resize
from live_sr.engines.options import EngineOptions
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size

CHECKOUT = Path(__file__).parents[1]


class OverlayProcess:
    """A running `live-sr run`."""

    def __init__(self, screen: Screen, folder: Path, *arguments: str, checkout: Path = CHECKOUT) -> None:
        """Starts it in `folder`, where it finds its config.toml and writes its files. `checkout`: of live-sr."""
        self.screen = screen
        self._output_file = folder / "output"
        with self._output_file.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "live_sr", "run", *arguments],
                env={**screen.env, "PYTHONPATH": str(checkout)},
                cwd=folder,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def rect(self) -> tuple[int, int, int, int] | None:
        """x, y, width and height of its window; None while it is hidden."""
        done = subprocess.run(
            ["xdotool", "search", "--onlyvisible", "--all", "--pid", str(self.process.pid), "--name", "^live-sr$"],
            env=self.screen.env, capture_output=True, text=True,
        )  # fmt: skip
        for window in done.stdout.split():
            display = Display(self.screen.display)
            try:
                found = display.create_resource_object("window", int(window))
                size, corner = found.get_geometry(), display.screen().root.translate_coords(found, 0, 0)
            finally:
                display.close()
            if size.width > 1:
                return (corner.x, corner.y, size.width, size.height)
        return None

    @property
    def badge(self) -> str:
        """What the small window says that explains a hidden overlay; empty while there is none."""
        search = ["xdotool", "search", "--onlyvisible", "--all", "--pid", str(self.process.pid), "--name", "^live-sr: "]
        found = subprocess.run(search, env=self.screen.env, capture_output=True, text=True).stdout.split()
        if not found:
            return ""
        name = ["xdotool", "getwindowname", found[0]]
        title = subprocess.run(name, env=self.screen.env, capture_output=True, text=True).stdout.strip()
        return title.removeprefix("live-sr: ")

    @property
    def output(self) -> str:
        """All that it has written to stdout and stderr."""
        return self._output_file.read_text()

    def wait_for_exit(self) -> int:
        """Its exit code, once it has ended by itself."""
        return until(self.process.poll, "the end of the program")

    def kill(self) -> None:
        """Ends it if it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


StartOverlay = Callable[..., OverlayProcess]
"""The fixture `start_overlay`."""


def grab_screen(screen: Screen) -> Pixels:
    """What is on the screen."""
    with mss.MSS(display=screen.display) as grabber:
        return np.array(grabber.grab(grabber.monitors[0]), np.uint8)


def grab_middle(screen: Screen, size: Size) -> Pixels:
    """The middle of a 1280x720 screen, where the overlay shows a picture of that size."""
    left, top = (HD.width - size.width) // 2, (HD.height - size.height) // 2
    return grab_screen(screen)[top : top + size.height, left : left + size.width]


def capture_window(screen: Screen, window: int) -> Pixels:
    """The game's own picture, through a capture of the test's."""
    source = X11Source(window, display=screen.display)
    try:
        return until(lambda: source.next_frame(0.1), "a frame of the game").pixels.copy()
    finally:
        source.close()


def upscale_to_screen(picture: Pixels, model: str = "fast", scale: int = 2, room: Size = HD) -> Pixels:
    """What the overlay should show: the picture, upscaled by an engine in this process and fitted to the screen."""
    engine = factory.make_engine(resolve(model), scale, EngineOptions())
    engine.warm_up(get_size(picture))
    done = engine.upscale(Frame(picture))
    assert done is not None
    fitted = resize(done.pixels, get_size(picture).fit_into(room)).copy()
    engine.close()
    return fitted


def compute_psnr(a: Pixels, b: Pixels) -> float:
    """In dB, over the three colours."""
    return float(cv2.PSNR(np.ascontiguousarray(a[..., :3]), np.ascontiguousarray(b[..., :3])))


def is_same_picture(a: Pixels, b: Pixels) -> bool:
    """Whether they differ by rounding alone.

    Each process chooses between two graphs of an engine by a trial of its own. In bf16 they differ by 57 dB in noise.
    """
    return a.shape[:2] == b.shape[:2] and compute_psnr(a, b) > 50


def wait_until_shown(screen: Screen, picture: Pixels) -> None:
    """Waits until the middle of the screen shows that picture."""
    size = get_size(picture)
    until(lambda: is_same_picture(grab_middle(screen, size), picture), f"the picture of {size} is shown")
