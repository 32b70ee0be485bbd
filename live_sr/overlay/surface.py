"""What every kind of overlay window shares: which frame is painted, where its picture goes, how the window behaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from PyQt6 import sip
from PyQt6.QtCore import QRect, Qt, pyqtBoundSignal
from PyQt6.QtGui import QGuiApplication, QImage, QPaintDevice, QPainter

from live_sr.overlay.cursor import DrawnCursor
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, get_size

Mode = Literal["cover", "beside"]
Vsync = Literal["off", "on", "adaptive"]

TITLE = "live-sr"
FIRST_SIZE = Size(960, 540)  # of the window, until somebody moves it


class FrameFeed:
    """A window's side of the triple buffer: which frame to paint next, and the report that it was painted.

    `take` returns the frame to paint next, if any; `report` is called with each frame after it went to the compositor.
    """

    def __init__(self) -> None:
        self.take: Callable[[], Frame[DisplayPicture] | None] = lambda: None
        self.report: Callable[[Frame[DisplayPicture]], None] = lambda frame: None
        self.frames_shown = 0
        """Different frames that were painted."""
        self._presenting = False
        self._painted: Frame[DisplayPicture] | None = None  # and not yet reported

    def take_newest(self) -> Frame[DisplayPicture] | None:
        """The frame to go over to, if there is a newer one than on screen. Called while painting."""
        frame = self.take()
        if frame is not None:
            self._painted = frame
        return frame

    def present(self, paint: Callable[[], None]) -> None:
        """Calls `paint`, which hands a picture to the compositor before it returns, and reports it."""
        self._presenting = True
        paint()
        self._presenting = False
        self.end_paint()

    def end_paint(self) -> None:
        """Reports the frame just painted, unless `present` is going to do so when the compositor has it."""
        if self._presenting or self._painted is None:
            return
        frame, self._painted = self._painted, None
        self.frames_shown += 1
        self.report(frame)


class ImagePainter(Protocol):
    """Something painted over the picture."""

    def paint(self, painter: QPainter, room: Size) -> None:
        """`painter` works in physical pixels; the window is `room` large."""
        ...

    def find_image(self, room: Size) -> tuple[QImage, int, int] | None:
        """What `paint` draws in a window of that size, and where. The same image as long as it looks the same."""
        ...


class Surface(Protocol):
    """A window that presents pictures. Used from the GUI thread.

    resized(): `room` changed. closed(): the user closed it.
    """

    @property
    def resized(self) -> pyqtBoundSignal: ...

    @property
    def closed(self) -> pyqtBoundSignal: ...

    @property
    def feed(self) -> FrameFeed: ...

    @property
    def shows_device_pictures(self) -> bool:
        """Whether it can show a picture from the GPU's memory."""
        ...

    @property
    def compares_device_pictures(self) -> bool:
        """Whether it also draws what such a picture was made from, if the picture holds that."""
        ...

    @property
    def places_itself(self) -> bool:
        """Whether it covers a screen by itself: it is no window that the desktop could move, and `winId` is 0."""
        ...

    def is_ready(self) -> bool:
        """Whether it is on screen; else painting would be in vain."""
        ...

    def present(self) -> None:
        """Paint the newest frame at once."""
        ...

    def present_here(self) -> bool:
        """As `present`, but on the calling thread, whichever that is. False: only the GUI thread can."""
        ...

    def refresh(self) -> None:
        """Paint again soon: what lies over the picture has changed."""
        ...

    def on_device_failure(self, report: Callable[[str], None]) -> None:
        """`report` gets the reason when a picture cannot be shown from the GPU; it is then copied to main memory.

        It gets an empty string when pictures can be shown from there again.
        """
        ...

    def set_hud(self, hud: ImagePainter | None) -> None: ...

    def show_cursor(self, cursor: DrawnCursor | None) -> None:
        """Draws this cursor over everything from now on, at once; None: no cursor."""
        ...

    def find_picture(self) -> Rect | None:
        """Where in the window the picture on screen lies; None: there is none yet."""
        ...

    def get_room(self) -> Size:
        """Physical pixels there are for the picture."""
        ...

    def place(self, rect: Rect) -> None:
        """Moves an ordinary window so that its content is about there, in physical pixels of the desktop.

        A surface that `places_itself` covers the screen that is there.
        """
        ...

    def winId(self) -> object: ...  # noqa: N802 (Qt's name)

    def setVisible(self, visible: bool) -> None: ...  # noqa: N802 (Qt's name)


