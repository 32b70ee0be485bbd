"""Pixel-art scenes of the pictures that games bring along: what `scenes pixel --sprites DIR ...` paints.

A folder is one game's art (PNG files, searched for). Sheets are cut where their transparent parts say so, or along
the grid; each scene keeps to one game, as games do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QImage, QLinearGradient, QPainter, QTransform

from live_sr.errors import UsageError

WIDTH, HEIGHT = 480, 270  # the units of a scene
SIDES = (16, 20, 24, 32, 40, 48, 8)  # of the tiles of a sheet without transparency, the likeliest first
PIECES = 16  # of each file, so that one huge sheet does not make up the scene
KEY = (255, 0, 255)  # what older games paint for "transparent"
Rgba = np.ndarray


@dataclass
class SpriteArt:
    """One game's pictures, RGBA uint8: ground tiles by their side, figures with transparent edges, wide scenery."""

    name: str
    tiles: dict[int, list[Rgba]] = field(default_factory=dict)
    figures: list[Rgba] = field(default_factory=list)
    scenery: list[Rgba] = field(default_factory=list)

    def add(self, picture: Rgba) -> None:
        h, w = picture.shape[:2]
        if (picture[..., 3] > 0).mean() < 0.97:
            self.figures += cut_figures(picture)
        elif w >= 240 and h >= 180:
            self.scenery.append(picture)
        elif tiled := cut_tiles(picture):
            self.tiles.setdefault(len(tiled[0]), []).extend(tiled)
        elif min(h, w) >= 6 and max(h, w) <= 160:
            self.figures.append(picture)

    @property
    def usual_side(self) -> float:
        """How large a typical figure or tile is, in its own pixels."""
        sides = [max(f.shape[:2]) for f in self.figures] + [s for s, tiles in self.tiles.items() for _ in tiles]
        return float(np.median(sides))


def read_art(folders: list[Path]) -> list[SpriteArt]:
    """The art of each folder that holds any. Raises UsageError when none does."""
    found = []
    for folder in folders:
        art = SpriteArt(folder.name)
        for path in sorted(folder.rglob("*.png")):
            picture = read_picture(path)
            if picture is not None and min(picture.shape[:2]) >= 6 and max(picture.shape[:2]) <= 2400:
                art.add(picture)
        if (art.figures and art.tiles) or len(art.figures) >= 10:
            found.append(art)
    if not found:
        raise UsageError(
            f"no tiles and figures in {', '.join(map(str, folders))}", "give folders with games' PNG files"
        )
    return found


def read_picture(path: Path) -> Rgba | None:
    """RGBA uint8 (H, W, 4); None when it is no picture."""
    image = QImage(str(path)).convertToFormat(QImage.Format.Format_RGBA8888)
    bits = image.constBits()
    if image.isNull() or bits is None:
        return None
    rgba = np.frombuffer(bits.asstring(image.sizeInBytes()), np.uint8).reshape(image.height(), image.width(), 4).copy()
    rgba[(rgba[..., :3] == KEY).all(-1), 3] = 0
    return rgba


def cut_figures(sheet: Rgba) -> list[Rgba]:
    """The figures of a sheet: its connected opaque parts."""
    count, _, boxes, _ = cv2.connectedComponentsWithStats((sheet[..., 3] > 8).astype(np.uint8))
    pieces = [sheet[y : y + h, x : x + w] for x, y, w, h, _ in boxes[1:count] if min(w, h) >= 6 and max(w, h) <= 200]
    return sample_evenly(pieces)


def cut_tiles(sheet: Rgba) -> list[Rgba]:
    """The square tiles of a sheet; none when it has no grid. Tiles of one colour are left out."""
    h, w = sheet.shape[:2]
    if h == w and h <= 64:
        return [sheet]
    side = next((s for s in SIDES if h % s == 0 and w % s == 0), None)
    if side is None:
        return []
    pieces = [sheet[y : y + side, x : x + side] for y in range(0, h, side) for x in range(0, w, side)]
    return sample_evenly([piece for piece in pieces if piece[..., :3].std((0, 1)).max() > 4])


