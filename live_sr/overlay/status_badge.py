"""A small window that says why there is no picture, while the overlay itself is hidden."""

from __future__ import annotations

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QImage, QPainter, QPaintEvent
from PyQt6.QtWidgets import QWidget

from live_sr.overlay.hud import HudOverlay, compute_margin, find_corner, shrink
from live_sr.overlay.surface import TITLE, begin_painting, make_window_flags
from live_sr.pipeline.frame import Rect, Size


class StatusBadge(QWidget):
    """Shows a sentence in the HUD's corner of a monitor. Clicks go through it. Belongs to the GUI thread."""

    def __init__(self, hud: HudOverlay) -> None:
        super().__init__(None, make_window_flags("cover"))
        self._hud = hud
        self._image = QImage()
        self._shown: tuple[str, Rect] | None = None
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)

    @property
    def text(self) -> str:
        """What it says; empty while it is hidden."""
        return self._shown[0] if self._shown is not None else ""

    def say(self, text: str, monitor: Rect) -> None:
        """Shows the sentence on that monitor from now on. An empty one hides the window."""
        wanted = (text, monitor) if text else None
        if wanted == self._shown:
            return
        self._shown = wanted
        self._image = self._hud.paint_status(text, monitor.size)
        self.setWindowTitle(f"{TITLE}: {text}")
        if self._image.isNull():
            self.hide()
            return
        size = Size(self._image.width(), self._image.height())
        x, y = find_corner(shrink(monitor, compute_margin(monitor.size)), size, self._hud.corner)
        ratio = self.devicePixelRatioF()
        self.setGeometry(*(round(value / ratio) for value in (x, y, *size)))
        self.show()
        self.raise_()
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        painter = begin_painting(self)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
        painter.fillRect(self._image.rect(), Qt.GlobalColor.black)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceOver)
        painter.drawImage(0, 0, self._image)
        painter.end()
