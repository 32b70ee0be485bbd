"""The game's cursor, drawn over the picture: it moves more often than the picture changes."""

from __future__ import annotations

from math import floor
from typing import NamedTuple

from PyQt6 import sip
from PyQt6.QtCore import Qt
from PyQt6.QtGui import QImage, QPainter

from live_sr.pipeline.desktop_contracts import CursorShape
from live_sr.pipeline.frame import Rect, Size, get_size


class DrawnCursor(NamedTuple):
    """A cursor, `scale` times as large as its shape. x, y: its hotspot in the window, in physical pixels."""

    shape: CursorShape
    scale: float
    x: float
    y: float


class CursorLayer:
    """What a window draws last. It keeps the enlarged shape until another one comes."""

    def __init__(self) -> None:
        self._drawn: DrawnCursor | None = None
        self._image = QImage()

    @property
    def rect(self) -> Rect | None:
        """What the cursor covers of the window; None: there is none."""
        if self._drawn is None or self._image.isNull():
            return None
        shape, scale, x, y = self._drawn
        left, top = (floor(at - hot * scale) for at, hot in zip((x, y), shape.hotspot, strict=True))
        return Rect(left, top, self._image.width(), self._image.height())

    def change(self, cursor: DrawnCursor | None) -> list[Rect]:
        """Shows this cursor from now on. Returns what is to be painted again; nothing if it looks the same."""
        before, old = self.rect, self._drawn
        self._drawn = cursor
        same = cursor is not None and old is not None and (old.shape is cursor.shape and old.scale == cursor.scale)
        if not same:
            self._image = _enlarge(cursor.shape, cursor.scale) if cursor is not None else QImage()
        after = self.rect
        return [] if same and before == after else [rect for rect in (before, after) if rect is not None]

    @property
    def image(self) -> QImage:
        """What is drawn at `rect`. The same object as long as it looks the same."""
        return self._image

    def paint(self, painter: QPainter) -> None:
        """`painter` works in physical pixels."""
        rect = self.rect
        if rect is not None:
            painter.drawImage(rect.x, rect.y, self._image)


def _enlarge(shape: CursorShape, scale: float) -> QImage:
    """The shape as an image of its own; a null one if nothing of it is seen."""
    if shape.is_empty:
        return QImage()
    size = get_size(shape.pixels)
    image: QImage = QImage(
        sip.voidptr(shape.pixels.ctypes.data),  # type: ignore[call-overload]
        *size,
        size.width * 4,
        QImage.Format.Format_ARGB32_Premultiplied,
    )
    target = Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))
    if target == size:
        return image.copy()
    smooth = Qt.TransformationMode.SmoothTransformation
    return image.scaled(*target, Qt.AspectRatioMode.IgnoreAspectRatio, smooth)
