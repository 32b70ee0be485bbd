"""A canvas for 2D games in pygame: 270 units high, in any number of pixels, with letters of the true size."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pygame.gfxdraw

from live_sr.imaging.degradation import Picture
from live_sr.pipeline.frame import Size

UNITS = 270
MEASURED_AT = 400  # letters a line: at this size their widths are hardly rounded
Colour = tuple[int, int, int]
Point = tuple[float, float]
DATA = Path(pygame.__file__).parent / "examples" / "data"


class GameCanvas:
    """rng: the same numbers for a scene at every size."""

    def __init__(self, size: Size, rng: random.Random) -> None:
        self.surface = pygame.Surface((size.width, size.height))
        self.scale = size.height / UNITS
        self.width = UNITS * size.width / size.height
        self.height = float(UNITS)
        self.smooth = rng.random() < 0.5  # edges and letters
        self._font = rng.choice((None, str(DATA / "sans.ttf")))
        self._fonts: dict[int, Any] = {}
        self._arts: dict[tuple[int, int, int], Any] = {}

    def read(self) -> Picture:
        return np.ascontiguousarray(pygame.surfarray.array3d(self.surface).swapaxes(0, 1)[..., ::-1])

    def fill(self, top: Colour, bottom: Colour | None = None) -> None:
        """One colour, or from one to the other downwards."""
        self.surface.fill(top)
        rows = self.surface.get_height()
        if bottom is not None:
            for row in range(rows):
                self.surface.fill(blend(top, bottom, (row + 0.5) / rows), (0, row, self.surface.get_width(), 1))

    def rect(self, x: float, y: float, width: float, height: float, colour: Sequence[int], radius: float = 0) -> None:
        """colour: with a fourth number, 0 to 255, it is seen through."""
        left, top = self._round(x), self._round(y)
        right, bottom = self._round(x + width), self._round(y + height)
        box = pygame.Rect(left, top, max(1, right - left), max(1, bottom - top))
        if len(colour) == 4:
            pane = pygame.Surface(box.size, pygame.SRCALPHA)
            pygame.draw.rect(pane, colour, pane.get_rect(), border_radius=self._round(radius))
            self.surface.blit(pane, box)
        else:
            pygame.draw.rect(self.surface, colour, box, border_radius=self._round(radius))

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        placed = [self._find_pixel(*point) for point in points]
        if self.smooth:
            pygame.gfxdraw.aapolygon(self.surface, placed, colour)
            pygame.gfxdraw.filled_polygon(self.surface, placed, colour)
        else:
            pygame.draw.polygon(self.surface, colour, placed)

    def regular(self, x: float, y: float, radius: float, corners: int, turn: float, colour: Colour) -> None:
        """A regular polygon, or a star where `corners` is negative."""
        count = abs(corners) * (2 if corners < 0 else 1)
        reach = [radius * (0.45 if corners < 0 and n % 2 else 1) for n in range(count)]
        angles = [turn + 2 * math.pi * n / count for n in range(count)]
        self.polygon([(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(reach, angles, strict=True)], colour)

    def circle(self, x: float, y: float, radius: float, colour: Sequence[int]) -> None:
        middle, reach = self._find_pixel(x, y), max(1, self._round(radius))
        if len(colour) == 4:
            pane = pygame.Surface((2 * reach + 1, 2 * reach + 1), pygame.SRCALPHA)
            pygame.draw.circle(pane, colour, (reach, reach), reach)
            self.surface.blit(pane, (middle[0] - reach, middle[1] - reach))
        elif self.smooth:
            pygame.draw.aacircle(self.surface, colour, middle, reach)
        else:
            pygame.draw.circle(self.surface, colour, middle, reach)

    def text(self, x: float, y: float, words: str, size: float, colour: Colour, align: float = 0) -> None:
        """`size` units high, from x on; align: 0.5 for its middle at x, 1 for its end.

        Letters are placed one by one, as rounded widths would make a line wider at one size than at another.
        """
        measure, letters = self._load_font(MEASURED_AT), self._load_font(max(6, self._round(size)))
        unit = size / MEASURED_AT
        x -= align * measure.size(words)[0] * unit
        for index, letter in enumerate(words):
            if letter != " ":
                place = self._round(x + measure.size(words[:index])[0] * unit), self._round(y)
                self.surface.blit(letters.render(letter, self.smooth, colour), place)

    def shadowed(self, x: float, y: float, words: str, size: float, colour: Colour, align: float = 0) -> None:
        self.text(x + 1, y + 1, words, size, (0, 0, 0), align)
        self.text(x, y, words, size, colour, align)

    def art(self, art: Any, x: float, y: float, unit: float) -> None:
        """A surface whose pixels become squares of `unit` units, from (x, y) on."""
        left, top = self._round(x), self._round(y)
        right, bottom = self._round(x + art.get_width() * unit), self._round(y + art.get_height() * unit)
        size = max(1, right - left), max(1, bottom - top)
        key = (id(art), *size)
        if key not in self._arts:
            self._arts[key] = pygame.transform.scale(art, size)
        self.surface.blit(self._arts[key], (left, top))

    def _round(self, units: float) -> int:
        return math.floor(units * self.scale + 0.5)

    def _find_pixel(self, x: float, y: float) -> tuple[int, int]:
        """The pixel that holds a point: pygame counts corners of shapes from the middle of pixels."""
        return math.floor(x * self.scale), math.floor(y * self.scale)

    def _load_font(self, size: int) -> Any:
        if size not in self._fonts:
            self._fonts[size] = pygame.font.Font(self._font, size)
        return self._fonts[size]


def blend(one: Sequence[int], other: Sequence[int], part: float) -> Colour:
    red, green, blue = (round(a + (b - a) * min(1, max(0, part))) for a, b in zip(one[:3], other[:3], strict=True))
    return red, green, blue


def pick_colour(rng: random.Random, lightness: tuple[float, float] = (40, 65)) -> Colour:
    colour = pygame.Color(0)
    colour.hsla = (rng.uniform(0, 359), rng.uniform(30, 95), rng.uniform(*lightness), 100)
    return colour.r, colour.g, colour.b


def paint_tile(rng: random.Random, side: int = 16) -> Any:
    """A tile of pixel art: ground, bricks, planks or leaves."""
    grain = np.random.default_rng(rng.randrange(1 << 30))
    y, x = np.mgrid[0:side, 0:side]
    tone = 1 + grain.choice((-0.18, -0.08, 0, 0, 0.1), (side, side))
    kind = rng.choice(("ground", "bricks", "planks", "leaves"))
    colour = np.array(pick_colour(rng, (30, 60)))
    if kind == "bricks":
        joint = (y % 8 == 0) | ((x + 8 * (y // 8 % 2)) % 16 == 0)
        tone = np.where(joint, 0.45, np.where((y % 8 == 1), 1.25, tone))
    elif kind == "planks":
        tone = np.where(x % 8 == 0, 0.5, tone * (1 + 0.1 * np.sin(y / 2 + x // 8)))
    elif kind == "leaves":
        tone = tone * np.where((x * 7 + y * 11) % 13 < 4, 0.7, 1.1)
    pixels = np.clip(colour * tone[..., None], 0, 255)
    if kind == "ground":
        turf = np.array(pick_colour(rng, (45, 60)))
        pixels = np.where((y < 3 + grain.integers(0, 3, side)[None, :])[..., None], turf * tone[..., None], pixels)
    return pygame.surfarray.make_surface(np.clip(pixels, 0, 255).astype(np.uint8).swapaxes(0, 1))


def paint_creature(rng: random.Random, width: int = 12, height: int = 14) -> Any:
    """A mirrored figure of pixel art with a dark outline and eyes; the rest of it is transparent."""
    grain = np.random.default_rng(rng.randrange(1 << 30))
    half = grain.random((height, width // 2)) < np.linspace(0.25, 0.9, width // 2)[None, :]
    half[2 : height - 2, -3:] = True
    body = np.zeros((height + 2, width + 2), bool)
    body[1:-1, 1:-1] = np.hstack([half, half[:, ::-1]])
    around = body.copy()
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        around |= np.roll(body, step, axis)
    colours = [np.array(pick_colour(rng)), np.array(pick_colour(rng))]
    pixels = np.zeros((*body.shape, 4), np.uint8)
    pixels[around] = (20, 16, 30, 255)
    rows = np.arange(height + 2)[:, None] // rng.choice((3, 4, 5)) % 2 == 0
    for paint, where in zip(colours, (body & rows, body & ~rows), strict=True):
        pixels[where] = (*paint, 255)
    for side in (-2, 1):
        pixels[4, width // 2 + 1 + side] = (255, 255, 255, 255)
    surface = pygame.Surface((width + 2, height + 2), pygame.SRCALPHA)
    pygame.surfarray.blit_array(surface, pixels[..., :3].swapaxes(0, 1))
    pygame.surfarray.pixels_alpha(surface)[:] = pixels[..., 3].T
    return surface
