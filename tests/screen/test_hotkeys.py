"""Hotkeys: the matching as tables of key events, then real keys while another window has the focus."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from patience import until
from screens import Screen, ToyWindow
from Xlib import X
from Xlib.display import Display
from Xlib.ext import xtest

from live_sr import backends
from live_sr.backends import Backend
from live_sr.desktop.chords import Chord, ChordTracker, parse_chords
from live_sr.desktop.hotkeys_x11 import X11Hotkeys
from live_sr.desktop.open import open_hotkeys
from live_sr.pipeline.desktop_contracts import Hotkeys

CHORDS = {
    "model": Chord(frozenset({"ctrl", "alt"}), "m"),
    "grid": Chord(frozenset({"ctrl", "alt", "shift"}), "m"),
    "compare": Chord(frozenset({"ctrl", "alt"}), "c"),
    "hud": Chord(frozenset(), "f8"),
}


def play(events: str, gap_s: float = 0.01) -> list[str]:
    """Plays events such as "+ctrl +alt +m 3.5 -m": keys down and up, and waits in seconds.

    Returns "model+" where an action started, and "model-" where it ended.
    """
    chords, now, out = ChordTracker({chord: action for action, chord in CHORDS.items()}), 100.0, []
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
    assert " ".join(play(events)) == expected, what


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("ctrl+alt+mm", 'hotkey hud = ctrl+alt+mm: "mm" is not a key'),
        ("ctlr+m", 'Did you mean "ctrl"?'),
        ("ctrl+", 'hotkey hud = ctrl+: "" is not a key'),
        ("ctrl+alt+m", "hotkey hud = ctrl+alt+m: model has these keys already."),
        ("alt+CTRL+M", "hotkey hud = alt+CTRL+M: model has these keys already."),
    ],
)
def test_a_key_that_cannot_be_bound_gives_one_sentence(key, sentence):
    chords, problems = parse_chords({"model": "ctrl+alt+m", "hud": key, "quit": "f9"})
    assert list(chords) == ["model", "quit"]
    assert len(problems) == 1
    assert sentence in problems[0]


def test_an_empty_key_is_not_bound():
    assert parse_chords({"hud": ""}) == ({}, [])


def test_other_chords_end_what_was_active_and_held_keys_stay_held():
    chords = ChordTracker({CHORDS["compare"]: "compare"})
    for key in ("ctrl", "alt", "c"):
        chords.press(key, 1.0)
    assert chords.replace({CHORDS["model"]: "model"}) == [("compare", False)]
    assert chords.press("m", 1.1) == [("model", True)]


# Real keys


class Actions:
    """Collects what the callbacks receive."""

    def __init__(self) -> None:
        self.received: list[str] = []

    def press(self, action: str) -> None:
        self.received.append(f"{action}+")

    def release(self, action: str) -> None:
        self.received.append(f"{action}-")

    def expect(self, *expected: str) -> None:
        with suppress(TimeoutError):
            until(lambda: self.received == list(expected), "the keys arrive", 10)
        assert self.received == list(expected)
        self.received.clear()


MakeHotkeys = Callable[[], Hotkeys]


@pytest.fixture(params=["record", pytest.param("pynput", marks=pytest.mark.needs("pynput"))])
def make_hotkeys(request: pytest.FixtureRequest, screen: Screen) -> MakeHotkeys:
    """Makes one of the ways to hear keys on X11."""
    return find_backend(request.param).load()


@pytest.fixture
def keys(screen: Screen, make_hotkeys: MakeHotkeys) -> Iterator[Callable[[dict[str, str]], Actions]]:
    """Binds keys while another program's window has the focus."""
    game = ToyWindow(screen)
    subprocess.run(["xdotool", "windowactivate", "--sync", str(game.id)], check=True)
    hotkeys = make_hotkeys()

    def bind(wanted: dict[str, str]) -> Actions:
        actions = Actions()
        assert hotkeys.bind({"probe": "f12", "last": "f11", **wanted}, actions.press, actions.release) == []
        press_until_received("F12", "probe-", actions)
        xdotool("key", "F11")  # comes after all the probes
        until(lambda: actions.received[-1:] == ["last-"], "the last probe")
        actions.received.clear()
        return actions

    yield bind
    hotkeys.close()


def find_backend(name: str) -> Backend:
    return next(backend for backend in backends.HOTKEYS if backend.name == name)


