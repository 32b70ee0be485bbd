"""What every kind of overlay window shares: which picture is where, where it is drawn, and how the window behaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from PyQt6.QtCore import Qt, pyqtBoundSignal
from PyQt6.QtGui import QGuiApplication, QPainter

from live_sr.cuda.shown import Shown
from live_sr.frame import Frame, Rect, Size

Mode = Literal["cover", "beside"]

TITLE = "live-sr"


Vsync = Literal["off", "on", "adaptive"]
Take = Callable[[], Frame[Shown] | None]
Tell = Callable[[Frame[Shown]], None]


class Feed:
    """A window's side of the exchange: which frame to paint next, and the news that it was painted."""

    def __init__(self) -> None:
        self.take: Take = lambda: None
        self.shown: Tell = lambda frame: None
        self.count = 0  # different frames painted so far
        self._painted: Frame[Shown] | None = None  # and not told yet

    def newest(self) -> Frame[Shown] | None:
        """The frame to go over to, if there is a newer one."""
        frame = self.take()
        if frame is not None:
            self._painted = frame
        return frame

    def tell(self) -> None:
        """The picture has gone to the compositor."""
        frame, self._painted = self._painted, None
        if frame is not None:
            self.count += 1
            self.shown(frame)


class Sheet(Protocol):
    """Something painted over the picture."""

    def paint(self, painter: QPainter, room: Size) -> None:
        """`painter` works in physical pixels; the window is `room` large."""
        ...


class Surface(Protocol):
    """A window that presents pictures. Used from the GUI thread.

    resized(): `room` changed. closed(): the user closed it. frames_shown: different frames painted so far.
    """

    @property
    def resized(self) -> pyqtBoundSignal: ...

    @property
    def closed(self) -> pyqtBoundSignal: ...

    @property
    def frames_shown(self) -> int: ...

    @property
    def takes_cards(self) -> bool:
        """Whether it can show a picture from the graphics card's memory."""
        ...

    def feed(self, take: Take, shown: Tell) -> None:
        """`take` gives the frame to paint next, if any; `shown` is told each after it went to the compositor."""
        ...

    def ready(self) -> bool:
        """Whether it is on screen; else painting would be in vain."""
        ...

    def present(self) -> None:
        """Paint the newest frame before returning."""
        ...

    def refresh(self) -> None:
        """Paint again soon: what lies over the picture changed."""
        ...

    def on_trouble(self, tell: Callable[[str], None]) -> None:
        """`tell` is told why a picture could not be shown from the card's memory; it went through main memory."""
        ...

    def set_hud(self, hud: Sheet | None) -> None: ...

    def room(self) -> Size:
        """Physical pixels there are for the picture."""
        ...

    def winId(self) -> object: ...  # noqa: N802 (Qt's name)

    def setVisible(self, visible: bool) -> None: ...  # noqa: N802 (Qt's name)


def flags(mode: Mode) -> Qt.WindowType:
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


def physical(width: int, height: int, ratio: float) -> Size:
    """Device-independent pixels as physical ones."""
    return Size(max(1, round(width * ratio)), max(1, round(height * ratio)))


def placed(picture: Size, room: Size) -> Rect:
    """Where a picture is drawn: centred at its own size if it fits, else as large as fits with its aspect kept.

    One pixel too large still counts as fitting: with a fractional display scale the room is a rounded figure, and a
    picture resized by one pixel is a blurred one.
    """
    fits = picture.width <= room.width + 1 and picture.height <= room.height + 1
    size = picture if fits else picture.fitted(room)
    return Rect(max(0, (room.width - size.width) // 2), max(0, (room.height - size.height) // 2), *size)


def bars(picture: Rect, room: Size) -> list[Rect]:
    """What of the room the picture leaves free: above, below, left, right; without the empty ones."""
    right, bottom = picture.x + picture.width, picture.y + picture.height
    around = [
        Rect(0, 0, room.width, picture.y),
        Rect(0, bottom, room.width, room.height - bottom),
        Rect(0, picture.y, picture.x, picture.height),
        Rect(right, picture.y, room.width - right, picture.height),
    ]
    return [bar for bar in around if bar.width > 0 and bar.height > 0]