def make_window_flags(mode: Mode) -> Qt.WindowType:
    """How the window behaves.

    Covering on X11 is override-redirect: with the other flags alone four of six window managers that were tried keep
    the click for their own frame around the window.
    """
    if mode == "beside":
        return Qt.WindowType.Window
    cover = (
        Qt.WindowType.Tool
        | Qt.WindowType.FramelessWindowHint
        | Qt.WindowType.WindowStaysOnTopHint
        | Qt.WindowType.WindowTransparentForInput
        | Qt.WindowType.WindowDoesNotAcceptFocus
        | Qt.WindowType.NoDropShadowWindowHint
    )
    if QGuiApplication.platformName() == "xcb":
        cover |= Qt.WindowType.BypassWindowManagerHint
    return cover


def get_physical_size(device: QPaintDevice) -> Size:
    """Of a window, which Qt measures in device-independent pixels."""
    ratio = device.devicePixelRatioF()
    return Size(max(1, round(device.width() * ratio)), max(1, round(device.height() * ratio)))


def begin_painting(device: QPaintDevice) -> QPainter:
    """A painter for a window that works in physical pixels."""
    painter = QPainter(device)
    ratio = device.devicePixelRatioF()
    if ratio != 1:
        painter.scale(1 / ratio, 1 / ratio)
    return painter


def compute_placement(picture: Size, room: Size, aspect: float | None = None, *, fill: bool = False) -> Rect:
    """Where a picture is drawn: centred at its own size if it fits, else as large as fits with its aspect kept.

    `aspect`: the ratio of width to height that it gets; None: its own. `fill`: also a smaller one is made as large as
    fits.

    One pixel too large still counts as fitting: with a fractional display scale the room is a rounded figure, and a
    picture resized by one pixel is a blurred one.
    """
    shape = picture.with_aspect(aspect)
    fits = shape.width <= room.width + 1 and shape.height <= room.height + 1
    size = shape if fits and not fill else shape.fit_into(room)
    return Rect(max(0, (room.width - size.width) // 2), max(0, (room.height - size.height) // 2), *size)


def paint_picture(painter: QPainter, image: QImage, room: Size, aspect: float | None) -> None:
    """The picture in its place in the window, black around it; all black for an empty image."""
    if image.isNull():
        painter.fillRect(0, 0, *room, Qt.GlobalColor.black)
        return
    size = Size(image.width(), image.height())
    place = compute_placement(size, room, aspect)
    for bar in compute_bars(place, room):
        painter.fillRect(*bar, Qt.GlobalColor.black)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
    if place.size == size:
        painter.drawImage(place.x, place.y, image)
    else:
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(QRect(*place), image)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceOver)


def wrap_pixels(pixels: Pixels) -> QImage:
    """An image that shows these pixels, which are not copied: keep them as long as the image."""
    # a pointer that may be written through: QImage copies pixels that it was lent for reading only
    address = sip.voidptr(pixels.ctypes.data)
    size = get_size(pixels)
    image: QImage = QImage(address, *size, size.width * 4, QImage.Format.Format_RGB32)  # type: ignore[call-overload]
    return image


def compute_bars(picture: Rect, room: Size) -> list[Rect]:
    """What of the room the picture leaves free: above, below, left, right; without the empty ones."""
    right, bottom = picture.x + picture.width, picture.y + picture.height
    around = [
        Rect(0, 0, room.width, picture.y),
        Rect(0, bottom, room.width, room.height - bottom),
        Rect(0, picture.y, picture.x, picture.height),
        Rect(right, picture.y, room.width - right, picture.height),
    ]
    return [bar for bar in around if bar.width > 0 and bar.height > 0]
