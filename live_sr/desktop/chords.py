"""Turns the presses and releases of single keys into those of actions. Depends on no library and no system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from live_sr.config import MODIFIERS, parse_key

LATE_MODIFIER_S = 0.5  # a modifier pressed this soon after the key still counts as pressed with it
REPEAT_S = 2.0  # a held key repeats sooner than this; a press after a longer pause is a new one
HELD_S = 30.0  # a key without an event for this long counts as released: its release was lost


class Chord(NamedTuple):
    """A key with exactly these modifiers."""

    modifiers: frozenset[str]
    key: str


class ChordChange(NamedTuple):
    """The keys of an action were all pressed (`pressed`), or one of them was released."""

    action: str
    pressed: bool


class ChordTracker:
    """Turns the presses and releases of single keys into those of actions. Times: seconds of any monotonic clock.

    Other keys may be held meanwhile (the player walks), but no other modifiers. A repeating key triggers its action
    once. Releases get lost when the system takes the keyboard away (a lock screen, a password prompt): HELD_S and
    REPEAT_S recover from that. Keys are known by any names, modifiers by those of `MODIFIERS`.
    """

    def __init__(self, actions: Mapping[Chord, str]) -> None:
        self._actions = dict(actions)
        self._pressed_at: dict[str, float] = {}  # the held keys
        self._last_event_at: dict[str, float] = {}  # also of the held keys
        self._active: dict[str, Chord] = {}  # by action

    def replace(self, actions: Mapping[Chord, str]) -> list[ChordChange]:
        """From now on these chords count, for instance of another keyboard layout. Returns the actions this ends."""
        self._actions = dict(actions)
        ended, self._active = sorted(self._active), {}
        return [ChordChange(action, False) for action in ended]

    def press(self, key: str, now: float) -> list[ChordChange]:
        """Records that a key was pressed, or repeats. Returns the actions that this starts or ends."""
        changes = self._release_lost_keys(now)
        repeats = key in self._pressed_at and now - self._last_event_at[key] <= REPEAT_S
        self._pressed_at.setdefault(key, now)
        self._last_event_at[key] = now
        for chord in self._active.values():
            if chord.key == key:  # on X11 only the key repeats, not the modifiers held with it
                self._last_event_at.update(dict.fromkeys(chord.modifiers, now))
        return changes if repeats else changes + self._start_actions(key, now)

    def release(self, key: str, now: float) -> list[ChordChange]:
        """Records that a key was released. Returns the actions that this ends."""
        return self._release_lost_keys(now) + self._end_actions(key)

    def _start_actions(self, key: str, now: float) -> list[ChordChange]:
        modifiers = frozenset(self._pressed_at).intersection(MODIFIERS)
        active_keys = {chord.key for chord in self._active.values()}
        started = {}
        for chord, action in self._actions.items():
            if action in self._active or chord.modifiers != modifiers:
                continue
            # A modifier may come late, but not for a key that is held to play the game.
            late = key in chord.modifiers and chord.key not in active_keys
            if chord.key == key or (late and now - self._pressed_at.get(chord.key, -HELD_S) <= LATE_MODIFIER_S):
                started[action] = chord
        self._active.update(started)
        return [ChordChange(action, True) for action in started]

    def _end_actions(self, key: str) -> list[ChordChange]:
        self._pressed_at.pop(key, None)
        self._last_event_at.pop(key, None)
        ended = sorted(a for a, chord in self._active.items() if key == chord.key or key in chord.modifiers)
        for action in ended:
            del self._active[action]
        return [ChordChange(action, False) for action in ended]

    def _release_lost_keys(self, now: float) -> list[ChordChange]:
        lost = [key for key, last in self._last_event_at.items() if now - last > HELD_S]
        return [change for key in lost for change in self._end_actions(key)]


def parse_chords(keys: Mapping[str, str]) -> tuple[dict[str, Chord], list[str]]:
    """Parses {action: "ctrl+alt+m"}. Returns the chords, and a sentence for each invalid one. Skips empty strings."""
    chords: dict[str, Chord] = {}
    problems = []
    for action, key in keys.items():
        if not key:
            continue
        try:
            chord = Chord(*parse_key(key))
        except ValueError as error:
            problems.append(f"hotkey {action} = {key}: {error}")
            continue
        other = next((name for name, existing in chords.items() if existing == chord), None)
        if other is not None:
            problems.append(f"hotkey {action} = {key}: {other} has these keys already.")
        else:
            chords[action] = chord
    return chords, problems
