"""Writes a hotkey of config.toml as desktops on Linux write it. Depends on no library and no system."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from live_sr.config import parse_key

KEYSYMS = {
    **{f"f{n}": f"F{n}" for n in range(1, 25)},
    "tab": "Tab",
    "enter": "Return",
    "esc": "Escape",
    "backspace": "BackSpace",
    "insert": "Insert",
    "delete": "Delete",
    "home": "Home",
    "end": "End",
    "page_up": "Page_Up",
    "page_down": "Page_Down",
    "up": "Up",
    "down": "Down",
    "left": "Left",
    "right": "Right",
    "pause": "Pause",
    "print_screen": "Print",
    "scroll_lock": "Scroll_Lock",
    "space": "space",
    ",": "comma",
    ".": "period",
    "/": "slash",
    ";": "semicolon",
    "'": "apostrophe",
    "[": "bracketleft",
    "]": "bracketright",
    "-": "minus",
    "=": "equal",
    "\\": "backslash",
    "`": "grave",
    "<": "less",
    ">": "greater",
    "#": "numbersign",
    "*": "asterisk",
    "!": "exclam",
    "?": "question",
}
"""XKB's names of the keys that config.toml names otherwise. Other characters have a name made of their number."""
PORTAL_MODIFIERS = {"ctrl": "CTRL", "alt": "ALT", "shift": "SHIFT", "super": "LOGO"}
SWAY_MODIFIERS = {"ctrl": "Ctrl", "alt": "Mod1", "shift": "Shift", "super": "Mod4"}
HELD = ("compare",)  # actions that last while their key is held


def name_keysym_of(word: str) -> str:
    """The name in XKB of a key that config.toml calls `word`."""
    if word.isascii() and word.isalnum() and len(word) == 1:
        return word
    return KEYSYMS.get(word) or f"U{ord(word):04X}"


def format_trigger(key: str) -> str:
    """ "ctrl+alt+," -> "CTRL+ALT+comma", as in the shortcuts specification of freedesktop.org."""
    return _join(key, PORTAL_MODIFIERS)


def format_sway_bindings(keys: Mapping[str, str], program: str) -> list[str]:
    """Lines for sway's configuration that give {action: "ctrl+alt+m"} to a running live-sr.

    `program`: the command that starts live-sr, quoted for a shell.
    """
    lines = []
    for action, key in keys.items():
        combination = _join(key, SWAY_MODIFIERS)
        lines.append(f"bindsym --no-repeat {combination} exec {program} ctl {shlex.quote(action)}")
        if action in HELD:
            lines.append(f"bindsym --release {combination} exec {program} ctl {shlex.quote(action)} --release")
    return lines


def _join(key: str, modifiers: Mapping[str, str]) -> str:
    held, word = parse_key(key)
    return "+".join([*(name for modifier, name in modifiers.items() if modifier in held), name_keysym_of(word)])
