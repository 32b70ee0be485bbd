"""Draws a place of panda3d_worlds.py with a HUD over it, in Panda3D's OpenGL renderer."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from direct.gui.DirectGui import DirectFrame, DirectWaitBar
from direct.gui.OnscreenText import OnscreenText
from direct.showbase.ShowBase import ShowBase
from panda3d.core import AntialiasAttrib, CardMaker, ClockObject, TextNode, TransparencyAttrib, loadPrcFileData

from live_sr.imaging.degradation import Picture
from live_sr.training.pairs.renderers.child_program import ChildJob
from live_sr.training.pairs.renderers.programs.panda3d_worlds import WORLDS, PandaWorld

FRAMES_A_SECOND = 30
LINES = ("Find the last teapot", "Wave 3 of 12", "Press E to talk", "Quest: the old bridge", "+250 points", "LOW AMMO")
NAMES = ("Score", "Lives", "Gold", "Level", "Time", "Keys")


def main() -> None:
    job = ChildJob.from_arguments()
    rng = random.Random(job.scene)
    samples = rng.choice((0, 0, 4)) * (job.scale == 1)
    base = open_buffer(job, samples)
    if samples:
        base.render.setAntialias(AntialiasAttrib.MMultisample)
    world = PandaWorld(base, rng)
    WORLDS[job.scene.split("-")[0]](world)
    if rng.random() < 0.7:
        draw_hud(base, rng)
    clock = ClockObject.getGlobalClock()
    clock.setMode(ClockObject.MSlave)
    base.camLens.setFov(rng.choice((55, 70, 85)))
    base.camLens.setNear(0.1)
    base.graphicsEngine.renderFrame()  # the first one loads
    for number, kept in job.iterate_numbers():
        if kept:
            clock.setFrameTime(number / FRAMES_A_SECOND)
            for step in world.steps:
                step(number / FRAMES_A_SECOND)
            base.graphicsEngine.renderFrame()
            job.write(number, read_picture(base))
    base.destroy()


def open_buffer(job: ChildJob, samples: int) -> Any:
    text = round(0.08 * job.size.height / 2)  # letters are drawn once, in about the size that they will have
    settings = f"""
    window-type offscreen
    win-size {job.size.width} {job.size.height}
    audio-library-name null
    framebuffer-multisample {int(samples > 0)}
    multisamples {samples}
    text-pixels-per-unit {max(10, text)}
    text-page-size 512 512
    textures-power-2 none
    notify-level error
    """
    loadPrcFileData("", settings)
    base = ShowBase(windowType="offscreen")
    base.disableMouse()
    return base


def read_picture(base: Any) -> Picture:
    texture = base.win.getScreenshot()
    raw = np.frombuffer(texture.getRamImageAs("BGR").getData(), np.uint8)
    return raw.reshape(texture.getYSize(), texture.getXSize(), 3)[::-1].copy()


def draw_hud(base: Any, rng: random.Random) -> None:
    """Bars, numbers, a line of text and a small map, all laid out in fractions of the picture."""
    left, right = base.a2dTopLeft, base.a2dTopRight
    colour = (rng.uniform(0.4, 1), rng.uniform(0.4, 1), rng.uniform(0.1, 0.5), 1)
    size = rng.uniform(0.06, 0.09)
    for row in range(rng.randint(1, 3)):
        DirectWaitBar(
            value=rng.randint(20, 100),
            barColor=colour if row else (0.85, 0.15, 0.1, 1),
            frameColor=(0.1, 0.1, 0.1, 0.7),
            frameSize=(0, 0.7, 0, 0.06),
            pos=(0.05, 0, -0.12 - 0.09 * row),
            parent=left,
        )
    for row, name in enumerate(rng.sample(NAMES, rng.randint(1, 4))):
        OnscreenText(
            text=f"{name} {rng.randint(0, 9999)}",
            parent=right,
            pos=(-0.05, -0.12 - 1.2 * size * row),
            scale=size,
            fg=(1, 1, 1, 1) if rng.random() < 0.6 else colour,
            shadow=(0, 0, 0, 1),
            align=TextNode.ARight,
        )
    if rng.random() < 0.6:
        box = DirectFrame(frameColor=(0, 0, 0, 0.55), frameSize=(-0.9, 0.9, -0.09, 0.11), parent=base.a2dBottomCenter)
        box.setPos(0, 0, 0.16)
        OnscreenText(text=rng.choice(LINES), parent=box, scale=size, fg=(1, 1, 0.9, 1), pos=(0, -0.02))
    if rng.random() < 0.5:
        maker = CardMaker("map")
        maker.setFrame(-0.45, -0.05, 0.05, 0.45)
        node = base.a2dBottomRight.attachNewNode(maker.generate())
        node.setTexture(base.loader.loadTexture("models/maps/envir-mountain1.png"))
        node.setTransparency(TransparencyAttrib.MAlpha)
        node.setColorScale(1, 1, 1, 0.8)
    for width, height in ((0.05, 0.006), (0.006, 0.05)):  # the cross in the middle
        DirectFrame(frameColor=(1, 1, 1, 0.9), frameSize=(-width, width, -height, height))


if __name__ == "__main__":
    main()
