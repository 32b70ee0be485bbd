"""Windows' desktop and hotkeys: what they ask of Windows, and what they make of its answers.

user32, and for the hotkeys Qt's event loop, are stood in for by the least that behaves as documented.
"""

from __future__ import annotations

import ctypes
from ctypes import wintypes
from types import SimpleNamespace

import pytest

from live_sr import win32
from live_sr.errors import DisplayLost
from live_sr.frame import Rect
from live_sr.overlay import desktop_win32, hotkeys_win32
from live_sr.overlay.desktop_win32 import Win32Desktop

OVERLAY = 77


class User32:
    def __init__(self) -> None:
        self.style, self.affinity, self.affinities, self.places = 0x100, 0, [], []
        self.grants, self.keeps, self.windows = True, True, True  # what Windows agrees to
        self.taken, self.registered, self.down = {0x41}, {}, set()

    def GetWindowLongPtrW(self, _window: int, _what: int) -> int:  # noqa: N802 (Windows' name, as those below)
        return self.style

    def SetWindowLongPtrW(self, _window: int, _what: int, style: int) -> int:  # noqa: N802
        before, self.style = self.style, style if self.keeps else self.style
        return before

    def SetLayeredWindowAttributes(self, *_arguments: int) -> int:  # noqa: N802
        return 1

    def SetWindowPos(self, _window: int, after: int | None, *place: int) -> int:  # noqa: N802
        self.places.append((after, *place))
        return int(self.windows)

    def SetWindowDisplayAffinity(self, _window: int, affinity: int) -> int:  # noqa: N802
        self.affinities.append(affinity)
        if not self.grants and affinity:
            return 0
        self.affinity = affinity if self.keeps else 0x1
        return 1

    def GetWindowDisplayAffinity(self, _window: int, affinity: SimpleNamespace) -> int:  # noqa: N802
        affinity._obj.value = self.affinity
        return 1

    def RegisterHotKey(self, _window: None, number: int, modifiers: int, key: int) -> int:  # noqa: N802
        if key in self.taken or (modifiers, key) in self.registered.values():
            return 0
        self.registered[number] = (modifiers, key)
        return 1

    def UnregisterHotKey(self, _window: None, number: int) -> int:  # noqa: N802
        return int(self.registered.pop(number, None) is not None)

    def GetAsyncKeyState(self, key: int) -> int:  # noqa: N802
        return -0x8000 if key in self.down else 1  # a SHORT: its highest bit makes it negative

    def VkKeyScanW(self, character: str) -> int:  # noqa: N802
        return ord(character.upper())

    def GetCurrentProcess(self) -> int:  # noqa: N802
        return -1

    def SetProcessInformation(self, *_arguments: object) -> int:  # noqa: N802
        return 1


@pytest.fixture
def user32(monkeypatch: pytest.MonkeyPatch) -> User32:
    stand_in = User32()
    monkeypatch.setattr(win32, "library", lambda name: stand_in)
    return stand_in


def test_the_overlay_gets_the_styles_that_let_clicks_through_and_keeps_its_own(user32: User32) -> None:
    Win32Desktop().dress(OVERLAY)
    assert user32.style == 0x100 | 0x20 | 0x80 | 0x80000 | 0x8000000


def test_an_overlay_that_would_catch_the_clicks_is_not_put_over_the_game(user32: User32) -> None:
    user32.keeps = False
    with pytest.raises(DisplayLost, match="clicks"):
        Win32Desktop().dress(OVERLAY)


def test_the_overlay_is_placed_topmost_without_being_activated(user32: User32) -> None:
    Win32Desktop().place(OVERLAY, Rect(-1280, -200, 640, 480))
    assert user32.places == [(-1, -1280, -200, 640, 480, 0x10)]


