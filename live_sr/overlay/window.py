"""The window that shows pictures: painted by the CPU here, by OpenGL in gl_window where there is a graphics card."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter_ns
from typing import Literal

from PyQt6 import sip
from PyQt6.QtCore import QEvent, QMessageLogContext, QObject, QRect, Qt, QtMsgType, pyqtSignal, qInstallMessageHandler
from PyQt6.QtGui import QCloseEvent, QImage, QPainter, QPaintEvent, QResizeEvent
from PyQt6.QtWidgets import QWidget

from live_sr.cuda.shown import Shown, in_main_memory
from live_sr.frame import Frame, Pixels, Size, size_of
from live_sr.latency import Latency
from live_sr.overlay.exchange import Exchange
from live_sr.overlay.presenting import (
    TITLE,
    Feed,
    Mode,
    Sheet,
    Surface,
    Take,
    Tell,
    Vsync,
    bars,
    flags,
    physical,
    placed,
)

SOFTWARE = ("llvmpipe", "softpipe", "swiftshader", "software", "gdi generic", "basic render")
"""Parts of the names under which an OpenGL renderer without a graphics card goes, in lower case."""


class OverlayWindow(QWidget):
    """Paints with the CPU: one copy into the window's shared memory, and nothing waits for a refresh of the screen."""

    resized = pyqtSignal()
    closed = pyqtSignal()

    def __init__(self, mode: Mode) -> None:
        super().__init__(None, flags(mode))
        self.setWindowTitle(TITLE)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setAttribute(Qt.WidgetAttribute.WA_NativeWindow)  # its number is wanted before it is visible
        if mode == "cover":
            self.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)
        self.resize(960, 540)
        self._feed = Feed()
        self._hud: Sheet | None = None
        self._frame: Frame[Pixels] | None = None  # on screen; its pixels are `_picture`'s
        self._picture = QImage()
        self._presenting = False

    @property
    def frames_shown(self) -> int:
        return self._feed.count

    def feed(self, take: Take, shown: Tell) -> None:
        self._feed.take, self._feed.shown = take, shown

    @property
    def takes_cards(self) -> bool:
        return False

    def on_trouble(self, tell: Callable[[str], None]) -> None:
        """It has none: it takes nothing from a card."""

    def set_hud(self, hud: Sheet | None) -> None:
        self._hud = hud
        self.update()

    def room(self) -> Size:
        return physical(self.width(), self.height(), self.devicePixelRatioF())

    def ready(self) -> bool:
        handle = self.windowHandle()
        return self.isVisible() and handle is not None and handle.isExposed()

    def present(self) -> None:
        self._presenting = True
        self.repaint()  # to the X server, or to DWM, before it returns; update() would wait for the event loop
        self._presenting = False
        self._feed.tell()

    def refresh(self) -> None:
        self.update()

    def _newest(self) -> None:
        """Go over to the newest frame, if there is one: a window that comes back must not flash an old picture."""
        frame = self._feed.newest()
        if frame is not None:
            pixels = in_main_memory(frame.pixels)
            self._frame = Frame(pixels, frame.stamps, frame.number)
            height, width, _ = pixels.shape
            # A pointer that may be written through: QImage copies pixels that it was lent for reading only.
            self._picture = QImage(
                sip.voidptr(pixels.ctypes.data),  # type: ignore[call-overload]
                width,
                height,
                width * 4,
                QImage.Format.Format_RGB32,
            )

    # Qt calls these

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        self._newest()
        room = self.room()
        painter = QPainter(self)
        ratio = self.devicePixelRatioF()
        if ratio != 1:
            painter.scale(1 / ratio, 1 / ratio)  # from here on physical pixels
        paint_picture(painter, self._picture, self._frame, room)
        if self._hud is not None:
            self._hud.paint(painter, room)
        painter.end()
        if not self._presenting:
            self._feed.tell()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        self.resized.emit()

    def event(self, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.DevicePixelRatioChange:
            self.resized.emit()
        return super().event(event)

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802
        self.closed.emit()


def paint_picture(painter: QPainter, picture: QImage, frame: Frame[Pixels] | None, room: Size) -> None:
    """The picture where it belongs, black around it; only black while there is none."""
    if frame is None:
        painter.fillRect(0, 0, room.width, room.height, Qt.GlobalColor.black)
        return
    size = size_of(frame.pixels)
    place = placed(size, room)
    for bar in bars(place, room):
        painter.fillRect(*bar, Qt.GlobalColor.black)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
    if place.size == size:
        painter.drawImage(place.x, place.y, picture)
    else:
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(QRect(*place), picture)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceOver)


