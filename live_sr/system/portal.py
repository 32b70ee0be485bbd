"""Talks over D-Bus to the desktop's portal, which does for a program what Wayland allows only with the user's consent.

A request to the portal is answered twice: at once with the path of a request object, and later, when the user has
decided, with a signal from that object.
"""

from __future__ import annotations

import os
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Self

from jeepney import DBusAddress, HeaderFields, MatchRule, Message, MessageType, message_bus, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from live_sr.errors import LiveSRError

NAME, PATH = "org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop"
REQUEST, SESSION = "org.freedesktop.portal.Request", "org.freedesktop.portal.Session"
REGISTRY = "org.freedesktop.host.portal.Registry"
PROPERTIES = "org.freedesktop.DBus.Properties"
REPLY_S = 10.0  # the longest wait for the first answer; the bus may have to start the portal
POLL_S = 0.1  # between two looks at whether to give up
REFUSED = 1  # a request's answer when the user has said no; 0: granted; 2: it ended in another way


class PortalUnavailable(LiveSRError):
    """There is no portal here, or it lacks what was asked for."""


class PortalRefused(LiveSRError):
    """The user, or the desktop on their behalf, said no."""


class PortalEnded(PortalRefused):
    """The portal ended it in another way: its dialog was closed, or the desktop could not do what was chosen."""


class PortalLost(LiveSRError):
    """The portal has ended, or the connection to it, or the wait was given up."""


@dataclass(frozen=True)
class PortalSignal:
    """What the portal tells by itself. `member`: the signal's name. `body`: its values."""

    interface: str
    member: str
    path: str
    body: tuple[Any, ...]


class Portal:
    """A connection of its own. Used by one thread."""

    def __init__(
        self, app_id: str = "", cancelled: Callable[[], bool] = lambda: False, *, descriptors: bool = False
    ) -> None:
        """`app_id`: introduces this program by the name of its .desktop file. `cancelled`: every wait looks at it ten
        times a second, and raises PortalLost when it returns True. `descriptors`: lets file descriptors through.

        Raises PortalUnavailable without a session bus. A portal that is too old for the introduction, or does not find
        the file, is used without.
        """
        self._cancelled = cancelled
        try:
            self.connection: DBusConnection = open_dbus_connection(_find_session_bus(), enable_fds=descriptors)
        except (OSError, RuntimeError, ValueError) as error:
            raise PortalUnavailable(f"the session's D-Bus does not answer: {error}", "log in to a desktop") from None
        self._name = str(self.connection.unique_name).removeprefix(":").replace(".", "_")
        self._signals: deque[PortalSignal] = deque()
        ended = MatchRule(type="signal", member="NameOwnerChanged", path="/org/freedesktop/DBus")
        ended.add_arg_condition(0, NAME)
        for rule in (MatchRule(type="signal", path_namespace=PATH), ended):
            self._ask(message_bus.AddMatch(rule))
        # The first call to the portal, which else has decided already that this is a program without a name.
        with suppress(PortalUnavailable):
            if app_id:
                self.call(REGISTRY, "Register", "sa{sv}", app_id, {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.connection.close()

    def call(self, interface: str, method: str, signature: str, *arguments: object, path: str = PATH) -> Any:
        """The values of the answer. Raises PortalUnavailable where there is none, or an error; PortalLost."""
        return self._ask(new_method_call(DBusAddress(path, NAME, interface), method, signature, arguments))

    def read_version(self, interface: str) -> int:
        """Of a part of the portal. Raises PortalUnavailable where the desktop lacks it."""
        return int(self.call(PROPERTIES, "Get", "ss", interface, "version")[0][1])

    def request(
        self,
        interface: str,
        method: str,
        signature: str,
        *arguments: object,
        options: Mapping[str, tuple[str, object]],
    ) -> dict[str, tuple[str, Any]]:
        """Asks, and waits until the user has decided: the values granted, each with its D-Bus type.

        `signature`: of `arguments`; `options`, which are the last argument, not included. Raises PortalUnavailable,
        PortalRefused and PortalLost.
        """
        token = f"live_sr_{secrets.token_hex(6)}"
        named = {**options, "handle_token": ("s", token)}
        expected = f"{PATH}/request/{self._name}/{token}"
        (path,) = self.call(interface, method, f"{signature}a{{sv}}", *arguments, named)
        try:
            while (answer := self._take(REQUEST, (path, expected))) is None:
                self._read(POLL_S)
        except PortalLost:
            with suppress(LiveSRError, OSError):  # the desktop's dialog goes with the request
                self.connection.send(new_method_call(DBusAddress(path, NAME, REQUEST), "Close"))
            raise
        code, granted = answer.body
        if code:
            remedy = "start live-sr again to be asked again"
            if code == REFUSED:
                raise PortalRefused("you said no", remedy)
            raise PortalEnded(f"the desktop's portal ended {method}", remedy)
        return dict(granted)

    def receive(self, timeout_s: float = POLL_S) -> PortalSignal | None:
        """The next signal; None: there is none within `timeout_s`. Raises PortalLost."""
        if not self._signals:
            self._read(timeout_s)
        return self._signals.popleft() if self._signals else None

    def _ask(self, message: Message) -> Any:
        """Sends a method call, and returns the values of its answer."""
        serial = next(self.connection.outgoing_serial)
        end = monotonic() + REPLY_S
        reply: Message | None = None
        with _raise_lost():
            self.connection.send(message, serial)
        while reply is None or reply.header.fields.get(HeaderFields.reply_serial) != serial:
            if monotonic() > end:
                raise PortalUnavailable("the desktop's portal does not answer", "log in again")
            reply = self._read(POLL_S)
        if reply.header.message_type is MessageType.error:
            told = reply.body[0] if reply.body else reply.header.fields.get(HeaderFields.error_name)
            raise PortalUnavailable(f"the desktop's portal says: {told}", "see docs/wayland.md")
        return reply.body

    def _read(self, timeout_s: float) -> Message | None:
        """The next message, of which signals are kept; None: there is none within `timeout_s`."""
        if self._cancelled():
            raise PortalLost("the wait for the desktop's portal was given up", "start live-sr again")
        with _raise_lost():
            try:
                message = self.connection.receive(timeout=timeout_s)
            except TimeoutError:
                return None
        if message.header.message_type is MessageType.signal:
            fields = message.header.fields
            interface, member, path = (
                str(fields.get(name, "")) for name in (HeaderFields.interface, HeaderFields.member, HeaderFields.path)
            )
            signal = PortalSignal(interface, member, path, tuple(message.body))
            if signal.member == "NameOwnerChanged" and not signal.body[2]:
                raise PortalLost("the desktop's portal has ended", "log in again")
            self._signals.append(signal)
        return message

    def _take(self, interface: str, paths: Sequence[str]) -> PortalSignal | None:
        """The oldest signal of an interface from one of these objects, which is taken out."""
        found = next((one for one in self._signals if one.interface == interface and one.path in paths), None)
        if found is not None:
            self._signals.remove(found)
        return found


@contextmanager
def _raise_lost() -> Iterator[None]:
    """Turns the end of the connection into PortalLost."""
    try:
        yield
    except OSError as error:
        raise PortalLost(f"the connection to the desktop's portal broke: {error}", "start live-sr again") from None


def _find_session_bus() -> str:
    """Its address: of the environment, else the place where systemd puts it. Raises ValueError where there is none."""
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS", "")
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    if not address and not folder:
        raise ValueError("neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set")
    return address or f"unix:path={folder}/bus"
