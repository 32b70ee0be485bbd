"""Captures one window of an X11 screen, even while it is covered.

Composite keeps the window's picture, DAMAGE reports when it changes, and MIT-SHM transfers it. What covers the window
is never captured, except for the game's own dialogs and menus, if somebody says which these are.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from time import perf_counter_ns
from typing import NoReturn

import numpy as np

from live_sr.capture.burst import BurstTimer
from live_sr.capture.x11_picture import RedirectedWindow
from live_sr.capture.x11_popups import PopupLayers
from live_sr.errors import MissingPart, SourceClosed, SourceLost
from live_sr.pipeline.desktop_contracts import Popups
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, Stamps, reuse_or_allocate
from live_sr.system import xcb

OPAQUE = np.uint32(0xFF000000)  # alpha of a BGRA pixel read as one little-endian word
LOOK_S = 0.02  # between two looks whether the game has opened or closed a dialog

_connection_lost: list[Callable[[], None]] = []
_xlib_handlers: list[object] = []  # keeps the ctypes callbacks alive


def set_connection_lost_callback(callback: Callable[[], None]) -> None:
    """Sets what is called, on any thread, when an X connection breaks: the X server died or closed the connection.

    This covers the connection of an X11Source, which raises SourceLost afterwards, and those of Xlib in this process
    (Qt's, OpenGL's). The process cannot go on without the latter: Xlib prints a line and ends the process as soon as
    the callback returns. So the callback should print one sentence and call `os._exit`. Call this after the
    QApplication was made, because Qt installs its own handler then. Qt also checks its connection in its event loop,
    where it logs "The X11 connection broke" and exits with 1; only a Qt message handler can act on that. A later call
    replaces the callback.
    """
    _connection_lost[:] = [callback]
    try:
        xlib = ctypes.CDLL("libX11.so.6")
    except OSError:
        return  # without it, nothing in this process has an Xlib connection
    handler = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_on_xlib_io_error)
    xlib.XSetIOErrorHandler.restype = ctypes.c_void_p
    xlib.XSetIOErrorHandler(handler)
    _xlib_handlers.append(handler)


def _on_xlib_io_error(display: int) -> int:
    for callback in _connection_lost:
        callback()
    return 0


class X11Source:
    """Frames of one window's client area, without the frame that the window manager draws around it.

    The window may be covered, partly or wholly outside the screen, of any size, and of depth 24 or 32. The first frame
    comes at once, further ones when the game has drawn. One thread opens, uses and closes it.
    """

    def __init__(self, window: int, *, display: str | None = None, list_popups: Callable[[], Popups] = Popups) -> None:
        """`window`: its X11 id. `display`: in the form of DISPLAY, which is used for None.

        `list_popups`: the game's dialogs and menus that are to be in the picture; called on the source's thread.

        Raises SourceLost while the window is minimised, SourceClosed when there is no such window, DisplayLost when no
        X server answers, and MissingPart when the server lacks an extension.
        """
        self._window = window
        self._size = Size(1, 1)
        self._corner = (0, 0)  # of the picture in the window: within its border, and within a shadow that it draws
        self._drawn_ns = 0  # when the server reported a picture that was not fetched yet; 0: there is none
        self._known_ns = 0  # `_drawn_ns` of a picture that no drawing was reported for
        self._burst = BurstTimer()
        self._window_changed = True  # whether to query the window again before its picture is fetched
        self._failures = 0  # failed fetches in a row
        self._picture: RedirectedWindow | None = None
        self._connection = xcb.Connection(display)
        self._popups = PopupLayers(self._connection, list_popups)
        try:
            self._start()
        except BaseException as error:
            self.close()
            if isinstance(error, xcb.ConnectionBroken | xcb.XError):
                self._raise_failure(error)
            raise

    @property
    def size(self) -> Size:
        return self._size

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        """See FrameSource. `stamps.seen` is the time at which the server's report of the drawing was read."""
        if self._picture is None:
            raise SourceClosed("the capture of this window was closed")
        deadline = perf_counter_ns() + int(timeout_s * 1e9)
        try:
            while True:
                self._read_events()
                if self._window_changed:
                    self._query_window()
                if self._popups.update():
                    self._known_ns = self._drawn_ns = self._drawn_ns or perf_counter_ns()
                if self._drawn_ns:
                    self._wait_for_parts()
                    frame = self._fetch(into)
                    if frame is not None:
                        return frame
                    continue
                left_s = (deadline - perf_counter_ns()) / 1e9
                if not self._connection.wait(min(left_s, LOOK_S)) and left_s <= LOOK_S:
                    return None
        except (xcb.ConnectionBroken, xcb.XError) as error:
            self._raise_failure(error)

    def close(self) -> None:
        """Closes the connection, whereupon the server frees all that it made for it. May be called twice."""
        self._connection.close()
        self._popups.close()
        if self._picture is not None:
            self._picture.close()
            self._picture = None

    def _start(self) -> None:
        connection, window = self._connection, self._window
        self._damage_event = connection.get_first_event(xcb.DAMAGE)
        connection.get_first_event(xcb.MIT_SHM)
        connection.get_first_event(xcb.COMPOSITE)
        # a client must first say which version it speaks: Composite 0.4 has NameWindowPixmap
        connection.query(xcb.Request(0, struct.pack("=II", 0, 4), xcb.COMPOSITE, reply=True))
        connection.query(xcb.Request(0, struct.pack("=II", 1, 1), xcb.DAMAGE, reply=True))
        self._get_attributes = xcb.Request(xcb.GET_WINDOW_ATTRIBUTES, struct.pack("=I", window), reply=True)
        self._get_geometry = xcb.Request(xcb.GET_GEOMETRY, struct.pack("=I", window), reply=True)
        name = b"_GTK_FRAME_EXTENTS"
        atom = struct.pack(f"=Hxx{len(name)}sxx", len(name), name)  # padded to a multiple of four bytes
        self._shadow = struct.unpack_from("=I", connection.query(xcb.Request(xcb.INTERN_ATOM, atom, reply=True)), 8)[0]
        wanted = struct.pack("=IIIII", window, self._shadow, xcb.CARDINAL, 0, 4)
        self._get_shadow = xcb.Request(xcb.GET_PROPERTY, wanted, reply=True)
        events = xcb.STRUCTURE_NOTIFY | xcb.PROPERTY_CHANGE
        select_events = struct.pack("=III", window, xcb.CW_EVENT_MASK, events)
        connection.execute(xcb.Request(xcb.CHANGE_WINDOW_ATTRIBUTES, select_events))
        self._picture = RedirectedWindow(connection, window)
        self._query_window()

    def _read_events(self) -> None:
        for event in self._connection.read_events():
            if event[0] & 0x7F == self._damage_event:
                self._drawn_ns = perf_counter_ns()
            elif event[0] & 0x7F != xcb.PROPERTY_NOTIFY or struct.unpack_from("=I", event, 8)[0] == self._shadow:
                self._window_changed = True  # moved, resized, mapped, unmapped, destroyed, or given another shadow

    def _wait_for_parts(self) -> None:
        """Waits until the game, which has begun to draw a picture, has drawn all of it; 2 ms at most."""
        assert self._picture is not None
        begun = self._drawn_ns
        if begun == self._known_ns:  # the window's first picture, which is there already
            return
        self._burst.begin(begun)
        while (left := self._burst.compute_due() - perf_counter_ns()) > 0:
            self._picture.clear_damage()  # so that the next part is reported too
            if not self._connection.wait(left / 1e9):
                break
            self._read_events()
            if self._drawn_ns != begun:
                self._burst.extend(self._drawn_ns)
        self._drawn_ns = begun

    def _query_window(self) -> None:
        """Finds out whether the window can be captured, and its size."""
        if self._connection.query(self._get_attributes)[26] != xcb.VIEWABLE:
            raise SourceLost("the game's window is minimised", "restore it")
        self._window_changed = False
        reply = self._connection.query(self._get_geometry)
        depth = reply[1]
        width, height, border = struct.unpack_from("=HHH", reply, 16)
        if depth not in (24, 32):
            raise MissingPart(f"the window has {depth} bits per pixel", "run the X server with a depth of 24")
        if not self._drawn_ns:
            self._drawn_ns = self._known_ns = perf_counter_ns()
        left, right, top, bottom = self._query_shadow(Size(width, height))
        size, corner = Size(width - left - right, height - top - bottom), (border + left, border + top)
        assert self._picture is not None
        if (size, corner) != (self._size, self._corner) or not self._picture.is_prepared:
            self._size, self._corner = size, corner
            self._picture.prepare(Rect(*corner, *size))

    def _query_shadow(self, size: Size) -> tuple[int, int, int, int]:
        """How far the window's own shadow reaches into it from the left, right, top and bottom."""
        reply = self._connection.query(self._get_shadow)
        if len(reply) < 48:
            return (0, 0, 0, 0)
        left, right, top, bottom = struct.unpack_from("=IIII", reply, 32)
        return (left, right, top, bottom) if left + right < size.width and top + bottom < size.height else (0, 0, 0, 0)

    def _fetch(self, into: Pixels | None) -> Frame[Pixels] | None:
        """Fetches the picture as it is now; None when the window changed its size meanwhile."""
        assert self._picture is not None
        seen, self._drawn_ns = self._drawn_ns, 0
        size = self._size
        try:
            words = self._picture.fetch()
        except xcb.XError:  # the window changed before the server read this: query it and try again
            self._failures += 1
            if self._failures > 3:
                raise
            self._window_changed = True
            return None
        self._failures = 0
        self._read_events()
        if self._window_changed:
            self._query_window()
        if self._size != size:
            return None
        pixels = reuse_or_allocate(into, size)
        # one pass copies and sets alpha: the server leaves any value in the fourth byte
        np.bitwise_or(words, OPAQUE, out=pixels.view(np.uint32)[..., 0])
        self._popups.draw_over(pixels)
        return Frame(pixels, Stamps(seen, perf_counter_ns()))

    def _raise_failure(self, error: xcb.ConnectionBroken | xcb.XError) -> NoReturn:
        if isinstance(error, xcb.ConnectionBroken):
            for callback in _connection_lost:
                callback()
            raise SourceLost("the connection to the X server is lost", "start live-sr again") from None
        if error.code in (xcb.BAD_WINDOW, xcb.BAD_DRAWABLE):
            raise SourceClosed("the game's window was closed", "start the game again") from None
        raise SourceLost(f"the X server refused to show the window ({error})", "try another window") from None
