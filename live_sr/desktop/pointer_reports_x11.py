"""What the X server says about the pointer: where it is, what it looks like, and that it has moved.

It is asked more than a hundred times a second while the pointer moves, hence over xcb.
"""

from __future__ import annotations

import struct

import numpy as np

from live_sr.desktop.x11_requests import parse_master_pointer
from live_sr.pipeline.desktop_contracts import CursorShape
from live_sr.system import xcb

_GENERIC_EVENT = 35
_CURSOR_NOTIFY = 1  # after the first event of XFixes
_DISPLAY_CURSOR_MASK = 1
_ALL_MASTERS, _RAW_MOTION = 1, 17


class PointerReports:
    """Has a connection of its own. Its methods raise ConnectionBroken."""

    def __init__(self, display: str, root: int, master: int) -> None:
        """`master`: XInput's number of the pointer. Raises DisplayLost and MissingPart."""
        self._root = root
        self._connection = connection = xcb.Connection(display)
        self._cursor_event = connection.get_first_event(xcb.XFIXES) + _CURSOR_NOTIFY
        # a client must first say which version it speaks: raw motion during another program's grab is of XInput 2.1
        connection.query(xcb.Request(0, struct.pack("=II", 4, 0), xcb.XFIXES, reply=True))
        connection.query(xcb.Request(47, struct.pack("=HH", 2, 2), xcb.XINPUT, reply=True))
        connection.execute(xcb.Request(3, struct.pack("=II", root, _DISPLAY_CURSOR_MASK), xcb.XFIXES))
        self._get_cursor = xcb.Request(4, b"", xcb.XFIXES, reply=True)
        self._get_place = xcb.Request(48, struct.pack("=Hxx", master), xcb.XINPUT, reply=True)
        self._get_focus = xcb.Request(xcb.GET_INPUT_FOCUS, b"", reply=True)
        self._shape: CursorShape | None = None
        self.focus = 0
        """The window with the keyboard's focus at the last `read`, or a number for none, or for the one below the
        pointer."""

    @property
    def file(self) -> int:
        """Readable when something is reported."""
        return self._connection.file

    def report_motion(self, on: bool) -> None:
        """Whether devices' movements are reported from now on. A program that moves the pointer is not reported."""
        mask = 1 << _RAW_MOTION if on else 0
        select = struct.pack("=IHxxHHI", self._root, 1, _ALL_MASTERS, 1, mask)
        self._connection.execute(xcb.Request(46, select, xcb.XINPUT))

    def read(self) -> tuple[float, float, bool, bool]:
        """Where the pointer is, whether a button is pressed, and whether a device has moved it since the last call."""
        asked = [self._connection.send(request, checked=True) for request in (self._get_place, self._get_focus)]
        place, focus = (self._connection.wait_for_reply(number) for number in asked)  # in one round trip
        (self.focus,) = struct.unpack_from("=I", focus, 8)
        moved = False
        for event in self._connection.read_events():
            if event[0] & 0x7F == self._cursor_event:
                self._shape = None
            elif event[0] & 0x7F == _GENERIC_EVENT:
                moved = True
        return (*parse_master_pointer(place), moved)

    @property
    def shape(self) -> CursorShape:
        """What it looks like; the same object until `read` has found a change."""
        if self._shape is None:
            reply = self._connection.query(self._get_cursor)
            width, height, *hotspot = struct.unpack_from("=HHHH", reply, 12)
            pixels = np.frombuffer(reply, np.uint8, width * height * 4, 32).reshape(height, width, 4).copy()
            self._shape = CursorShape(pixels, (hotspot[0], hotspot[1]))
        return self._shape

    def close(self) -> None:
        self._connection.close()