@pytest.mark.parametrize(
    ("build", "grants", "keeps", "excluded", "agreed", "asked"),
    [
        (22631, True, True, True, True, [0, 0x11]),
        (22631, True, True, False, True, [0]),
        (22631, False, True, True, False, [0, 0x11, 0]),  # refused, as of windows with an alpha of their own
        (22631, True, False, True, False, [0, 0x11, 0]),  # agreed, and not done
        (18363, True, True, True, False, []),  # would be a black box in every capture
        (18363, True, True, False, True, [0]),
    ],
)
def test_the_overlay_counts_as_hidden_only_when_windows_says_so_twice(
    monkeypatch: pytest.MonkeyPatch,
    user32: User32,
    build: int,
    grants: bool,
    keeps: bool,
    excluded: bool,
    agreed: bool,
    asked: list[int],
) -> None:
    monkeypatch.setattr(win32, "build", lambda: build)
    user32.grants, user32.keeps = grants, keeps
    assert Win32Desktop().exclude_from_capture(OVERLAY, excluded) is agreed
    assert user32.affinities == asked


class Loop:
    """Qt's application and timer, as far as the hotkeys use them."""

    def __init__(self) -> None:
        self.filters: list[hotkeys_win32.HotkeyFilter] = []
        self.ticking = False
        self.tick = lambda: None

    def instance(self) -> Loop:
        return self

    def installNativeEventFilter(self, listening: hotkeys_win32.HotkeyFilter) -> None:  # noqa: N802 (Qt's name)
        self.filters.append(listening)

    def removeNativeEventFilter(self, listening: hotkeys_win32.HotkeyFilter) -> None:  # noqa: N802
        self.filters.remove(listening)

    def timer(self) -> SimpleNamespace:
        return SimpleNamespace(
            setInterval=lambda ms: None,
            timeout=SimpleNamespace(connect=lambda slot: setattr(self, "tick", slot)),
            start=lambda: setattr(self, "ticking", True),
            stop=lambda: setattr(self, "ticking", False),
        )

    def press(self, number: int) -> None:
        message = wintypes.MSG()
        message.message, message.wParam = 0x312, number
        self.filters[0].nativeEventFilter(b"windows_generic_MSG", hotkeys_win32.voidptr(ctypes.addressof(message)))


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch, user32: User32) -> Loop:
    stand_in = Loop()
    monkeypatch.setattr(hotkeys_win32, "QCoreApplication", stand_in)
    monkeypatch.setattr(hotkeys_win32, "QTimer", stand_in.timer)
    return stand_in


def test_a_held_key_is_told_when_pressed_and_when_released(user32: User32, loop: Loop) -> None:
    told: list[str] = []
    hotkeys = hotkeys_win32.RegisteredHotkeys()
    keys = {"hud": "", "compare": "ctrl+alt+c"}
    assert hotkeys.bind(keys, lambda a: told.append(f"+{a}"), lambda a: told.append(f"-{a}")) == []
    assert list(user32.registered.values()) == [(0x4003, 0x43)]
    user32.down = {0x43}
    loop.press(1)
    loop.tick()
    assert told == ["+compare"] and loop.ticking
    user32.down = set()
    loop.tick()
    assert told == ["+compare", "-compare"] and not loop.ticking


def test_keys_that_cannot_be_bound_are_told_in_a_sentence_each(user32: User32, loop: Loop) -> None:
    hotkeys = hotkeys_win32.RegisteredHotkeys()
    keys = {"hud": "a", "quit": "ctrl+q", "pause": "ctrl+q", "split": "ctlr+x"}
    sentences = hotkeys.bind(keys, print, print)
    assert [s.split(":")[0] for s in sentences] == ["hud", "pause", "split"]
    assert "is taken by another program" in sentences[0]
    assert 'Did you mean "ctrl"?' in sentences[2]


def test_nothing_stays_bound_after_the_close_or_the_next_binding(user32: User32, loop: Loop) -> None:
    hotkeys = hotkeys_win32.RegisteredHotkeys()
    hotkeys.bind({"quit": "ctrl+q"}, print, print)
    hotkeys.bind({"hud": "ctrl+h"}, print, print)
    assert list(user32.registered.values()) == [(0x4002, 0x48)]
    hotkeys.close()
    assert user32.registered == {} and loop.filters == []


def test_the_layouts_that_windows_fills_in_are_as_long_as_it_expects() -> None:
    # 12 and 276 bytes there; other systems have a longer `long` and a longer character
    wide = ctypes.sizeof(wintypes.LONG) // 4
    assert ctypes.sizeof(desktop_win32.PowerThrottling) == 12 * wide
    assert ctypes.sizeof(win32.Version) == 20 * wide + 128 * ctypes.sizeof(wintypes.WCHAR)
