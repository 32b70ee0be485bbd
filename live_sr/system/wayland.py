"""Speaks the Wayland protocol: a connection to the compositor, its globals and its outputs.

libwayland's binding for Python exists for few systems and Pythons, and what is needed of the protocol is little: a
message is a number of an object, a number of a request and its arguments, in 32-bit words.
"""

from __future__ import annotations

import os
import socket
import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from live_sr.errors import LiveSRError
from live_sr.pipeline.frame import Size

DISPLAY = 1  # the object that is there from the beginning
SYNC, GET_REGISTRY = 0, 1  # requests of wl_display
ERROR, DELETE_ID = 0, 1  # events of wl_display
BIND = 0  # request of wl_registry
CHUNK = 65536  # bytes
TIMEOUT_S = 10.0  # the longest wait for the compositor's answer
LAYER_SHELL = "zwlr_layer_shell_v1"
"""The global by which wlroots and KDE Plasma let a program put something above all windows."""
NO_SIZE = Size(0, 0)
ROTATED = (1, 3, 5, 7)  # transforms of an output that exchange width and height


linux_socket: Any = socket  # the types for Windows lack what is used of it


class WaylandLost(LiveSRError):
    """There is no compositor, it does not answer, or it has ended the connection."""


class Descriptor(NamedTuple):
    """A file descriptor as an argument. It is duplicated for the compositor."""

    number: int


Argument = int | str | Descriptor
"""Of a request: a number, an object, a text, or a file descriptor."""


@dataclass
class WaylandOutput:
    """A screen of the compositor. x, y: where it is among the others. size: in its own pixels. scale: rounded up."""

    id: int = 0
    x: int = 0
    y: int = 0
    size: Size = NO_SIZE
    scale: int = 1
    transform: int = 0


