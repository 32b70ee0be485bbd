"""Places of a small game in Panda3D, made of the models and textures that its wheel brings."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from direct.actor.Actor import Actor
from panda3d.core import (
    AmbientLight,
    CardMaker,
    DirectionalLight,
    Fog,
    GeoMipTerrain,
    PNMImage,
    PointLight,
    SamplerState,
    Texture,
    TextureStage,
    TransparencyAttrib,
)

Step = Callable[[float], None]
TEXTURE_FILTERS = ("FTNearest", "FTLinear", "FTLinearMipmapLinear", "FTLinearMipmapNearest")
PLANTS = ("tree1", "tree2", "bamboo", "reeds", "groundcover1")
MODELS = ("teapot", "smiley", "frowney", "jack", "box", "panda-model", "ripple")


@dataclass
class PandaWorld:
    """Where a place is built. rng: the same numbers for a scene at every size; steps: called with the seconds."""

    base: Any
    rng: random.Random
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = self.base.render
        self.kind = getattr(SamplerState, self.rng.choice(TEXTURE_FILTERS))

    def texture(self, name: str) -> Any:
        """One of Panda3D's own, with the texture filter of this scene."""
        return self.filter_texture(self.base.loader.loadTexture(f"models/maps/{name}"))

    def paint(self, pixels: Any) -> Any:
        """A texture of an array (H, W, 3), uint8."""
        texture = Texture()
        texture.setup2dTexture(pixels.shape[1], pixels.shape[0], Texture.TUnsignedByte, Texture.FRgb)
        texture.setRamImage(np.ascontiguousarray(pixels[::-1, :, ::-1]).tobytes())
        return self.filter_texture(texture)

    def filter_texture(self, texture: Any) -> Any:
        texture.setMinfilter(self.kind)
        nearest = self.kind == SamplerState.FTNearest
        texture.setMagfilter(SamplerState.FTNearest if nearest else SamplerState.FTLinear)
        return texture

    def card(self, parent: Any, width: float, height: float, texture: Any = None, times: float = 1) -> Any:
        """An upright rectangle over the origin, with its texture repeated `times` times across."""
        maker = CardMaker("card")
        maker.setFrame(-width / 2, width / 2, 0, height)
        maker.setUvRange((0, 0), (times, times * height / width))
        maker.setHasNormals(True)
        node = parent.attachNewNode(maker.generate())
        if texture is not None:
            node.setTexture(texture)
        return node

    def block(self, x: float, y: float, size: tuple[float, float, float], texture: Any, times: float = 1) -> Any:
        """A box without a bottom that stands at (x, y)."""
        width, depth, height = size
        node = self.root.attachNewNode("block")
        for angle, wide, away in ((0, width, depth), (90, depth, width), (180, width, depth), (270, depth, width)):
            side = self.card(node, wide, height, texture, times * wide / width)
            turn = math.radians(angle)
            side.setPosHpr(math.sin(turn) * away / 2, -math.cos(turn) * away / 2, 0, angle, 0, 0)
        roof = self.card(node, width, depth, texture, times)
        roof.setPosHpr(0, -depth / 2, height, 0, -90, 0)
        node.setPos(x, y, 0)
        return node

    def ground(self, side: float, texture: Any, times: float) -> Any:
        node = self.card(self.root, side, side, texture, times)
        node.setPosHpr(0, -side / 2, 0, 0, -90, 0)
        return node

    def model(self, name: str, size: float, x: float, y: float, z: float = 0) -> Any:
        """One of Panda3D's models, `size` units high, that stands on (x, y, z) and turns or not."""
        node = self.base.loader.loadModel(f"models/{name}")
        low, high = node.getTightBounds()
        scale = size / max(high[2] - low[2], 1e-3)
        holder = self.root.attachNewNode(name)
        node.reparentTo(holder)
        node.setScale(node.getScale() * scale)
        node.setZ(-low[2] * scale)
        holder.setPos(x, y, z)
        start, speed = self.rng.uniform(0, 360), self.rng.choice((0, 25, 90))
        self.steps.append(lambda t: holder.setH(start + speed * t))
        return holder

    def walker(self, x: float, y: float, z: float = 0, scale: float = 0.004) -> None:
        """The panda, walking in a circle."""
        panda = Actor("models/panda-model", {"walk": "models/panda-walk4"})
        panda.setScale(scale)
        panda.reparentTo(self.root)
        first, radius = self.rng.uniform(0, 6), self.rng.uniform(1, 4)

        def step(t: float) -> None:
            turn = first + t / radius
            panda.setPosHpr(x + radius * math.cos(turn), y + radius * math.sin(turn), z, math.degrees(turn) + 180, 0, 0)
            panda.pose("walk", int(t * 24) % panda.getNumFrames("walk"))

        self.steps.append(step)

    def plant(self, x: float, y: float, z: float = 0) -> None:
        name = self.rng.choice(PLANTS)
        size = self.rng.uniform(4, 7) if "tree" in name else self.rng.uniform(1, 3)
        node = self.card(self.root, size, size, self.texture(f"envir-{name}.png"))
        node.setTransparency(TransparencyAttrib.MBinary if self.rng.random() < 0.3 else TransparencyAttrib.MDual)
        node.setPos(x, y, z)
        node.setBillboardAxis()
        node.setLightOff()

    def sun(self, ambient: float) -> None:
        for kind, light in (("all", AmbientLight("all")), ("sun", DirectionalLight("sun"))):
            warm = self.rng.uniform(0.8, 1)
            strength = ambient if kind == "all" else 1.1 - ambient / 2
            light.setColor((strength, strength * (warm + 1) / 2, strength * warm, 1))
            node = self.root.attachNewNode(light)
            node.setHpr(self.rng.uniform(0, 360), -self.rng.uniform(25, 70), 0)
            self.root.setLight(node)

    def lamp(self, x: float, y: float, z: float) -> None:
        light = PointLight("lamp")
        light.setColor((1.6, self.rng.uniform(0.8, 1.4), self.rng.uniform(0.4, 1.2), 1))
        light.setAttenuation((0.4, 0, 0.03))
        node = self.root.attachNewNode(light)
        node.setPos(x, y, z)
        self.root.setLight(node)

    def sky(self, colour: tuple[float, float, float], fog: float) -> None:
        self.base.setBackgroundColor(*colour)
        if fog and self.rng.random() < 0.7:
            haze = Fog("haze")
            haze.setColor(*colour)
            haze.setExpDensity(fog)
            self.root.setFog(haze)

    def fly(self, radius: float, height: float, look: float = 1) -> None:
        """The camera goes round the middle and looks a little above the ground."""
        start, speed = self.rng.uniform(0, 6.28), self.rng.choice((-0.3, 0.3))
        radius, height = radius * self.rng.uniform(0.6, 1.1), height * self.rng.uniform(0.6, 1.5)

        def step(t: float) -> None:
            turn = start + speed * t
            self.base.camera.setPos(radius * math.cos(turn), radius * math.sin(turn), height)
            self.base.camera.lookAt(2 * math.sin(t), 0, look)

        self.steps.append(step)


