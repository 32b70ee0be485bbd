"""What `capture/x11.py` needs of libxcb and of System V shared memory: declarations, and nothing that knows of frames.

libxcb and not libX11, because Xlib reports errors to one handler of the whole process, which Qt replaces with its own,
and ends the process when the connection breaks; libxcb answers each request with its own error. The extensions'
requests are packed here by hand (layouts: the X.Org protocol texts of Composite, DAMAGE and MIT-SHM), so that nothing
but libxcb itself, which Qt brings in anyway, has to be installed.
"""

from __future__ import annotations

import ctypes
import functools
import os
import select
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from live_sr.errors import DisplayLost, MissingPart

# Core requests, events, errors and values (X11 protocol, appendix B)
CHANGE_WINDOW_ATTRIBUTES, GET_WINDOW_ATTRIBUTES, GET_GEOMETRY, FREE_PIXMAP = 2, 3, 14, 54
BAD_WINDOW, BAD_DRAWABLE = 3, 9
CW_EVENT_MASK, STRUCTURE_NOTIFY = 1 << 11, 1 << 17
VIEWABLE = 2

_IPC_PRIVATE, _IPC_CREAT, _IPC_RMID = 0, 0o1000, 0
_CHECKED = 1  # of xcb_send_request: keep the error for xcb_request_check instead of queueing it as an event


class Broken(Exception):
    """The connection to the X server is gone."""


class XError(Exception):
    """The server refused a request; `code` is the protocol's."""

    def __init__(self, code: int) -> None:
        super().__init__(f"X error {code}")
        self.code = code


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Extension(ctypes.Structure):
    """xcb_extension_t: libxcb writes `number` once, so it must outlive every connection."""

    _fields_ = (("name", ctypes.c_char_p), ("number", ctypes.c_int))


class _Protocol(ctypes.Structure):
    """xcb_protocol_request_t."""

    _fields_ = (
        ("count", ctypes.c_size_t),
        ("extension", ctypes.POINTER(_Extension)),
        ("opcode", ctypes.c_uint8),
        ("is_void", ctypes.c_uint8),
    )


class _Cookie(ctypes.Structure):
    """xcb_void_cookie_t, passed by value."""

    _fields_ = (("sequence", ctypes.c_uint),)


COMPOSITE = _Extension(b"Composite", 0)
DAMAGE = _Extension(b"DAMAGE", 0)
MIT_SHM = _Extension(b"MIT-SHM", 0)


class Request:
    """One X request, packed once and sent any number of times. `body`: what follows its four bytes of header."""

    def __init__(
        self, opcode: int, body: bytes = b"", extension: _Extension | None = None, reply: bool = False
    ) -> None:
        self._buffer = (ctypes.c_char * (4 + len(body))).from_buffer_copy(bytes(4) + body)
        self._address, self._length = ctypes.addressof(self._buffer), len(self._buffer)
        self._vector = (_IoVec * 3)()  # libxcb keeps the two entries before the one it is given for itself
        self._entry = self._vector[2]
        self._protocol = _Protocol(1, ctypes.pointer(extension) if extension else None, opcode, not reply)
        self.vector = ctypes.byref(self._entry)
        self.protocol = ctypes.byref(self._protocol)

    def aim(self) -> None:
        """Points at the whole request again: libxcb moves on in what it has sent."""
        self._entry.base, self._entry.length = self._address, self._length


@functools.cache
def _library() -> _Library:
    return _Library()


class _Library:
    """libxcb's functions with their types. Those of PyDLL never block and keep the interpreter's lock, which a busy
    thread would otherwise hold on to for up to 5 ms at each call."""

    def __init__(self) -> None:
        try:
            brief, waiting = ctypes.PyDLL("libxcb.so.1"), ctypes.CDLL("libxcb.so.1")
        except OSError:
            raise MissingPart("libxcb.so.1 is missing", "sudo apt install libxcb1") from None
        connection, void, out = ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)
        self.connect = _typed(waiting.xcb_connect, connection, ctypes.c_char_p, void)
        self.disconnect = _typed(waiting.xcb_disconnect, None, connection)
        self.extension = _typed(waiting.xcb_get_extension_data, void, connection, ctypes.POINTER(_Extension))
        self.new_id = _typed(waiting.xcb_generate_id, ctypes.c_uint32, connection)
        self.wait_for_reply = _typed(waiting.xcb_wait_for_reply, void, connection, ctypes.c_uint, out)
        self.request_check = _typed(waiting.xcb_request_check, void, connection, _Cookie)
        self.has_error = _typed(brief.xcb_connection_has_error, ctypes.c_int, connection)
        self.file = _typed(brief.xcb_get_file_descriptor, ctypes.c_int, connection)
        self.send = _typed(brief.xcb_send_request, ctypes.c_uint, connection, ctypes.c_int, void, void)
        self.flush = _typed(brief.xcb_flush, ctypes.c_int, connection)
        self.event = _typed(brief.xcb_poll_for_event, void, connection)


