"""The window that is painted by the CPU: for machines without a GPU, and where OpenGL is software."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil, floor

from PyQt6.QtCore import QEvent, QRect, Qt, pyqtSignal
from PyQt6.QtGui import QCloseEvent, QImage, QPaintEvent, QRegion, QResizeEvent
from PyQt6.QtWidgets import QWidget

from live_sr.overlay.cursor import CursorLayer, DrawnCursor
from live_sr.overlay.surface import (
    FIRST_SIZE,
    TITLE,
    FrameFeed,
    ImagePainter,
    Mode,
    begin_painting,
    compute_placement,
    get_physical_size,
    make_window_flags,
    paint_picture,
    wrap_pixels,
)
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Frame, Pixels, Rect, Revision, Size, get_size


class RasterWindow(QWidget):
    """Fulfils `Surface`: one copy into the window's shared memory, and nothing waits for a refresh of the screen.

    Where the engine says what has changed since the picture on screen, only that is painted.
    """

    resized = pyqtSignal()
    closed = pyqtSignal()
    shows_device_pictures = compares_device_pictures = False
    places_itself = False

    def __init__(self, mode: Mode, aspect: float | None = None) -> None:
        """`aspect`: the ratio of width to height that pictures get; None: their own."""
        super().__init__(None, make_window_flags(mode))
        self._aspect = aspect
        self.setWindowTitle(TITLE)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setAttribute(Qt.WidgetAttribute.WA_NativeWindow)  # its number is needed before it is visible
        if mode == "cover":
            self.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)
        self.resize(*FIRST_SIZE)
        self.feed = FrameFeed()
        self._hud: ImagePainter | None = None
        self._cursor = CursorLayer()
        self._pixels: Pixels | None = None  # on screen; `_image` only points to them
        self._image = QImage()
        self._revision: Revision | None = None  # of these pixels
        self._painted_room: Size | None = None  # the window's size when it was last painted as a whole

    def on_device_failure(self, report: Callable[[str], None]) -> None:
        """There is none: it shows nothing from a GPU's memory."""

    def set_hud(self, hud: ImagePainter | None) -> None:
        self._hud = hud
        self.update()

    def show_cursor(self, cursor: DrawnCursor | None) -> None:
        region = QRegion()
        for rect in self._cursor.change(cursor):
            region += QRegion(to_logical(rect, self.devicePixelRatioF()))
        if not region.isEmpty() and self.is_ready():
            self.repaint(region)

    def find_picture(self) -> Rect | None:
        if self._pixels is None:
            return None
        return compute_placement(get_size(self._pixels), self.get_room(), self._aspect)

    def get_room(self) -> Size:
        return get_physical_size(self)

    def place(self, rect: Rect) -> None:
        ratio = self.devicePixelRatioF()
        self.setGeometry(*(round(value / ratio) for value in rect))

    def is_ready(self) -> bool:
        handle = self.windowHandle()
        return self.isVisible() and handle is not None and handle.isExposed()

    def present(self) -> None:
        # repaint() hands it to the X server, or to DWM, before it returns; update() would wait
        shown = self._revision
        self._take_newest()
        changed = self._find_changes_since(shown)
        if changed is None:
            self.feed.present(self.repaint)
        elif changed.isEmpty():
            self.feed.present(lambda: None)
        else:
            self.feed.present(partial(self.repaint, changed))

    def present_here(self) -> bool:
        return False

    def refresh(self) -> None:
        self.update()

    def _take_newest(self) -> None:
        """Go over to the newest frame, if there is one: a window that comes back must not flash an old picture."""
        frame = self.feed.take_newest()
        if frame is not None:
            self._go_over_to(frame)

    def _go_over_to(self, frame: Frame[DisplayPicture]) -> None:
        self._pixels = pixels = frame.pixels.to_host()
        self._revision = frame.revision
        self._image = wrap_pixels(pixels)

    def _find_changes_since(self, shown: Revision | None) -> QRegion | None:
        """Where the window must be painted to go over from that picture to the newest. None: all of it."""
        room, place = self.get_room(), self.find_picture()
        if self._revision is None or self._pixels is None or place is None or room != self._painted_room:
            return None
        changes = self._revision.list_changes_since(shown)
        if changes is None or place.size != get_size(self._pixels):  # a resized part may differ at its edges
            return None
        region = QRegion()
        for rect in changes:
            moved = rect._replace(x=rect.x + place.x, y=rect.y + place.y)
            region += QRegion(to_logical(moved, self.devicePixelRatioF()))
        return region

    # Qt calls these

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        is_whole = event is None or QRegion(self.rect()).subtracted(event.region()).isEmpty()
        if is_whole:  # in a part of the window, a newer picture would be cut
            self._take_newest()
        room = self.get_room()
        if is_whole:
            self._painted_room = room
        painter = begin_painting(self)
        paint_picture(painter, self._image, room, self._aspect)
        if self._hud is not None:
            self._hud.paint(painter, room)
        self._cursor.paint(painter)
        painter.end()
        self.feed.end_paint()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        self.resized.emit()

    def event(self, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.DevicePixelRatioChange:
            self.resized.emit()
        return super().event(event)

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802
        self.closed.emit()


def to_logical(rect: Rect, ratio: float) -> QRect:
    """The smallest rectangle in device-independent pixels that covers one in physical pixels."""
    left, top = floor(rect.x / ratio), floor(rect.y / ratio)
    right, bottom = ceil((rect.x + rect.width) / ratio), ceil((rect.y + rect.height) / ratio)
    return QRect(left, top, right - left, bottom - top)
