"""Small games in raylib, flat or of its own generated meshes and textures, with a HUD in its pixel font."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pyray as rl

from live_sr.imaging.degradation import Picture
from live_sr.pipeline.frame import Size
from live_sr.training.pairs.renderers.child_program import ChildJob
from live_sr.training.pairs.renderers.programs.raylib_flat import FLAT_WORLDS

FRAMES_A_SECOND = 30
UNITS = 270  # the height of the picture in the units of the HUD
FILTERS = (
    rl.TextureFilter.TEXTURE_FILTER_POINT,
    rl.TextureFilter.TEXTURE_FILTER_BILINEAR,
    rl.TextureFilter.TEXTURE_FILTER_TRILINEAR,
)
LINES = (
    "PRESS ENTER TO START",
    "Collect 5 more crystals",
    "Lap 2 of 3",
    "Door locked: find the red key",
    "GAME PAUSED",
)
Step = Callable[[float], None]


class RaylibWorld:
    """rng: the same numbers for a scene at every size; size: of the picture. Textures have one filter in a scene."""

    def __init__(self, rng: random.Random, size: Size) -> None:
        self.rng = rng
        self.size = size
        self._filter = rng.choice(FILTERS)
        self.sky = self.colour(0.2, 0.7), self.colour(0.5, 0.95)

    def colour(self, low: float = 0.3, high: float = 1.0) -> Any:
        return rl.color_from_hsv(self.rng.uniform(0, 360), self.rng.uniform(0.1, 0.7), self.rng.uniform(low, high))

    def texture(self) -> Any:
        """One of raylib's generators, tinted, with little random noise in it."""
        seed = self.rng.randrange(1 << 20)
        rl.set_random_seed(seed)
        kind, one, other = (
            self.rng.choice(("cells", "perlin", "bricks", "checks")),
            self.colour(),
            self.colour(0.1, 0.6),
        )
        if kind == "cells":
            image = rl.gen_image_cellular(128, 128, self.rng.choice((8, 16, 24)))
            rl.image_color_tint(image, one)
        elif kind == "perlin":
            image = rl.gen_image_perlin_noise(128, 128, seed % 999, seed % 777, self.rng.choice((4.0, 8.0, 16.0)))
            rl.image_color_tint(image, one)
        elif kind == "checks":
            image = rl.gen_image_checked(128, 128, 16, 16, one, other)
        else:
            image = rl.gen_image_color(128, 128, other)
            for row in range(8):
                for column in range(-1, 4):
                    shade = rl.color_brightness(one, self.rng.uniform(-0.25, 0.15))
                    rl.image_draw_rectangle(image, column * 32 + row % 2 * 16 + 1, row * 16 + 1, 30, 14, shade)
        return self.load(image)

    def load(self, image: Any) -> Any:
        texture = rl.load_texture_from_image(image)
        if self._filter == FILTERS[-1]:
            rl.gen_texture_mipmaps(texture)
        rl.set_texture_filter(texture, self._filter)
        return texture

    def model(self, mesh: Any, texture: Any) -> Any:
        model = rl.load_model_from_mesh(mesh)
        model.materials[0].maps[rl.MaterialMapIndex.MATERIAL_MAP_ALBEDO].texture = texture
        return model

    def fly(self, radius: float, height: float, look: float) -> Callable[[float], Any]:
        """A camera that goes round the middle."""
        start, speed = self.rng.uniform(0, 6.28), self.rng.choice((-0.4, 0.4))
        radius, height = radius * self.rng.uniform(0.7, 1.1), height * self.rng.uniform(0.7, 1.3)
        field = self.rng.choice((50.0, 65.0, 80.0))

        def place(t: float) -> Any:
            turn = start + speed * t
            eye = rl.Vector3(radius * math.cos(turn), height, radius * math.sin(turn))
            return rl.Camera3D(eye, rl.Vector3(0, look, 0), rl.Vector3(0, 1, 0), field, 0)

        return place


def build_hills(world: RaylibWorld) -> Step:
    seed = world.rng.randrange(1000)
    image = rl.gen_image_perlin_noise(96, 96, seed, seed, world.rng.choice((2.0, 4.0)))
    mesh = rl.gen_mesh_heightmap(image, rl.Vector3(40, world.rng.uniform(4, 9), 40))
    land = world.model(mesh, world.texture() if world.rng.random() < 0.5 else world.load(image))
    balls = [(world.model(rl.gen_mesh_sphere(1, 24, 24), world.texture()), world.rng.uniform(-9, 9)) for _ in range(6)]
    camera = world.fly(18, 12, 2)
    tint = world.colour(0.7)

    def step(t: float) -> None:
        rl.begin_mode_3d(camera(t))
        rl.draw_model(land, rl.Vector3(-20, 0, -20), 1, tint)
        for n, (ball, x) in enumerate(balls):
            rl.draw_model(ball, rl.Vector3(x, 6 + math.sin(t + n), 3 * n - 8), 1, rl.WHITE)
        rl.end_mode_3d()

    return step


