"""Small 2D games in pygame, each with its own look by the scene's name. Nothing but the clock moves them."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable
from typing import Any

os.environ["SDL_VIDEODRIVER"] = "dummy"
import pygame

from live_sr.training.pairs.renderers.child_program import ChildJob
from live_sr.training.pairs.renderers.programs.pygame_canvas import (
    DATA,
    GameCanvas,
    blend,
    paint_creature,
    paint_tile,
    pick_colour,
)

FRAMES_A_SECOND = 30
WORDS = ("iron sword", "healing potion", "old map", "copper key", "wooden bow", "helmet", "lantern", "bread")
LINES = (
    "The gate opens at dawn. Bring the three seals.",
    "You found a hidden passage behind the shelf!",
    "Wave 7 begins in 12 seconds",
    "Press [E] to open, [Esc] to leave",
    "Goblin hits you for 14 damage (critical)",
    "Quest updated: Return to the lighthouse",
)
Draw = Callable[[float], None]


def shooter(canvas: GameCanvas, rng: random.Random) -> Draw:
    top, bottom = pick_colour(rng, (3, 12)), pick_colour(rng, (8, 25))
    stars = [(rng.random(), rng.uniform(0, 270), rng.uniform(5, 40), rng.uniform(0.3, 1.2)) for _ in range(150)]
    foes = [(rng.random(), rng.uniform(20, 200), rng.choice((3, 4, 5, 6, -5)), pick_colour(rng)) for _ in range(16)]
    ship, shots = pick_colour(rng, (50, 75)), [(rng.random(), rng.uniform(20, 230)) for _ in range(14)]

    def draw(t: float) -> None:
        canvas.fill(top, bottom)
        for x, y, speed, radius in stars:
            canvas.circle(x * canvas.width, (y + speed * t) % 270, radius, blend((60, 60, 90), (255, 255, 240), radius))
        for x, y, corners, colour in foes:
            across, down = x * canvas.width + 12 * math.sin(t + 9 * x), y + 6 * math.cos(2 * t + y)
            canvas.regular(across, down, 11, corners, t + x * 6, blend(colour, (0, 0, 0), 0.5))
            canvas.regular(across, down, 8, corners, t + x * 6, colour)
            canvas.circle(across, down, 3, (255, 240, 200))
        for x, y in shots:
            canvas.rect(x * canvas.width, (y - 160 * t) % 260, 1.6, 8, (255, 230, 90))
        for n in range(4):
            canvas.circle((0.2 + 0.2 * n) * canvas.width, 60 + 30 * n, 6 + 10 * ((t + n / 3) % 1), (255, 150, 40, 130))
        middle = canvas.width * (0.5 + 0.3 * math.sin(t))
        canvas.polygon([(middle, 215), (middle + 13, 243), (middle, 236), (middle - 13, 243)], ship)
        canvas.polygon([(middle - 4, 240), (middle + 4, 240), (middle, 252 + 3 * math.sin(30 * t))], (255, 160, 30))

    return draw


def platformer(canvas: GameCanvas, rng: random.Random) -> Draw:
    unit = rng.choice((0.75, 1, 1, 1.25, 1.5))
    tiles = [paint_tile(rng) for _ in range(4)]
    figures = [paint_creature(rng) for _ in range(4)]
    sky = pick_colour(rng, (55, 75)), pick_colour(rng, (70, 88))
    side = 16 * unit
    heights = [rng.randint(1, 4) for _ in range(80)]
    floating = [(n, rng.randint(5, 9), rng.randrange(4)) for n in range(80) if rng.random() < 0.35]

    def draw(t: float) -> None:
        canvas.fill(*sky)
        for n in range(8):
            x = (n * 90 - 8 * t) % (canvas.width + 120) - 60
            canvas.circle(x, 200 + 20 * math.sin(n), 70, blend(sky[0], (40, 80, 60), 0.35 + 0.05 * (n % 3)))
        moved = 40 * t
        for column in range(int(moved // side), int((moved + canvas.width) // side) + 1):
            for row in range(heights[column % 80]):
                canvas.art(tiles[(row > 0) + column // 20 % 2], column * side - moved, 270 - (row + 1) * side, unit)
        for column, row, kind in floating:
            x = (column * side - moved) % (80 * side) - side
            canvas.art(tiles[kind], x, 270 - row * side, unit)
            if kind % 2:
                canvas.circle(x + side / 2, 270 - (row + 1) * side + side / 2, side / 3, (240, 190, 40))
                canvas.circle(x + side / 2, 270 - (row + 1) * side + side / 2, side / 5, (255, 230, 120))
        for n, figure in enumerate(figures):
            x = canvas.width * (n + 1) / 5
            ground = heights[int((x + 7 * unit + moved) // side) % 80]
            canvas.art(figure, x, 270 - ground * side - 16 * unit - 20 * abs(math.sin(3 * t + n)), unit)

    return draw


def gems(canvas: GameCanvas, rng: random.Random) -> Draw:
    kinds = [(corners, pick_colour(rng)) for corners in rng.sample((3, 4, 5, 6, 8, -5, -4), 5)]
    columns, rows = rng.randint(7, 9), 7
    board = [[rng.choice(kinds) for _ in range(columns)] for _ in range(rows)]
    back, panel = pick_colour(rng, (12, 30)), pick_colour(rng, (20, 45))

    def draw(t: float) -> None:
        canvas.fill(back, blend(back, (0, 0, 0), 0.6))
        left = canvas.width / 2 - columns * 15
        canvas.rect(left - 6, 34, columns * 30 + 12, rows * 30 + 12, panel, 6)
        for row in range(rows):
            for column in range(columns):
                corners, colour = board[row][column]
                x, y = left + column * 30 + 15, 55 + row * 30
                canvas.rect(x - 14, y - 14, 28, 28, blend(panel, (255, 255, 255), 0.12), 4)
                turn = math.sin(2 * t + row + column) * 0.3
                canvas.regular(x, y, 12, corners, turn, blend(colour, (0, 0, 0), 0.45))
                canvas.regular(x - 0.7, y - 0.7, 10, corners, turn, colour)
                canvas.circle(x - 3, y - 4, 2, blend(colour, (255, 255, 255), 0.7))
        canvas.rect(left + 60, 100, 28, 28, (255, 255, 255, 90), 4)

    return draw


def rogue(canvas: GameCanvas, rng: random.Random) -> Draw:
    unit = rng.choice((0.75, 1, 1.25))
    floor, wall, other = (paint_tile(rng) for _ in range(3))
    figures = [paint_creature(rng) for _ in range(6)]
    side = 16 * unit
    plan = [[rng.random() for _ in range(60)] for _ in range(40)]
    log = rng.sample(LINES, 4)

    def draw(t: float) -> None:
        canvas.fill((8, 8, 12))
        moved = 12 * t
        for row in range(int(200 / side) + 1):
            for column in range(int(canvas.width / side) + 2):
                here = plan[row][(column + int(moved // side)) % 60]
                x, y = column * side - moved % side, row * side
                canvas.art(wall if here < 0.2 else other if here < 0.3 else floor, x, y, unit)
                if here > 0.95:
                    canvas.art(figures[int(here * 1000) % 6], x, y, unit)
        canvas.circle(canvas.width / 2, 100, 46, (255, 220, 140, 40))
        canvas.rect(0, 205, canvas.width, 65, (16, 16, 26))
        canvas.rect(0, 205, canvas.width, 1, (150, 140, 110))
        for row, line in enumerate(log):
            canvas.text(8, 211 + 14 * row, line, 10, blend((230, 230, 210), (120, 120, 120), row / 4))

    return draw


def racer(canvas: GameCanvas, rng: random.Random) -> Draw:
    near = pick_colour(rng, (25, 45))
    grass = near, blend(near, (255, 255, 220), 0.15)
    sky = pick_colour(rng, (45, 65)), pick_colour(rng, (70, 90))
    car, peaks = pick_colour(rng, (40, 55)), [rng.uniform(10, 60) for _ in range(14)]

    def draw(t: float) -> None:
        canvas.fill(*sky)
        hills = [(canvas.width * n / 13, 125 - height) for n, height in enumerate(peaks)]
        canvas.polygon([(0, 130), *hills, (canvas.width, 130)], blend(grass[0], sky[0], 0.5))
        bend = 60 * math.sin(t / 2)
        far = [0.97**n for n in range(90)]
        for n in range(89, 0, -1):
            (x0, y0, w0), (x1, y1, w1) = (
                (canvas.width / 2 + bend * (1 - far[k]) ** 2, 125 + 145 * far[k], canvas.width * 0.55 * far[k])
                for k in (n - 1, n)
            )
            odd = (n + int(12 * t)) // 4 % 2
            canvas.rect(0, y1, canvas.width, y0 - y1 + 1, grass[odd])
            kerb, tar = ((220, 40, 40), (96, 96, 102)) if odd else ((240, 240, 240), (88, 88, 94))
            for part, colour in ((1.12, kerb), (1, tar)):
                corners = [(x0 - w0 * part, y0), (x0 + w0 * part, y0), (x1 + w1 * part, y1), (x1 - w1 * part, y1)]
                canvas.polygon(corners, colour)
            if odd:
                line = [(x0 - w0 * 0.03, y0), (x0 + w0 * 0.03, y0), (x1 + w1 * 0.03, y1), (x1 - w1 * 0.03, y1)]
                canvas.polygon(line, (250, 250, 240))
            if n % 9 == 0:
                for way in (-1, 1):
                    x, tall = x1 + way * w1 * 1.5, 70 * far[n]
                    canvas.rect(x - tall / 20, y1 - tall / 2, tall / 10, tall / 2, (90, 60, 30))
                    canvas.regular(x, y1 - tall * 0.7, tall * 0.4, 3, -math.pi / 2, blend(grass[0], (0, 60, 0), 0.5))
        middle = canvas.width / 2 + 20 * math.sin(t)
        canvas.rect(middle - 34, 238, 16, 18, (20, 20, 20), 3)
        canvas.rect(middle + 18, 238, 16, 18, (20, 20, 20), 3)
        canvas.polygon([(middle - 32, 248), (middle + 32, 248), (middle + 24, 218), (middle - 24, 218)], car)
        canvas.rect(middle - 20, 221, 40, 9, (40, 60, 90), 2)
        canvas.rect(middle - 30, 236, 12, 5, (255, 60, 40), 1)
        canvas.rect(middle + 18, 236, 12, 5, (255, 60, 40), 1)

    return draw


def menu(canvas: GameCanvas, rng: random.Random) -> Draw:
    back, panel, mark = pick_colour(rng, (10, 30)), pick_colour(rng, (18, 40)), pick_colour(rng, (45, 60))
    icons = [paint_creature(rng) for _ in range(6)]
    items = [(rng.choice(WORDS), rng.randint(1, 99), rng.choice(icons)) for _ in range(8)]

    def draw(t: float) -> None:
        canvas.fill(back, blend(back, (0, 0, 0), 0.7))
        canvas.rect(14, 40, canvas.width * 0.55, 196, panel, 6)
        chosen = int(t) % 8
        for row, (word, count, icon) in enumerate(items):
            y = 48 + 23 * row
            if row == chosen:
                canvas.rect(18, y - 2, canvas.width * 0.55 - 8, 22, mark, 3)
            canvas.art(icon, 24, y, 1)
            canvas.text(46, y + 3, word.title(), 12, (240, 240, 235))
            canvas.text(canvas.width * 0.55, y + 3, f"x{count}", 11, (220, 210, 150), 1)
        left, wide = canvas.width * 0.55 + 26, canvas.width * 0.45 - 40
        for row, word in enumerate(("Music", "Effects", "Brightness", "Speed")):
            y = 52 + 34 * row
            canvas.text(left, y - 4, word, 10, (210, 220, 230))
            canvas.rect(left, y + 11, wide, 4, (20, 20, 25), 2)
            part = 0.2 + 0.15 * ((row * 3 + int(2 * t)) % 5)
            canvas.rect(left, y + 11, wide * part, 4, mark, 2)
            canvas.circle(left + wide * part, y + 13, 5, (240, 240, 240))
        canvas.rect(left, 200, wide, 24, mark, 5)
        canvas.text(left + wide / 2, 205, "Continue", 13, (255, 255, 255), 0.5)

    return draw


def aliens(canvas: GameCanvas, rng: random.Random) -> Draw:
    """With the sprites that come with pygame's examples."""
    load = pygame.image.load
    unit, behind = rng.choice((0.6, 0.8, 1)), rng.choice(("background.gif", "city.png"))
    picture = load(DATA / behind)
    sprites = [load(DATA / f"alien{n}.png") for n in (1, 2, 3)]
    places = [(rng.random(), rng.uniform(20, 180), rng.randrange(3)) for _ in range(14)]
    player, burst = load(DATA / "player1.gif"), load(DATA / "explosion1.gif")

    def draw(t: float) -> None:
        wide, high = picture.get_width() * unit, picture.get_height() * unit
        for row in range(int(270 / high) + 1):
            for column in range(int(canvas.width / wide) + 1):
                canvas.art(picture, column * wide, row * high, unit)
        for x, y, kind in places:
            canvas.art(sprites[(kind + int(4 * t)) % 3], (x * canvas.width + 30 * t) % canvas.width - 20, y, unit)
        canvas.art(burst, canvas.width * 0.3, 90, unit)
        canvas.art(player, canvas.width * (0.5 + 0.3 * math.sin(t)), 215, unit)

    return draw


