"""Global hotkeys through pynput, which listens to every key: also to keys that another program has registered.

It knows only the first layout that the keyboard had when the program started, so it is the choice where the other ways
to hear keys do not work, or where the settings name it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from time import monotonic, sleep
from types import ModuleType

from live_sr.config import NAMED_KEYS
from live_sr.desktop.chords import ChordTracker, parse_chords

READY_S = 1.0  # the longest wait for the listener's start or end

META = {0xFFE7: "alt", 0xFFE8: "alt"}
"""X keysyms Meta_L and Meta_R (keysymdef.h), which the Alt keys send while Shift is held."""

log = logging.getLogger(__name__)


class PynputHotkeys:
    """Implements `contracts.Hotkeys`. The game receives the keys too. Callbacks run on the listener's thread.

    `bind` imports pynput, because the import connects to the X server.
    """

    def __init__(self) -> None:
        self._listener: threading.Thread | None = None
        self._stop: Callable[[], None] = lambda: None
        self._keys: dict[str, str] = {}
        # the listener's thread's:
        self._chords = ChordTracker({})
        self._on_press: Callable[[str], None] = lambda action: None
        self._on_release: Callable[[str], None] = lambda action: None

    def bind(
        self, keys: dict[str, str], on_press: Callable[[str], None], on_release: Callable[[str], None]
    ) -> list[str]:
        """Replaces all bindings. Returns a sentence for each key that cannot be bound, or one for all."""
        self.close()
        try:
            from pynput import keyboard

            names = KeyNames(keyboard)
        except Exception as error:  # ImportError, or one of the X library if the server is gone
            return [f"Hotkeys do not work: {summarize_error(error)}"]
        parsed, problems = parse_chords(keys)
        for action in [action for action, chord in parsed.items() if not names.is_known(chord.key)]:
            problems.append(f"hotkey {action} = {keys[action]}: this keyboard has no key {parsed.pop(action).key}.")
        chords = {chord: action for action, chord in parsed.items()}
        self._keys = {action: keys[action] for action in parsed}
        self._chords, self._on_press, self._on_release = ChordTracker(chords), on_press, on_release
        failures: list[str] = []

        class Listener(keyboard.Listener):  # type: ignore[misc] # pynput has no types
            def run(self) -> None:
                try:
                    super().run()
                except Exception as error:  # no X server, or no RECORD extension; avoids a traceback on stderr
                    failures.append(summarize_error(error))

        def on_press_event(key: object) -> None:
            self._handle_key(names.find_name(key, listener.canonical), True)

        def on_release_event(key: object) -> None:
            self._handle_key(names.find_name(key, listener.canonical), False)

        listener = Listener(on_press=on_press_event, on_release=on_release_event)
        listener.start()
        self._listener, self._stop = listener, listener.stop
        deadline = monotonic() + READY_S
        while listener.is_alive() and not getattr(listener, "_ready", True) and monotonic() < deadline:
            sleep(0.01)  # listener.wait() would never return if the listener died
        return [*problems, *(f"Hotkeys do not work: {failure}" for failure in failures)]

    def get_keys(self) -> Mapping[str, str]:
        return self._keys

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

    def _handle_key(self, key: str, pressed: bool) -> None:
        if not key:
            return
        changes = (self._chords.press if pressed else self._chords.release)(key, monotonic())
        for change in changes:
            try:
                (self._on_press if change.pressed else self._on_release)(change.action)
            except Exception:  # it would end the listener and so disable every hotkey
                log.exception("the action %s failed", change.action)


class KeyNames:
    """Translates pynput's keys to the names of our configuration, independent of Shift and AltGr."""

    def __init__(self, keyboard: ModuleType) -> None:
        keys = keyboard.Key.__members__
        self._special: dict[object, str] = {keys[name]: name for name in NAMED_KEYS if name in keys}
        for pynput_name, name in (("ctrl", "ctrl"), ("alt", "alt"), ("shift", "shift"), ("cmd", "super")):
            for side in (pynput_name, f"{pynput_name}_l", f"{pynput_name}_r"):
                if side in keys:
                    self._special[keys[side]] = name
        # X11 only, where `canonical` does not turn "!" into "1". keyboard_mapping: {keysym: (key code, shift state)}.
        self._unshifted = map_to_unshifted(getattr(keyboard.Controller(), "keyboard_mapping", {}))
        self._by_keysym = META | {key.value.vk: self._special[key] for key in keys.values() if key in self._special}

    def is_known(self, key: str) -> bool:
        return len(key) == 1 or key in self._special.values()

    def find_name(self, key: object, canonical: Callable[[object], object]) -> str:
        """The name of a key; empty if it has none. `canonical` is the method of pynput's listener."""
        if key is None or key in self._special:
            return self._special.get(key, "")
        keysym = getattr(key, "vk", None)
        if self._unshifted and isinstance(keysym, int):
            keysym = self._unshifted.get(keysym, keysym)
            name = self._by_keysym.get(keysym) or decode_latin(keysym)
            if name:
                return name
        return (getattr(canonical(key), "char", None) or "").lower()


def map_to_unshifted(mapping: Mapping[int, tuple[int, int]]) -> dict[int, int]:
    """Returns {keysym with Shift or AltGr: keysym of the same key alone}."""
    alone = {code: keysym for keysym, (code, state) in mapping.items() if state == 0}
    return {keysym: alone[code] for keysym, (code, state) in mapping.items() if state != 0 and code in alone}


def decode_latin(keysym: int) -> str:
    """The character of a keysym that contains its code point (X protocol, appendix A); else empty."""
    if 0x20 <= keysym <= 0xFF:
        return chr(keysym).lower()
    return chr(keysym - 0x1000000).lower() if 0x1000100 <= keysym <= 0x110FFFF else ""


def summarize_error(error: BaseException) -> str:
    """The error as a sentence: the first line of pynput's long messages."""
    text = str(error).strip() or type(error).__name__
    if "X connection" in text or "connect to display" in text:
        return "there is no X server, which would report the keys."
    return text.splitlines()[0].rstrip(".") + "."
