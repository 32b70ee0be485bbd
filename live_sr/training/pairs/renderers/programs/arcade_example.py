"""Runs an example game of Arcade with scripted keys and a clock of its own, in a window of any number of pixels.

The games are laid out for a window of a fixed size, mostly 1280x720. That stays; only the number of pixels that the
window's framebuffer has changes, as on a screen of another pixel density. Text is drawn in letters of the true size.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import random
import time
from contextlib import suppress
from typing import Any

import numpy as np

from live_sr.imaging.degradation import Picture
from live_sr.training.pairs.renderers.child_program import ChildJob

os.environ["ARCADE_HEADLESS"] = "True"
import arcade
import arcade.text
import pyglet
import pyglet.window
from pyglet.math import Mat4, Vec3
from pyglet.window.headless import HeadlessWindow

STEP_S = 1 / 60
START_S = 1_000_000.0
KEYS = ("RIGHT", "RIGHT", "RIGHT", "UP", "LEFT", "SPACE", "DOWN", "D", "W")


class VirtualClock:
    """Every clock of the process shows this time, so that a slow picture moves nothing further."""

    def __init__(self) -> None:
        self.now = START_S
        for name in ("time", "perf_counter", "monotonic"):
            setattr(time, name, lambda: self.now)
        pyglet.clock.set_default(pyglet.clock.Clock(lambda: self.now))


class Player:
    """Presses keys and moves the mouse, the same in every run of a scene."""

    def __init__(self, scene: str) -> None:
        self._rng = random.Random(scene)
        self._held: int | None = None

    def play(self, window: Any, number: int) -> None:
        if number % 20 == 0:
            if self._held is not None:
                window.dispatch_event("on_key_release", self._held, 0)
            self._held = getattr(arcade.key, self._rng.choice(KEYS))
            window.dispatch_event("on_key_press", self._held, 0)
        if number % 7 == 0:
            x, y = self._rng.randrange(window.width), self._rng.randrange(window.height)
            window.dispatch_event("on_mouse_motion", x, y, 3, 3)
            if number in (7, 28):
                window.dispatch_event("on_mouse_press", x, y, arcade.MOUSE_BUTTON_LEFT, 0)
                window.dispatch_event("on_mouse_release", x, y, arcade.MOUSE_BUTTON_LEFT, 0)


def main() -> None:
    job = ChildJob.from_arguments()
    random.seed(job.scene)
    np.random.seed(sum(job.scene.encode()))
    clock = VirtualClock()
    set_framebuffer_size(job.size.width, job.size.height)
    arcade.text._draw_pyglet_label = LabelPainter(job.size.height).draw
    arcade.run = lambda view=None: play(job, clock, view)
    arcade.Sound.play = lambda *arguments, **named: None
    with suppress(ImportError):
        importlib.import_module("pyglet.window.xlib")  # pyglet's list of game pads wants it to be there
    importlib.import_module(f"arcade.examples.{job.scene}").main()


def play(job: ChildJob, clock: VirtualClock, view: Any) -> None:
    window = arcade.get_window()
    if view is not None:
        window.show_view(view)
    window._enable_event_queue = False  # events reach the game at once
    player = Player(job.scene)
    for number, kept in job.iterate_numbers():
        clock.now += STEP_S
        player.play(window, number)
        pyglet.clock.tick()
        window._dispatch_updates(STEP_S)
        if kept or number % 40 == 0:  # some games move while they draw, so both sizes draw the same frames
            window.switch_to()
            window.ctx.screen.use()
            window.dispatch_event("on_draw")
        if kept:
            job.write(number, read_picture(job))
    os._exit(0)


def read_picture(job: ChildJob) -> Picture:
    from pyglet import gl

    pixels = np.empty((job.size.height, job.size.width, 3), np.uint8)
    gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, 0)
    gl.glPixelStorei(gl.GL_PACK_ALIGNMENT, 1)
    into = pixels.ctypes.data_as(ctypes.c_void_p)
    gl.glReadPixels(0, 0, job.size.width, job.size.height, gl.GL_RGB, gl.GL_UNSIGNED_BYTE, into)
    return pixels[::-1, :, ::-1]


def set_framebuffer_size(width: int, height: int) -> None:
    """Gives every window that many pixels, whatever its size is."""
    create = HeadlessWindow._create

    def create_larger(self: Any) -> None:
        size, (self._width, self._height) = (self._width, self._height), (width, height)
        create(self)
        self._width, self._height = size

    HeadlessWindow._create = create_larger
    HeadlessWindow.get_framebuffer_size = lambda self: (width, height)
    HeadlessWindow.get_pixel_ratio = lambda self: height / self._height
    HeadlessWindow.scale = property(lambda self: height / self._height)


def round_to_pixels(at: float, moved: float, ratio: float) -> float:
    """Where a letter that the view moves by `moved` lies on whole pixels: between them rows of it get lost."""
    return round((at + moved) * ratio) / ratio - moved


class LabelPainter:
    """Draws a pyglet label in letters of as many pixels as the window shows it in."""

    def __init__(self, height: int) -> None:
        self._height = height
        self._copies: dict[tuple[Any, ...], Any] = {}

    def draw(self, label: Any) -> None:
        window = arcade.get_window()
        ratio = self._height / window.height
        copy = self._find_copy(label, ratio)
        before = window.view
        x, y = round_to_pixels(label.x, before[12], ratio), round_to_pixels(label.y, before[13], ratio)
        place = Mat4.from_translation(Vec3(x, y, label.z))
        window.view = before @ place @ Mat4.from_scale(Vec3(1 / ratio, 1 / ratio, 1))
        copy.draw()
        window.view = before

    def _find_copy(self, label: Any, ratio: float) -> Any:
        look = (label.text, label.font_name, label.font_size, tuple(label.color), label.width, label.rotation)
        key = (*look, label.anchor_x, label.anchor_y, label.multiline, label.weight, label.italic)
        if key not in self._copies:
            copy = self._copies[key] = pyglet.text.Label(
                label.text,
                font_name=label.font_name,
                font_size=label.font_size * ratio,
                weight=label.weight,
                italic=label.italic,
                color=label.color,
                width=round(label.width * ratio) if label.width else None,
                anchor_x=label.anchor_x,
                anchor_y=label.anchor_y,
                align=label.get_style("align") or "left",
                multiline=label.multiline,
            )
            copy.rotation = label.rotation
        return self._copies[key]


if __name__ == "__main__":
    main()
