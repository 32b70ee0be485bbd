"""Paints the HUD: text from `hud_text`, painted a few times a second and drawn over every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QFont, QFontDatabase, QFontMetricsF, QImage, QPainter, QPen

from live_sr.overlay.hud_text import (
    COLUMNS,
    GUIDES_MS,
    LEVELS,
    NARROWEST,
    NARROWEST_DETAIL,
    HudState,
    Level,
    choose_tone,
    format_rows,
    wrap_status,
)
from live_sr.overlay.surface import compute_bars
from live_sr.overlay.text_rows import TextRow, Tone
from live_sr.pipeline.frame import Rect, Size

Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]

GRAPH_MS = 50.0  # the graph's upper end
GRAPH_LINES = 4  # its height, in lines of text
SMALLEST_FONT = 9  # pixels: smaller text cannot be read
BAR_MARGIN = 2  # pixels around the HUD in a bar beside the picture


class HudOverlay:
    """Text on a small image, which only `update` paints anew; `paint` draws the image over every frame."""

    def __init__(self, level: Level = "line", corner: Corner = "top-left") -> None:
        self.level: Level = level
        self.corner: Corner = corner
        self._fonts: dict[int, HudFont] = {}
        self._image = QImage()
        self._place = Rect(0, 0, 1, 1)  # what the image was fitted into, in a window
        self._room = Size(1, 1)  # of this size

    @property
    def problem(self) -> str:
        """Why no text can be shown, as a sentence for the log; empty if it can."""
        if has_readable_font():
            return ""
        return "There is no font on this system, so the HUD is not shown: install one (Debian: fonts-dejavu-core)."

    def select_next_level(self) -> Level:
        """Selects the next level and returns it; off follows detail."""
        self.level = LEVELS[(LEVELS.index(self.level) + 1) % len(LEVELS)]
        if self.level == "off":
            self._image = QImage()
        return self.level

    def update(self, state: HudState, room: Size, picture: Rect | None = None) -> None:
        """Paints the text for a window of `room` physical pixels. Call it a few times a second.

        `picture`: where in the window the game's picture lies; None: there is none yet.
        """
        self._image, self._room = QImage(), room
        if not has_readable_font():
            return
        panel, place = self._choose_panel(state, room, picture)
        if panel.rows:
            self._image, self._place = panel.paint(), place

    def _choose_panel(self, state: HudState, room: Size, picture: Rect | None) -> tuple[HudPanel, Rect]:
        """The panel in the largest font that fits beside the picture, or else over it; and where to fit it in.

        Over the picture of a small window it says less: nothing about the GPU, and then only the line.
        """
        wanted = choose_font_size(room)
        for bar in self._list_bars(picture, room):
            stacked = bar.width < bar.height
            inside = Size(bar.width - 2 * BAR_MARGIN, bar.height - 2 * BAR_MARGIN)
            smallest = lay_out(state, self.level, self._get_font(SMALLEST_FONT), inside, stacked=stacked)
            for pixels in range(wanted, SMALLEST_FONT - 1, -1) if smallest.fits(inside) else ():
                panel = lay_out(state, self.level, self._get_font(pixels), inside, stacked=stacked)
                if panel.fits(inside):
                    return panel, shrink(bar, BAR_MARGIN)
        whole = shrink(Rect(0, 0, *room), compute_margin(room))
        tries: list[tuple[HudState, Level]] = [(state, self.level), (replace(state, gpu=None, advice=""), self.level)]
        for said, level in (*tries, (state, "line")) if self.level == "detail" else tries[:1]:
            for pixels in range(wanted, SMALLEST_FONT - 1, -1):
                panel = lay_out(said, level, self._get_font(pixels), whole.size)
                if panel.fits(whole.size):
                    return panel, whole
        return panel, whole

    def _get_font(self, pixels: int) -> HudFont:
        if pixels not in self._fonts:
            self._fonts[pixels] = HudFont(pixels)
        return self._fonts[pixels]

    def _list_bars(self, picture: Rect | None, room: Size) -> list[Rect]:
        """The black bars beside the picture that touch the corner of the HUD."""
        corner = find_corner(Rect(0, 0, *room), Size(1, 1), self.corner)
        bars = compute_bars(picture, room) if picture is not None else []
        return [bar for bar in bars if bar.overlaps(Rect(*corner, 1, 1))]

    def paint_status(self, status: str, room: Size) -> QImage:
        """A picture of a sentence, for a monitor of that size on which there is no picture of the game."""
        if not status or not has_readable_font():
            return QImage()
        font = self._get_font(choose_font_size(room))
        panel = HudPanel(font)
        panel.above = wrap_status(status, min(COLUMNS, panel.count_columns(room.width)))
        return panel.paint()

    def paint(self, painter: QPainter, room: Size) -> None:
        """Draws the HUD into its corner. Costs one drawing of a small image."""
        found = self.find_image(room)
        if found is not None:
            image, x, y = found
            painter.drawImage(x, y, image)

    def find_image(self, room: Size) -> tuple[QImage, int, int] | None:
        """The HUD, and where it is in a window of that size; None: nothing is shown."""
        if self._image.isNull():
            return None
        place = self._place if room == self._room else shrink(Rect(0, 0, *room), compute_margin(room))
        x, y = find_corner(place, Size(self._image.width(), self._image.height()), self.corner)
        return self._image, max(0, x), max(0, y)


def find_corner(whole: Rect, size: Size, corner: Corner) -> tuple[int, int]:
    """Where something of that size begins in the corner of a rectangle."""
    x = whole.x if "left" in corner else whole.x + whole.width - size.width
    y = whole.y if "top" in corner else whole.y + whole.height - size.height
    return x, y


def shrink(rect: Rect, margin: int) -> Rect:
    """The rectangle without a margin on each side."""
    return Rect(rect.x + margin, rect.y + margin, rect.width - 2 * margin, rect.height - 2 * margin)


def choose_font_size(room: Size) -> int:
    """Pixels, for a window of that size."""
    return max(11, min(28, round(7 + room.height / 100)))


def compute_margin(room: Size) -> int:
    """Pixels between the HUD and the edges of the window."""
    return max(2, room.height // 90)


def make_font(pixels: int) -> QFont:
    """DejaVu Sans Mono, or the system's own monospace font."""
    if "DejaVu Sans Mono" in QFontDatabase.families():
        font = QFont("DejaVu Sans Mono")
    else:
        font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        font.setStyleHint(QFont.StyleHint.Monospace)
    font.setPixelSize(pixels)
    return font


