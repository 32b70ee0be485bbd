"""Opens the overlay's windows on a screen, shows frames in them, and grabs what the screen shows."""

from __future__ import annotations

import time
from collections.abc import Callable

import mss
import numpy as np
import software_card
from patience import clock
from PyQt6.QtCore import QCoreApplication

from live_sr.overlay.display import QtDisplay
from live_sr.overlay.surface import Surface
from live_sr.overlay.window_factory import make_window
from live_sr.pipeline.display_picture import DisplayPicture, HostPicture
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, Stamps, make_black
from live_sr.pipeline.latency import Latency

SIZE = Size(320, 180)


def make_picture(size: Size, seed: int) -> Pixels:
    """Noise, which depends on the seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size.height, size.width, 4), np.uint8)
    pixels[..., 3] = 255
    return pixels


def make_frame(size: Size = SIZE, seed: int = 1) -> Frame[Pixels]:
    """A frame of noise; the seed is also its number."""
    return Frame(make_picture(size, seed), Stamps(1, 1, 1, 1), seed)


def make_plain_frame(size: Size, value: int) -> Frame[Pixels]:
    """A grey frame."""
    pixels = make_black(size)
    pixels[..., :3] = value
    return Frame(pixels, Stamps(1, 1, 1, 1), value)


def pump_until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Processes Qt's events until the condition is true. Fails after `limit_s` on the patient clock."""
    end = clock() + limit_s
    while not condition():
        assert clock() < end, "the condition did not become true"
        QCoreApplication.processEvents()
        time.sleep(0.002)


def grab(rect: Rect) -> Pixels:
    """What the screen shows there, without alpha."""
    with mss.MSS() as grabber:
        shot = grabber.grab({"left": rect.x, "top": rect.y, "width": rect.width, "height": rect.height})
    return np.frombuffer(shot.raw, np.uint8).reshape(rect.height, rect.width, 4)[..., :3]


def open_window(
    kind: str, mode: str = "cover", size: Size = SIZE, aspect: float | None = None
) -> tuple[Surface, QtDisplay, Latency]:
    """A visible window of kind "raster", "gl" or "gpu", with its display and the latency that the display records."""
    opener = software_card.find_canvas_opener() if kind == "gpu" else None
    window, _ = make_window(mode, kind, aspect=aspect, open_canvas=opener)  # type: ignore[arg-type]
    return (window, *show_window(window, kind, size))


def show_window(window: Surface, kind: str, size: Size = SIZE) -> tuple[QtDisplay, Latency]:
    """Shows a window at 50, 40; returns once it is ready and has this size."""
    window.setPosition(50, 40) if kind == "gl" else window.move(50, 40)  # type: ignore[attr-defined]
    window.resize(*size)  # type: ignore[attr-defined]
    latency = Latency()
    display = QtDisplay(window, latency)
    window.setVisible(True)
    pump_until(window.is_ready)
    pump_until(lambda: window.get_room() == size)
    return display, latency


def to_host_frame(one: Frame[Pixels]) -> Frame[DisplayPicture]:
    """The frame as a display takes it from main memory."""
    return one.with_pixels(HostPicture(one.pixels), one.revision)


def show_frames(window: Surface, display: QtDisplay, *frames: Frame[Pixels] | Frame[DisplayPicture]) -> None:
    """Shows the frames one after another; returns once the last is on the screen."""
    for one in frames:
        count = window.feed.frames_shown
        display.show(to_host_frame(one) if isinstance(one.pixels, np.ndarray) else one)
        pump_until(lambda count=count: window.feed.frames_shown > count)
