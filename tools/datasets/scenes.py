"""Paint scenes at two sizes, as a game would draw them in a small and in a large window: pairs for training.

    python -m tools.datasets.scenes ui --count 150 --out DIR
    python -m tools.datasets.scenes pixel --count 200 --out DIR
    python -m tools.datasets.scenes pixel --sprites GAME_ART GAME_ART --count 200 --out DIR
    python -m tools.datasets.scenes menu --behind PAIRS PAIRS --count 150 --out DIR
    python -m tools.datasets.scenes desktop --count 110 --out LARGE

`ui`: panels, running text in many fonts, bars, grids, thin lines over textures. `pixel`: tile maps and sprites of a low
logical resolution, mostly point-sampled. Every scene is painted twice, at 480x270 and at 1920x1080, so that the small
one has the aliasing and the glyphs that a small window really shows. Writes DIR/lr and DIR/hr. `desktop` is `ui` in one
picture of 1920x1080 with text of the same size in pixels, for `live-sr pairs folder` to shrink; it goes to LARGE.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontDatabase,
    QGuiApplication,
    QImage,
    QLinearGradient,
    QPainter,
    QPainterPath,
    QPen,
    QPolygonF,
)

from live_sr.errors import LiveSRError
from live_sr.imaging.png import write_png
from tools.datasets.menus import list_frames, paint_menu
from tools.datasets.sprites import SpriteArt, paint_world, read_art

OFFSCREEN = ("-platform", "offscreen")  # for Qt: there need be no screen
UNITS = WIDTH, HEIGHT = 480, 270  # of a scene, its width and height
DESKTOP = 1920, 1080  # the same of a desktop: its text is small in a large picture
SIZES = {"hr": 4, "lr": 1}  # in this order: whoever lists lr/ meanwhile finds the partner of each
PHRASES = (
    "Level Health Mana Armour Score Lives Time Bonus Quest Inventory Options Resume Quit Save Load Continue New Game "
    "Attack Defend Sword Shield Potion Key Door North South East West Wood Stone Iron Gold Crystal Ammo Reload Wave "
    "Round Start Pause Credits Music Sound Volume Video Controls Language Easy Normal Hard the a of and to you have "
    "found open with this press any again would they never before light dark castle river forest mountain captain"
)
WORDS = PHRASES.split()
Random = np.random.Generator
Paint = Callable[[QPainter, Random], None]


def choose_colour(r: Random, low: int = 0, high: int = 256, alpha: int = 255) -> QColor:
    red, green, blue = (int(v) for v in r.integers(low, high, 3))
    return QColor(red, green, blue, alpha)


def choose_words(r: Random, count: int) -> str:
    return " ".join(
        str(r.choice(WORDS)) if r.random() < 0.8 else str(r.integers(0, 10 ** int(r.integers(1, 6))))
        for _ in range(count)
    )


def make_image(pixels: np.ndarray) -> QImage:
    """A QImage of its own from RGBA uint8 (H, W, 4)."""
    pixels = np.ascontiguousarray(pixels, np.uint8)
    return QImage(
        pixels.tobytes(), pixels.shape[1], pixels.shape[0], 4 * pixels.shape[1], QImage.Format.Format_RGBA8888
    ).copy()


def make_texture(r: Random, side: int) -> QImage:
    """Stone, bricks or noise, as games tile their walls with."""
    base = r.integers(30, 220, 3)
    clouds = cv2.resize(r.normal(0, 18, (4, 4, 1)).astype(np.float32), (side, side))
    grain = r.normal(0, r.uniform(4, 25), (side, side, 1)) + clouds[..., None]
    if r.random() < 0.5:
        rows, columns = np.mgrid[:side, :side]
        step = side // 4
        joints = (rows % step == 0) | ((columns + (rows // step % 2) * step // 2) % step == 0)
        grain = np.where(joints[..., None], grain - 50, grain)
    rgb = np.clip(base + grain, 0, 255).astype(np.uint8)
    return make_image(np.dstack((rgb, np.full((side, side, 1), 255, np.uint8))))


def get_units(p: QPainter) -> tuple[int, int]:
    """How many units the scene is wide and high."""
    canvas, times = p.viewport(), p.worldTransform().m11()
    return round(canvas.width() / times), round(canvas.height() / times)


def paint_backdrop(p: QPainter, r: Random) -> None:
    width, height = get_units(p)
    kind = r.integers(4)
    whole = QRectF(0, 0, width, height)
    if kind == 0:
        p.fillRect(whole, choose_colour(r))
    elif kind == 1:
        fade = QLinearGradient(QPointF(*r.uniform(0, height, 2)), QPointF(*r.uniform(0, width, 2)))
        fade.setColorAt(0, choose_colour(r))
        fade.setColorAt(1, choose_colour(r))
        p.fillRect(whole, fade)
    else:
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, bool(r.random() < 0.5))
        tile = make_texture(r, int(r.choice((32, 64, 128))))
        side = float(r.uniform(20, 90))
        for y in range(int(height / side) + 1):
            for x in range(int(width / side) + 1):
                p.drawImage(QRectF(x * side, y * side, side, side), tile)
    for _ in range(int(r.integers(0, 14))):  # walls and ground seen at an angle
        corners = r.uniform(0, 1, (int(r.integers(3, 6)), 2)) * (width * 0.5, height * 0.5)
        corners = corners + r.uniform(0, 0.7, 2) * (width, height)
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(QBrush(make_texture(r, 64)) if r.random() < 0.4 else choose_colour(r))
        p.drawPolygon(QPolygonF([QPointF(*c) for c in corners]))


def choose_font(r: Random, smallest: float = 6.0) -> QFont:
    chosen = QFont(str(r.choice(FAMILIES)))
    chosen.setPointSizeF(float(smallest + r.gamma(2.0, 3.0)) * 0.75)
    chosen.setBold(bool(r.random() < 0.3))
    chosen.setItalic(bool(r.random() < 0.1))
    chosen.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
    return chosen


def write_text(p: QPainter, r: Random, x: float, y: float, said: str, ink: QColor | None = None) -> None:
    face = choose_font(r)
    ink = ink or (choose_colour(r, 150) if r.random() < 0.7 else choose_colour(r, 0, 110))
    style = r.integers(4)
    if style == 0:
        path = QPainterPath()
        path.addText(QPointF(x, y), face, said)
        p.strokePath(path, QPen(QColor(0, 0, 0), float(r.uniform(1, 2.5))))
        p.fillPath(path, ink)
        return
    p.setFont(face)
    if style == 1:
        p.setPen(QColor(0, 0, 0, 200))
        p.drawText(QPointF(x + 1, y + 1), said)
    p.setPen(ink)
    p.drawText(QPointF(x, y), said)


def paint_panel(p: QPainter, r: Random) -> None:
    width, height = get_units(p)
    x, y = r.uniform(-10, width - 60), r.uniform(-10, height - 30)
    w, h = r.uniform(50, 260), r.uniform(20, 140)
    dark = r.random() < 0.65
    p.setPen(QPen(choose_colour(r), float(r.choice((0.5, 1, 1, 2, 3)))))
    p.setBrush(choose_colour(r, *((0, 90) if dark else (140, 256)), alpha=int(r.integers(120, 256))))
    corner = float(r.choice((0, 0, 3, 8)))
    p.drawRoundedRect(QRectF(x, y, w, h), corner, corner)
    ink = choose_colour(r, 170) if dark else choose_colour(r, 0, 90)
    step = float(r.uniform(9, 18))
    line = y + step
    while line < y + h - 2:
        if r.random() < 0.85:
            write_text(p, r, x + 5, line, choose_words(r, max(1, int(w / 45))), ink)
        else:
            paint_bar(p, r, x + 5, line - 6, w * 0.7)
        line += step


def paint_bar(p: QPainter, r: Random, x: float, y: float, w: float) -> None:
    p.setPen(QPen(choose_colour(r, 100), float(r.choice((0.5, 1, 1.5)))))
    p.setBrush(choose_colour(r, 0, 80))
    h = float(r.uniform(3, 8))
    p.drawRect(QRectF(x, y, w, h))
    p.fillRect(QRectF(x, y, w * r.random(), h), choose_colour(r, 60))


def paint_grid(p: QPainter, r: Random) -> None:
    width, height = get_units(p)
    x, y, side = r.uniform(0, width - 100), r.uniform(0, height - 60), float(r.uniform(10, 28))
    p.setPen(QPen(choose_colour(r), float(r.choice((0.5, 1, 2)))))
    for row in range(int(r.integers(1, 5))):
        for column in range(int(r.integers(2, 9))):
            p.setBrush(choose_colour(r, alpha=int(r.integers(60, 256))))
            cell = QRectF(x + column * side, y + row * side, side - 1, side - 1)
            (p.drawEllipse if r.random() < 0.2 else p.drawRect)(cell)


def paint_lines(p: QPainter, r: Random) -> None:
    width, height = get_units(p)
    for _ in range(int(r.integers(2, 14))):
        p.setPen(QPen(choose_colour(r), float(r.choice((0.3, 0.5, 1, 1, 2)))))
        p.setBrush(Qt.BrushStyle.NoBrush)
        a, b = (QPointF(*(r.random(2) * (width, height))) for _ in range(2))
        p.drawLine(a, b) if r.random() < 0.6 else p.drawEllipse(a, float(r.uniform(3, 40)), float(r.uniform(3, 40)))


def paint_interface(p: QPainter, r: Random) -> None:
    width, height = get_units(p)
    p.setRenderHint(QPainter.RenderHint.Antialiasing, bool(r.random() < 0.8))
    p.setRenderHint(QPainter.RenderHint.TextAntialiasing, True)
    paint_backdrop(p, r)
    for _ in range(int(r.integers(0, 3))):
        paint_lines(p, r)
    for _ in range(int(r.integers(2, 7))):
        paint_panel(p, r)
    for _ in range(int(r.integers(0, 4))):
        paint_grid(p, r)
    for _ in range(int(r.integers(4, 16))):
        write_text(p, r, r.uniform(0, width - 60), r.uniform(8, height), choose_words(r, int(r.integers(1, 5))))


def make_sprite(r: Random, palette: np.ndarray, side: int) -> np.ndarray:
    """A figure of a few colours, mirrored down its middle, RGBA."""
    half = r.integers(0, len(palette), (side, (side + 1) // 2))
    blurred = cv2.GaussianBlur(r.normal(0, 1, half.shape).astype(np.float32), (0, 0), side / 8)
    shape = blurred > np.quantile(blurred, r.uniform(0.25, 0.5))
    coarse = r.integers(0, len(palette), (side // 3 + 1, side // 4 + 1)).astype(np.uint8)
    patches = cv2.resize(coarse, half.shape[::-1], interpolation=cv2.INTER_NEAREST)
    index = np.where(r.random(half.shape) < 0.15, half, patches)
    rgba = np.dstack((palette[index], np.where(shape, 255, 0).astype(np.uint8)))
    edge = shape & ~cv2.erode(shape.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    rgba[edge] = (*(palette.min(0) // 3), 255)
    return np.concatenate((rgba, rgba[:, ::-1][:, side % 2 :]), 1)


def make_tile(r: Random, palette: np.ndarray, side: int) -> np.ndarray:
    """Ground, bricks, water or planks in shades of one colour, RGBA."""
    shades = np.clip(palette[r.integers(len(palette))] * r.uniform(0.5, 1.3, (4, 1)), 0, 255).astype(np.uint8)
    index = (r.random((side, side)) < r.uniform(0.05, 0.4)).astype(int)
    step = int(r.choice((4, 8, side)))
    rows, columns = np.mgrid[:side, :side]
    if r.random() < 0.6:
        index[(rows % step == 0) | ((columns + rows // step % 2 * step // 2) % step == 0)] = 2
    if r.random() < 0.5:
        index[: int(r.integers(1, 4))] = 3
    return np.dstack((shades[index], np.full((side, side), 255, np.uint8)))


def paint_pixel_art(p: QPainter, r: Random) -> None:
    """A tile map, sprites and a line of text, in art pixels of `unit` screen pixels each."""
    unit = WIDTH / float(r.choice((160, 240, 320, 320, 384, 480, 480, 480, 640)))
    p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, bool(r.random() < 0.15))
    palette = r.integers(20, 256, (int(r.integers(4, 12)), 3))
    side = int(r.choice((8, 16, 16, 32)))
    p.fillRect(QRectF(0, 0, WIDTH, HEIGHT), QColor(*(int(v) for v in palette[0])))
    tiles = [make_image(make_tile(r, palette, side)) for _ in range(int(r.integers(3, 9)))]
    size = side * unit
    across, down = int(WIDTH / size) + 2, int(HEIGHT / size) + 2
    ground = np.clip(np.cumsum(r.integers(-1, 2, across)) + down // 2, 1, down)
    overhead = r.random() < 0.4
    scroll = -np.floor(r.uniform(0, side)) * unit
    for x in range(across):
        for y in range(down):
            if overhead or y >= ground[x] or r.random() < 0.03:
                which = int(r.integers(len(tiles))) if r.random() < 0.3 else (0 if y > ground[x] else 1)
                p.drawImage(QRectF(scroll + x * size, y * size, size, size), tiles[which])
    for _ in range(int(r.integers(4, 25))):
        edge = int(r.choice((8, 12, 16, 24, 32)))
        figure = make_image(make_sprite(r, palette, edge))
        at = r.random(2) * (WIDTH, HEIGHT)
        at = np.round(at / unit) * unit if r.random() < 0.7 else at
        p.save()
        p.translate(*at)
        if r.random() < 0.15:
            p.rotate(float(r.uniform(0, 360)))
        p.drawImage(QRectF(0, 0, figure.width() * unit, figure.height() * unit), figure)
        p.restore()
    for _ in range(int(r.integers(1, 6))):
        write_bitmap_text(p, r, unit)


def make_sprite_painter(games: list[SpriteArt]) -> Paint:
    """Scenes of the art of games, one game in each, with text in a bitmap font or a drawn one over it."""

    def paint(p: QPainter, r: Random) -> None:
        unit = paint_world(p, games[r.integers(len(games))], r)
        sharp = r.random() < 0.75
        for _ in range(int(r.integers(1, 6))):
            if sharp:
                write_bitmap_text(p, r, unit)
            else:
                write_text(p, r, r.uniform(0, WIDTH - 60), r.uniform(8, HEIGHT), choose_words(r, int(r.integers(1, 5))))

    return paint


def write_bitmap_text(p: QPainter, r: Random, unit: float) -> None:
    """A line of text in a bitmap font: drawn small without smoothing, shown as large as the art."""
    said = choose_words(r, int(r.integers(1, 5)))
    strip = QImage(len(said) * 7 + 8, 14, QImage.Format.Format_RGBA8888)
    strip.fill(QColor(0, 0, 0, 0 if r.random() < 0.7 else 255))
    face = QFont(str(r.choice(FAMILIES)))
    face.setPixelSize(int(r.integers(8, 12)))
    face.setStyleStrategy(QFont.StyleStrategy.NoAntialias)
    inner = QPainter(strip)
    inner.setRenderHint(QPainter.RenderHint.TextAntialiasing, False)
    inner.setFont(face)
    inner.setPen(choose_colour(r, 120))
    inner.drawText(2, 11, said)
    inner.end()
    at = np.round(r.random(2) * (WIDTH * 0.7, HEIGHT) / unit) * unit
    p.drawImage(QRectF(at[0], at[1], strip.width() * unit, strip.height() * unit), strip)


def paint_on_canvas(paint: Callable[[QPainter], None], times: int, units: tuple[int, int] = UNITS) -> np.ndarray:
    """What `paint` draws, BGRA uint8, `times` as large as its units."""
    width, height = (side * times for side in units)
    canvas = QImage(width, height, QImage.Format.Format_RGB32)
    canvas.fill(Qt.GlobalColor.black)
    p = QPainter(canvas)
    p.scale(times, times)
    paint(p)
    p.end()
    bits = canvas.constBits()
    assert bits is not None
    return np.frombuffer(bits.asstring(canvas.sizeInBytes()), np.uint8).reshape(height, width, 4).copy()


def paint_scene(paint: Paint, seed: int, times: int, units: tuple[int, int] = UNITS) -> np.ndarray:
    """The scene of that seed."""
    return paint_on_canvas(lambda p: paint(p, np.random.default_rng(seed)), times, units)


# fonts without letters, and two of the sheets that tools/benchmarks/legibility.py reads
EXCLUDED_FONTS = ("Symbol", "Math", "D0500", "Open Sans", "Cantarell")
SCENES = ("ui", "pixel", "menu", "desktop")
FAMILIES: list[str] = []


def find_families() -> list[str]:
    """This machine's fonts of letters, without bitmap fonts: Qt scales those into letters that are lost."""
    return [
        family
        for family in QFontDatabase.families()
        if QFontDatabase.isSmoothlyScalable(family) and not any(odd in family for odd in EXCLUDED_FONTS)
    ]


