"""Hotkeys: the matching as tables of key events, then real keys while another window has the focus."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from screens import Screen, ToyWindow

from live_sr.overlay.hotkeys import Chord, Chords, PynputHotkeys, chords_of, unshifted

CHORDS = {
    "model": Chord(frozenset({"ctrl", "alt"}), "m"),
    "grid": Chord(frozenset({"ctrl", "alt", "shift"}), "m"),
    "compare": Chord(frozenset({"ctrl", "alt"}), "c"),
    "hud": Chord(frozenset(), "f8"),
}


def played(events: str, gap_s: float = 0.01) -> list[str]:
    """Events such as "+ctrl +alt +m 3.5 -m": keys down and up, and waits in seconds; "model+" fired, "model-" ended."""
    chords, now, out = Chords(CHORDS), 100.0, []
    for event in events.split():
        now += gap_s
        if event[0] in "+-":
            change = chords.press if event[0] == "+" else chords.release
            out += [f"{c.action}{'+' if c.pressed else '-'}" for c in change(event[1:], now)]
        else:
            now += float(event)
    return out


@pytest.mark.parametrize(
    ("what", "events", "expected"),
    [
        ("all keys down, then up", "+ctrl +alt +m -m -alt -ctrl", "model+ model-"),
        ("the modifiers in another order", "+alt +ctrl +m -m", "model+ model-"),
        ("the key before the modifiers", "+m +alt +ctrl -ctrl", "model+ model-"),
        ("a key alone", "+f8 -f8", "hud+ hud-"),
        ("not with a modifier too many", "+shift +f8 -f8 -shift", ""),
        ("not with a modifier too few", "+ctrl +m -m -ctrl", ""),
        ("the modifiers pick which", "+ctrl +alt +shift +m -m", "grid+ grid-"),
        ("one more modifier later does not fire the other", "+ctrl +alt +m +shift -m", "model+ model-"),
        ("a repeating key fires once", "+ctrl +alt +m +m +m +m -m", "model+ model-"),
        ("and again after its release", "+ctrl +alt +m -m +m -m", "model+ model- model+ model-"),
        ("releasing a modifier ends it", "+ctrl +alt +c -alt -c -ctrl", "compare+ compare-"),
        ("held for long", "+ctrl +alt +c " + "0.5 +c " * 100 + "-c", "compare+ compare-"),
        ("held for long on a keyboard that does not repeat", "+ctrl +alt +c 25 -c", "compare+ compare-"),
        ("other keys may be held: the player walks", "+w +ctrl +alt +m -m -w", "model+ model-"),
        ("and pressed meanwhile", "+ctrl +alt +c +w -w -c", "compare+ compare-"),
        ("two at once", "+ctrl +alt +c +m -m -c", "compare+ model+ model- compare-"),
        ("a key held for the game does not become one", "+c 3 +ctrl +alt +m -m", "model+ model-"),
        ("not even while it repeats", "+c 0.6 +c 0.6 +c +ctrl +alt 0.6 +c -alt", ""),
        ("a lost key-up: the next press counts", "+ctrl +alt +m -ctrl -alt 5 +ctrl +alt +m", "model+ model- model+"),
        ("a lost key-up of a modifier is forgotten", "+shift 31 +ctrl +alt +m", "model+"),
        ("or mended by pressing it", "+shift 5 +shift -shift +ctrl +alt +m", "model+"),
        ("all key-ups lost: it ends with the next key", "+ctrl +alt +c 31 +w", "compare+ compare-"),
        ("a release without a press", "-ctrl -m +ctrl +alt +m", "model+"),
    ],
)  # fmt: skip
def test_chords(what, events, expected):
    assert " ".join(played(events)) == expected, what


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("ctrl+alt+mm", 'hotkey hud = ctrl+alt+mm: "mm" is not a key'),
        ("ctlr+m", 'Did you mean "ctrl"?'),
        ("ctrl+", 'hotkey hud = ctrl+: "" is not a key'),
        ("ctrl+alt+m", "hotkey hud = ctrl+alt+m: these keys are taken by model."),
        ("alt+CTRL+M", "hotkey hud = alt+CTRL+M: these keys are taken by model."),
        ("f24", "hotkey hud = f24: keyboards here have no key f24."),
    ],
)
def test_a_key_that_cannot_be_bound_gives_one_sentence(key, sentence):
    chords, problems = chords_of({"model": "ctrl+alt+m", "hud": key, "quit": "f9"}, lambda name: name != "f24")
    assert list(chords) == ["model", "quit"]
    assert len(problems) == 1
    assert sentence in problems[0]


def test_an_empty_key_is_not_bound():
    assert chords_of({"hud": ""}, lambda name: True) == ({}, [])


def test_shifted_characters_are_found_on_their_key():
    keyboard = {0x31: (10, 0), 0x21: (10, 1), 0xFF09: (23, 0), 0xFE20: (23, 1), 0x7E: (99, 1)}
    assert unshifted(keyboard) == {0x21: 0x31, 0xFE20: 0xFF09}


# Real keys


class Heard:
    """What the callbacks were told."""

    def __init__(self) -> None:
        self.actions: list[str] = []

    def press(self, action: str) -> None:
        self.actions.append(f"{action}+")

    def release(self, action: str) -> None:
        self.actions.append(f"{action}-")

    def becomes(self, *expected: str) -> None:
        end = time.monotonic() + 10
        while self.actions != list(expected) and time.monotonic() < end:
            time.sleep(0.01)
        assert self.actions == list(expected)
        self.actions.clear()


@pytest.fixture
def keys(screen: Screen) -> Iterator[Callable[[dict[str, str]], Heard]]:
    """Binds keys while another program's window has the focus."""
    game = ToyWindow(screen)
    subprocess.run(["xdotool", "windowactivate", "--sync", str(game.id)], check=True)
    hotkeys = PynputHotkeys()

    def bind(wanted: dict[str, str]) -> Heard:
        heard = Heard()
        assert hotkeys.bind({"probe": "f12", **wanted}, heard.press, heard.release) == []
        end = time.monotonic() + 10  # the server begins to tell some time after it was asked to
        while heard.actions[-2:] != ["probe+", "probe-"] and time.monotonic() < end:
            xdotool("key", "F12")
            time.sleep(0.05)
        time.sleep(0.1)
        heard.actions.clear()
        return heard

    yield bind
    hotkeys.close()


