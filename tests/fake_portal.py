"""A desktop's portal for tests, on a D-Bus of its own: `GlobalShortcuts`, answered as a test wants it.

`FakePortal(folder)` starts the bus and, in this process, a thread that serves the portal.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from jeepney import DBusAddress, HeaderFields, Message, message_bus, new_error, new_method_return, new_signal
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from screens import end, find_program

NAME, PATH = "org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop"
SHORTCUTS = "org.freedesktop.portal.GlobalShortcuts"
BACKEND = "org.freedesktop.impl.portal.GlobalShortcuts"
SESSION = f"{PATH}/session/test/one"

CONFIGURATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type><listen>unix:path={path}</listen>
  <policy context="default">
    <allow send_destination="*"/><allow send_type="signal"/><allow receive_sender="*"/><allow own="*"/>
  </policy>
</busconfig>
"""


class PrivateBus:
    """A D-Bus that nobody else uses. `address`: for DBUS_SESSION_BUS_ADDRESS."""

    def __init__(self, folder: Path) -> None:
        self.address = f"unix:path={folder / 'bus'}"
        file = folder / "bus.conf"
        file.write_text(CONFIGURATION.format(path=folder / "bus"))
        self._process = subprocess.Popen(
            [find_program("dbus-daemon", "dbus-daemon"), f"--config-file={file}", "--nofork", "--print-address=1"],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it comes once the bus listens

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process)


class FakePortal:
    """Grants every key in its own words, unless `answer` says otherwise.

    answer: the code of the answer to BindShortcuts, 0: granted, 1: refused by the user; None: the user is still
    thinking. has_shortcuts: whether it has the interface at all. has_sessions: off: its answer lacks what it must have.
    words: what it calls the key of an action.
    """

    def __init__(
        self,
        address: str,
        *,
        answer: int | None = 0,
        has_shortcuts: bool = True,
        has_sessions: bool = True,
        words: Callable[[str, str], str] = lambda action, trigger: trigger.lower(),
    ) -> None:
        self._answer, self._has_shortcuts, self._words = answer, has_shortcuts, words
        self._has_sessions = has_sessions
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        """Every call that it got: the method's name and its arguments."""
        self._client = ""
        self._lock = threading.Lock()
        self._closing = False
        self._connection: DBusConnection = open_dbus_connection(address)
        self._connection.send_and_get_reply(message_bus.RequestName(NAME, 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """The portal ends, as in a crash."""
        self._closing = True
        self._thread.join()
        self._connection.close()

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.calls]

    @property
    def wanted(self) -> dict[str, str]:
        """What was asked for last: {action: trigger}."""
        shortcuts = next(arguments[1] for method, arguments in reversed(self.calls) if method == "BindShortcuts")
        return {action: values["preferred_trigger"][1] for action, values in shortcuts}

    def press(self, action: str) -> None:
        self._tell_of_key("Activated", action)

    def release(self, action: str) -> None:
        self._tell_of_key("Deactivated", action)

    def _tell_of_key(self, member: str, action: str) -> None:
        """To the client, and before that to everybody, as a desktop's back-end tells the portal of it."""
        body = (SESSION, action, 0, {})
        self._send(new_signal(DBusAddress(PATH, interface=BACKEND), member, "osta{sv}", body))
        self._emit(SHORTCUTS, member, PATH, "osta{sv}", body)

    def change_keys(self, keys: dict[str, str]) -> None:
        """The user gives the actions other keys in the desktop's settings."""
        told = [(action, {"trigger_description": ("s", words)}) for action, words in keys.items()]
        self._emit(SHORTCUTS, "ShortcutsChanged", PATH, "oa(sa{sv})", (SESSION, told))

    def end_session(self) -> None:
        self._emit("org.freedesktop.portal.Session", "Closed", SESSION, "a{sv}", ({},))

    def _serve(self) -> None:
        while not self._closing:
            with suppress(TimeoutError):
                message = self._connection.receive(timeout=0.05)
                if HeaderFields.member in message.header.fields and HeaderFields.sender in message.header.fields:
                    self._handle(message)

    def _handle(self, message: Message) -> None:
        member = message.header.fields[HeaderFields.member]
        sender = message.header.fields[HeaderFields.sender]
        if sender == "org.freedesktop.DBus":
            return
        self.calls.append((member, message.body))
        interface = message.body[0] if member == "Get" else message.header.fields[HeaderFields.interface]
        if interface == SHORTCUTS and not self._has_shortcuts:
            self._send(new_error(message, "org.freedesktop.DBus.Error.UnknownInterface", "s", ("No such interface",)))
        elif member == "Get":
            self._send(new_method_return(message, "v", (("u", 1),)))
        elif member == "Register":
            self._send(new_method_return(message))
        elif member in ("CreateSession", "BindShortcuts"):
            self._client = sender
            self._decide(message, member, sender)

    def _decide(self, message: Message, member: str, sender: str) -> None:
        token = message.body[-1]["handle_token"][1]
        path = f"{PATH}/request/{sender[1:].replace('.', '_')}/{token}"
        self._send(new_method_return(message, "o", (path,)))
        results: dict[str, tuple[str, Any]] = {"session_handle": ("s", SESSION)} if self._has_sessions else {}
        code: int | None = 0
        if member == "BindShortcuts":
            code = self._answer
            named = [(a, self._words(a, v["preferred_trigger"][1])) for a, v in message.body[1]]
            granted = [(a, {"trigger_description": ("s", words)}) for a, words in named if words]
            results = {"shortcuts": ("a(sa{sv})", granted)}
        if code is not None:
            self._emit("org.freedesktop.portal.Request", "Response", path, "ua{sv}", (code, {} if code else results))

    def _emit(self, interface: str, member: str, path: str, signature: str, body: tuple[Any, ...]) -> None:
        signal = new_signal(DBusAddress(path, interface=interface), member, signature, body)
        signal.header.fields[HeaderFields.destination] = self._client
        self._send(signal)

    def _send(self, message: Message) -> None:
        with self._lock:
            self._connection.send(message)