def press_until_received(key: str, action: str, actions: Actions) -> None:
    """Presses a key until it arrives: the server starts to report keys some time after the request."""

    def press() -> bool:
        xdotool("key", key)
        return action in actions.received

    until(press, f"{key} arrives", pause_s=0.05)


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
def test_a_key_reaches_us_while_another_window_has_the_focus(keys, make_hotkeys, bound, pressed):
    if pressed is None:
        hotkeys = make_hotkeys()
        assert len(hotkeys.bind({"it": bound}, print, print)) == 1
        hotkeys.close()
        return
    actions = keys({"it": bound})
    xdotool("key", pressed)
    actions.expect("it+", "it-")


def test_a_held_key_is_reported_at_its_press_and_at_its_release(keys):
    actions = keys({"compare": "ctrl+alt+c"})
    xdotool("keydown", "ctrl", "keydown", "alt", "keydown", "c")
    actions.expect("compare+")
    time.sleep(1.0)  # the keyboard repeats it
    xdotool("keyup", "c", "keyup", "alt", "keyup", "ctrl")
    actions.expect("compare-")


def test_modifiers_match_exactly(keys):
    actions = keys({"model": "ctrl+alt+m", "hud": "f8"})
    for other in ("ctrl+m", "ctrl+alt+shift+m", "super+F8", "m"):
        xdotool("key", other)
    xdotool("key", "F8")
    actions.expect("hud+", "hud-")


def test_an_action_that_fails_does_not_end_the_hotkeys(keys, make_hotkeys, caplog):
    actions = keys({"model": "ctrl+alt+m", "hud": "f8"})
    good = actions.press

    def failing(action: str) -> None:
        good(action)
        raise RuntimeError("this action fails")

    hotkeys = make_hotkeys()
    try:
        assert hotkeys.bind({"model": "ctrl+alt+m", "other": "f9"}, failing, lambda action: None) == []
        press_until_received("F9", "other+", actions)
        for _ in range(2):
            xdotool("key", "ctrl+alt+m")
        until(lambda: actions.received.count("model+") == 4, "two presses by two listeners")
        assert "the action model failed" in caplog.text
    finally:
        hotkeys.close()


def test_binding_again_replaces_and_closing_leaves_no_thread(make_hotkeys):
    before = set(threading.enumerate())
    hotkeys = make_hotkeys()
    for key in ("f8", "f9", "f10"):
        assert hotkeys.bind({"hud": key}, print, print) == []
        assert len(set(threading.enumerate()) - before) == 1
    hotkeys.close()
    hotkeys.close()
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("make_hotkeys", ["record"], indirect=True)
def test_no_action_begins_after_the_close_even_if_keys_are_still_arriving(keys):
    hotkeys = X11Hotkeys()
    late = []
    closed = threading.Event()

    def press(action: str) -> None:
        time.sleep(0.2)  # a busy machine
        if closed.is_set():
            late.append(action)

    assert hotkeys.bind({"hud": "f8", "last": "f9"}, press, lambda action: None) == []
    xdotool("key", "--delay", "1", *["F8", "F9"] * 20)
    hotkeys.close()
    closed.set()
    time.sleep(1.0)
    assert late == []


NAMES_ON_WINDOWS = """
from pynput import keyboard
from live_sr.desktop.hotkeys_pynput import KeyNames
names, canonical = KeyNames(keyboard), keyboard.Listener().canonical
code = keyboard.KeyCode
for key in (code(vk=0x51, char="\u0439"), code(vk=0x31, char="!"), code(vk=0xBC, char=","), code(vk=0xDE, char=None)):
    print(names.find_name(key, canonical) or "-", end=" ")
"""


