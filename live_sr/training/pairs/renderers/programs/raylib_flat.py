"""Flat games in raylib that are laid out for 1280x720: in a small window their art and shapes are drawn smaller.

Sprites are painted once, 128 pixels large and with smooth edges, as bought art is; the texture filter of the scene
decides what becomes of them in a small window. Shapes have hard edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyray as rl

if TYPE_CHECKING:
    from live_sr.training.pairs.renderers.programs.raylib_worlds import RaylibWorld, Step

WIDTH, HEIGHT = 1280, 720
ART, PAINTED = 128, 512  # pixels of a sprite, and while it is painted: what is shrunk has smooth edges
TILE = 64
WORDS = ("GAME OVER", "Level 3", "READY?", "Click to start", "Time: 01:47", "YOU WIN!", "Wave 12", "Lives: 3")


def paint_sprite(world: RaylibWorld) -> Any:
    """A figure of a few shapes, each with a dark border and a light spot, on a clear ground."""
    rng, image = world.rng, rl.gen_image_color(PAINTED, PAINTED, rl.BLANK)
    border = rng.choice((0, 12, 20))
    for _ in range(rng.randint(2, 5)):
        x, y, reach = rng.randint(130, 380), rng.randint(130, 380), rng.randint(50, 125)
        colour = world.colour(0.45)
        dark = rl.color_brightness(colour, -0.6)
        kind = rng.choice(("circle", "box", "triangle"))
        for edge, fill in ((border, dark), (0, colour)):
            wide = reach + edge
            if kind == "circle":
                rl.image_draw_circle(image, x, y, wide, fill)
            elif kind == "box":
                rl.image_draw_rectangle(image, x - wide, y - wide * 2 // 3, 2 * wide, wide * 4 // 3, fill)
            else:
                corners = ((x, y - wide), (x - wide, y + wide), (x + wide, y + wide))
                rl.image_draw_triangle(image, *(rl.Vector2(*corner) for corner in corners), fill)
        rl.image_draw_circle(image, x - reach // 3, y - reach // 3, reach // 5, rl.color_brightness(colour, 0.5))
    rl.image_resize(image, ART, ART)
    return world.load(image)


def paint_tile(world: RaylibWorld) -> Any:
    """Ground that can stand beside itself: a body with specks and a top of another colour."""
    rng = world.rng
    body, top = world.colour(0.3, 0.8), world.colour(0.5)
    image = rl.gen_image_color(PAINTED, PAINTED, body)
    for _ in range(rng.randint(6, 24)):
        x, y, wide = rng.randrange(PAINTED), rng.randrange(PAINTED), rng.randint(8, 70)
        rl.image_draw_rectangle(image, x, y, wide, wide // 2 + 8, rl.color_brightness(body, rng.uniform(-0.4, 0.3)))
    rl.image_draw_rectangle(image, 0, 0, PAINTED, rng.randint(40, 130), top)
    if rng.random() < 0.5:
        for size in ((PAINTED, 16), (16, PAINTED)):
            rl.image_draw_rectangle(image, 0, 0, *size, rl.color_brightness(body, -0.7))
    rl.image_resize(image, ART, ART)
    return world.load(image)


def draw_sprite(texture: Any, x: float, y: float, side: float, turn: float = 0) -> None:
    """Its middle at (x, y), turned by degrees."""
    source, place = rl.Rectangle(0, 0, texture.width, texture.height), rl.Rectangle(x, y, side, side)
    rl.draw_texture_pro(texture, source, place, rl.Vector2(side / 2, side / 2), turn, rl.WHITE)


def draw_title(world: RaylibWorld) -> Callable[[], None]:
    """Large letters, in half of the scenes."""
    rng, font = world.rng, rl.get_font_default()
    shown, words, high = rng.random() < 0.5, rng.choice(WORDS), float(rng.choice((40, 60, 90, 120)))
    x, y, colour = rng.uniform(60, 500), rng.uniform(90, 500), world.colour(0.6)

    def draw() -> None:
        if shown:
            rl.draw_text_ex(font, words, rl.Vector2(x, y), high, high / 10, colour)

    return draw


def in_layout(world: RaylibWorld, draw: Step) -> Step:
    """Draws in units of 1280x720, which fill the height of the picture."""
    zoom = world.size.height / HEIGHT
    origin = rl.Vector2(0, 0)

    def step(t: float) -> None:
        rl.begin_mode_2d(rl.Camera2D(origin, origin, 0, zoom))
        draw(t)
        rl.end_mode_2d()

    return step


def build_shooter(world: RaylibWorld) -> Step:
    """Ships and rocks that turn, shots, stars."""
    rng = world.rng
    ground = rl.color_brightness(world.colour(0.1, 0.9), -0.3)
    pattern, cell = world.texture(), rng.choice((96, 160, 320))
    patterned, columns = rng.random() < 0.5, WIDTH // cell + 1
    arts = [paint_sprite(world) for _ in range(5)]
    things = [
        (rng.choice(arts), rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.choice((32, 48, 64, 96, 128)))
        for _ in range(rng.randint(14, 40))
    ]
    stars = [(rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.choice((1.5, 2.5, 4))) for _ in range(60)]
    shots = [(rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.uniform(0, 6.28)) for _ in range(12)]
    title, shot = draw_title(world), world.colour(0.7)

    def draw(t: float) -> None:
        rl.draw_rectangle(0, 0, WIDTH, HEIGHT, ground)
        for n in range(columns * (HEIGHT // cell + 1) if patterned else 0):
            row, column = divmod(n, columns)
            draw_sprite(pattern, (column + 0.5) * cell, (row + 0.5) * cell, cell)
        for x, y, wide in stars:
            rl.draw_rectangle_rec(rl.Rectangle(x, (y + 30 * wide * t) % HEIGHT, wide, wide), rl.RAYWHITE)
        for n, (art, x, y, side) in enumerate(things):
            draw_sprite(art, (x + 40 * t) % WIDTH, y + 20 * math.sin(t + n), side, (n % 3) * 35 * t + 20 * n)
        for x, y, turn in shots:
            to = rl.Vector2(x + 26 * math.cos(turn), y + 26 * math.sin(turn))
            rl.draw_line_ex(rl.Vector2(x, y), to, 5, shot)
        title()

    return in_layout(world, draw)


def build_platforms(world: RaylibWorld) -> Step:
    """Tiles of 64 units in rows, with coins and figures on them, before hills; the picture moves along."""
    rng = world.rng
    tiles, arts = [paint_tile(world) for _ in range(3)], [paint_sprite(world) for _ in range(6)]
    columns = 40
    ground = [(column, 10 + rng.randint(0, 1), rng.choice(tiles)) for column in range(columns)]
    shelves = [(rng.randrange(columns), rng.randint(2, 8), rng.randint(2, 5), rng.choice(tiles)) for _ in range(10)]
    figures = [(rng.uniform(0, columns), rng.uniform(1, 10), rng.choice(arts)) for _ in range(26)]
    side = float(rng.choice((40, 52, 64, 80)))
    hills = [(rng.uniform(0, 1800), rng.uniform(120, 320), world.colour(0.4, 0.9)) for _ in range(6)]
    speed, title = rng.uniform(40, 160), draw_title(world)

    def draw(t: float) -> None:
        left = speed * t
        for x, reach, colour in hills:
            rl.draw_circle_v(rl.Vector2(x - left / 3, HEIGHT), reach, colour)
        for column, row, tile in ground:
            for below in range(row, 12):
                draw_sprite(tile, (column + 0.5) * TILE - left, (below + 0.5) * TILE, TILE)
        for column, row, count, tile in shelves:
            for n in range(count):
                draw_sprite(tile, (column + n + 0.5) * TILE - left, (row + 0.5) * TILE, TILE)
        for x, y, art in figures:
            draw_sprite(art, x * TILE - left, y * TILE + 6 * math.sin(3 * t + x), side)
        title()

    return in_layout(world, draw)


def build_board(world: RaylibWorld) -> Step:
    """A table with cards, counters and cells, and some that are moved."""
    rng, font = world.rng, rl.get_font_default()
    table, card = world.colour(0.2, 0.6), world.colour(0.85)
    arts = [paint_sprite(world) for _ in range(6)]
    wide, high = rng.choice(((90.0, 124.0), (110.0, 110.0), (140.0, 190.0)))
    gap = rng.choice((4.0, 12.0, 24.0))
    columns, rows = int((WIDTH - 80) // (wide + gap)), int((HEIGHT - 80) // (high + gap))
    fields = [
        (40 + x * (wide + gap), 40 + y * (high + gap), rng.choice(arts), rng.choice("A23456789JQK"), world.colour(0.4))
        for x in range(columns)
        for y in range(rows)
        if rng.random() < 0.75
    ]
    round_corners, title = rng.choice((0.0, 0.15)), draw_title(world)

    def draw(t: float) -> None:
        rl.draw_rectangle(0, 0, WIDTH, HEIGHT, table)
        for n, (x, y, art, letter, colour) in enumerate(fields):
            moved = 9 * t * (n % 7 == 0)
            place = rl.Rectangle(x + moved, y, wide, high)
            rl.draw_rectangle_rounded(place, round_corners, 8, card if n % 5 else colour)
            draw_sprite(art, x + moved + wide / 2, y + high / 2, wide * 0.7)
            rl.draw_text_ex(font, letter, rl.Vector2(x + moved + 6, y + 5), 28, 2, colour)
            if n % 4 == 0:
                rl.draw_circle_v(rl.Vector2(x + wide - 14, y + 14), 8, colour)
        title()

    return in_layout(world, draw)


FLAT_WORLDS: dict[str, Callable[[RaylibWorld], Step]] = {
    "shooter": build_shooter,
    "platforms": build_platforms,
    "board": build_board,
}
