"""Global hotkeys through pynput, which listens to every key: also to keys that another program has registered.

On X11 the keys are found as `hotkeys_x11` finds them, by their codes and the layout in force: pynput's own names of the
keys are those of the first layout that the keyboard had when the program started.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from time import monotonic, sleep
from types import ModuleType
from typing import Any

from live_sr.config import NAMED_KEYS
from live_sr.desktop.chords import Chord, ChordTracker, parse_chords
from live_sr.errors import LiveSRError, explain

READY_S = 1.0  # the longest wait for the listener's start or end

LETTERS_AND_DIGITS = (*range(0x30, 0x3A), *range(0x41, 0x5B))
"""Virtual-key codes of Windows that are the key's character in ASCII, also in layouts without Latin letters."""

Act = Callable[[str], None]

log = logging.getLogger(__name__)


class PynputHotkeys:
    """Implements `contracts.Hotkeys`. The game receives the keys too. Callbacks run on the listener's thread.

    `bind` imports pynput, because the import connects to the X server.
    """

    def __init__(self) -> None:
        self._listener: threading.Thread | None = None
        self._stop: Callable[[], None] = lambda: None
        self._get_keys: Callable[[], Mapping[str, str]] = dict

    def bind(self, keys: dict[str, str], on_press: Act, on_release: Act) -> list[str]:
        """Replaces all bindings. Returns a sentence for each key that cannot be bound, or one for all."""
        self.close()
        chords, problems = parse_chords(keys)
        failures: list[str] = []
        try:
            from pynput import keyboard

            make = _make_x11_listener if keyboard.Listener.__module__.endswith("xorg") else _make_named_listener
            listener, unheard, self._get_keys = make(keyboard, chords, keys, on_press, on_release, failures.append)
            listener.start()
        except Exception as error:  # ImportError, one of the X library if the server is gone, or an unreadable keyboard
            return [*problems, f"Hotkeys do not work: {summarize_error(error)}"]
        self._listener, self._stop = listener, listener.stop
        deadline = monotonic() + READY_S
        while listener.is_alive() and not getattr(listener, "_ready", True) and monotonic() < deadline:
            sleep(0.01)  # listener.wait() would never return if the listener died
        return [*problems, *unheard, *(f"Hotkeys do not work: {failure}" for failure in failures)]

    def get_keys(self) -> Mapping[str, str]:
        return self._get_keys()

    def close(self) -> None:
        listener, self._listener = self._listener, None
        deadline = monotonic() + READY_S
        while listener is not None and listener.is_alive() and monotonic() < deadline:
            try:
                self._stop()
                self._unblock(listener)
            except Exception as error:  # the connection just broke, so the thread ends by itself
                log.debug("stopping the hotkeys: %s", error)
            threading.Thread.join(listener, 0.05)  # pynput's own join raises the error that ended the thread
        self._get_keys = dict

    @staticmethod
    def _unblock(listener: threading.Thread) -> None:
        """Makes the listener's thread end at once, on X11.

        pynput 1.8 asks the server to stop reporting on the connection that the thread reads, but does not flush that
        request: the thread would stay until the next key. This sends it through the listener's second connection.
        Repeat it until the thread has ended, because the server ignores it before the reporting has begun.
        """
        parts = vars(listener)
        if "_display_stop" in parts and "_context" in parts:
            parts["_display_stop"].record_disable_context(parts["_context"])
            parts["_display_stop"].flush()


Made = tuple[Any, list[str], Callable[[], Mapping[str, str]]]
"""A listener of pynput, which has no types; what it cannot hear; and what tells the keys that it hears."""


def _make_x11_listener(
    keyboard: ModuleType,
    chords: Mapping[str, Chord],
    keys: Mapping[str, str],
    on_press: Act,
    on_release: Act,
    fail: Act,
) -> Made:
    """Raises LiveSRError or OSError where the keyboard cannot be read."""
    from live_sr.desktop.hotkeys_x11 import BoundKeys, handle_event  # which imports what Windows lacks

    bound = BoundKeys(chords, on_press, on_release)

    class Listener(_make_quiet(keyboard, fail)):  # type: ignore[misc] # pynput has no types
        def _handle_message(self, display: Any, event: Any, *rest: Any) -> None:
            handle_event(event, display, bound)

    return Listener(), bound.describe_unheard(keys), lambda: bound.keys


def _make_named_listener(
    keyboard: ModuleType,
    chords: Mapping[str, Chord],
    keys: Mapping[str, str],
    on_press: Act,
    on_release: Act,
    fail: Act,
) -> Made:
    names = KeyNames(keyboard)
    known = {action: chord for action, chord in chords.items() if names.is_known(chord.key)}
    unheard = [
        f"hotkey {action} = {keys[action]}: this keyboard has no key {chord.key}."
        for action, chord in chords.items()
        if action not in known
    ]
    tracker = ChordTracker({chord: action for action, chord in known.items()})

    def handle(key: object, change: Callable[[str, float], list[Any]]) -> None:
        name = names.find_name(key, listener.canonical)
        for one in change(name, monotonic()) if name else ():
            try:
                (on_press if one.pressed else on_release)(one.action)
            except Exception:  # it would end the listener and so disable every hotkey
                log.exception("the action %s failed", one.action)

    listener = _make_quiet(keyboard, fail)(
        on_press=lambda key: handle(key, tracker.press), on_release=lambda key: handle(key, tracker.release)
    )
    return listener, unheard, lambda: {action: keys[action] for action in known}


def _make_quiet(keyboard: ModuleType, fail: Act) -> Any:
    """The class of pynput's listeners, without their traceback on stderr."""

    class Quiet(keyboard.Listener):  # type: ignore[misc, name-defined] # pynput has no types
        def run(self) -> None:
            try:
                super().run()
            except Exception as error:  # no X server, or no RECORD extension
                fail(summarize_error(error))

    return Quiet


class KeyNames:
    """Translates pynput's keys to the names of our configuration, independent of Shift. Not for X11."""

    def __init__(self, keyboard: ModuleType) -> None:
        keys = keyboard.Key.__members__
        self._special: dict[object, str] = {keys[name]: name for name in NAMED_KEYS if name in keys}
        for pynput_name, name in (("ctrl", "ctrl"), ("alt", "alt"), ("shift", "shift"), ("cmd", "super")):
            for side in (pynput_name, f"{pynput_name}_l", f"{pynput_name}_r"):
                if side in keys:
                    self._special[keys[side]] = name

    def is_known(self, key: str) -> bool:
        return len(key) == 1 or key in self._special.values()

    def find_name(self, key: object, canonical: Callable[[object], object]) -> str:
        """The name of a key; empty if it has none. `canonical` is the method of pynput's listener."""
        if key is None or key in self._special:
            return self._special.get(key, "")
        code = getattr(key, "vk", None)
        if isinstance(code, int) and code in LETTERS_AND_DIGITS:
            return chr(code).lower()
        return (getattr(canonical(key), "char", None) or "").lower()


def summarize_error(error: BaseException) -> str:
    """The error as a sentence: the first line of pynput's long messages."""
    if isinstance(error, LiveSRError):
        return f"{explain(error)}."
    text = str(error).strip() or type(error).__name__
    if "X connection" in text or "connect to display" in text:
        return "there is no X server, which would report the keys."
    return text.splitlines()[0].rstrip(".") + "."