@pytest.mark.needs("pynput")
def test_pynput_knows_letters_and_digits_by_their_keys_in_other_layouts_of_windows():
    env = {**os.environ, "PYNPUT_BACKEND": "dummy"}  # without a screen
    done = subprocess.run([sys.executable, "-c", NAMES_ON_WINDOWS], env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["q", "1", ",", "-"], done.stderr


@pytest.mark.parametrize("make_hotkeys", ["pynput"], indirect=True)
def test_a_keyboard_that_pynput_cannot_read_is_told_with_a_remedy(screen, make_hotkeys, tmp_path):
    (tmp_path / "libxkbcommon-x11.so.0").touch()
    script = "from live_sr.desktop.hotkeys_pynput import *; print(PynputHotkeys().bind({'hud': 'f8'}, print, print))"
    env = {**screen.env, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert "Hotkeys do not work: live-sr cannot read the keyboard's layout" in done.stdout, done.stderr
    assert "install libxkbcommon-x11-0" in done.stdout


def test_the_settings_choose_how_keys_are_heard(screen, monkeypatch):
    monkeypatch.setattr(backends, "is_installed", lambda module: module != "pynput")
    hotkeys, problem = open_hotkeys("pynput")
    assert hotkeys is None and "pynput is not installed" in problem and "pip install --no-deps pynput" in problem
    hotkeys, problem = open_hotkeys()
    assert isinstance(hotkeys, X11Hotkeys) and not problem


@pytest.mark.parametrize("display", ["", ":99999"])
def test_without_an_x_server_bind_says_so_in_one_sentence(display):
    script = "from live_sr.desktop.hotkeys_x11 import *; print(X11Hotkeys().bind({'hud': 'f8'}, print, print))"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "DISPLAY": display}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "['Hotkeys do not work: there is no X server, which would report the keys.']"
    assert done.stderr == ""


LOSES_ITS_SERVER = """
import sys, threading, time
from live_sr.desktop.hotkeys_x11 import X11Hotkeys
hotkeys = X11Hotkeys()
print(hotkeys.bind({"hud": "f8"}, print, print), flush=True)
sys.stdin.readline()
hotkeys.close()
print(hotkeys.bind({"hud": "f8"}, print, print), threading.active_count())
"""


def test_a_server_that_goes_away_leaves_a_sentence_and_no_traceback():
    with Screen(manager="") as screen:
        process = subprocess.Popen(
            [sys.executable, "-c", LOSES_ITS_SERVER],
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
        said, errors = process.communicate("\n")
    assert said.startswith("['Hotkeys do not work: there is no X server"), errors
    assert said.strip().endswith("] 1")
    assert "Traceback" not in errors


# Keyboards of the world

KEY_CODES = {"q": 24, "w": 25, "a": 38, "s": 39, "c": 54, "m": 58, "n": 57, ",": 59, ".": 60, "1": 10, ";": 47, "'": 48}
"""Of a PC keyboard, by what is printed on a US one."""
CTRL_CODE, ALT_CODE, ALTGR_CODE = 37, 64, 108


@pytest.fixture
def keyboard() -> Iterator[Screen]:
    """A screen whose keyboard tests may change."""
    with Screen(manager="") as own:
        yield own


class Keyboard:
    """Presses keys by their place, as a hand does, whatever they mean at the time."""

    def __init__(self, screen: Screen) -> None:
        self.env = screen.env
        self.display = Display(screen.display)

    def set_layouts(self, *options: str) -> None:
        subprocess.run(["setxkbmap", *options], env=self.env, check=True)

    def switch_on(self, layout: int) -> None:
        x11 = ctypes.CDLL("libX11.so.6")
        x11.XOpenDisplay.restype = ctypes.c_void_p
        opened = ctypes.c_void_p(x11.XOpenDisplay(self.env["DISPLAY"].encode()))
        core_keyboard = 0x100
        x11.XkbLockGroup(opened, core_keyboard, layout)
        x11.XSync(opened, 0)
        x11.XCloseDisplay(opened)

    def press(self, *codes: int) -> None:
        for what, order in ((X.KeyPress, codes), (X.KeyRelease, codes[::-1])):
            for code in order:
                xtest.fake_input(self.display, what, code)
        self.display.sync()


@pytest.fixture
def hand(screen: Screen, keyboard: Screen, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keyboard]:
    """On the keyboard's screen, not on the one that all tests share."""
    monkeypatch.setenv("DISPLAY", keyboard.display)
    hand = Keyboard(keyboard)
    yield hand
    hand.display.close()


def wait_until_heard(hand: Keyboard, actions: Actions, action: str, key: str) -> None:
    """The server starts to report keys some time after the request, and those before are lost."""

    def press() -> bool:
        hand.press(CTRL_CODE, ALT_CODE, KEY_CODES[key])
        with suppress(TimeoutError):
            until(lambda: f"{action}-" in actions.received, "the key arrives", 2)
        return f"{action}-" in actions.received

    until(press, "keys are heard")
    actions.received.clear()


@pytest.mark.parametrize("layouts", ["us,ru", "ru,us", "bg,us", "gr,us", "il,us", "ara,us", "ru", "gr", "il", "th"])
def test_keys_are_heard_in_every_layout_of_a_keyboard(layouts: str, hand: Keyboard, make_hotkeys: MakeHotkeys) -> None:
    hand.set_layouts("-layout", layouts)
    hotkeys = make_hotkeys()
    wanted = {"next": "ctrl+alt+m", "left": "ctrl+alt+,", "compare": "ctrl+alt+c", "quit": "ctrl+alt+q"}
    actions = Actions()
    try:
        assert hotkeys.bind(wanted, actions.press, actions.release) == []
        wait_until_heard(hand, actions, "next", "m")
        for layout in range(len(layouts.split(","))):
            hand.switch_on(layout)
            for action, key in (("next", "m"), ("compare", "c"), ("quit", "q")):
                hand.press(CTRL_CODE, ALT_CODE, KEY_CODES[key])
                actions.expect(f"{action}+", f"{action}-")
    finally:
        hotkeys.close()


def test_keys_follow_a_layout_that_changes_meanwhile(hand: Keyboard, make_hotkeys: MakeHotkeys) -> None:
    hand.set_layouts("us")
    hotkeys = make_hotkeys()
    wanted = {"next": "ctrl+alt+m", "quit": "ctrl+alt+q", "one": "ctrl+alt+1", "left": "ctrl+alt+,"}
    actions = Actions()
    try:
        assert hotkeys.bind(wanted, actions.press, actions.release) == []
        wait_until_heard(hand, actions, "next", "m")
        for options, places in (
            (("fr",), {"next": ";", "quit": "a", "one": "1", "left": "m"}),
            (("us", "-variant", "dvorak"), {"next": "m", "quit": None, "one": "1", "left": "w"}),
            (("de",), {"next": "m", "quit": "q", "one": "1", "left": ","}),
        ):
            hand.set_layouts(*options)
            for action, place in places.items():
                hand.press(CTRL_CODE, ALT_CODE, 53 if place is None else KEY_CODES[place])  # 53: x on a US keyboard
                actions.expect(f"{action}+", f"{action}-")
    finally:
        hotkeys.close()


def test_keys_are_told_as_they_are_labelled_in_the_layout_in_force(hand: Keyboard, make_hotkeys: MakeHotkeys) -> None:
    hand.set_layouts("-layout", "us,ru")
    hotkeys = make_hotkeys()
    actions = Actions()
    try:
        assert hotkeys.get_keys() == {}
        hotkeys.bind({"quit": "ctrl+alt+q", "next": "ctrl+alt+ü"}, actions.press, actions.release)
        wait_until_heard(hand, actions, "quit", "q")
        for layout, told in ((0, "ctrl+alt+q"), (1, "ctrl+alt+й"), (0, "ctrl+alt+q")):
            hand.switch_on(layout)
            hand.press(CTRL_CODE, ALT_CODE, KEY_CODES["q"])
            actions.expect("quit+", "quit-")
            assert hotkeys.get_keys() == {"quit": told}
    finally:
        hotkeys.close()
    assert hotkeys.get_keys() == {}


def test_altgr_is_not_alt(hand: Keyboard, make_hotkeys: MakeHotkeys) -> None:
    hand.set_layouts("de")
    hotkeys = make_hotkeys()
    actions = Actions()
    try:
        assert hotkeys.bind({"quit": "ctrl+alt+q", "next": "ctrl+alt+m"}, actions.press, actions.release) == []
        wait_until_heard(hand, actions, "next", "m")
        hand.press(ALTGR_CODE, KEY_CODES["q"])
        hand.press(CTRL_CODE, ALTGR_CODE, KEY_CODES["q"])
        hand.press(CTRL_CODE, ALT_CODE, KEY_CODES["m"])
        actions.expect("next+", "next-")
    finally:
        hotkeys.close()


def test_keys_that_cannot_be_heard_are_told_at_the_start(hand: Keyboard, make_hotkeys: MakeHotkeys) -> None:
    hand.set_layouts("us")
    hotkeys = make_hotkeys()
    try:
        wanted = {"hud": "ctrl+alt+ü", "quit": "ctrl+alt+q", "next": "ctrl+alt+?", "split": "ctrl+alt+/"}
        told = hotkeys.bind(wanted, print, print)
        assert [sentence.split(":")[0] for sentence in told] == ["hotkey hud = ctrl+alt+ü", "hotkey next = ctrl+alt+?"]
        assert "this keyboard has no key ü" in told[0]
        assert "?" in told[1] and "another action has it" in told[1]
    finally:
        hotkeys.close()
