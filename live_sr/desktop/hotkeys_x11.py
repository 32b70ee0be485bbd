"""Global hotkeys on X11, through the server's RECORD extension: the game receives the keys too."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

from Xlib import X
from Xlib.display import Display
from Xlib.ext import record
from Xlib.protocol import rq

from live_sr.desktop.chords import Chord, ChordChange, ChordTracker, parse_chords
from live_sr.desktop.keyboard import Key, KeyAssignment, assign_keys, count_layouts, find_modifiers, label_keys
from live_sr.desktop.keyboard_xkb import read_keyboard
from live_sr.desktop.x11_errors import NO_SERVER
from live_sr.errors import LiveSRError, reason

READY_S = 1.0  # the longest wait for the listener's start
END_S = 5.0  # and for its end, which comes at once unless the machine is very busy
LAYOUT_SHIFT = 13  # of the two bits in an event's state that say which of the keyboard's layouts is on
NOTHING, KEYS = (0, 0), (X.KeyPress, X.KeyRelease)
KEY_EVENTS = {
    **dict.fromkeys(("core_requests", "core_replies", "delivered_events", "errors"), NOTHING),
    **dict.fromkeys(("ext_requests", "ext_replies"), (*NOTHING, *NOTHING)),
    "device_events": KEYS,
    "client_started": False,
    "client_died": False,
}

log = logging.getLogger(__name__)


class X11Hotkeys:
    """Implements `contracts.Hotkeys`. Callbacks run on the listener's thread."""

    def __init__(self) -> None:
        self._listener: KeyListener | None = None

    def bind(
        self, keys: dict[str, str], on_press: Callable[[str], None], on_release: Callable[[str], None]
    ) -> list[str]:
        """Replaces all bindings. Returns a sentence for each key that cannot be heard, or one for all."""
        self.close()
        chords, problems = parse_chords(keys)
        try:
            bound = BoundKeys(chords, on_press, on_release)
            self._listener = KeyListener(bound)
        except (*NO_SERVER, LiveSRError) as cause:
            return [*problems, f"Hotkeys do not work: {_describe(cause)}"]
        self._listener.start()
        return [*problems, *bound.describe_unheard(keys)]

    def get_keys(self) -> Mapping[str, str]:
        listener = self._listener
        return listener.keys if listener is not None else {}

    def close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()


def _describe(cause: Exception) -> str:
    if isinstance(cause, LiveSRError):
        return f"{cause.message} ({cause.remedy})."
    if isinstance(cause, OSError) and not isinstance(cause, ConnectionError):
        return f"{cause}."
    return "there is no X server, which would report the keys."


class BoundKeys:
    """What the keys do, in the layout that is in force. Used by the listener's thread, once it runs."""

    def __init__(
        self, chords: Mapping[str, Chord], on_press: Callable[[str], None], on_release: Callable[[str], None]
    ) -> None:
        """Reads the keyboard, and raises what `read_keyboard` raises."""
        self._chords = dict(chords)
        self._on_press, self._on_release = on_press, on_release
        self._tracker = ChordTracker({})
        self._keyboard: list[Key] = []
        self._modifiers: dict[int, str] = {}
        self._layout = 0
        self.keys: dict[str, str] = {}
        """What is heard in the layout in force, by action; replaced as a whole when that changes."""
        self.read_layouts()

    def read_layouts(self) -> None:
        """Reads the keyboard again, whose layouts have changed."""
        self._keyboard = read_keyboard()
        self._follow(self._layout)

    def describe_unheard(self, keys: Mapping[str, str]) -> list[str]:
        """A sentence for each action that no key starts in some layout. `keys`: what the settings name, by action."""
        layouts = max(1, count_layouts(self._keyboard))
        unheard = [self._assign(layout).unheard for layout in range(layouts)]
        return [
            f"hotkey {action} = {keys[action]}: this keyboard has no key {chord.key}, or another action has it."
            for action, chord in self._chords.items()
            if any(action in actions for actions in unheard)
        ]

    def handle(self, code: int, layout: int, pressed: bool) -> None:
        """A key was pressed or released, while that layout was on."""
        if layout != self._layout:
            self._follow(layout)
        name = self._modifiers.get(code) or str(code)
        self._carry_out((self._tracker.press if pressed else self._tracker.release)(name, monotonic()))

    def _follow(self, layout: int) -> None:
        self._layout = layout
        self._modifiers = find_modifiers(self._keyboard, layout)
        assigned = self._assign(layout)
        self.keys = label_keys(assigned, self._keyboard, layout)
        self._carry_out(self._tracker.replace(assigned.actions))

    def _assign(self, layout: int) -> KeyAssignment:
        return assign_keys(self._chords, self._keyboard, layout)

    def _carry_out(self, changes: list[ChordChange]) -> None:
        for change in changes:
            try:
                (self._on_press if change.pressed else self._on_release)(change.action)
            except Exception:  # it would end the listener and so disable every hotkey
                log.exception("the action %s failed", change.action)


