"""One window of an X11 screen, also while it is covered: Composite keeps its picture, DAMAGE tells when it changes,
MIT-SHM brings it over. Nothing is polled, and what lies over the window is never captured.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from time import perf_counter_ns
from typing import NoReturn

import numpy as np

from live_sr.capture import _xcb as xcb
from live_sr.errors import MissingPart, SourceClosed, SourceLost
from live_sr.frame import Frame, Pixels, Size, Stamps, fitting

OPAQUE = np.uint32(0xFF000000)  # alpha of a BGRA pixel read as one little-endian word
_Z_PIXMAP, _ALL_PLANES = 2, 0xFFFFFFFF
_REDIRECT_AUTOMATIC = 0  # the server goes on painting the window on the screen
_DAMAGE_NON_EMPTY = 3  # one event when the window differs from what was last taken, whatever the number of draw calls

_connection_lost: list[Callable[[], None]] = []
_xlib_handlers: list[object] = []  # ctypes callbacks, which must outlive their use


def on_connection_lost(callback: Callable[[], None]) -> None:
    """Calls `callback`, on any thread, when an X connection breaks: the X server died or threw us out.

    Ours, then raising SourceLost; and those of Xlib in this process (Qt's, OpenGL's), where the process cannot go on:
    Xlib ends it as soon as the callback returns, after a line of its own. So the callback should print one sentence and
    `os._exit`. Call it after the QApplication was made, because Qt installs its own handler then. Qt also looks at its
    connection in its event loop, where it logs "The X11 connection broke" and exits with 1: a Qt message handler that
    does the same as the callback answers that one. The last callback given counts.
    """
    _connection_lost[:] = [callback]
    try:
        xlib = ctypes.CDLL("libX11.so.6")
    except OSError:
        return  # then nobody in this process has an Xlib connection either
    handler = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_on_xlib_io_error)
    xlib.XSetIOErrorHandler.restype = ctypes.c_void_p
    xlib.XSetIOErrorHandler(handler)
    _xlib_handlers.append(handler)


def _on_xlib_io_error(display: int) -> int:
    for callback in _connection_lost:
        callback()
    return 0


class X11Source:
    """The picture of one window (its client area, without what the window manager draws around it).

    The window may be covered, partly or wholly off the screen, of any size, of depth 24 or 32. The first frame comes at
    once, further ones when the game has drawn. One thread opens, uses and closes it.
    """

    def __init__(self, window: int, *, display: str | None = None) -> None:
        """Raises SourceLost while the window is minimised, SourceClosed when there is no such window, DisplayLost when
        no X server answers, MissingPart when the server cannot do this."""
        self._window = window
        self._size = Size(1, 1)
        self._border = 0
        self._drawn_ns = 0  # when we learned of a picture that was not taken yet; 0: there is none
        self._changed = True  # whether the window has to be looked at again before its picture is taken
        self._refusals = 0  # in a row
        self._segment: xcb.Segment | None = None
        self._segment_name = 0
        self._wire = xcb.Connection(display)
        try:
            self._set_up()
        except BaseException as error:
            self.close()
            if isinstance(error, xcb.Broken | xcb.XError):
                self._fail(error)
            raise

    @property
    def size(self) -> Size:
        return self._size

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        """See FrameSource. `seen` is when the server's word that the game drew was read."""
        if self._segment is None:
            raise SourceClosed("the capture of this window was closed")
        until = perf_counter_ns() + int(timeout_s * 1e9)
        try:
            while True:
                self._read_events()
                if self._changed:
                    self._look()
                if self._drawn_ns:
                    frame = self._take(into)
                    if frame is not None:
                        return frame
                    continue
                if not self._wire.wait((until - perf_counter_ns()) / 1e9):
                    return None
        except (xcb.Broken, xcb.XError) as error:
            self._fail(error)

    def close(self) -> None:
        """Undoes everything; may be called twice. (The server itself undoes what it did for a connection that ends.)"""
        self._wire.close()
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _set_up(self) -> None:
        wire, window = self._wire, self._window
        self._damage_event = wire.first_event(xcb.DAMAGE)
        wire.first_event(xcb.MIT_SHM)
        wire.first_event(xcb.COMPOSITE)
        # both extensions want to be told which version we speak: 0.4 has NameWindowPixmap
        wire.ask(xcb.Request(0, struct.pack("=II", 0, 4), xcb.COMPOSITE, reply=True))
        wire.ask(xcb.Request(0, struct.pack("=II", 1, 1), xcb.DAMAGE, reply=True))
        self._attributes = xcb.Request(xcb.GET_WINDOW_ATTRIBUTES, struct.pack("=I", window), reply=True)
        self._geometry = xcb.Request(xcb.GET_GEOMETRY, struct.pack("=I", window), reply=True)
        listen = struct.pack("=III", window, xcb.CW_EVENT_MASK, xcb.STRUCTURE_NOTIFY)
        wire.demand(xcb.Request(xcb.CHANGE_WINDOW_ATTRIBUTES, listen))
        redirect = struct.pack("=IBxxx", window, _REDIRECT_AUTOMATIC)
        wire.demand(xcb.Request(1, redirect, xcb.COMPOSITE))
        damage, self._pixmap = wire.new_id(), wire.new_id()
        wire.demand(xcb.Request(1, struct.pack("=IIBxxx", damage, window, _DAMAGE_NON_EMPTY), xcb.DAMAGE))
        self._taken = xcb.Request(3, struct.pack("=III", damage, 0, 0), xcb.DAMAGE)  # Subtract everything
        self._name = xcb.Request(6, struct.pack("=II", window, self._pixmap), xcb.COMPOSITE)
        self._unname = xcb.Request(xcb.FREE_PIXMAP, struct.pack("=I", self._pixmap))
        self._look()

    def _read_events(self) -> None:
        for event in self._wire.events():
            if event[0] & 0x7F == self._damage_event:
                self._drawn_ns = perf_counter_ns()
            else:  # moved, resized, mapped, unmapped, destroyed: what it is now is asked for
                self._changed = True

    def _look(self) -> None:
        """Finds out whether the window can be captured, and how large it is."""
        if self._wire.ask(self._attributes)[26] != xcb.VIEWABLE:
            raise SourceLost("the game's window is minimised", "restore it")
        self._changed = False
        reply = self._wire.ask(self._geometry)
        depth = reply[1]
        width, height, self._border = struct.unpack_from("=HHH", reply, 16)
        if depth not in (24, 32):
            raise MissingPart(f"the window has {depth} bits a pixel", "run the X server with a depth of 24")
        self._drawn_ns = self._drawn_ns or perf_counter_ns()
        size = Size(width, height)
        if size != self._size or self._segment is None:
            self._size = size
            self._share(width * height * 4)

    def _share(self, length: int) -> None:
        """Makes room for a picture of `length` bytes, and the request that brings it there."""
        if self._segment is None or self._segment.size < length:
            self._share_more(length)
        assert self._segment is not None
        width, height = self._size
        self._words = self._segment.words(width * height).reshape(height, width)
        corner, planes = (self._border, self._border), (_ALL_PLANES, _Z_PIXMAP)
        body = struct.pack("=IhhHHIBxxxII", self._pixmap, *corner, width, height, *planes, self._segment_name, 0)
        self._get = xcb.Request(4, body, xcb.MIT_SHM, reply=True)

    def _share_more(self, length: int) -> None:
        if self._segment is not None:
            self._wire.demand(xcb.Request(2, struct.pack("=I", self._segment_name), xcb.MIT_SHM))
            self._segment.close()
        self._segment_name = self._wire.new_id()
        try:
            self._segment = xcb.Segment(length)
            attach = struct.pack("=IIBxxx", self._segment_name, self._segment.id, 0)
            self._wire.demand(xcb.Request(1, attach, xcb.MIT_SHM))
        except OSError as error:
            raise SourceLost(f"there is no shared memory for the picture: {error.strerror}", "") from None
        except xcb.XError:
            raise MissingPart(
                "the X server shares no memory with this program",
                'run it on the machine (and in the container) of the X server, or set backend = "mss" under [capture]',
            ) from None

    def _take(self, into: Pixels | None) -> Frame[Pixels] | None:
        """The picture as it is now; None when the window changed its size meanwhile.

        The window's pixmap is named anew each time, which costs no round trip: a name survives a resize or a hiding of
        the window, but then it is that of a dead picture.
        """
        seen, self._drawn_ns = self._drawn_ns, 0
        wire = self._wire
        wire.send(self._taken)  # before the picture: what is drawn after it makes a new event
        wire.send(self._name)
        number = wire.send(self._get, checked=True)
        wire.send(self._unname)
        size = self._size
        try:
            wire.reply(number)
        except xcb.XError:  # it changed before the server read this; the next look tells, or it fails again
            self._refusals += 1
            if self._refusals > 3:
                raise
            self._changed = True
            return None
        self._refusals = 0
        self._read_events()
        if self._changed:
            self._look()
        if self._size != size:
            return None
        pixels = fitting(into, size)
        # one pass that copies and makes opaque, as what the server leaves in the fourth byte is anything
        np.bitwise_or(self._words, OPAQUE, out=pixels.view(np.uint32)[..., 0])
        return Frame(pixels, Stamps(seen, perf_counter_ns()))

    def _fail(self, error: xcb.Broken | xcb.XError) -> NoReturn:
        if isinstance(error, xcb.Broken):
            for callback in _connection_lost:
                callback()
            raise SourceLost("the connection to the X server is lost", "start live-sr again") from None
        if error.code in (xcb.BAD_WINDOW, xcb.BAD_DRAWABLE):
            raise SourceClosed("the game's window was closed", "start the game again") from None
        raise SourceLost(f"the X server refused to show the window ({error})", "try another window") from None
