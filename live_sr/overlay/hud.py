"""The figures over the picture: what `hud_text` says, painted a few times a second and laid over every frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QFont, QFontDatabase, QFontMetricsF, QImage, QPainter, QPen

from live_sr.frame import Size
from live_sr.overlay.hud_text import COLUMNS, GUIDES_MS, LEVELS, HudState, Level, Row, Tone, lines, rows, tone_of

__all__ = ["LEVELS", "Corner", "Hud", "HudState", "Level", "lines"]

Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]

GRAPH_MS = 50.0  # the graph's upper end
GRAPH_LINES = 4  # its height, in lines of text


class Hud:
    """Text on a small picture of its own, painted anew only by `update`; `paint` lays it over every frame."""

    def __init__(self, level: Level = "line", corner: Corner = "top-left") -> None:
        self.level: Level = level
        self.corner: Corner = corner
        self._picture = QImage()

    @property
    def problem(self) -> str:
        """Why nothing can be read, as a sentence for the log; empty if all is well."""
        if legible():
            return ""
        return "There is no font on this system, so the HUD is not shown: install one (Debian: fonts-dejavu-core)."

    def next_level(self) -> Level:
        """Goes over to it; off follows detail."""
        self.level = LEVELS[(LEVELS.index(self.level) + 1) % len(LEVELS)]
        return self.level

    def update(self, state: HudState, room: Size) -> None:
        """Paint the text for a window with `room` physical pixels. To be called a few times a second."""
        if self.level == "off" or not legible():
            self._picture = QImage()
            return
        self._picture = self._fitting(state, room).painted()

    def _fitting(self, state: HudState, room: Size) -> Panel:
        """In as large a font as fits; in a small window without the rows about the graphics card."""
        inside = Size(room.width - 2 * margin_in(room), room.height - 2 * margin_in(room))
        wanted = max(11, min(28, round(7 + room.height / 100)))
        for said in (state, replace(state, gpu=None, advice="")):
            for pixels in range(wanted, 6, -1):
                panel = Panel(said, self.level, hud_font(pixels), room)
                if panel.size.width <= inside.width and panel.size.height <= inside.height:
                    return panel
        return panel

    def paint(self, painter: QPainter, room: Size) -> None:
        """Into its corner. Costs one drawing of a small picture."""
        if self.level == "off" or self._picture.isNull():
            return
        margin = margin_in(room)
        left, top = "left" in self.corner, "top" in self.corner
        x = margin if left else room.width - self._picture.width() - margin
        y = margin if top else room.height - self._picture.height() - margin
        painter.drawImage(max(0, x), max(0, y), self._picture)


def margin_in(room: Size) -> int:
    """Between the HUD and the edges, in pixels."""
    return max(2, room.height // 90)


def hud_font(pixels: int) -> QFont:
    """DejaVu Sans Mono, or what the system has for text in columns."""
    if "DejaVu Sans Mono" in QFontDatabase.families():
        font = QFont("DejaVu Sans Mono")
    else:
        font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        font.setStyleHint(QFont.StyleHint.Monospace)
    font.setPixelSize(pixels)
    return font


def legible() -> bool:
    """Whether there is a font with digits. Without any font at all Qt names three families and draws empty boxes."""
    return QFontMetricsF(hud_font(12)).inFont("0")


class Panel:
    """One arrangement of the text, in one font."""

    def __init__(self, state: HudState, level: Level, font: QFont, room: Size) -> None:
        metrics = QFontMetricsF(font)
        self._font = font
        self._metrics = metrics
        self._pad = round(metrics.height() * 0.6)
        columns = int((room.width - 2 * self._pad) * 0.95 / max(1.0, metrics.horizontalAdvance("0")))
        columns = max(20, columns if level == "line" else min(columns, COLUMNS))
        self._above, self._below = rows(state, level, columns)
        self._intervals: list[float] = state.report.intervals_ms.tolist() if level == "detail" else []
        self._graphed = level == "detail"
        width = max((self._advance(row) for row in self._above + self._below), default=0.0)
        height = sum(self._step(row) for row in self._above + self._below)
        height += metrics.height() * (GRAPH_LINES + 1) if self._graphed else 0
        self._width = width
        self.size = Size(round(width) + 2 * self._pad, round(height) + round(1.4 * self._pad))

    def _advance(self, row: Row) -> float:
        return sum(self._metrics.horizontalAdvance(span.text) for span in row)

    def _step(self, row: Row) -> float:
        return self._metrics.height() * (1.0 if row else 0.5)

    def painted(self) -> QImage:
        picture = QImage(self.size.width, self.size.height, QImage.Format.Format_ARGB32_Premultiplied)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(255, 255, 255, 36), 1))
        painter.setBrush(QColor(12, 14, 18, 208))
        painter.drawRoundedRect(QRectF(picture.rect()).adjusted(0.5, 0.5, -0.5, -0.5), self._pad * 0.6, self._pad * 0.6)
        painter.setFont(self._font)
        y = self._write(painter, self._above, self._pad * 0.7)
        if self._graphed:
            y = self._graph(painter, y + self._metrics.height() * 0.5)
        self._write(painter, self._below, y)
        painter.end()
        return picture

    def _write(self, painter: QPainter, part: list[Row], y: float) -> float:
        for row in part:
            x = float(self._pad)
            for span in row:
                painter.setPen(QColor(span.tone.value))
                painter.drawText(QPointF(x, y + self._metrics.ascent()), span.text)
                x += self._metrics.horizontalAdvance(span.text)
            y += self._step(row)
        return y

    def _graph(self, painter: QPainter, y: float) -> float:
        """The time between shown frames, the newest at the right; returns where the text goes on."""
        line = self._metrics.height()
        small = QFont(self._font)
        small.setPixelSize(max(7, round(self._font.pixelSize() * 0.8)))
        painter.setFont(small)
        labels = QFontMetricsF(small).horizontalAdvance("33.3 ms") + line * 0.3  # kept free for them at the right
        left, width, height = float(self._pad), self._width - labels, line * GRAPH_LINES
        painter.fillRect(QRectF(left, y, width, height), QColor(255, 255, 255, 14))
        bar = max(1, round(line / 8))
        newest = self._intervals[-int(width // bar) :]
        for back, ms in enumerate(reversed(newest), 1):
            tall = min(ms, GRAPH_MS) / GRAPH_MS * height
            colour = QColor(tone_of(ms).value)
            colour.setAlpha(180)
            painter.fillRect(QRectF(left + width - back * bar, y + height - tall, bar, tall), colour)
        for guide in GUIDES_MS:
            at = round(y + height - guide / GRAPH_MS * height) + 0.5
            painter.setPen(QPen(QColor(255, 255, 255, 150), 1, Qt.PenStyle.DashLine))
            painter.drawLine(QPointF(left, at), QPointF(left + width, at))
            painter.setPen(QColor(Tone.DIM.value))
            painter.drawText(QPointF(left + width + line * 0.3, at + line * 0.25), f"{guide:.1f} ms")
        painter.setFont(self._font)
        return y + height + line * 0.5
