"""Places of small games in Ursina, made of the textures that its wheel brings, with its own HUD over them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from panda3d.core import AntialiasAttrib, loadPrcFileData

from live_sr.training.pairs.renderers.child_program import ChildJob
from live_sr.training.pairs.renderers.programs.panda3d_show import FRAMES_A_SECOND, read_picture

loadPrcFileData("", "audio-library-name null\nnotify-level error")

import ursina  # noqa: E402
from ursina import Button, Entity, Sky, Terrain, Text, Texture, Vec3, camera, color, scene, window  # noqa: E402
from ursina.prefabs.health_bar import HealthBar  # noqa: E402
from ursina.shaders import basic_lighting_shader  # noqa: E402

Step = Callable[[float], None]
BLOCKS = ("grass", "brick", "white_cube", "noise", "grass", "brick")
ITEMS = ("bag", "bow_arrow", "gem", "orb", "sword")
LINES = (
    "Press F to pick up",
    "The bridge is broken",
    "3 enemies left",
    "Checkpoint reached",
    "New quest: find the orb",
)


def main() -> None:
    job = ChildJob.from_arguments()
    rng = random.Random(job.scene)
    samples = rng.choice((0, 0, 4)) * (job.scale == 1)
    loadPrcFileData("", f"framebuffer-multisample {int(samples > 0)}\nmultisamples {samples}")
    Texture.default_filtering = rng.choice((None, "bilinear", "mipmap"))
    Text.default_resolution = max(10, 2 * job.size.height * Text.size)  # letters of the true size
    base = ursina.Ursina(
        window_type="offscreen",
        size=(job.size.width, job.size.height),
        development_mode=False,
        editor_ui_enabled=False,
    )
    if samples:
        base.render.setAntialias(AntialiasAttrib.MMultisample)
    camera.ui_lens.set_film_size(camera.ui_size * 0.5 * window.aspect_ratio, camera.ui_size * 0.5)
    camera.fov = rng.choice((50, 70, 90))
    Sky(texture=rng.choice(("sky_default", "sky_sunset")))
    step = WORLDS[job.scene.split("-")[0]](rng)
    if rng.random() < 0.85:
        draw_hud(rng)
    step(0)
    base.step()  # the first one loads
    for number, kept in job.iterate_numbers():
        if kept:
            step(number / FRAMES_A_SECOND)
            base.graphicsEngine.renderFrame()
            job.write(number, read_picture(base))


def fly(rng: random.Random, radius: float, height: float, look: float) -> Step:
    """The camera goes round the middle."""
    start, speed = rng.uniform(0, 6.28), rng.choice((-0.4, 0.4))
    radius, height = radius * rng.uniform(0.6, 1.1), height * rng.uniform(0.7, 1.3)

    def step(t: float) -> None:
        turn = start + speed * t
        camera.position = Vec3(radius * math.cos(turn), height, radius * math.sin(turn))
        camera.look_at(Vec3(0, look, 0))

    return step


def add_haze(rng: random.Random, density: float) -> None:
    if rng.random() < 0.5:
        scene.fog_color = color.rgb(0.7, 0.75, 0.85)
        scene.fog_density = density


def build_voxels(rng: random.Random) -> Step:
    shader = rng.choice((None, basic_lighting_shader))
    kinds = rng.sample(BLOCKS, 3)
    waves = [(rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.5), rng.uniform(0, 6)) for _ in range(3)]
    for x in range(-11, 12):
        for z in range(-11, 12):
            height = round(sum(math.sin(a * x + b * z + c) for a, b, c in waves))
            top = rng.choice(kinds) if rng.random() < 0.15 else kinds[height % 3]
            tint = color.hsv(rng.randint(20, 140), rng.uniform(0, 0.25), rng.uniform(0.8, 1))
            Entity(model="cube", texture=top, color=tint, position=(x, height, z), shader=shader)
            if height > 0:
                Entity(model="cube", texture=kinds[0], position=(x, height - 1, z), shader=shader)
            if rng.random() < 0.03:
                for level in range(1, 4):
                    Entity(model="cube", texture="brick", color=color.brown, position=(x, height + level, z))
                Entity(model="cube", texture="grass", scale=(3, 2, 3), position=(x, height + 4.5, z), shader=shader)
    add_haze(rng, 0.02)
    return fly(rng, 11, 6, 1)


def build_fort(rng: random.Random) -> Step:
    Entity(model="plane", texture="grass", scale=100, texture_scale=(30, 30))
    for _ in range(26):
        size = (rng.uniform(1, 4), rng.uniform(1, 5), rng.uniform(1, 4))
        place = (rng.uniform(-13, 13), size[1] / 2, rng.uniform(-13, 13))
        if abs(place[0]) + abs(place[2]) > 5:
            repeat = (max(1, round(size[0])), max(1, round(size[1])))
            tint = color.hsv(rng.randint(0, 359), rng.uniform(0, 0.5), rng.uniform(0.5, 1))
            Entity(
                model="cube",
                texture=rng.choice(BLOCKS[1:4]),
                texture_scale=repeat,
                color=tint,
                scale=size,
                position=place,
            )
    for _ in range(8):
        place = (rng.uniform(-8, 8), rng.uniform(0.5, 2), rng.uniform(-8, 8))
        Entity(model="sphere", texture="reflection_map_3", scale=rng.uniform(0.6, 1.6), position=place)
        Entity(
            model="quad",
            texture=f"items/{rng.choice(ITEMS)}",
            scale=1.2,
            position=Vec3(*place) + Vec3(1, 1, 0),
            billboard=True,
        )
    Entity(
        model="cube",
        parent=camera,
        position=(0.5, -0.35, 1),
        scale=(0.2, 0.2, 1.2),
        color=color.dark_gray,
        texture="noise",
    )
    add_haze(rng, 0.015)
    return fly(rng, 9, 1.8, 1.5)


def build_coast(rng: random.Random) -> Step:
    land = Terrain("heightmap_1", skip=rng.choice((2, 4)))
    skin, repeat = rng.choice((("shore", 1), ("grass", 20), ("perlin_noise", 3), ("heightmap_1", 1)))
    Entity(model=land, texture=skin, texture_scale=(repeat, repeat), scale=(60, rng.uniform(5, 10), 30))
    Entity(
        model="plane", scale=200, y=1.2, color=color.rgba(0.15, 0.4, 0.7, 0.6), texture="noise", texture_scale=(40, 40)
    )
    for _ in range(12):
        tint = color.hsv(rng.randint(0, 359), 0.7, 0.9)
        Entity(
            model="sphere",
            texture="shore",
            color=tint,
            position=(rng.uniform(-14, 14), rng.uniform(3, 9), rng.uniform(-9, 9)),
        )
    add_haze(rng, 0.01)
    return fly(rng, 20, 10, 2)


def build_side_view(rng: random.Random) -> Step:
    """A platform game seen from the side, with parallel edges."""
    camera.orthographic = True
    camera.fov = rng.choice((12, 16, 20))
    for x in range(-30, 60):
        height = rng.randint(1, 3) if rng.random() < 0.3 else 1
        for y in range(height):
            Entity(model="quad", texture=rng.choice(("brick", "grass")), position=(x, y - 5, 0))
        if rng.random() < 0.25:
            Entity(model="quad", texture="white_cube", color=color.orange, position=(x, rng.randint(-2, 4), 0))
        if rng.random() < 0.2:
            Entity(model="quad", texture=f"items/{rng.choice(ITEMS)}", position=(x, rng.randint(-3, 3), -0.1))
        if rng.random() < 0.12:
            Entity(model="quad", texture="ursina_wink_0000", position=(x, height - 5, -0.2))

    def step(t: float) -> None:
        camera.position = Vec3(2.3 * t, 0, -20)

    return step


def draw_hud(rng: random.Random) -> None:
    left, right = window.aspect_ratio * -0.5, window.aspect_ratio * 0.5
    size = rng.uniform(1.2, 2)
    Text(f"{rng.choice(('Score', 'Coins', 'Wood'))}: {rng.randint(0, 9999)}", position=(left + 0.03, 0.47), scale=size)
    Text(f"{rng.randint(0, 9)}:{rng.randint(10, 59)}", position=(right - 0.15, 0.47), scale=size, color=color.yellow)
    bar = HealthBar(max_value=100, value=rng.randint(20, 100), scale=(0.4, 0.03), position=(left + 0.03, 0.4))
    bar.text_entity.enabled = rng.random() < 0.5
    if rng.random() < 0.5:
        words = rng.choice(LINES)
        Button(words, scale=(0.6, 0.09), position=(0, -0.36), color=color.rgba(0, 0, 0, 0.7), text_size=size * 0.6)
    if rng.random() < 0.6:
        for n in range(6):
            place = (0.09 * (n - 2.5), -0.45)
            Entity(parent=camera.ui, model="quad", scale=0.08, position=place, color=color.rgba(0, 0, 0, 0.5))
            icon = f"items/{rng.choice(ITEMS)}"
            Entity(parent=camera.ui, model="quad", scale=0.06, position=(*place, -0.1), texture=icon)
    for scale in ((0.03, 0.005), (0.005, 0.03)):
        Entity(parent=camera.ui, model="quad", scale=scale, color=color.white)


WORLDS: dict[str, Callable[[random.Random], Step]] = {
    "voxels": build_voxels,
    "fort": build_fort,
    "coast": build_coast,
    "side": build_side_view,
}


if __name__ == "__main__":
    main()