class KeyListener(threading.Thread):
    """Gets every key event of the server, over a connection of its own."""

    def __init__(self, keys: BoundKeys) -> None:
        """Connects. Raises one of NO_SERVER where there is no server, or none with RECORD."""
        super().__init__(name="live-sr hotkeys", daemon=True)
        self._keys = keys
        self._control, self._events = Display(), Display()
        for display in (self._control, self._events):
            display.set_error_handler(lambda *_: None)
        if not self._control.has_extension("RECORD"):
            self._disconnect()
            raise OSError("the X server lacks the RECORD extension")
        self._recording = self._control.record_create_context(0, [record.AllClients], [KEY_EVENTS])
        self._control.sync()
        self._running = threading.Event()
        self._closing = False

    @property
    def keys(self) -> Mapping[str, str]:
        """What is heard now, by action."""
        return self._keys.keys

    def start(self) -> None:
        """Returns once the server reports the keys, or does not."""
        super().start()
        self._running.wait(READY_S)

    def run(self) -> None:
        try:
            self._events.record_enable_context(self._recording, self._receive)
        except NO_SERVER as cause:  # the server is gone, which the capture reports
            log.debug("the hotkeys end: %s", reason(cause))
        self._running.set()

    def close(self) -> None:
        """Ends the thread. The server ignores the request before the reporting has begun, hence the repetition.

        No callback begins from now on: on a busy machine the thread may outlast this, and a callback that enters Qt
        while the interpreter ends would abort the process.
        """
        self._closing = True
        deadline = monotonic() + END_S
        while self.is_alive() and monotonic() < deadline:
            with suppress(*NO_SERVER):
                self._control.record_disable_context(self._recording)
                self._control.flush()
            self.join(0.05)
        self._disconnect()

    def _disconnect(self) -> None:
        for display in (self._control, self._events):
            with suppress(*NO_SERVER):
                display.close()

    def _receive(self, reply: Any) -> None:
        self._running.set()  # the first reply says that the reporting has begun
        data = reply.data if reply.category == record.FromServer and not reply.client_swapped else b""
        while data and not self._closing:
            event, data = rq.EventField(None).parse_binary_value(data, self._events.display, None, None)
            if event.type in KEYS:
                handle_event(event, self._control, self._keys)


def handle_event(event: Any, display: Display, keys: BoundKeys) -> None:
    """Gives a key event to `keys`, after what has changed on the keyboard before it.

    The server tells every connection when the keyboard changes, before the first key of the new one: also `display`.
    """
    changed = False
    while display.pending_events():
        told = display.next_event()
        changed = changed or (told.type == X.MappingNotify and told.request != X.MappingPointer)
    if changed:
        try:
            keys.read_layouts()
        except (LiveSRError, OSError) as cause:
            log.warning("the hotkeys keep to the keyboard's former layout: %s", reason(cause))
    keys.handle(event.detail, event.state >> LAYOUT_SHIFT & 3, event.type == X.KeyPress)
