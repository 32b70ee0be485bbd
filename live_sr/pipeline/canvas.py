"""What a graphics card draws a window with, so that windows and engines need not know each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Pixels, Rect, Size


class NativeWindow(NamedTuple):
    """A window as the operating system knows it. number: an X11 window or an HWND. connection: the address of the
    xcb_connection_t over which X11 is told what is drawn; 0 on Windows."""

    number: int
    connection: int = 0


class Sprite(NamedTuple):
    """Something drawn over the picture. pixels: BGRA, premultiplied by alpha; the same object as long as it looks the
    same. x, y: where it begins in the window, in physical pixels; parts of it may lie outside."""

    pixels: Pixels
    x: int
    y: int


class Canvas(Protocol):
    """A window that a graphics card draws into. Any thread may use it, one at a time."""

    def draw(self, picture: DisplayPicture | None, place: Rect, room: Size, sprites: Sequence[Sprite]) -> None:
        """Draws the picture in its place in a window of `room` physical pixels, black around it, and sprites over it.

        Returns when the compositor has it, or when the window cannot be seen. Pictures in main memory are copied.
        Raises EngineError: the canvas cannot be used any more.
        """
        ...

    def close(self) -> None:
        """Before the window is destroyed. Never raises."""
        ...


OpenCanvas = Callable[[NativeWindow, bool], Canvas]
"""(window, whether to wait for the screen's refresh) -> a canvas. Raises EngineError or MissingPart."""