def build_maze(world: RaylibWorld) -> Step:
    """Walls from a map of black and white pixels, seen by someone who stands in it."""
    side = 16
    image = rl.gen_image_color(side, side, rl.BLACK)
    for x in range(side):
        for y in range(side):
            border = min(x, y) == 0 or max(x, y) == side - 1
            if border or (world.rng.random() < 0.22 and abs(x - 8) + abs(y - 8) > 2):
                rl.image_draw_pixel(image, x, y, rl.WHITE)
    walls = world.model(rl.gen_mesh_cubicmap(image, rl.Vector3(1, 1, 1)), world.texture())
    things = [(world.texture(), world.rng.uniform(-5, 5), world.rng.uniform(-5, 5)) for _ in range(8)]
    start, turn_to = world.rng.uniform(0, 6.28), world.rng.choice((-0.5, 0.5))

    def step(t: float) -> None:
        turn = start + turn_to * t
        eye, ahead = rl.Vector3(0, 0.5, 0), rl.Vector3(math.cos(turn), 0.48, math.sin(turn))
        camera = rl.Camera3D(eye, ahead, rl.Vector3(0, 1, 0), 66, 0)
        rl.begin_mode_3d(camera)
        rl.draw_model(walls, rl.Vector3(-8, 0, -8), 1, rl.WHITE)
        for texture, x, z in things:
            rl.draw_billboard(camera, texture, rl.Vector3(x, 0.3, z), 0.5, rl.WHITE)
        rl.end_mode_3d()

    return step


def build_plaza(world: RaylibWorld) -> Step:
    rng = world.rng
    floor = world.model(rl.gen_mesh_plane(40, 40, 4, 4), world.texture())
    makers: tuple[Callable[[], Any], ...] = (
        lambda: rl.gen_mesh_torus(0.4, 2, 16, 32),
        lambda: rl.gen_mesh_knot(1, 2, 16, 96),
        lambda: rl.gen_mesh_cylinder(0.8, 2, 16),
        lambda: rl.gen_mesh_cone(0.9, 2, 16),
        lambda: rl.gen_mesh_cube(1.5, rng.uniform(1, 4), 1.5),
        lambda: rl.gen_mesh_hemi_sphere(1.2, 16, 16),
    )
    things = [
        (world.model(rng.choice(makers)(), world.texture()), rng.uniform(-9, 9), rng.uniform(-9, 9), world.colour(0.6))
        for _ in range(24)
    ]
    camera = world.fly(13, 5, 1)

    def step(t: float) -> None:
        rl.begin_mode_3d(camera(t))
        rl.draw_model(floor, rl.Vector3(0, 0, 0), 1, rl.WHITE)
        for n, (model, x, z, tint) in enumerate(things):
            axis, size = rl.Vector3(0, 1, 0), rl.Vector3(1, 1, 1)
            rl.draw_model_ex(model, rl.Vector3(x, 1, z), axis, 40 * t * (n % 3), size, tint)
        rl.end_mode_3d()

    return step


WORLDS: dict[str, Callable[[RaylibWorld], Step]] = {
    "hills": build_hills,
    "maze": build_maze,
    "plaza": build_plaza,
    **FLAT_WORLDS,
}


def draw_hud(rng: random.Random, size: Size) -> None:
    """All of it in fractions of the picture. The letters are raylib's own, 10 pixels high, and grow with it."""
    scale, font = size.height / UNITS, rl.get_font_default()
    width = size.width / scale

    def text(words: str, x: float, y: float, high: float, colour: Any) -> None:
        rl.draw_text_ex(font, words, rl.Vector2(x * scale, y * scale), high * scale, high * scale / 10, colour)

    def box(x: float, y: float, wide: float, high: float, colour: Any) -> None:
        rl.draw_rectangle_rec(rl.Rectangle(x * scale, y * scale, wide * scale, high * scale), colour)

    words = f"{rng.choice(('SCORE', 'COINS'))} {rng.randint(0, 9999)}"
    for shift, colour in ((2, rl.BLACK), (0, rl.RAYWHITE)):
        text(words, 8 + shift, 8 + shift, 20, colour)
    text(f"x{rng.randint(1, 9)}", width - 40, 8, 20, rl.GOLD)
    box(8, 34, 90, 8, rl.fade(rl.BLACK, 0.6))
    box(9, 35, 88 * rng.uniform(0.2, 1), 6, rl.RED)
    if rng.random() < 0.6:
        box(width * 0.15, 236, width * 0.7, 22, rl.fade(rl.DARKBLUE, 0.7))
        text(rng.choice(LINES), width * 0.15 + 10, 240, 15, rl.RAYWHITE)
    if rng.random() < 0.5:
        box(width - 70, 170, 62, 62, rl.fade(rl.BLACK, 0.5))
        for _ in range(8):
            box(width - 66 + rng.uniform(0, 52), 174 + rng.uniform(0, 52), 4, 4, rl.LIME)


def read_picture(target: Any, size: Size) -> Picture:
    image = rl.load_image_from_texture(target.texture)
    raw = np.frombuffer(rl.ffi.buffer(image.data, size.width * size.height * 4), np.uint8)
    picture = raw.reshape(size.height, size.width, 4)[::-1, :, 2::-1].copy()
    rl.unload_image(image)
    return picture


def main() -> None:
    job = ChildJob.from_arguments()
    rl.set_trace_log_level(rl.TraceLogLevel.LOG_ERROR)
    rl.set_config_flags(rl.ConfigFlags.FLAG_WINDOW_HIDDEN)
    rl.init_window(64, 64, "")
    target = rl.load_render_texture(job.size.width, job.size.height)
    rng = random.Random(job.scene)
    world = RaylibWorld(rng, job.size)
    step = WORLDS[job.scene.split("-")[0]](world)
    for number, kept in job.iterate_numbers():
        if kept:
            rl.begin_texture_mode(target)
            rl.clear_background(rl.BLACK)  # and the depth
            rl.draw_rectangle_gradient_v(0, 0, job.size.width, job.size.height, *world.sky)
            step(number / FRAMES_A_SECOND)
            draw_hud(random.Random(job.scene), job.size)
            rl.end_texture_mode()
            job.write(number, read_picture(target, job.size))


if __name__ == "__main__":
    main()
