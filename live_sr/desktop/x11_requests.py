"""Requests to the X server that python-xlib 0.33 lacks, as the X.Org protocol texts lay them out."""

from __future__ import annotations

import struct

from Xlib.protocol import rq

_BUTTON_CLASS, _VALUATOR_CLASS = 1, 2  # of XInput


class QueryVersion(rq.ReplyRequest):  # type: ignore[misc]
    """XFixesQueryVersion. python-xlib asks for version 4; barriers are of version 5."""

    _request = rq.Struct(
        *(rq.Card8("opcode"), rq.Opcode(0), rq.RequestLength()),
        *(rq.Card32("major_version"), rq.Card32("minor_version")),
    )
    _reply = rq.Struct(
        *(rq.ReplyCode(), rq.Pad(1), rq.Card16("sequence_number"), rq.ReplyLength()),
        *(rq.Card32("major_version"), rq.Card32("minor_version"), rq.Pad(16)),
    )


class CreateBarrier(rq.Request):  # type: ignore[misc]
    """XFixesCreatePointerBarrier, for all devices. `directions`: those in which the pointer passes."""

    _request = rq.Struct(
        *(rq.Card8("opcode"), rq.Opcode(31), rq.RequestLength(), rq.Card32("barrier"), rq.Window("window")),
        *(rq.Card16("x1"), rq.Card16("y1"), rq.Card16("x2"), rq.Card16("y2")),
        *(rq.Card32("directions"), rq.Pad(2), rq.Card16("count")),
    )


class DestroyBarrier(rq.Request):  # type: ignore[misc]
    _request = rq.Struct(rq.Card8("opcode"), rq.Opcode(32), rq.RequestLength(), rq.Card32("barrier"))


def parse_master_pointer(reply: bytes) -> tuple[float, float, bool]:
    """The place on the desktop and whether a button is pressed, from XIQueryDevice's reply about a master pointer.

    The layout is that of XI2proto.h: after 32 bytes comes the device, twelve bytes and its name, and then its classes.
    """
    count, name_length = struct.unpack_from("=6xHH", reply, 32)
    at = 44 + -(-name_length // 4) * 4
    place, pressed = [0.0, 0.0], False
    for _ in range(count):
        kind, length = struct.unpack_from("=HH", reply, at)
        if kind == _BUTTON_CLASS:
            (buttons,) = struct.unpack_from("=6xH", reply, at)
            pressed = any(reply[at + 8 : at + 8 + -(-buttons // 32) * 4])
        elif kind == _VALUATOR_CLASS:
            axis, whole, part = struct.unpack_from("=6xH20xiI", reply, at)
            if axis < 2:
                place[axis] = whole + part / (1 << 32)
        at += 4 * length
    return place[0], place[1], pressed
