"""Draws a window with a canvas, on the thread that has a new picture, or on one of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from live_sr.errors import EngineError
from live_sr.overlay.surface import FrameFeed, compute_placement
from live_sr.pipeline.canvas import Canvas, Sprite
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Rect, Size


class CanvasPainter:
    """Draws the newest frame and the sprites over it. Any thread may call any method.

    Who has a new picture calls `draw`. If another thread is drawing, it leaves a note, and the painter's own thread
    draws once more: a cursor that moves more often than the window can be drawn must not keep the upscale thread here.
    The GUI thread calls `request` and never draws: wgpu may let it wait while a network computes, up to the time of a
    frame; and on Windows presenting may send messages to the GUI thread, which must not be waiting for it then.
    """

    def __init__(self, feed: FrameFeed, aspect: float | None, fail: Callable[[str], None]) -> None:
        """`aspect`: the ratio of width to height that pictures get; None: their own. `fail` gets the reason when the
        canvas cannot be used any more, on the thread that draws."""
        self._feed = feed
        self._aspect = aspect
        self._fail = fail
        self._drawing = threading.Lock()
        self._requested = threading.Event()
        self._drawer = threading.Thread(target=self._run, name="live-sr window", daemon=True)
        # written whole, so that every thread reads a whole value:
        self._closed = False
        self._wanted = False
        self._canvas: Canvas | None = None
        self._room: Size | None = None  # None: the window is not on the screen
        self._sprites: Sequence[Sprite] = ()
        self._picture: DisplayPicture | None = None  # on screen

    @property
    def is_ready(self) -> bool:
        """Whether there is a canvas and the window is on the screen."""
        return self._canvas is not None and self._room is not None

    @property
    def has_canvas(self) -> bool:
        return self._canvas is not None

    @property
    def picture(self) -> DisplayPicture | None:
        """The newest that was taken to be drawn."""
        return self._picture

    def use(self, canvas: Canvas, picture: DisplayPicture | None) -> None:
        """Draws with this canvas from now on, and begins with that picture."""
        self._picture = picture
        self._canvas = canvas
        if not self._drawer.ident:
            self._drawer.start()

    def set_room(self, room: Size | None) -> None:
        """The size of the window in physical pixels; None while it is not on the screen."""
        self._room = room

    def set_sprites(self, sprites: Sequence[Sprite]) -> None:
        """What is drawn over the picture from the next time on."""
        self._sprites = sprites

    def find_picture(self, room: Size) -> Rect | None:
        """Where in a window of that size the picture lies; None: there is none yet."""
        picture = self._picture
        return self._place(picture, room) if picture is not None else None

    def draw(self) -> bool:
        """Draws what is newest, here, or soon where another thread is drawing. False: there is nothing to draw with."""
        if not self.is_ready:
            return False
        self._wanted = True
        if self._drawing.acquire(blocking=False):
            try:
                self._wanted = False
                self._draw_newest()
            finally:
                self._drawing.release()
            if self._wanted:  # by a thread that found this one drawing
                self.request()
        return True

    def request(self) -> None:
        """Has what is newest drawn soon, on a thread of the painter's own."""
        self._requested.set()

    def close(self) -> None:
        """Waits until no thread draws. The window may be destroyed afterwards."""
        canvas, self._canvas = self._canvas, None
        self._closed = True
        self._requested.set()
        if self._drawer.ident:
            self._drawer.join()
        with self._drawing:
            self._picture = None
            if canvas is not None:
                canvas.close()

    def _run(self) -> None:
        while not self._closed:
            self._requested.wait()
            self._requested.clear()
            self.draw()

    def _draw_newest(self) -> None:
        canvas, room = self._canvas, self._room
        if canvas is None or room is None:
            return
        frame = self._feed.take_newest()
        if frame is not None:
            self._picture = frame.pixels
        picture = self._picture
        place = self._place(picture, room) if picture is not None else Rect(0, 0, *room)
        try:
            canvas.draw(picture, place, room, self._sprites)
        except EngineError as error:
            self._canvas = None
            canvas.close()
            self._fail(error.message)
            return
        self._feed.end_paint()

    def _place(self, picture: DisplayPicture, room: Size) -> Rect:
        """Pictures from main memory have been fitted to the room; others are while they are drawn."""
        return compute_placement(picture.size, room, self._aspect, fill=picture.on_device)