def has_readable_font() -> bool:
    """Whether there is a font with digits. Without any font Qt still lists three families, and draws empty boxes."""
    return QFontMetricsF(make_font(12)).inFont("0")


class HudFont:
    """A size of the monospace font, with its measures in pixels."""

    def __init__(self, pixels: int) -> None:
        self.font = make_font(pixels)
        metrics = QFontMetricsF(self.font)
        self.line, self.ascent = metrics.height(), metrics.ascent()
        self.column = max(1.0, metrics.horizontalAdvance("0"))
        self.pad = round(self.line * 0.6)


def lay_out(state: HudState, level: Level, font: HudFont, inside: Size, *, stacked: bool = False) -> HudPanel:
    """The text in that font for a place of that size. stacked: in a narrow bar beside the picture."""
    panel = HudPanel(font)
    columns = panel.count_columns(inside.width)
    narrowest = NARROWEST_DETAIL if level == "detail" else NARROWEST if stacked else 20
    columns = max(narrowest, min(columns, COLUMNS) if level == "detail" else columns)
    panel.above, panel.below = format_rows(state, level, columns, stacked=stacked)
    if level == "detail":
        panel.intervals_ms = state.report.intervals_ms.tolist()
    return panel


class HudPanel:
    """One layout of the text, in one font. `intervals_ms`: those of the graph, if there is one."""

    def __init__(self, font: HudFont, above: Sequence[TextRow] = (), below: Sequence[TextRow] = ()) -> None:
        self._font = font
        self.above, self.below = above, below
        self.intervals_ms: list[float] | None = None

    @property
    def rows(self) -> list[TextRow]:
        return [*self.above, *self.below]

    @property
    def size(self) -> Size:
        height = sum(self._measure_height(row) for row in self.rows)
        height += self._font.line * (GRAPH_LINES + 1) if self.intervals_ms is not None else 0
        return Size(round(self._width) + 2 * self._font.pad, round(height) + round(1.4 * self._font.pad))

    @property
    def _width(self) -> float:
        return max((self._measure_width(row) for row in self.rows), default=0.0)

    def count_columns(self, width: int) -> int:
        """The characters in a row of a panel of that width."""
        return int((width - 2 * self._font.pad) / self._font.column)

    def fits(self, inside: Size) -> bool:
        size = self.size
        return size.width <= inside.width and size.height <= inside.height

    def _measure_width(self, row: TextRow) -> float:
        return self._font.column * sum(len(span.text) for span in row)

    def _measure_height(self, row: TextRow) -> float:
        return self._font.line * (1.0 if row else 0.5)

    def paint(self) -> QImage:
        picture = QImage(*self.size, QImage.Format.Format_ARGB32_Premultiplied)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(255, 255, 255, 36), 1))
        painter.setBrush(QColor(12, 14, 18, 208))
        painter.drawRoundedRect(
            QRectF(picture.rect()).adjusted(0.5, 0.5, -0.5, -0.5), self._font.pad * 0.6, self._font.pad * 0.6
        )
        painter.setFont(self._font.font)
        y = self._draw_rows(painter, self.above, self._font.pad * 0.7)
        if self.intervals_ms is not None:
            y = self._draw_graph(painter, self.intervals_ms, y + self._font.line * 0.5)
        self._draw_rows(painter, self.below, y)
        painter.end()
        return picture

    def _draw_rows(self, painter: QPainter, part: Sequence[TextRow], y: float) -> float:
        for row in part:
            x = float(self._font.pad)
            for span in row:
                painter.setPen(QColor(span.tone.value))
                painter.drawText(QPointF(x, y + self._font.ascent), span.text)
                x += self._font.column * len(span.text)
            y += self._measure_height(row)
        return y

    def _draw_graph(self, painter: QPainter, intervals_ms: list[float], y: float) -> float:
        """Draws the times between shown frames, the newest at the right. Returns the y at which the text continues."""
        line = self._font.line
        small = QFont(self._font.font)
        small.setPixelSize(max(7, round(self._font.font.pixelSize() * 0.8)))
        painter.setFont(small)
        labels = QFontMetricsF(small).horizontalAdvance("33.3 ms") + line * 0.3  # kept free for them at the right
        left, width, height = float(self._font.pad), self._width - labels, line * GRAPH_LINES
        painter.fillRect(QRectF(left, y, width, height), QColor(255, 255, 255, 14))
        bar = max(1, round(line / 8))
        newest = intervals_ms[-int(width // bar) :]
        for back, ms in enumerate(reversed(newest), 1):
            tall = min(ms, GRAPH_MS) / GRAPH_MS * height
            colour = QColor(choose_tone(ms).value)
            colour.setAlpha(180)
            painter.fillRect(QRectF(left + width - back * bar, y + height - tall, bar, tall), colour)
        for guide in GUIDES_MS:
            at = round(y + height - guide / GRAPH_MS * height) + 0.5
            painter.setPen(QPen(QColor(255, 255, 255, 150), 1, Qt.PenStyle.DashLine))
            painter.drawLine(QPointF(left, at), QPointF(left + width, at))
            painter.setPen(QColor(Tone.DIM.value))
            painter.drawText(QPointF(left + width + line * 0.3, at + line * 0.25), f"{guide:.1f} ms")
        painter.setFont(self._font.font)
        return y + height + line * 0.5