def choose_painter(kind: str, sprites: list[Path], pairs: list[Path]) -> Paint:
    """What paints scenes of that kind. Raises UsageError for folders without art."""
    if kind == "menu":
        games = list_frames(pairs)
        return lambda p, r: paint_menu(p, r, FAMILIES, games)
    if kind == "pixel":
        return make_sprite_painter(read_art(sprites)) if sprites else paint_pixel_art
    return paint_interface


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=SCENES)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--sprites", type=Path, nargs="+", metavar="DIR", help="for pixel: each a game's art, PNG files"
    )
    parser.add_argument("--behind", type=Path, nargs="+", metavar="DIR", help="for menu: pairs, lr/ at 480x270")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    application = QGuiApplication(["scenes", *OFFSCREEN])  # kept until the end: without it Qt has no fonts
    FAMILIES.extend(find_families())
    try:
        paint = choose_painter(args.kind, args.sprites or [], args.behind or [])
        for number in range(args.seed, args.seed + args.count):
            name = f"{args.kind}{number:04}_00000.png"
            if args.kind == "desktop":
                write_png(args.out / name, paint_scene(paint, number, 1, DESKTOP))
                continue
            for side, times in SIZES.items():
                write_png(args.out / side / name, paint_scene(paint, number, times))
    except LiveSRError as error:
        parser.error(f"{error.message}; {error.remedy}")
    application.quit()


if __name__ == "__main__":
    main()