def paint_bricks(rng: random.Random, windows: bool) -> Any:
    """A wall (128, 128, 3): bricks, or a front with windows."""
    grain = np.random.default_rng(rng.randrange(1 << 30))
    colour = np.array([rng.randint(70, 200) for _ in range(3)])
    y, x = np.mgrid[0:128, 0:128]
    if windows:
        wall = np.ones((128, 128, 1)) * colour
        lit = np.kron(grain.random((4, 4)), np.ones((32, 32)))[..., None]
        inside = ((x % 32 > 6) & (x % 32 < 25) & (y % 32 > 5) & (y % 32 < 27) & (x % 32 != 16))[..., None]
        wall = np.where(inside, np.where(lit > 0.6, (120, 220, 255), (70, 50, 40)), wall)
    else:
        row = y // 16
        across = x + 16 * (row % 2)
        tone = grain.uniform(0.7, 1.15, (8, 6))[row, across // 32]
        wall = tone[..., None] * colour
        wall[((y % 16 < 2) | (across % 32 < 2))] = (160, 165, 170)
    return np.clip(wall + grain.normal(0, 7, (128, 128, 1)), 0, 255).astype(np.uint8)


def build_meadow(world: PandaWorld) -> None:
    land = world.base.loader.loadModel("models/environment")
    land.reparentTo(world.root)
    land.setScale(0.25)
    land.setPos(-8, 42, 0)
    for texture in land.findAllTextures():
        world.filter_texture(texture)
    for _ in range(6):
        world.walker(world.rng.uniform(-8, 8), world.rng.uniform(-8, 8), scale=world.rng.uniform(0.003, 0.006))
    world.sky((0.45, 0.65, 0.9), 0.008)
    world.fly(18, 4)


def build_hills(world: PandaWorld) -> None:
    side = 65
    rough = np.random.default_rng(world.rng.randrange(1 << 30))
    y, x = np.mgrid[0:side, 0:side] / side
    heights = 0.35 + 0.1 * np.sin(7 * x + rough.uniform(0, 6)) * np.cos(6 * y) + 0.3 * np.hypot(x - 0.5, y - 0.5) ** 2
    heights += 0.012 * rough.standard_normal((side, side))
    picture = PNMImage(side, side, 1)
    for row in range(side):
        for column in range(side):
            picture.setGray(column, row, float(np.clip(heights[row, column], 0, 1)))
    terrain = GeoMipTerrain("hills")
    terrain.setHeightfield(picture)
    terrain.setBruteforce(True)
    root = terrain.getRoot()
    root.reparentTo(world.root)
    root.setPosHprScale(-64, -64, -14, 0, 0, 0, 2, 2, 40)
    terrain.generate()
    skin = world.texture(world.rng.choice(("envir-ground.jpg", "envir-rock1.jpg", "envir-rock2.jpg")))
    root.setTexture(skin)
    root.setTexScale(TextureStage.getDefault(), 24, 24)
    for _ in range(70):
        x0, y0 = world.rng.uniform(-40, 40), world.rng.uniform(-40, 40)
        world.plant(x0, y0, 40 * terrain.getElevation(x0 / 2 + 32, y0 / 2 + 32) - 14.2)
    world.sun(0.5)
    world.sky((0.75, 0.8, 0.85), 0.012)
    world.fly(30, 16, 3)


def build_town(world: PandaWorld) -> None:
    world.ground(120, world.texture("envir-ground.jpg"), 30)
    fronts = [world.paint(paint_bricks(world.rng, windows=True)) for _ in range(4)]
    for x in range(-40, 41, 10):
        for y in range(-40, 41, 10):
            if abs(x) + abs(y) > 12 and world.rng.random() < 0.75:
                size = (world.rng.uniform(4, 7), world.rng.uniform(4, 7), world.rng.uniform(3, 14))
                world.block(x, y, size, world.rng.choice(fronts), world.rng.choice((1, 2)))
    for _ in range(5):
        world.walker(world.rng.uniform(-8, 8), world.rng.uniform(-8, 8))
    world.sun(0.55)
    world.sky((0.6, 0.75, 0.95), 0.01)
    world.fly(14, 4, 2)


def build_dungeon(world: PandaWorld) -> None:
    stone = [world.paint(paint_bricks(world.rng, windows=False)) for _ in range(2)]
    rock = world.texture("envir-rock1.jpg")
    world.ground(60, world.texture("envir-rock2.jpg"), 20)
    for x in range(-18, 19, 6):
        for y in range(-18, 19, 6):
            if max(abs(x), abs(y)) == 18 or (world.rng.random() < 0.35 and abs(x) + abs(y) > 6):
                world.block(x, y, (6, 6, 5), world.rng.choice([*stone, rock]), 2)
            elif world.rng.random() < 0.4:
                world.model(world.rng.choice(MODELS), world.rng.uniform(0.7, 2), x, y)
    for _ in range(3):
        world.lamp(world.rng.uniform(-10, 10), world.rng.uniform(-10, 10), 3)
    world.sun(0.35)
    world.sky((0.02, 0.02, 0.05), 0.02)
    world.fly(7, 2, 1.5)


def build_arena(world: PandaWorld) -> None:
    world.ground(80, world.texture(world.rng.choice(("color-grid.rgb", "grid.rgb", "noise.rgb"))), 10)
    for _ in range(40):
        x, y = world.rng.uniform(-14, 14), world.rng.uniform(-14, 14)
        world.model(world.rng.choice(MODELS), world.rng.uniform(0.6, 3), x, y, world.rng.choice((0, 0, 1.5)))
    for _ in range(4):
        world.walker(world.rng.uniform(-6, 6), world.rng.uniform(-6, 6))
    world.sun(0.4)
    world.sky((world.rng.random() * 0.5, 0.3, 0.5), 0.015)
    world.fly(15, 6)


WORLDS: dict[str, Callable[[PandaWorld], None]] = {
    "meadow": build_meadow,
    "hills": build_hills,
    "town": build_town,
    "dungeon": build_dungeon,
    "arena": build_arena,
}
