"""Menus, dialogues and HUDs as games lay them out: what `tools/datasets/scenes.py menu` paints.

A scene keeps to one theme: two faces, a paper, an ink and an accent. Letters are drawn in the ways that games draw
them: from their outlines at exact places, or one by one at whole pixels of the small window as from an atlas; hinted
or not, smoothed or not. In the large window the same letters stand at the same places.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QImage,
    QLinearGradient,
    QPainter,
    QPainterPath,
    QPen,
    QPolygonF,
    QTransform,
)

WIDTH, HEIGHT = 480, 270  # the units of a scene
OUTLINE = 64  # pixels at which letters' outlines are taken
STYLES = ("outline", "unhinted", "upright", "hinted")  # upright: hinted vertically
PHRASES = (
    "the of and to in you is with for your that this from are not have will new all one can out more when into only "
    "Resume Settings Audio Video Language Controls Credits Quit Apply Back Load Save Delete Level Score Lives Time "
    "Sword Bow Staff Ring Helmet Boots Bread Rope Torch Map Gem Scroll Arrow Bomb Coin Wood Ore Cloth Feather Bone "
    "Kill Talk Follow Find Bring Bridge Harbour Tower Cellar Garden North gate Captain Miller Ranger Thief Wizard "
    "wind rain stone old king never again without because through shadow always follow them beyond under water"
)
WORDS = PHRASES.split()
SOUNDS = "ar bel cor dan el fir gan hol is jor kal lum mor nes ol pri qua ras sel tor um vel wis xan yor zeph"
SYLLABLES = SOUNDS.split()
SIGNS = ("+", "-", "%", "/", ":", "x", "#", "!", "?", "(E)", "[F]", "<", ">", "...", "&", "=", "@", "$", "*")
Random = np.random.Generator
Rgb = tuple[int, int, int]


@dataclass(frozen=True)
class Lettering:
    """How letters are drawn; `size` in units of the scene, whole ones where letters come one by one."""

    family: str
    size: float
    bold: bool
    style: str
    smooth: bool

    def font(self, pixels: float) -> QFont:
        font = QFont(self.family)
        font.setPixelSize(max(1, round(pixels)))
        font.setBold(self.bold)
        hinting = {"upright": "PreferVerticalHinting", "hinted": "PreferFullHinting"}
        font.setHintingPreference(QFont.HintingPreference[hinting.get(self.style, "PreferNoHinting")])
        font.setStyleStrategy(QFont.StyleStrategy["NoSubpixelAntialias" if self.smooth else "NoAntialias"])
        return font

    def places(self, said: str) -> list[float]:
        """Where each letter begins, and where the last one ends."""
        if self.style == "outline":
            metrics, scale = QFontMetricsF(self.font(OUTLINE)), self.size / OUTLINE
            return [metrics.horizontalAdvance(said[:i]) * scale for i in range(len(said) + 1)]
        metrics = QFontMetricsF(self.font(self.size))
        return [0.0, *np.cumsum([max(1, round(metrics.horizontalAdvance(letter))) for letter in said]).tolist()]

    def write(self, p: QPainter, x: float, baseline: float, said: str, ink: QColor) -> None:
        if self.style == "outline":
            p.save()
            p.setRenderHint(QPainter.RenderHint.Antialiasing, self.smooth)
            p.fillPath(self.shape(x, baseline, said), ink)
            p.restore()
            return
        times = p.transform().m11()
        p.save()
        p.resetTransform()
        p.setFont(self.font(self.size * times))
        p.setPen(ink)
        for letter, place in zip(said, self.places(said), strict=False):
            p.drawText(QPointF(round(x) + place, round(baseline)) * times, letter)
        p.restore()

    def shape(self, x: float, baseline: float, said: str) -> QPainterPath:
        path = QPainterPath()
        path.addText(0, 0, self.font(OUTLINE), said)
        path.setFillRule(Qt.FillRule.WindingFill)
        scale = self.size / OUTLINE
        return QTransform(scale, 0, 0, scale, x, baseline).map(path)


@dataclass(frozen=True)
class Theme:
    paper: Rgb
    ink: Rgb
    accent: Rgb
    body: Lettering
    title: Lettering
    corner: float
    border: float
    opacity: int
    over: str  # what sets text apart that stands on no panel: "shadow", "edge" or nothing


def choose_lettering(r: Random, families: list[str], low: int, high: int) -> Lettering:
    style = str(r.choice(STYLES, p=(0.4, 0.3, 0.15, 0.15)))
    size = r.uniform(low, high) if style == "outline" else float(r.integers(low, high + 1))
    return Lettering(str(r.choice(families)), float(size), bool(r.random() < 0.3), style, bool(r.random() < 0.85))


def make_rgb(levels: np.ndarray) -> Rgb:
    red, green, blue = (int(v) for v in np.clip(levels, 0, 255))
    return red, green, blue


def choose_theme(r: Random, families: list[str]) -> Theme:
    tint = r.normal(0, 18, 3)
    dark, light = make_rgb(r.uniform(0, 75) + tint), make_rgb(r.uniform(175, 255) + tint / 2)
    paper, ink = (dark, light) if r.random() < 0.65 else (light, dark)
    return Theme(
        *(paper, ink, make_rgb(r.uniform(0, 256, 3))),
        body=choose_lettering(r, families, 7, int(r.choice((9, 11, 13, 16)))),
        title=choose_lettering(r, families, 12, int(r.choice((18, 26, 40)))),
        corner=float(r.choice((0, 0, 2, 4, 8))),
        border=float(r.choice((0, 0.5, 1, 1, 2))),
        opacity=int(r.choice((255, 255, 220, 160))),
        over=str(r.choice(("", "shadow", "edge"))),
    )


def choose_word(r: Random) -> str:
    kind = r.random()
    if kind < 0.6:
        return str(r.choice(WORDS))
    if kind < 0.75:
        return str(r.integers(0, 10 ** int(r.integers(1, 6))))
    if kind < 0.82:
        return str(r.choice(SIGNS))
    made = "".join(r.choice(SYLLABLES, int(r.integers(1, 4))))
    return made.capitalize() if r.random() < 0.5 else made.upper() if r.random() < 0.2 else made


def choose_fitting_words(r: Random, how: Lettering, room: float) -> str:
    """Words that fit into `room` units."""
    said = ""
    for _ in range(40):
        longer = f"{said} {choose_word(r)}".strip()
        if how.places(longer)[-1] > room:
            break
        said = longer
    return said


def write_label(p: QPainter, t: Theme, how: Lettering, x: float, baseline: float, said: str, ink: QColor) -> None:
    """Text that stands on the game's picture."""
    around = QColor(0, 0, 0) if ink.lightness() > 110 else QColor(255, 255, 255)
    if t.over == "shadow":
        how.write(p, x + 1, baseline + 1, said, around)
    elif t.over == "edge" and how.style == "outline":
        p.strokePath(how.shape(x, baseline, said), QPen(around, 2))
    elif t.over == "edge":
        for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            how.write(p, round(x) + dx, round(baseline) + dy, said, around)
    how.write(p, x, baseline, said, ink)


