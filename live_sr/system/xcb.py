"""Binds libxcb and System V shared memory through ctypes, as far as the capture and the pointer on X11 need them.

It uses libxcb and not libX11, because Xlib reports errors to one handler for the whole process, which Qt replaces with
its own, and ends the process when the connection breaks. libxcb answers each request with its own error. Requests of
the extensions are packed by hand (layouts: the X.Org protocol texts of Composite, DAMAGE, MIT-SHM, XFixes and XInput),
so that only libxcb has to be installed, which Qt needs anyway. python-xlib, which is easier to use, takes two to five
times as long for a round trip.
"""

from __future__ import annotations

import ctypes
import functools
import os
import selectors
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from live_sr.errors import DisplayLost, MissingPart

# Core requests, events, errors and values (X11 protocol, appendix B)
CHANGE_WINDOW_ATTRIBUTES, GET_WINDOW_ATTRIBUTES, GET_GEOMETRY, FREE_PIXMAP = 2, 3, 14, 54
INTERN_ATOM, GET_PROPERTY, GET_SELECTION_OWNER, GET_INPUT_FOCUS = 16, 20, 23, 43
CARDINAL = 6
BAD_WINDOW, BAD_DRAWABLE = 3, 9
CW_EVENT_MASK, STRUCTURE_NOTIFY, PROPERTY_CHANGE = 1 << 11, 1 << 17, 1 << 22
PROPERTY_NOTIFY = 28
VIEWABLE = 2

_IPC_PRIVATE, _IPC_CREAT, _IPC_RMID = 0, 0o1000, 0
_CHECKED = 1  # flag of xcb_send_request: keep the error for xcb_request_check, instead of queueing it as an event


class ConnectionBroken(Exception):
    """The connection to the X server is broken."""


class XError(Exception):
    """The server refused a request. `code` is the error code of the X protocol."""

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


class _ScreenIterator(ctypes.Structure):
    """xcb_screen_iterator_t. A screen begins with the number of its root window."""

    _fields_ = (("screen", ctypes.POINTER(ctypes.c_uint32)), ("rest", ctypes.c_int), ("index", ctypes.c_int))


class _Cookie(ctypes.Structure):
    """xcb_void_cookie_t, passed by value."""

    _fields_ = (("sequence", ctypes.c_uint),)


COMPOSITE = _Extension(b"Composite", 0)
DAMAGE = _Extension(b"DAMAGE", 0)
MIT_SHM = _Extension(b"MIT-SHM", 0)
XFIXES = _Extension(b"XFIXES", 0)
XINPUT = _Extension(b"XInputExtension", 0)


class Request:
    """One X request, packed once and sent any number of times. `body`: what follows the header of four bytes."""

    def __init__(
        self, opcode: int, body: bytes = b"", extension: _Extension | None = None, reply: bool = False
    ) -> None:
        self._buffer = (ctypes.c_char * (4 + len(body))).from_buffer_copy(bytes(4) + body)
        self._address, self._length = ctypes.addressof(self._buffer), len(self._buffer)
        self._vector = (_IoVec * 3)()  # libxcb writes into the two entries before the one it is given
        self._entry = self._vector[2]
        self._protocol = _Protocol(1, ctypes.pointer(extension) if extension else None, opcode, not reply)
        self.vector = ctypes.byref(self._entry)
        self.protocol = ctypes.byref(self._protocol)

    def rewind(self) -> None:
        """Points the vector at the whole request again: libxcb advances it as it sends."""
        self._entry.base, self._entry.length = self._address, self._length


@functools.cache
def _load_library() -> _Library:
    return _Library()


class _Library:
    """libxcb's functions with their types.

    Functions that never block are called through PyDLL, which keeps the interpreter's lock: after releasing it, each
    call could wait up to 5 ms to get it back from a busy thread.
    """

    def __init__(self) -> None:
        try:
            non_blocking, blocking = ctypes.PyDLL("libxcb.so.1"), ctypes.CDLL("libxcb.so.1")
        except OSError:
            raise MissingPart("libxcb.so.1 is missing", "sudo apt install libxcb1") from None
        connection, void, out = ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)
        self.connect = _declare(blocking.xcb_connect, connection, ctypes.c_char_p, void)
        self.disconnect = _declare(blocking.xcb_disconnect, None, connection)
        self.extension = _declare(blocking.xcb_get_extension_data, void, connection, ctypes.POINTER(_Extension))
        self.generate_id = _declare(blocking.xcb_generate_id, ctypes.c_uint32, connection)
        self.wait_for_reply = _declare(blocking.xcb_wait_for_reply, void, connection, ctypes.c_uint, out)
        self.request_check = _declare(blocking.xcb_request_check, void, connection, _Cookie)
        self.has_error = _declare(non_blocking.xcb_connection_has_error, ctypes.c_int, connection)
        self.file = _declare(non_blocking.xcb_get_file_descriptor, ctypes.c_int, connection)
        self.send = _declare(non_blocking.xcb_send_request, ctypes.c_uint, connection, ctypes.c_int, void, void)
        self.flush = _declare(non_blocking.xcb_flush, ctypes.c_int, connection)
        self.setup = _declare(non_blocking.xcb_get_setup, void, connection)
        self.screens = _declare(non_blocking.xcb_setup_roots_iterator, _ScreenIterator, void)
        self.event = _declare(non_blocking.xcb_poll_for_event, void, connection)