def _typed(function: ctypes._NamedFuncPointer, result: type | None, *arguments: type) -> ctypes._NamedFuncPointer:
    function.restype, function.argtypes = result, arguments
    return function


_libc = ctypes.CDLL(None, use_errno=True)
_free = _typed(ctypes.PyDLL(None).free, None, ctypes.c_void_p)
_shmget = _typed(_libc.shmget, ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_int)
_shmat = _typed(_libc.shmat, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_shmdt = _typed(_libc.shmdt, ctypes.c_int, ctypes.c_void_p)
_shmctl = _typed(_libc.shmctl, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)


def _taken(pointer: int) -> bytes:
    """The first 32 bytes of what libxcb allocated, which is freed."""
    data = ctypes.string_at(pointer, 32)
    _free(pointer)
    return data


class Connection:
    """A connection to an X server, for one thread. Every method but `close` raises Broken once it is lost."""

    def __init__(self, display: str | None = None) -> None:
        """`display` as in DISPLAY, which is used for None. Raises DisplayLost and MissingPart."""
        self._xcb = _library()
        self._connection = self._xcb.connect(display.encode() if display is not None else None, None)
        if self._xcb.has_error(self._connection):
            self.close()
            name = display or os.environ.get("DISPLAY", "")
            raise DisplayLost(
                f'no X server answers at "{name}"' if name else "there is no X server: DISPLAY is not set",
                "start live-sr from a desktop session; on Wayland only X11 games (through XWayland) can be captured",
            )
        self._poll = select.poll()
        self._poll.register(self._xcb.file(self._connection), select.POLLIN)

    def close(self) -> None:
        """The server frees what this connection had made. May be called twice."""
        if self._connection:
            self._xcb.disconnect(self._connection)
            self._connection = None

    def first_event(self, extension: _Extension) -> int:
        """The number of an extension's first event. Raises MissingPart when the server lacks the extension."""
        data = self._xcb.extension(self._connection, ctypes.byref(extension))
        self._raise_if_broken()
        present, first = struct.unpack_from("BxB", ctypes.string_at(data, 32), 8) if data else (0, 0)
        if not present:
            raise MissingPart(
                f"this X server lacks the {extension.name.decode()} extension",
                'switch it on there, or capture the screen instead: backend = "mss" under [capture]',
            )
        return int(first)

    def new_id(self) -> int:
        return int(self._xcb.new_id(self._connection))

    def send(self, request: Request, checked: bool = False) -> int:
        """Queues a request. Returns its number, for `reply` if it was sent checked; else an error in it is not told."""
        request.aim()
        return int(self._xcb.send(self._connection, _CHECKED if checked else 0, request.vector, request.protocol))

    def demand(self, request: Request) -> None:
        """Sends a request that has no reply, and waits until it is done. Raises XError."""
        error = self._xcb.request_check(self._connection, _Cookie(self.send(request, checked=True)))
        if error:
            raise XError(_taken(error)[1])
        self._raise_if_broken()

    def ask(self, request: Request) -> bytes:
        """Sends a request and returns the first 32 bytes of its reply. Raises XError."""
        return self.reply(self.send(request, checked=True))

    def reply(self, number: int) -> bytes:
        """The first 32 bytes of the reply to a request sent checked. Raises XError."""
        error = ctypes.c_void_p()
        data = self._xcb.wait_for_reply(self._connection, number, ctypes.byref(error))
        if data:
            return _taken(data)
        if error.value:
            raise XError(_taken(error.value)[1])
        raise Broken

    def events(self) -> Iterator[bytes]:
        """What has arrived, 32 bytes each; errors of unchecked requests are left out."""
        while event := self._xcb.event(self._connection):
            data = _taken(event)
            if data[0]:
                yield data
        self._raise_if_broken()

    def wait(self, timeout_s: float) -> bool:
        """Whether something came within the time. What was queued is sent first."""
        self._xcb.flush(self._connection)
        return bool(self._poll.poll(max(0.0, timeout_s * 1000)))

    def _raise_if_broken(self) -> None:
        if self._xcb.has_error(self._connection):
            raise Broken


class Segment:
    """System V shared memory of at least `size` bytes, for the server to write into.

    It is marked for removal at once: Linux still lets the server attach to it, and nothing can be left behind.
    """

    def __init__(self, size: int) -> None:
        """Raises OSError."""
        self.size = -(-size // 4096) * 4096
        self.id = _shmget(_IPC_PRIVATE, self.size, _IPC_CREAT | 0o600)
        if self.id < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._address: int | None = _shmat(self.id, None, 0)
        _shmctl(self.id, _IPC_RMID, None)
        if self._address in (None, ctypes.c_void_p(-1).value):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def words(self, count: int) -> npt.NDArray[np.uint32]:
        """The first `count` pixels as a view, not to be touched after `close`."""
        assert self._address is not None
        return np.ctypeslib.as_array((ctypes.c_uint32 * count).from_address(self._address))

    def close(self) -> None:
        if self._address is not None:
            _shmdt(self._address)
            self._address = None