def write_paragraphs(p: QPainter, r: Random, t: Theme, box: QRectF) -> None:
    step = t.body.size * float(r.uniform(1.2, 1.6))
    y = box.top() + t.body.size + 3
    while y < box.bottom() - 2:
        ink = QColor(*(t.accent if r.random() < 0.1 else t.ink))
        t.body.write(
            p, box.left() + 5, y, choose_fitting_words(r, t.body, (box.width() - 10) * r.choice((1, 1, 0.5))), ink
        )
        y += step


def paint_rows(p: QPainter, r: Random, t: Theme, box: QRectF) -> None:
    """Names to the left; values, sliders, ticks or bars to the right; one row is chosen."""
    step = t.body.size * float(r.uniform(1.4, 2))
    chosen, kind = int(r.integers(8)), int(r.integers(4))
    for row in range(int((box.height() - 4) / step)):
        y = box.top() + 2 + row * step
        if row == chosen:
            p.fillRect(QRectF(box.left() + 2, y, box.width() - 4, step), QColor(*t.accent, 150))
        baseline = y + step / 2 + t.body.size * 0.35
        t.body.write(p, box.left() + 6, baseline, choose_fitting_words(r, t.body, box.width() * 0.55), QColor(*t.ink))
        right = QRectF(box.right() - box.width() * 0.3, y + step * 0.25, box.width() * 0.3 - 6, step * 0.5)
        if kind == 0:
            value = f"{r.integers(0, 1000)}{r.choice(('', '%', '/100', ' px', 'x', '.5'))}"
            t.body.write(p, box.right() - 6 - t.body.places(value)[-1], baseline, value, QColor(*t.ink))
        elif kind == 1:
            paint_bar(p, r, t, right)
        elif kind == 2:
            p.setPen(QPen(QColor(*t.ink), 1))
            p.setBrush(Qt.BrushStyle.NoBrush)
            p.drawRect(QRectF(right.right() - right.height(), right.top(), right.height(), right.height()))
            if r.random() < 0.5:
                corner = QPointF(right.right() - right.height() / 2, right.bottom() - 1)
                p.drawLine(corner, QPointF(right.right() + 2, right.top() - 1))
        else:
            p.setPen(QPen(QColor(*t.ink, 160), 1))
            p.drawLine(QPointF(right.left(), right.center().y()), QPointF(right.right(), right.center().y()))
            p.setBrush(QColor(*t.accent))
            p.drawEllipse(QPointF(right.left() + right.width() * r.random(), right.center().y()), step / 4, step / 4)