def xdotool(*words: str) -> None:
    subprocess.run(["xdotool", *words], check=True)


@pytest.mark.parametrize(
    ("bound", "pressed"),
    [
        ("ctrl+alt+m", "ctrl+alt+m"),
        ("ctrl+shift+left", "ctrl+shift+Left"),
        ("ctrl+alt+space", "alt+ctrl+space"),
        ("ctrl+shift+1", "ctrl+shift+1"),
        ("shift+tab", "shift+Tab"),
        ("ctrl+alt+shift+x", "shift+alt+ctrl+x"),
        ("ctrl+alt+m", "Control_R+Alt_R+m"),
        ("super+f8", "super+F8"),
        ("ctrl+pause", "ctrl+Pause"),
        ("super+print_screen", "super+Print"),
        ("page_up", "Prior"),
        ("ctrl+,", "ctrl+comma"),
        ("ctrl+plus", None),
    ],
)
def test_a_key_reaches_us_while_another_window_has_the_focus(keys, bound, pressed):
    if pressed is None:
        assert len(PynputHotkeys().bind({"it": bound}, print, print)) == 1
        return
    heard = keys({"it": bound})
    xdotool("key", pressed)
    heard.becomes("it+", "it-")


def test_a_held_key_is_told_at_its_press_and_at_its_release(keys):
    heard = keys({"compare": "ctrl+alt+c"})
    xdotool("keydown", "ctrl", "keydown", "alt", "keydown", "c")
    heard.becomes("compare+")
    time.sleep(1.0)  # the keyboard repeats it
    xdotool("keyup", "c", "keyup", "alt", "keyup", "ctrl")
    heard.becomes("compare-")


def test_modifiers_match_exactly(keys):
    heard = keys({"model": "ctrl+alt+m", "hud": "f8"})
    for other in ("ctrl+m", "ctrl+alt+shift+m", "super+F8", "m"):
        xdotool("key", other)
    xdotool("key", "F8")
    heard.becomes("hud+", "hud-")


def test_an_action_that_fails_does_not_end_the_hotkeys(screen, keys, caplog):
    heard = keys({"model": "ctrl+alt+m", "hud": "f8"})
    good = heard.press

    def failing(action: str) -> None:
        good(action)
        raise RuntimeError("this action fails")

    hotkeys = PynputHotkeys()
    try:
        assert hotkeys.bind({"model": "ctrl+alt+m"}, failing, lambda action: None) == []
        time.sleep(0.3)
        for _ in range(2):
            xdotool("key", "ctrl+alt+m")
        end = time.monotonic() + 10
        while heard.actions.count("model+") < 4 and time.monotonic() < end:
            time.sleep(0.01)
        assert heard.actions.count("model+") == 4  # two listeners, two presses
        assert "the action model failed" in caplog.text
    finally:
        hotkeys.close()


def test_binding_again_replaces_and_closing_leaves_no_thread(screen):
    before = set(threading.enumerate())
    hotkeys = PynputHotkeys()
    for key in ("f8", "f9", "f10"):
        assert hotkeys.bind({"hud": key}, print, print) == []
        assert len(set(threading.enumerate()) - before) == 1
    hotkeys.close()
    hotkeys.close()
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("display", ["", ":99999"])
def test_without_an_x_server_bind_says_so_in_one_sentence(display):
    script = "from live_sr.overlay.hotkeys import *; print(PynputHotkeys().bind({'hud': 'f8'}, print, print))"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "DISPLAY": display}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "['Hotkeys do not work: there is no X server to hear the keyboard from.']"
    assert done.stderr == ""


LOSING = """
import sys, threading, time
from live_sr.overlay.hotkeys import PynputHotkeys
hotkeys = PynputHotkeys()
print(hotkeys.bind({"hud": "f8"}, print, print), flush=True)
sys.stdin.readline()
hotkeys.close()
print(hotkeys.bind({"hud": "f8"}, print, print), threading.active_count())
"""


def test_a_server_that_goes_away_leaves_a_sentence_and_no_traceback():
    with Screen(manager=False) as screen:
        process = subprocess.Popen(
            [sys.executable, "-c", LOSING],
            env=screen.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "[]\n"
        screen.server.kill()
        time.sleep(0.5)
        said, errors = process.communicate("\n", timeout=30)
    assert said.startswith("['Hotkeys do not work: there is no X server"), errors
    assert said.strip().endswith("] 1")
    assert "Traceback" not in errors
