"""Finds the keys of a keyboard that the hotkeys mean, in the layout in force. Depends on no library and no system.

A keyboard may have several layouts, between which its user switches while typing: Russian and US, for instance. A
hotkey such as ctrl+alt+q must work in each of them, on the key where its user expects it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from live_sr.config import MODIFIERS
from live_sr.desktop.chords import Chord

US_ROWS = (("AE", 1, "1234567890-="), ("AD", 1, "qwertyuiop[]"), ("AC", 1, "asdfghjkl;'"), ("AB", 1, "zxcvbnm,./"))
US_PLACES = {char: f"{row}{n:02}" for row, first, chars in US_ROWS for n, char in enumerate(chars, first)}
"""Where a US keyboard has a character, by XKB's names of places: AD01 is the first key of the fourth row from below.
Other layouts without Latin letters have been printed on the same keys."""


@dataclass(frozen=True)
class Key:
    """A key of the keyboard.

    code: what the system reports. place: XKB's name of its place, such as AD01. layouts: for each layout what the key
    means, by level: alone, with Shift, with AltGr. Words are those of config.toml; empty: something else.
    """

    code: int
    place: str
    layouts: tuple[tuple[str, ...], ...]

    def get_levels(self, layout: int) -> tuple[str, ...]:
        """What it means in a layout. A key with fewer layouts starts over with its first one, as XKB does."""
        return self.layouts[layout % len(self.layouts)] if self.layouts else ()


@dataclass(frozen=True)
class KeyAssignment:
    """Which keys mean what in one layout. actions: with the code of the key as text. unheard: actions without a key."""

    actions: dict[Chord, str] = field(default_factory=dict)
    unheard: tuple[str, ...] = ()


def count_layouts(keys: Sequence[Key]) -> int:
    return max((len(key.layouts) for key in keys), default=0)


def find_modifiers(keys: Sequence[Key], layout: int) -> dict[int, str]:
    """The codes of the modifier keys, and which modifier each is. AltGr is none of them."""
    return {key.code: levels[0] for key in keys if (levels := key.get_levels(layout)) and levels[0] in MODIFIERS}


def assign_keys(chords: Mapping[str, Chord], keys: Sequence[Key], layout: int) -> KeyAssignment:
    """Finds the keys for the chords of actions.

    A key that means the word by itself in this layout comes first, then one that does so with Shift or AltGr, then the
    same in the keyboard's other layouts, and last the key that has the character on a US keyboard. Keys that another
    action has by a better right are passed over; letters and digits go before signs, because the Bulgarian layout for
    instance has the comma on the key of the letter q. The modifiers are those of the chord; where a character needs
    Shift, Shift may be held too.
    """
    taken: dict[Chord, str] = {}
    shifted: dict[Chord, str] = {}
    found: set[str] = set()
    candidates = {action: _list_candidates(chord.key, keys, layout) for action, chord in chords.items()}
    letters = {action for action, chord in chords.items() if chord.key.isalnum()}
    ranks = range(2 * count_layouts(keys) + 1)
    for group, rank in product((letters, chords.keys() - letters), ranks):
        for action in (one for one in chords if one in group - found):
            chord = chords[action]
            codes, needs_shift = candidates[action][rank]
            free = [one for code in codes if (one := Chord(chord.modifiers, str(code))) not in taken]
            taken.update(dict.fromkeys(free, action))
            if free:
                found.add(action)
            if needs_shift:
                shifted |= {Chord(chord.modifiers | {"shift"}, one.key): action for one in free}
    return KeyAssignment({**shifted, **taken}, tuple(action for action in chords if action not in found))


def label_keys(assigned: KeyAssignment, keys: Sequence[Key], layout: int) -> dict[str, str]:
    """The keys of each action as they are labelled in a layout: "ctrl+alt+q"; where it has the letter elsewhere, that.

    Of several keys of an action the one with the fewest modifiers is named, and of those the first.
    """
    labels = {str(key.code): (key.get_levels(layout) or ("",))[0] for key in keys}
    found: dict[str, str] = {}
    for chord, action in sorted(assigned.actions.items(), key=lambda item: len(item[0].modifiers)):
        label = labels.get(chord.key, "")
        if label and action not in found:
            found[action] = "+".join([*(word for word in MODIFIERS if word in chord.modifiers), label])
    return found


def _list_candidates(word: str, keys: Sequence[Key], layout: int) -> list[tuple[list[int], bool]]:
    """Key codes in the order of preference, and whether they mean the word with Shift or AltGr only."""
    found = []
    layouts = sorted(range(count_layouts(keys)), key=lambda one: (one != layout, one))
    for one in layouts:
        found.append(([key.code for key in keys if key.get_levels(one)[:1] == (word,)], False))
        found.append(([key.code for key in keys if word in key.get_levels(one)[1:]], True))
    found.append(([key.code for key in keys if key.place == US_PLACES.get(word)], False))
    return found