def paint_bar(p: QPainter, r: Random, t: Theme, box: QRectF) -> None:
    p.fillRect(box, QColor(*t.paper))
    p.fillRect(QRectF(box.left(), box.top(), box.width() * r.random(), box.height()), QColor(*t.accent))
    p.setBrush(Qt.BrushStyle.NoBrush)
    p.setPen(QPen(QColor(*t.ink), 1))
    p.drawRect(box)


def paint_slots(p: QPainter, r: Random, t: Theme, box: QRectF) -> None:
    """An inventory: squares with simple icons and small numbers."""
    side = float(r.uniform(14, 30))
    small = Lettering(t.body.family, 7.0, t.body.bold, t.body.style, t.body.smooth)
    for row in range(int((box.height() - 4) / side)):
        for column in range(int((box.width() - 4) / side)):
            cell = QRectF(box.left() + 3 + column * side, box.top() + 3 + row * side, side - 2, side - 2)
            p.setPen(QPen(QColor(*t.ink, 140), max(0.5, t.border)))
            p.setBrush(QColor(*t.paper, 200))
            p.drawRoundedRect(cell, t.corner / 2, t.corner / 2)
            if r.random() < 0.6:
                paint_icon(p, r, cell)
            if r.random() < 0.4:
                small.write(p, cell.left() + 2, cell.bottom() - 2, str(r.integers(1, 100)), QColor(*t.ink))


def paint_icon(p: QPainter, r: Random, cell: QRectF) -> None:
    inner = cell.adjusted(3, 3, -3, -3)
    p.setPen(QPen(QColor(*make_rgb(r.uniform(0, 90, 3))), float(r.choice((0.5, 1)))))
    p.setBrush(QColor(*make_rgb(r.uniform(60, 256, 3))))
    if r.random() < 0.4:
        p.drawEllipse(inner)
        return
    corners = r.random((int(r.integers(3, 7)), 2)) * (inner.width(), inner.height())
    p.drawPolygon(QPolygonF([QPointF(inner.left() + x, inner.top() + y) for x, y in corners]))


def paint_chart(p: QPainter, r: Random, t: Theme, box: QRectF) -> None:
    """Thin lines: a grid, a curve, a radar, nodes with cables."""
    p.setBrush(Qt.BrushStyle.NoBrush)
    step = float(r.uniform(8, 20))
    p.setPen(QPen(QColor(*t.ink, 60), float(r.choice((0.5, 1)))))
    for i in range(1, int(box.width() / step)):
        p.drawLine(QPointF(box.left() + i * step, box.top() + 2), QPointF(box.left() + i * step, box.bottom() - 2))
    for _ in range(int(r.integers(1, 5))):
        p.setPen(QPen(QColor(*make_rgb(r.uniform(40, 256, 3))), float(r.choice((0.5, 1, 1.5, 2)))))
        ends = [QPointF(box.left() + x * box.width(), box.top() + y * box.height()) for x, y in r.random((4, 2))]
        path = QPainterPath(ends[0])
        path.cubicTo(*ends[1:])
        p.drawPath(path)
        p.drawEllipse(ends[0], float(r.uniform(2, 20)), float(r.uniform(2, 20)))


