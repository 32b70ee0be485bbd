"""Keys that work while the game has the focus, heard through pynput. `Chords`, the matching, knows no library."""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Callable, Mapping
from time import monotonic, sleep
from types import ModuleType
from typing import NamedTuple

from live_sr.config import MODIFIERS, NAMED_KEYS, key_parts
from live_sr.errors import MissingPart

TOGETHER_S = 0.5  # a modifier may come this long after the key and still count as pressed with it
REPEAT_S = 2.0  # a held key repeats itself sooner than this; a press after a longer silence is a new one
HELD_S = 30.0  # a key without any sign of life for so long is not held any more: its release was lost
READY_S = 1.0

META = {0xFFE7: "alt", 0xFFE8: "alt"}
"""X keysyms Meta_L and Meta_R (keysymdef.h): what the Alt keys become while Shift is held."""

log = logging.getLogger(__name__)


class Chord(NamedTuple):
    """Exactly these modifiers, and a key."""

    modifiers: frozenset[str]
    key: str


class Change(NamedTuple):
    """An action's keys went down, or one of them went up."""

    action: str
    pressed: bool


class Chords:
    """From single keys, by name, to actions. Times in seconds of any steady clock.

    Other keys may be held meanwhile (a player walks), other modifiers may not. Keys that repeat fire once. Key-ups get
    lost when the system takes the keyboard away (a lock screen, a password prompt): see the times above.
    """

    def __init__(self, chords: Mapping[str, Chord]) -> None:
        self._chords = dict(chords)
        self._since: dict[str, float] = {}  # held keys: when they went down
        self._seen: dict[str, float] = {}  # and their last sign of life
        self._active: set[str] = set()

    def press(self, key: str, now: float) -> list[Change]:
        changes = self._forget(now)
        repeats = key in self._since and now - self._seen[key] <= REPEAT_S
        self._since.setdefault(key, now)
        self._seen[key] = now
        for action in self._active:
            if self._chords[action].key == key:  # modifiers do not repeat on X11; the key they are held with does
                self._seen.update(dict.fromkeys(self._chords[action].modifiers, now))
        return changes if repeats else changes + self._complete(key, now)

    def release(self, key: str, now: float) -> list[Change]:
        return self._forget(now) + self._up(key)

    def _complete(self, key: str, now: float) -> list[Change]:
        modifiers = frozenset(self._since).intersection(MODIFIERS)
        taken = {self._chords[action].key for action in self._active}
        done = []
        for action, chord in self._chords.items():
            if action in self._active or chord.modifiers != modifiers:
                continue
            # A key held for the game's sake must not turn a modifier into a hotkey.
            late = key in chord.modifiers and chord.key not in taken
            if chord.key == key or (late and now - self._since.get(chord.key, -HELD_S) <= TOGETHER_S):
                done.append(Change(action, True))
        self._active.update(change.action for change in done)
        return done

    def _up(self, key: str) -> list[Change]:
        self._since.pop(key, None)
        self._seen.pop(key, None)
        chords = self._chords
        ended = sorted(a for a in self._active if key == chords[a].key or key in chords[a].modifiers)
        self._active.difference_update(ended)
        return [Change(action, False) for action in ended]

    def _forget(self, now: float) -> list[Change]:
        lost = [key for key, seen in self._seen.items() if now - seen > HELD_S]
        return [change for key in lost for change in self._up(key)]


def chords_of(keys: Mapping[str, str], known: Callable[[str], bool]) -> tuple[dict[str, Chord], list[str]]:
    """The chords of {action: "ctrl+alt+m"}, and one sentence for each that cannot be one. Empty keys are left out."""
    chords: dict[str, Chord] = {}
    problems = []
    for action, key in keys.items():
        if not key:
            continue
        try:
            chord = Chord(*key_parts(key))
        except ValueError as error:
            problems.append(f"hotkey {action} = {key}: {error}")
            continue
        other = next((name for name, taken in chords.items() if taken == chord), None)
        if other is not None:
            problems.append(f"hotkey {action} = {key}: these keys are taken by {other}.")
        elif not known(chord.key):
            problems.append(f"hotkey {action} = {key}: keyboards here have no key {chord.key}.")
        else:
            chords[action] = chord
    return chords, problems


