"""The window that a graphics card draws by itself: pictures that it upscaled never leave its memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

import numpy as np
from PyQt6.QtCore import QEvent, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QGuiApplication, QHideEvent, QImage, QPaintEvent, QPlatformSurfaceEvent, QShowEvent, QWindow

from live_sr.errors import EngineError, LiveSRError
from live_sr.overlay.canvas_painter import CanvasPainter
from live_sr.overlay.cursor import DrawnCursor
from live_sr.overlay.raster_window import RasterWindow
from live_sr.overlay.surface import ImagePainter, Mode, Vsync, begin_painting
from live_sr.pipeline.canvas import Canvas, NativeWindow, OpenCanvas, Sprite
from live_sr.pipeline.display_picture import HostPicture
from live_sr.pipeline.frame import Frame, Pixels, Rect
from live_sr.system.xcb import Connection

log = logging.getLogger(__name__)

PLATFORMS = ("xcb", "windows")  # Qt's names of what draws its windows
REOPEN_MS = (500, 1000, 2000, 5000, 15000)  # waits before a lost graphics card is asked again; the last repeats
STEADY_S = 60.0  # a card that is lost sooner than that was not really back, and the waits grow on


class GpuWindow(RasterWindow):
    """Fulfils `Surface` with a window within the window, which covers it and which the graphics card draws into.

    When the card is lost, the inner window is hidden as soon as there is a picture in main memory, and the CPU paints
    the outer one until the card is back: the card cannot share a window with the CPU, on Windows for good.
    """

    shows_device_pictures = compares_device_pictures = True
    _lost = pyqtSignal(str)
    _found = pyqtSignal(object)

    def __init__(self, mode: Mode, vsync: Vsync, aspect: float | None, open_canvas: OpenCanvas) -> None:
        """`aspect`: the ratio of width to height that pictures get; None: their own. Raises EngineError, MissingPart or
        DisplayLost where the card cannot draw into windows."""
        platform = QGuiApplication.platformName()
        if platform not in PLATFORMS:
            raise EngineError(f"graphics cards cannot draw into windows of {platform}", "use X11 or XWayland")
        super().__init__(mode, aspect)
        self.winId()  # which creates the window
        self._report_failure: Callable[[str], None] = lambda why: None
        self._waits = vsync != "off"
        self._open_canvas = open_canvas
        self._connection = Connection() if platform == "xcb" else None
        self._painter = CanvasPainter(self.feed, aspect, self._lost.emit)
        self._inner = InnerWindow(self.windowHandle(), self._draw_exposed, self._release)
        self._sprite_images: dict[str, tuple[QImage, Pixels]] = {}
        self._failures = 0  # since the card last drew for STEADY_S
        self._found_s = monotonic()  # when the card was last opened
        self._opener: threading.Thread | None = None
        self._retry = QTimer(self)
        self._retry.setSingleShot(True)
        self._retry.timeout.connect(self._start_opening)
        # PyQt6's stubs leave out the second argument.
        self._lost.connect(self._fall_back, Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]
        self._found.connect(self._return_to_card, Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]
        self.resized.connect(self._fit_inner)
        try:
            self._painter.use(self._open(), None)
        except LiveSRError:
            self.deleteLater()
            raise

    def on_device_failure(self, report: Callable[[str], None]) -> None:
        self._report_failure = report

    def set_hud(self, hud: ImagePainter | None) -> None:
        super().set_hud(hud)
        self.refresh()

    def show_cursor(self, cursor: DrawnCursor | None) -> None:
        if not self._painter.has_canvas:
            super().show_cursor(cursor)
        elif self._cursor.change(cursor):
            self._collect_sprites()
            self._painter.request()

    def find_picture(self) -> Rect | None:
        return self._painter.find_picture(self.get_room()) if self._painter.has_canvas else super().find_picture()

    def is_ready(self) -> bool:
        if self._painter.has_canvas:
            return self._painter.is_ready
        return super().is_ready() or self._inner.isVisible()  # which keeps the outer one from being exposed

    def present(self) -> None:
        if self._painter.has_canvas:
            self._painter.request()
        else:
            super().present()
            self._uncover()

    def present_here(self) -> bool:
        return self._painter.draw()

    def refresh(self) -> None:
        self._collect_sprites()
        if self._painter.has_canvas:
            self._painter.request()
        else:
            super().refresh()

    def _collect_sprites(self) -> None:
        """What lies over the picture, as pixels that other threads can read."""
        sprites = []
        found = self._hud.find_image(self.get_room()) if self._hud is not None else None
        if found is not None:
            image, x, y = found
            sprites.append(Sprite(self._read_image("hud", image), x, y))
        where = self._cursor.rect
        if where is not None:
            sprites.append(Sprite(self._read_image("cursor", self._cursor.image), where.x, where.y))
        self._painter.set_sprites(sprites)

    def _read_image(self, name: str, image: QImage) -> Pixels:
        known = self._sprite_images.get(name)
        if known is None or known[0] is not image:
            known = self._sprite_images[name] = (image, copy_image(image))
        return known[1]

    def _draw_exposed(self, exposed: bool) -> None:
        """The inner window has come on the screen, is to be drawn again, or is gone from the screen."""
        self._painter.set_room(self.get_room() if exposed else None)
        if exposed:
            self._collect_sprites()
            self._painter.request()

    def _fit_inner(self) -> None:
        self._inner.setGeometry(0, 0, self.width(), self.height())

    # A lost card

    def _fall_back(self, why: str) -> None:
        """The CPU paints. If the newest picture is on the card it is lost, and the CPU begins with the next one."""
        if monotonic() - self._found_s > STEADY_S:
            self._failures = 0
        self._report_failure(why)
        picture = self._painter.picture
        if picture is not None and not picture.on_device:
            self._go_over_to(Frame(picture))
        self.present()
        self._try_later()

    def _uncover(self) -> None:
        """Shows what the CPU has painted."""
        if self._inner.isVisible() and self._pixels is not None:
            self._inner.hide()
            self.repaint()

    def _try_later(self) -> None:
        self._retry.start(REOPEN_MS[min(self._failures, len(REOPEN_MS) - 1)])
        self._failures += 1

    def _start_opening(self) -> None:
        self._opener = threading.Thread(target=self._reopen, name="live-sr canvas", daemon=True)
        self._opener.start()

    def _reopen(self) -> None:
        """On a thread of its own, since drivers take their time after a reset."""
        canvas: Canvas | None = None
        try:
            canvas = self._open()
        except LiveSRError as error:
            log.debug("the window is still drawn by the CPU: %s", error.message)
        self._found.emit(canvas)

    def _return_to_card(self, canvas: Canvas | None) -> None:
        if self._opener is not None:
            self._opener.join()
        if canvas is None:
            self._try_later()
            return
        self._found_s = monotonic()
        self._painter.use(canvas, HostPicture(self._pixels) if self._pixels is not None else None)
        self._pixels, self._image, self._revision = None, QImage(), None
        if self.isVisible():
            self._inner.show()
        self._report_failure("")

    def _release(self) -> None:
        """Before the inner window is destroyed; then most of this one may be gone."""
        if self._opener is not None:
            self._opener.join()
        self._painter.close()

    def _open(self) -> Canvas:
        address = self._connection.address if self._connection is not None else 0
        return self._open_canvas(NativeWindow(self._inner.number, address), self._waits)

    def _take_newest(self) -> None:
        with suppress(EngineError):  # it was on the card: the picture before it stays
            super()._take_newest()

    # Qt calls these

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        if self._painter.has_canvas:  # what is seen of this window while it grows is black
            painter = begin_painting(self)
            painter.fillRect(0, 0, *self.get_room(), Qt.GlobalColor.black)
            painter.end()
        else:
            super().paintEvent(event)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        self._fit_inner()
        self._inner.setVisible(self._painter.has_canvas)
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        self._painter.set_room(None)
        self._inner.hide()
        super().hideEvent(event)


class InnerWindow(QWindow):
    """The window that the card draws into. Clicks pass through it, to the window around it."""

    def __init__(self, outer: QWindow | None, draw: Callable[[bool], None], release: Callable[[], None]) -> None:
        """`draw` gets whether it is on the screen, when it must be drawn. `release` is called before its end."""
        super().__init__(outer)
        self._draw = draw
        self._release = release
        self.setFlags(Qt.WindowType.FramelessWindowHint | Qt.WindowType.WindowTransparentForInput)
        self.create()
        self.number = int(self.winId())

    def event(self, event: QEvent | None) -> bool:
        kind = event.type() if event is not None else QEvent.Type.None_
        if kind == QEvent.Type.PlatformSurface:
            assert isinstance(event, QPlatformSurfaceEvent)
            if event.surfaceEventType() == QPlatformSurfaceEvent.SurfaceEventType.SurfaceAboutToBeDestroyed:
                self._release()
        handled = super().event(event)
        if kind in (QEvent.Type.Expose, QEvent.Type.Resize):
            self._draw(self.isExposed())
        return handled


def copy_image(image: QImage) -> Pixels:
    """The pixels of an image with premultiplied alpha, BGRA."""
    image = image.convertToFormat(QImage.Format.Format_ARGB32_Premultiplied)
    address = image.constBits()
    assert address is not None
    rows = np.frombuffer(address.asstring(image.sizeInBytes()), np.uint8)
    return rows.reshape(image.height(), image.bytesPerLine() // 4, 4)[:, : image.width()].copy()