class EventArguments:
    """Reads the arguments of an event, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read_number(self) -> int:
        (value,) = struct.unpack_from("=I", self._data, self._at)
        self._at += 4
        return int(value)

    def read_signed(self) -> int:
        (value,) = struct.unpack_from("=i", self._data, self._at)
        self._at += 4
        return int(value)

    def read_text(self) -> str:
        length = self.read_number()
        text = self._data[self._at : self._at + length].split(b"\0")[0]
        self._at += (length + 3) // 4 * 4
        return text.decode(errors="replace")


EventHandler = Callable[[int, EventArguments], None]
"""Gets the number of the event and its arguments."""


class WaylandConnection:
    """Used by one thread. `handlers`: by object, what is called with its events."""

    def __init__(self, name: str = "") -> None:
        """`name`: in the form of WAYLAND_DISPLAY, which is used for an empty one. Raises WaylandLost."""
        self._socket: Any = linux_socket.socket(linux_socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_S)
        try:
            self._socket.connect(_find_socket(name))
        except (OSError, ValueError) as error:
            self._socket.close()
            raise WaylandLost(f"no Wayland compositor answers: {error}") from None
        self._next_id = DISPLAY + 1
        self._free_ids: list[int] = []
        self._sending = bytearray()
        self._descriptors: list[int] = []
        self._received = b""
        self.handlers: dict[int, EventHandler] = {DISPLAY: self._handle_display}
        self.globals: dict[str, list[tuple[int, int]]] = {}
        """By interface: the number and the version of each global."""
        registry = self.new_id(self._handle_registry)
        self.request(DISPLAY, GET_REGISTRY, registry)
        self._registry = registry
        self.roundtrip()

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        number: int = self._socket.fileno()
        return number

    def new_id(self, handler: EventHandler | None = None) -> int:
        """The number for a new object, which the next request must make."""
        if self._free_ids:
            number = self._free_ids.pop()
        else:
            number, self._next_id = self._next_id, self._next_id + 1
        if handler is not None:
            self.handlers[number] = handler
        return number

    def request(self, target: int, number: int, *arguments: Argument) -> None:
        """Sends a request of an object with the next `flush`."""
        data = b"".join(map(_encode, arguments))
        self._descriptors += [os.dup(value.number) for value in arguments if isinstance(value, Descriptor)]
        self._sending += struct.pack("=II", target, (8 + len(data)) << 16 | number) + data

    def bind(self, interface: str, version: int, handler: EventHandler | None = None) -> int:
        """The object of the first global of an interface, which must be there, in this version at most."""
        number, offered = self.globals[interface][0]
        return self._bind(number, interface, min(version, offered), handler)

    def list_outputs(self) -> list[WaylandOutput]:
        """Every screen. The objects stay bound."""
        outputs = []
        for number, offered in self.globals.get("wl_output", []):
            output = WaylandOutput()
            output.id = self._bind(number, "wl_output", min(2, offered), _OutputEvents(output).handle)
            outputs.append(output)
        self.roundtrip()
        return outputs

    def flush(self) -> None:
        """Raises WaylandLost."""
        descriptors, self._descriptors = self._descriptors, []
        data, self._sending = bytes(self._sending), bytearray()
        try:
            while data:
                ancillary = (
                    [(linux_socket.SOL_SOCKET, linux_socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
                )
                data = data[self._socket.sendmsg([data], ancillary) :]
                for descriptor in descriptors:
                    os.close(descriptor)
                descriptors = []
        except OSError as error:
            raise _describe_loss(error) from None

    def roundtrip(self) -> None:
        """Returns once the compositor has carried out all requests, with their events handled. Raises WaylandLost."""
        done: list[int] = []
        callback = self.new_id(lambda number, arguments: done.append(number))
        self.request(DISPLAY, SYNC, callback)
        self.flush()
        while not done:
            self.dispatch()

    def dispatch(self) -> None:
        """Waits for events and handles them. Does not wait once `fileno()` is readable. Raises WaylandLost."""
        try:
            received, ancillary, _, _ = self._socket.recvmsg(CHUNK, linux_socket.CMSG_SPACE(28 * 4))
        except OSError as error:
            raise _describe_loss(error) from None
        for _, _, descriptors in ancillary:  # of events that nobody here reads
            for descriptor in array("i", descriptors[: len(descriptors) // 4 * 4]):
                os.close(descriptor)
        if not received:
            raise WaylandLost("the Wayland compositor has ended the connection")
        self._received += received
        while len(self._received) >= 8:
            target, word = struct.unpack_from("=II", self._received)
            length, number = word >> 16, word & 0xFFFF
            if len(self._received) < length:
                break
            data, self._received = self._received[8:length], self._received[length:]
            handler = self.handlers.get(target)
            if handler is not None:
                handler(number, EventArguments(data))

    def _bind(self, name: int, interface: str, version: int, handler: EventHandler | None) -> int:
        bound = self.new_id(handler)
        self.request(self._registry, BIND, name, interface, version, bound)
        return bound

    def _handle_display(self, number: int, arguments: EventArguments) -> None:
        if number == ERROR:
            target, code, message = arguments.read_number(), arguments.read_number(), arguments.read_text()
            raise WaylandLost(f"the Wayland compositor refused a request of object {target}: {message} ({code})")
        if number == DELETE_ID:
            deleted = arguments.read_number()
            self.handlers.pop(deleted, None)
            self._free_ids.append(deleted)

    def _handle_registry(self, number: int, arguments: EventArguments) -> None:
        name = arguments.read_number()
        if number == 0:
            interface, version = arguments.read_text(), arguments.read_number()
            self.globals.setdefault(interface, []).append((name, version))
        else:
            for offered in self.globals.values():
                offered[:] = [one for one in offered if one[0] != name]


def has_global(interface: str) -> bool:
    """Whether the compositor offers that; False without a compositor."""
    try:
        wayland = WaylandConnection()
    except WaylandLost:
        return False
    wayland.close()
    return interface in wayland.globals


class _OutputEvents:
    """Fills an WaylandOutput from its events."""

    def __init__(self, output: WaylandOutput) -> None:
        self._output = output

    def handle(self, number: int, arguments: EventArguments) -> None:
        geometry, mode, scale = 0, 1, 3
        if number == geometry:
            self._output.x, self._output.y = arguments.read_signed(), arguments.read_signed()
            for _ in range(3):
                arguments.read_number()  # its size in millimetres, and the order of its subpixels
            for _ in range(2):
                arguments.read_text()  # who made it, and what it is called
            self._output.transform = arguments.read_number()
        elif number == mode and arguments.read_number() & 1:  # 1: the current one
            size = Size(arguments.read_number(), arguments.read_number())
            rotated = self._output.transform in ROTATED
            self._output.size = Size(size.height, size.width) if rotated else size
        elif number == scale:
            self._output.scale = arguments.read_number()


def _encode(argument: Argument) -> bytes:
    if isinstance(argument, Descriptor):
        return b""
    if isinstance(argument, int):
        return struct.pack("=I", argument & 0xFFFFFFFF)
    text = argument.encode() + b"\0"
    return struct.pack("=I", len(text)) + text + bytes(-len(text) % 4)


def _find_socket(name: str) -> str:
    """Raises ValueError where the environment does not say where it is."""
    wanted = name or os.environ.get("WAYLAND_DISPLAY", "")
    if not wanted:
        raise ValueError("WAYLAND_DISPLAY is not set")
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    if not Path(wanted).is_absolute() and not folder:
        raise ValueError("XDG_RUNTIME_DIR is not set")
    return str(Path(folder, wanted))


def _describe_loss(error: OSError) -> WaylandLost:
    return WaylandLost(f"the connection to the Wayland compositor broke: {error}")