def sample_evenly(pieces: list[Rgba]) -> list[Rgba]:
    return pieces[:: max(1, -(-len(pieces) // PIECES))]


def make_image(rgba: Rgba) -> QImage:
    rgba = np.ascontiguousarray(rgba)
    h, w = rgba.shape[:2]
    straight = QImage(rgba.tobytes(), w, h, 4 * w, QImage.Format.Format_RGBA8888)
    return straight.convertToFormat(QImage.Format.Format_ARGB32_Premultiplied)


def paint_picture(
    p: QPainter, art: QImage, x: float, y: float, unit: float, turn: float = 0.0, flip: bool = False
) -> None:
    """A picture whose pixels are `unit` wide, its corner at (x, y); point-sampled or filtered by the painter's hint.

    Qt moves what is only scaled to whole pixels of the canvas, by other parts of a scene unit in the small canvas than
    in the large one. A GPU does not; with a hair of shear Qt does not either.
    """
    p.save()
    p.translate(x + art.width() * unit / 2, y + art.height() * unit / 2)
    p.rotate(turn)
    p.setTransform(QTransform(-unit if flip else unit, 1e-6, 1e-6, unit, 0, 0), True)
    p.drawImage(QPointF(-art.width() / 2, -art.height() / 2), art)
    p.restore()


def choose_logical_width(art: SpriteArt, r: np.random.Generator) -> int:
    """Of the screen that the art was drawn for: small pieces for a small one."""
    side = art.usual_side
    if side <= 20:
        return int(r.choice((240, 320, 320, 384, 480)))
    if side <= 40:
        return int(r.choice((320, 384, 480, 480, 640)))
    return int(r.choice((480, 640, 640, 960, 1280)))


def paint_sky(p: QPainter, art: SpriteArt, r: np.random.Generator, unit: float) -> None:
    """What is behind everything: one colour, a fade in bands, or the art's own scenery."""
    kind = r.integers(3)
    low, high = (QColor(*(int(v) for v in r.integers(0, 256, 3))) for _ in range(2))
    if kind == 2 and art.scenery:
        back = make_image(art.scenery[r.integers(len(art.scenery))])
        grown = max(unit, WIDTH / back.width(), HEIGHT / back.height())
        paint_picture(p, back, -r.random() * (back.width() * grown - WIDTH), 0, grown)
        return
    fade = QLinearGradient(0, 0, 0, 64)
    fade.setColorAt(0, low)
    fade.setColorAt(1, high if kind else low)
    strip = QImage(8, 64, QImage.Format.Format_RGB32)
    inner = QPainter(strip)
    inner.fillRect(QRectF(0, 0, 8, 64), fade)
    inner.end()
    p.fillRect(QRectF(0, 0, WIDTH, HEIGHT), high)
    bands = strip.scaled(8, int(r.choice((4, 8, 16, 64)))).scaled(WIDTH, HEIGHT)
    paint_picture(p, bands, 0, 0, 1.0)


def paint_ground(tiles: list[Rgba], across: int, down: int, r: np.random.Generator) -> QImage:
    """A map of tiles: hills, a room seen from above, or platforms. In patches of the same tile, as maps are."""
    side = len(tiles[0])
    chosen = [make_image(tiles[r.integers(len(tiles))]) for _ in range(int(r.integers(2, 8)))]
    coarse = r.random((max(2, down // 3), max(2, across // 4))).astype(np.float32)
    patches = cv2.resize(coarse, (across, down), interpolation=cv2.INTER_CUBIC)
    which = np.clip(patches * len(chosen), 0, len(chosen) - 1).astype(int)
    which = np.where(r.random(which.shape) < 0.06, r.integers(0, len(chosen), which.shape), which)
    rows = np.arange(down)[:, None]
    hills = np.clip(np.cumsum(r.integers(-1, 2, across)) + int(down * 0.7), down // 3, down - 1)
    platforms = np.repeat(r.random((down, across // 3 + 1)) < 0.12, 3, 1)[:, :across]
    solid = (rows >= hills, np.ones((down, across), bool), platforms | (rows == down - 1), platforms | (rows >= hills))
    drawn = solid[int(r.integers(len(solid)))]
    layer = QImage(across * side, down * side, QImage.Format.Format_ARGB32_Premultiplied)
    layer.fill(Qt.GlobalColor.transparent)
    inner = QPainter(layer)
    for row, column in np.argwhere(drawn):
        inner.drawImage(int(column) * side, int(row) * side, chosen[which[row, column]])
    inner.end()
    return layer


def paint_world(p: QPainter, art: SpriteArt, r: np.random.Generator) -> float:
    """Paints a scene of that art; returns the width of its art pixels."""
    unit = WIDTH / choose_logical_width(art, r)
    p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, bool(r.random() < 0.25))
    paint_sky(p, art, r, unit)
    across, down = WIDTH / unit, HEIGHT / unit  # in art pixels
    # The camera and the figures stay on whole art pixels. Not where the small canvas leaves some out: which ones a
    # sample between two takes would be the same everywhere, and move the whole picture.
    whole = bool(r.random() < 0.6) and unit >= 1
    for depth in range(int(r.integers(1, 3)) if art.tiles else 0):
        sides = sorted(art.tiles)
        tiles = art.tiles[sides[r.integers(len(sides))]]
        side = len(tiles[0])
        layer = paint_ground(tiles, int(across / side) + 2, int(down / side) + 2, r)
        shift = r.random(2) * side
        shift = np.floor(shift) if whole else shift
        p.setOpacity(1.0 if depth == 0 else float(r.choice((0.5, 1.0))))
        paint_picture(p, layer, -float(shift[0]) * unit, -float(shift[1]) * unit, unit)
    for _ in range(int(r.integers(8, 40))):
        figure = make_image(art.figures[r.integers(len(art.figures))])
        at = r.random(2) * (across, down) - (figure.width() / 2, figure.height() / 2)
        at = np.round(at) if whole else at
        turn = float(r.uniform(0, 360)) if r.random() < 0.08 else 0.0
        p.setOpacity(float(r.uniform(0.4, 0.9)) if r.random() < 0.08 else 1.0)
        paint_picture(p, figure, float(at[0]) * unit, float(at[1]) * unit, unit, turn, bool(r.random() < 0.4))
    p.setOpacity(1.0)
    return unit