def paint_panel(p: QPainter, r: Random, t: Theme, box: QRectF) -> None:
    """A framed box, perhaps with a title bar, filled in one way."""
    p.setPen(QPen(QColor(*(t.accent if r.random() < 0.3 else t.ink)), t.border) if t.border else Qt.PenStyle.NoPen)
    fill = QLinearGradient(box.topLeft(), box.bottomLeft())
    fill.setColorAt(0, QColor(*t.paper, t.opacity))
    fill.setColorAt(1, QColor(*t.paper, t.opacity).darker(int(r.choice((100, 100, 130)))))
    p.setBrush(fill)
    p.drawRoundedRect(box, t.corner, t.corner)
    if r.random() < 0.4 and box.height() > 50:
        head = t.title if t.title.size < 20 else t.body
        p.fillRect(QRectF(box.left() + 1, box.top() + 1, box.width() - 2, head.size * 1.5), QColor(*t.accent, 120))
        head.write(
            p,
            box.left() + 5,
            box.top() + head.size * 1.15,
            choose_fitting_words(r, head, box.width() - 10),
            QColor(*t.ink),
        )
        box = box.adjusted(0, head.size * 1.5 + 2, 0, 0)
    kinds = (write_paragraphs, paint_rows, paint_slots, paint_chart)
    p.save()
    p.setClipRect(box)
    kinds[int(r.choice(4, p=(0.4, 0.35, 0.15, 0.1)))](p, r, t, box)
    p.restore()


def divide(r: Random, box: QRectF, depth: int) -> list[QRectF]:
    """The screen cut into boxes with gaps, as a page of a menu is."""
    if depth == 0 or min(box.width(), box.height()) < 70:
        return [box.adjusted(2, 2, -2, -2)]
    cut = float(r.uniform(0.3, 0.7))
    if box.width() > box.height() * r.uniform(0.8, 1.8):
        halves = [QRectF(box.left(), box.top(), box.width() * cut, box.height())]
        halves.append(QRectF(halves[0].right(), box.top(), box.width() * (1 - cut), box.height()))
    else:
        halves = [QRectF(box.left(), box.top(), box.width(), box.height() * cut)]
        halves.append(QRectF(box.left(), halves[0].bottom(), box.width(), box.height() * (1 - cut)))
    return [part for half in halves for part in divide(r, half, depth - 1)]


def list_frames(folders: list[Path]) -> list[Path]:
    """The small frames of pairs to paint over; the large ones stand beside them in hr/."""
    return sorted(path for folder in folders for path in (folder / "lr").iterdir())


def paint_background(p: QPainter, r: Random, t: Theme, games: list[Path]) -> bool:
    """What is behind the interface; whether it is a game's frame."""
    if games and r.random() < 0.5:
        small = games[int(r.integers(len(games)))]
        large = small.parent.parent / "hr" / small.name
        p.save()
        p.resetTransform()
        p.drawImage(0, 0, QImage(str(small if p.device().width() == WIDTH else large)))  # type: ignore[union-attr]
        p.restore()
        return True
    fade = QLinearGradient(0, 0, *(float(v) for v in r.uniform(0, WIDTH, 2)))
    fade.setColorAt(0, QColor(*make_rgb(np.array(t.paper) + r.normal(0, 30, 3))))
    fade.setColorAt(1, QColor(*make_rgb(np.array(t.paper) + r.normal(0, 30, 3))))
    p.fillRect(QRectF(0, 0, WIDTH, HEIGHT), fade)
    return False


def paint_menu(p: QPainter, r: Random, families: list[str], games: list[Path]) -> None:
    """A page of panels, or a HUD over a game."""
    t = choose_theme(r, families)
    p.setRenderHint(QPainter.RenderHint.Antialiasing, bool(r.random() < 0.75))
    playing = paint_background(p, r, t, games)
    boxes = divide(r, QRectF(2, 2, WIDTH - 4, HEIGHT - 4), int(r.integers(1, 4)))
    for box in boxes:
        if r.random() < (0.5 if playing else 0.85):
            paint_panel(p, r, t, box)
        for _ in range(int(r.integers(0, 4)) if playing else 0):
            how = t.body if r.random() < 0.7 else t.title
            x, y = (float(v) for v in r.random(2))
            at = QPointF(box.left() + x * box.width() / 2, box.top() + 10 + y * (box.height() - 10))
            ink = QColor(*(t.accent if r.random() < 0.3 else t.ink))
            write_label(p, t, how, at.x(), at.y(), choose_fitting_words(r, how, box.width() / 2), ink)
