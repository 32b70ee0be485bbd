"""Which keys the hotkeys mean, on keyboards with one layout and with several."""

from __future__ import annotations

import pytest

from live_sr.desktop.chords import Chord
from live_sr.desktop.keyboard import Key, assign_keys, find_modifiers, label_keys
from live_sr.desktop.keyboard_xkb import name_keysym

US, RU, FR, DE = (
    {
        "AD01": "qQ", "AB01": "zZ", "AB08": ",<", "AB09": ".>", "AB10": "/?", "AE01": "1!", "AE07": "7&", "AC01": "aA",
    },
    {
        "AD01": "йЙ", "AB01": "яЯ", "AB08": "бБ", "AB09": "юЮ", "AB10": ".,", "AE01": "1!", "AE07": "7?", "AC01": "фФ",
    },
    {
        "AD01": "aA", "AB01": "wW", "AB08": ":/", "AB09": "!§", "AB07": ",?", "AE01": "&1", "AE07": "è7", "AC01": "qQ",
        "AD02": "zZ",
    },
    {
        "AD01": "qQ@", "AB01": "yY", "AB08": ",;", "AB09": ".:", "AB10": "-_", "AE01": "1!", "AE07": "7/{",
        "AC01": "aA", "AD06": "zZ",
    },
)  # fmt: skip
BG = RU | {"AD01": ",ы"}
PLACES = sorted({*US, *RU, *FR, *DE})
CODES = {place: code for code, place in enumerate(PLACES, 10)}


def make_keyboard(*layouts: dict[str, str]) -> list[Key]:
    modifiers = [Key(90, "LCTL", (("ctrl",),)), Key(91, "LALT", (("alt", "alt"),)), Key(92, "RALT", (("", ""),))]
    keys = [Key(CODES[p], p, tuple(tuple(one.get(p, "").lower()) for one in layouts)) for p in PLACES]
    return [*modifiers, Key(93, "FK08", (("f8",),)), *keys]


def find_places(words: str, keyboard: list[Key], layout: int) -> dict[str, str]:
    """The places of the keys that mean these words together with Ctrl and Alt, without Shift."""
    chords = {word: Chord(frozenset({"ctrl", "alt"}), word) for word in words.split()}
    found = assign_keys(chords, keyboard, layout)
    places = {key.code: key.place for key in keyboard}
    out = {word: places[int(chord.key)] for chord, word in found.actions.items() if "shift" not in chord.modifiers}
    assert set(out).isdisjoint(found.unheard) and set(out) | set(found.unheard) == set(chords)
    return out


@pytest.mark.parametrize(
    ("what", "layouts", "layout", "words", "places"),
    [
        ("US", (US,), 0, "q z , . 1 f8", "AD01 AB01 AB08 AB09 AE01 FK08"),
        ("Russian alone: where a US keyboard has them", (RU,), 0, "q z , .", "AD01 AB01 AB08 AB10"),
        ("Russian, US: Russian is on", (RU, US), 0, "q z", "AD01 AB01"),
        ("Russian, US: US is on", (RU, US), 1, "q z , .", "AD01 AB01 AB08 AB09"),
        ("US, Russian: Russian is on", (US, RU), 1, "q z", "AD01 AB01"),
        ("a Cyrillic hotkey, from either", (US, RU), 0, "й", "AD01"),
        ("AZERTY: letters where they are printed", (FR,), 0, "q a z", "AC01 AD01 AD02"),
        ("AZERTY digits need no Shift", (FR,), 0, "1 7", "AE01 AE07"),
        ("AZERTY: & and 1 are one key, and digits go first", (FR,), 0, "& 1", " AE01"),
        ("the layout in force goes before another one", (FR, US), 0, "q", "AC01"),
        ("and so the other way round", (FR, US), 1, "q", "AD01"),
        ("German: y and z", (DE,), 0, "z y", "AD06 AB01"),
        ("with AltGr", (DE,), 0, "@ q", " AD01"),
        ("AltGr alone", (DE,), 0, "{", "AE07"),
        ("the letter q goes before a comma on its key", (BG, US), 0, ", q", "AB10 AD01"),
        ("no key at all", (US,), 0, "ü q", " AD01"),
    ],
)
def test_the_key_of_a_hotkey(
    what: str, layouts: tuple[dict[str, str], ...], layout: int, words: str, places: str
) -> None:
    expected = {word: place for word, place in zip(words.split(), places.split(" "), strict=True) if place}
    assert find_places(words, make_keyboard(*layouts), layout) == expected, what


def test_shift_may_be_held_where_a_character_needs_it_unless_another_action_has_that() -> None:
    ctrl = frozenset({"ctrl"})
    keys = make_keyboard(US)
    question, slash = Chord(ctrl, "?"), Chord(ctrl | {"shift"}, "/")
    code = str(CODES["AB10"])
    found = assign_keys({"help": question}, keys, 0).actions
    assert found == {Chord(ctrl, code): "help", Chord(ctrl | {"shift"}, code): "help"}
    found = assign_keys({"help": question, "slash": slash}, keys, 0).actions
    assert found == {Chord(ctrl, code): "help", Chord(ctrl | {"shift"}, code): "slash"}


@pytest.mark.parametrize(
    ("what", "layouts", "layout", "words", "labels"),
    [
        ("US", (US,), 0, "q , f8", "q , f8"),
        ("Russian, US: Russian is on", (RU, US), 0, "q z , .", "й я б ."),
        ("Russian, US: US is on", (RU, US), 1, "q z , .", "q z , ."),
        ("AZERTY: letters where they are printed", (FR,), 0, "q a 7", "q a è"),
    ],
)
def test_keys_are_told_as_they_are_labelled_in_the_layout_in_force(
    what: str, layouts: tuple[dict[str, str], ...], layout: int, words: str, labels: str
) -> None:
    keyboard = make_keyboard(*layouts)
    chords = {word: Chord(frozenset({"alt", "ctrl"}), word) for word in words.split()}
    told = label_keys(assign_keys(chords, keyboard, layout), keyboard, layout)
    assert told == {word: f"ctrl+alt+{one}" for word, one in zip(words.split(), labels.split(), strict=True)}, what


def test_modifiers_are_found_by_what_they_mean_and_altgr_is_none() -> None:
    assert find_modifiers(make_keyboard(DE), 0) == {90: "ctrl", 91: "alt"}
    swapped = [Key(64, "LALT", (("super",),)), Key(133, "LWIN", (("alt", ""),)), Key(66, "CAPS", (("ctrl",),))]
    assert find_modifiers(swapped, 2) == {64: "super", 133: "alt", 66: "ctrl"}


@pytest.mark.parametrize(
    ("keysym", "word"),
    [(0x51, "q"), (0x20, "space"), (0xFF0D, "enter"), (0xFFC9, "f12"), (0xFFB1, ""), (0xFFE7, "alt"), (0xFE03, "")],
)
def test_keysyms_have_the_words_of_the_settings(keysym: int, word: str) -> None:
    # 0xffb1 is the keypad's 1, 0xfe03 is AltGr
    assert name_keysym(keysym, lambda one: one if one < 0x100 else 0x31 if one == 0xFFB1 else 0) == word