GAMES: dict[str, Callable[[GameCanvas, random.Random], Draw]] = {
    game.__name__: game for game in (shooter, platformer, gems, rogue, racer, menu, aliens)
}


def draw_hud(canvas: GameCanvas, rng: random.Random) -> None:
    """Score, hearts, a bar and a title, above any game."""
    size = rng.uniform(11, 17)
    canvas.shadowed(8, 6, f"{rng.choice(('Score', 'Gold', 'XP'))} {rng.randint(0, 99999):05}", size, (255, 255, 255))
    canvas.shadowed(canvas.width - 8, 6, f"{rng.randint(0, 9)}:{rng.randint(10, 59)}", size, (255, 225, 120), 1)
    for n in range(rng.randint(2, 5)):
        canvas.regular(canvas.width / 2 - 30 + 15 * n, 14, 6, -5, -math.pi / 2, (235, 60, 70))
    canvas.rect(8, 24, 84, 7, (15, 15, 20), 2)
    canvas.rect(9, 25, 82 * rng.uniform(0.2, 1), 5, pick_colour(rng, (45, 55)), 2)
    if rng.random() < 0.5:
        canvas.rect(canvas.width * 0.1, 240, canvas.width * 0.8, 24, (10, 10, 20, 170), 4)
        canvas.text(canvas.width / 2, 245, rng.choice(LINES), 12, (250, 250, 240), 0.5)


def main() -> None:
    job = ChildJob.from_arguments()
    pygame.init()
    pygame.display.set_mode((16, 16))
    rng = random.Random(job.scene)
    canvas = GameCanvas(job.size, rng)
    draw: Any = GAMES[job.scene.split("-")[0]](canvas, rng)
    for number, kept in job.iterate_numbers():
        if kept:
            draw(number / FRAMES_A_SECOND)
            draw_hud(canvas, random.Random(f"{job.scene} {number}"))
            job.write(number, canvas.read())


if __name__ == "__main__":
    main()