def _declare(function: ctypes._NamedFuncPointer, result: type | None, *arguments: type) -> ctypes._NamedFuncPointer:
    function.restype, function.argtypes = result, arguments
    return function


_libc = ctypes.CDLL(None, use_errno=True)
_free = _declare(ctypes.PyDLL(None).free, None, ctypes.c_void_p)
_shmget = _declare(_libc.shmget, ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_int)
_shmat = _declare(_libc.shmat, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_shmdt = _declare(_libc.shmdt, ctypes.c_int, ctypes.c_void_p)
_shmctl = _declare(_libc.shmctl, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)


def _take_buffer(pointer: int) -> bytes:
    """Returns a reply, an event or an error that libxcb allocated, and frees it."""
    data = ctypes.string_at(pointer, 32)
    if data[0] == 1:  # a reply, which says how many words follow
        data = ctypes.string_at(pointer, 32 + 4 * struct.unpack_from("=I", data, 4)[0])
    _free(pointer)
    return data


class Connection:
    """A connection to an X server, for one thread. All methods but `close` raise ConnectionBroken when it breaks."""

    def __init__(self, display: str | None = None) -> None:
        """`display`: in the form of DISPLAY, which is used for None. Raises DisplayLost and MissingPart."""
        self._xcb = _load_library()
        self._selector = selectors.SelectSelector()  # epoll and poll would round a wait up to whole milliseconds
        self._connection = self._xcb.connect(display.encode() if display is not None else None, None)
        if self._xcb.has_error(self._connection):
            self.close()
            name = display or os.environ.get("DISPLAY", "")
            raise DisplayLost(
                f'no X server answers at "{name}"' if name else "there is no X server: DISPLAY is not set",
                "start live-sr from a desktop session; on Wayland only X11 games (through XWayland) can be captured",
            )
        self._selector.register(self._xcb.file(self._connection), selectors.EVENT_READ)

    @property
    def root(self) -> int:
        """The root window of the first screen."""
        return int(self._xcb.screens(self._xcb.setup(self._connection)).screen[0])

    @property
    def address(self) -> int:
        """Of the xcb_connection_t, for a library that draws. It is valid until `close`."""
        return self._connection or 0

    def close(self) -> None:
        """Closes it; the server frees all that it made for this connection. May be called twice."""
        if self._connection:
            self._xcb.disconnect(self._connection)
            self._connection = None
        self._selector.close()

    def get_first_event(self, extension: _Extension) -> int:
        """The number of an extension's first event. Raises MissingPart when the server lacks the extension."""
        data = self._xcb.extension(self._connection, ctypes.byref(extension))
        self._raise_if_broken()
        present, first = struct.unpack_from("BxB", ctypes.string_at(data, 32), 8) if data else (0, 0)
        if not present:
            raise MissingPart(
                f"this X server lacks the {extension.name.decode()} extension",
                'enable it there, or capture the screen instead: set backend = "mss" under [capture]',
            )
        return int(first)

    @property
    def file(self) -> int:
        """A file descriptor that is readable when something has arrived from the server."""
        return int(self._xcb.file(self._connection))

    def generate_id(self) -> int:
        """A new id for a resource of this connection."""
        return int(self._xcb.generate_id(self._connection))

    def send(self, request: Request, checked: bool = False) -> int:
        """Queues a request and returns its number. Only a checked one can be given to `wait_for_reply`; errors of the
        others are dropped."""
        request.rewind()
        return int(self._xcb.send(self._connection, _CHECKED if checked else 0, request.vector, request.protocol))

    def execute(self, request: Request) -> None:
        """Sends a request that has no reply, and waits until the server has done it. Raises XError."""
        error = self._xcb.request_check(self._connection, _Cookie(self.send(request, checked=True)))
        if error:
            raise XError(_take_buffer(error)[1])
        self._raise_if_broken()

    def query(self, request: Request) -> bytes:
        """Sends a request and returns its reply. Raises XError."""
        return self.wait_for_reply(self.send(request, checked=True))

    def wait_for_reply(self, number: int) -> bytes:
        """Returns the reply to a checked request. Raises XError."""
        error = ctypes.c_void_p()
        data = self._xcb.wait_for_reply(self._connection, number, ctypes.byref(error))
        if data:
            return _take_buffer(data)
        if error.value:
            raise XError(_take_buffer(error.value)[1])
        raise ConnectionBroken

    def read_events(self) -> Iterator[bytes]:
        """Yields the events that have arrived, 32 bytes each; errors of unchecked requests are left out."""
        while event := self._xcb.event(self._connection):
            data = _take_buffer(event)
            if data[0]:
                yield data
        self._raise_if_broken()

    def wait(self, timeout_s: float) -> bool:
        """Sends what is queued, then waits. Returns whether something arrived within `timeout_s`."""
        self._xcb.flush(self._connection)
        return bool(self._selector.select(max(0.0, timeout_s)))

    def _raise_if_broken(self) -> None:
        if self._xcb.has_error(self._connection):
            raise ConnectionBroken


class SharedMemory:
    """System V shared memory of at least `size` bytes, into which the server writes.

    It is marked for removal at once, so that none is left behind: Linux still lets the server attach to it.
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

    def view_words(self, count: int) -> npt.NDArray[np.uint32]:
        """A view of the first `count` pixels, one uint32 each. Do not touch it after `close`."""
        assert self._address is not None
        return np.ctypeslib.as_array((ctypes.c_uint32 * count).from_address(self._address))

    def close(self) -> None:
        if self._address is not None:
            _shmdt(self._address)
            self._address = None
