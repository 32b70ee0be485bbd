"""A portal for tests that shares what GNOME's compositor shows, as GNOME's own does, and without a dialog.

The test says what the player does. Behind it is the compositor's interface for screen capture.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Any, Self

from gnome_screen import GnomeScreen
from jeepney import (
    DBusAddress,
    HeaderFields,
    MatchRule,
    Message,
    MessageType,
    message_bus,
    new_error,
    new_method_call,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from patience import LONG_S, until
from screens import HD

NAME, PATH = "org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop"
MUTTER, MUTTER_PATH = "org.gnome.Mutter.ScreenCast", "/org/gnome/Mutter/ScreenCast"


class MutterCast:
    """A capture through the compositor's own interface, without a portal."""

    def __init__(self, screen: GnomeScreen) -> None:
        self._connection = open_dbus_connection(screen.bus)
        self.session = ""

    def start(self, what: str) -> int | None:
        """Shares the "window" that has the focus, or the first "monitor". The stream's node; None without a focus."""
        (self.session,) = self._call(MUTTER_PATH, MUTTER, "CreateSession", "a{sv}", {})
        options = {"cursor-mode": ("u", 0)}
        try:
            if what == "window":
                (stream,) = self._call(self.session, f"{MUTTER}.Session", "RecordWindow", "a{sv}", options)
            else:
                (stream,) = self._call(self.session, f"{MUTTER}.Session", "RecordMonitor", "sa{sv}", "", options)
        except RuntimeError:
            self.stop()
            return None
        added = MatchRule(type="signal", interface=f"{MUTTER}.Stream", member="PipeWireStreamAdded", path=stream)
        self._connection.send_and_get_reply(message_bus.AddMatch(added))
        with self._connection.filter(added) as signals:
            self._call(self.session, f"{MUTTER}.Session", "Start")
            return int(self._connection.recv_until_filtered(signals, timeout=LONG_S).body[0])

    def stop(self) -> None:
        self._call(self.session, f"{MUTTER}.Session", "Stop")

    def close(self) -> None:
        self._connection.close()

    def _call(self, path: str, interface: str, method: str, signature: str = "", *arguments: object) -> Any:
        message = new_method_call(DBusAddress(path, MUTTER, interface), method, signature, arguments)
        reply = self._connection.send_and_get_reply(message)
        if reply.header.message_type is MessageType.error:
            raise RuntimeError(f"mutter refuses {method}: {reply.body}")
        return reply.body


class CastPortal:
    """The ScreenCast portal of a desktop, on a thread of this process. It shares the window that has the focus.

    answer: what the player does in the dialog: chooses the "window", or is given a "monitor"; "no": cancels;
    "impossible": chooses what the desktop cannot share; "later": has not decided yet.
    """

    def __init__(self, screen: GnomeScreen, answer: str = "window") -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []
        """The options of every dialog, without their D-Bus types."""
        self._screen = screen
        self._client, self._session = "", ""
        self._options: dict[str, Any] = {}
        self._token = 0
        self._closing = False
        self._cast = MutterCast(screen)
        self._connection: DBusConnection = open_dbus_connection(screen.bus, enable_fds=True)
        self._connection.send_and_get_reply(message_bus.RequestName(NAME, 0))
        closed = MatchRule(type="signal", interface=f"{MUTTER}.Session", member="Closed")
        self._connection.send_and_get_reply(message_bus.AddMatch(closed))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.crash()
        self._cast.close()

    def crash(self) -> None:
        """The portal ends. What the compositor shares goes on."""
        if not self._closing:
            self._closing = True
            self._thread.join()
            self._connection.close()

    def stop_sharing(self) -> None:
        """What the button of the desktop does with which the player ends the sharing."""
        self._cast.stop()

    def _serve(self) -> None:
        while not self._closing:
            with suppress(TimeoutError):
                message = self._connection.receive(timeout=0.05)
                fields = message.header.fields
                if message.header.message_type is MessageType.method_call:
                    self._handle(message, fields[HeaderFields.member], fields[HeaderFields.sender])
                elif fields.get(HeaderFields.path) == self._cast.session:
                    self._emit("org.freedesktop.portal.Session", "Closed", self._session, "a{sv}", ({},))

    def _handle(self, message: Message, member: str, sender: str) -> None:
        if member == "Get":
            value = {"version": 5, "AvailableSourceTypes": 7, "AvailableCursorModes": 7}[message.body[1]]
            self._connection.send(new_method_return(message, "v", (("u", value),)))
        elif member == "OpenPipeWireRemote":
            remote = self._screen.connect_to_pipewire()
            self._connection.send(new_method_return(message, "h", (remote,)))
            os.close(remote)
        elif member in ("CreateSession", "SelectSources", "Start"):
            options = {name: value for name, (_, value) in message.body[-1].items()}
            name = sender[1:].replace(".", "_")
            path = f"{PATH}/request/{name}/{options['handle_token']}"
            self._connection.send(new_method_return(message, "o", (path,)))
            code, results = self._decide(member, options, name)
            if code is not None:
                self._client = sender
                self._emit("org.freedesktop.portal.Request", "Response", path, "ua{sv}", (code, results))
        elif member == "Close":
            self._connection.send(new_method_return(message))
        else:
            self._connection.send(new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "s", ("no",)))

    def _decide(self, member: str, options: dict[str, Any], client: str) -> tuple[int | None, dict[str, Any]]:
        if member == "CreateSession":
            self._session = f"{PATH}/session/{client}/{options['session_handle_token']}"
            return 0, {"session_handle": ("s", self._session)}
        if member == "SelectSources":
            self._options = options
            return 0, {}
        self.asked.append(self._options)
        if self.answer not in ("window", "monitor"):
            return {"no": 1, "impossible": 2, "later": None}[self.answer], {}
        self._token += 1
        try:
            stream = until(self._share, "a window with the focus")
        except TimeoutError:
            return 2, {}
        return 0, {"streams": ("a(ua{sv})", [stream]), "restore_token": ("s", f"token {self._token}")}

    def _share(self) -> tuple[int, dict[str, Any]] | None:
        """The stream; None while no window has the focus."""
        node = self._cast.start(self.answer)
        if node is None or self.answer == "window":
            return None if node is None else (node, {"source_type": ("u", 2)})
        return node, {"source_type": ("u", 1), "position": ("(ii)", (0, 0)), "size": ("(ii)", tuple(HD))}

    def _emit(self, interface: str, member: str, path: str, signature: str, body: tuple[Any, ...]) -> None:
        signal = new_signal(DBusAddress(path, interface=interface), member, signature, body)
        signal.header.fields[HeaderFields.destination] = self._client
        self._connection.send(signal)