class PynputHotkeys:
    """Fulfils `contracts.Hotkeys`. The game gets the keys too. Callbacks come on the listener's thread.

    Raises MissingPart without pynput. pynput is imported by `bind` because its import connects to the X server.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("pynput") is None:
            raise MissingPart("hotkeys need pynput, which is not installed", "pip install --no-deps pynput")
        self._listener: threading.Thread | None = None
        self._stop: Callable[[], None] = lambda: None
        # the listener's thread's:
        self._chords = Chords({})
        self._on_press: Callable[[str], None] = lambda action: None
        self._on_release: Callable[[str], None] = lambda action: None

    def bind(
        self, keys: dict[str, str], on_press: Callable[[str], None], on_release: Callable[[str], None]
    ) -> list[str]:
        """Replaces what was bound before. A sentence for each key that cannot be bound, or one for all."""
        self.close()
        try:
            from pynput import keyboard

            names = KeyNames(keyboard)
        except Exception as error:  # ImportError, or the X library's own if the server has gone since
            return [f"Hotkeys do not work: {one_line(error)}"]
        chords, problems = chords_of(keys, names.known)
        self._chords, self._on_press, self._on_release = Chords(chords), on_press, on_release
        failures: list[str] = []

        class Listener(keyboard.Listener):  # type: ignore[misc] # pynput has no types
            def run(self) -> None:
                try:
                    super().run()
                except Exception as error:  # else a traceback on stderr: no X server, no record extension
                    failures.append(one_line(error))

        def pressed(key: object) -> None:
            self._heard(names.of(key, listener.canonical), True)

        def released(key: object) -> None:
            self._heard(names.of(key, listener.canonical), False)

        listener = Listener(on_press=pressed, on_release=released)
        listener.start()
        self._listener, self._stop = listener, listener.stop
        deadline = monotonic() + READY_S
        while listener.is_alive() and not getattr(listener, "_ready", True) and monotonic() < deadline:
            sleep(0.01)  # listener.wait() would wait for ever if the listener died
        return [*problems, *(f"Hotkeys do not work: {failure}" for failure in failures)]

    def close(self) -> None:
        listener, self._listener = self._listener, None
        deadline = monotonic() + READY_S
        while listener is not None and listener.is_alive() and monotonic() < deadline:
            try:
                self._stop()
                self._release(listener)
            except Exception as error:  # the connection broke in this moment: the thread ends by itself
                log.debug("stopping the hotkeys: %s", error)
            threading.Thread.join(listener, 0.05)  # pynput's own join raises what ended the thread

    @staticmethod
    def _release(listener: threading.Thread) -> None:
        """Lets the thread go, on X11.

        pynput 1.8 asks the server to end its report on the very connection that the thread reads, and does not send
        that request off: the thread would stay until the next key. Here it goes through the listener's second one,
        more than once if need be, because the server ignores it before the report has begun.
        """
        parts = vars(listener)
        if "_display_stop" in parts and "_context" in parts:
            parts["_display_stop"].record_disable_context(parts["_context"])
            parts["_display_stop"].flush()

    def _heard(self, key: str, pressed: bool) -> None:
        if not key:
            return
        changes = (self._chords.press if pressed else self._chords.release)(key, monotonic())
        for change in changes:
            try:
                (self._on_press if change.pressed else self._on_release)(change.action)
            except Exception:  # it would end the listener, and with it every hotkey
                log.exception("the action %s failed", change.action)


class KeyNames:
    """pynput's keys by the names of our configuration, whatever Shift and AltGr make of them."""

    def __init__(self, keyboard: ModuleType) -> None:
        keys = keyboard.Key.__members__
        self._special: dict[object, str] = {keys[name]: name for name in NAMED_KEYS if name in keys}
        for theirs, ours in (("ctrl", "ctrl"), ("alt", "alt"), ("shift", "shift"), ("cmd", "super")):
            for side in (theirs, f"{theirs}_l", f"{theirs}_r"):
                if side in keys:
                    self._special[keys[side]] = ours
        # X11 only, where `canonical` leaves "!" as it is: the whole keyboard, {keysym: (key, shift state)}.
        self._plain = unshifted(getattr(keyboard.Controller(), "keyboard_mapping", {}))
        self._by_keysym = META | {key.value.vk: self._special[key] for key in keys.values() if key in self._special}

    def known(self, key: str) -> bool:
        return len(key) == 1 or key in self._special.values()

    def of(self, key: object, canonical: Callable[[object], object]) -> str:
        """Empty for a key without a name."""
        if key is None or key in self._special:
            return self._special.get(key, "")
        keysym = getattr(key, "vk", None)
        if self._plain and isinstance(keysym, int):
            keysym = self._plain.get(keysym, keysym)
            name = self._by_keysym.get(keysym) or latin(keysym)
            if name:
                return name
        return (getattr(canonical(key), "char", None) or "").lower()


def unshifted(mapping: Mapping[int, tuple[int, int]]) -> dict[int, int]:
    """{keysym with Shift or AltGr: keysym of the same key alone}."""
    alone = {code: keysym for keysym, (code, state) in mapping.items() if state == 0}
    return {keysym: alone[code] for keysym, (code, state) in mapping.items() if state != 0 and code in alone}


def latin(keysym: int) -> str:
    """The character of a keysym that carries its code point (X protocol, appendix A); else empty."""
    if 0x20 <= keysym <= 0xFF:
        return chr(keysym).lower()
    return chr(keysym - 0x1000000).lower() if 0x1000100 <= keysym <= 0x110FFFF else ""


def one_line(error: BaseException) -> str:
    """What went wrong, as a sentence: of pynput's paragraphs the first line."""
    text = str(error).strip() or type(error).__name__
    if "X connection" in text or "connect to display" in text:
        return "there is no X server to hear the keyboard from."
    return text.splitlines()[0].rstrip(".") + "."