class QtDisplay(QObject):
    """Fulfils `contracts.Display`: frames from the upscale thread, painted by the GUI thread, whose object it is.

    Fills `stamps.shown` when the window has handed the picture over, and reports it to `latency`. A window that is not
    on screen costs a lock per frame; it opens on the newest frame.
    """

    _posted = pyqtSignal()

    def __init__(self, window: Surface, latency: Latency) -> None:
        super().__init__()
        self._window = window
        self._latency = latency
        self._exchange: Exchange[Shown] = Exchange(latency)
        window.feed(self._exchange.take, self._painted)
        # PyQt6's stubs leave out the second argument.
        self._posted.connect(self._present, Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]

    def show(self, frame: Frame[Shown]) -> Frame[Shown] | None:
        """Keeps this frame and gives back one that may be written again; never blocks. None: the first two times."""
        given_back, tell = self._exchange.put(frame)
        if tell:
            self._posted.emit()
        return given_back

    def _present(self) -> None:
        if not self._window.ready():
            self._exchange.unwanted()
        elif self._exchange.waits():
            self._window.present()

    def _painted(self, frame: Frame[Shown]) -> None:
        frame.stamps.shown = perf_counter_ns()
        self._latency.shown(frame.stamps)


def make_window(
    mode: Mode, prefer: Literal["auto", "raster", "gl"] = "auto", vsync: Vsync = "off"
) -> tuple[Surface, str]:
    """The kind of window that is fastest here (or the preferred one, if it can be), and a sentence that says why.

    OpenGL without a graphics card took 5.2 ms of a 960x540 picture where painting with the CPU took 0.2 ms, so the
    renderer is asked for its name first. Needs a QApplication.
    """
    if prefer == "raster":
        return OverlayWindow(mode), "painted by the CPU, as asked for"
    try:
        from live_sr.overlay.gl_window import GLOverlayWindow, renderer_name
    except ImportError as error:
        return OverlayWindow(mode), f"painted by the CPU: OpenGL cannot be used ({error})"
    renderer = renderer_name()
    if not renderer:
        return OverlayWindow(mode), "painted by the CPU: there is no desktop OpenGL 2.1 here"
    if prefer == "auto" and any(word in renderer.lower() for word in SOFTWARE):
        return OverlayWindow(mode), f"painted by the CPU: OpenGL here is software ({renderer})"
    return GLOverlayWindow(mode, vsync, on_card="nvidia" in renderer.lower()), f"painted by OpenGL on {renderer}"


def guard_connection(on_lost: Callable[[], None]) -> None:
    """Calls `on_lost` on the GUI thread when the connection to the X server broke; other messages of Qt go on.

    Qt (seen with 6.11 by killing the server) logs "The X11 connection broke (error 1). Did the X11 server die?" and
    then leaves the event loop, or the process in older versions, with code 1; there is no signal to connect to.
    `on_lost` should say its sentence and end the process with os._exit: nothing that touches a window works any more.
    Messages go to the handler installed before this one, or to stderr.
    """

    def handler(kind: QtMsgType, context: QMessageLogContext, message: str | None) -> None:
        if message and message.startswith("The X11 connection broke"):
            on_lost()
        elif previous is not None:
            previous(kind, context, message)
        else:
            print(message, file=sys.stderr)

    previous = qInstallMessageHandler(handler)
