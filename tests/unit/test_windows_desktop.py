"""The desktop and the hotkeys on Windows, with fakes of user32 and of Qt's event loop.

The fakes are as small as possible, and behave as documented.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from ctypes import wintypes
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from live_sr.desktop import hotkeys_win32, windows
from live_sr.desktop.windows import Win32Desktop
from live_sr.errors import DisplayLost
from live_sr.pipeline.frame import Rect
from live_sr.system import win32

OVERLAY = 77
ROOT = Path(__file__).parents[2]


class FakeUser32:
    """One overlay window and some hotkeys. `grants` and `keeps`: whether Windows agrees, and does what it agreed to."""

    def __init__(self) -> None:
        self.style, self.affinity, self.affinities, self.places = 0x100, 0, [], []
        self.grants, self.keeps, self.windows = True, True, True  # what Windows agrees to
        self.taken, self.registered, self.down = {0x41}, {}, set()
        self.typed: dict[tuple[int, bool], str] = {}  # with AltGr: virtual key, whether Shift is held too
        self.asked: list[str] = []

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

    def GetWindowDisplayAffinity(self, _window: int, affinity: Any) -> int:  # noqa: N802
        ctypes.cast(affinity, ctypes.POINTER(wintypes.DWORD)).contents.value = self.affinity
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

    def GetKeyboardLayout(self, _thread: int) -> int:  # noqa: N802
        return 0x407

    def MapVirtualKeyW(self, key: int, _kind: int) -> int:  # noqa: N802
        return key

    def ToUnicodeEx(  # noqa: N802
        self, key: int, _scan_code: int, state: Any, text: Any, _size: int, _flags: int, _layout: int
    ) -> int:
        shift, ctrl, alt = (bool(state[one] & 0x80) for one in (0x10, 0x11, 0x12))
        text.value = self.typed.get((key, shift), "") if ctrl and alt else ""
        return len(text.value)

    def SetProcessDpiAwarenessContext(self, context: int) -> int:  # noqa: N802
        self.asked.append(f"SetProcessDpiAwarenessContext {context}")
        return 0  # refused, as after Qt's first window

    def GetCurrentProcess(self) -> int:  # noqa: N802
        return -1

    def SetProcessInformation(self, *_arguments: object) -> int:  # noqa: N802
        self.asked.append("SetProcessInformation")
        return 1


@pytest.fixture
def user32(monkeypatch: pytest.MonkeyPatch) -> FakeUser32:
    fake = FakeUser32()
    monkeypatch.setattr(win32, "load_library", lambda name: fake)
    return fake


def test_the_overlay_gets_the_styles_that_let_clicks_through_and_keeps_its_own(user32: FakeUser32) -> None:
    Win32Desktop().apply_window_styles(OVERLAY)
    assert user32.style == 0x100 | 0x20 | 0x80 | 0x80000 | 0x8000000


def test_an_overlay_that_would_catch_the_clicks_is_not_put_over_the_game(user32: FakeUser32) -> None:
    user32.keeps = False
    with pytest.raises(DisplayLost, match="clicks"):
        Win32Desktop().apply_window_styles(OVERLAY)


def test_the_overlay_is_placed_topmost_without_being_activated(user32: FakeUser32) -> None:
    Win32Desktop().place_overlay(OVERLAY, Rect(-1280, -200, 640, 480))
    assert user32.places == [(-1, -1280, -200, 640, 480, 0x10)]


class FakeFrame(FakeUser32):
    """A window of 300x200 at 100, 50, whose border is 8 pixels wide and whose title bar 31 high."""

    def GetClientRect(self, _window: int, rect: Any) -> int:  # noqa: N802
        area = ctypes.cast(rect, ctypes.POINTER(wintypes.RECT)).contents
        area.left, area.top, area.right, area.bottom = 0, 0, 284, 161
        return 1

    def ClientToScreen(self, _window: int, point: Any) -> int:  # noqa: N802
        corner = ctypes.cast(point, ctypes.POINTER(wintypes.POINT)).contents
        corner.x, corner.y = 108, 81
        return 1

    def GetWindowRect(self, _window: int, rect: Any) -> int:  # noqa: N802
        area = ctypes.cast(rect, ctypes.POINTER(wintypes.RECT)).contents
        area.left, area.top, area.right, area.bottom = 100, 50, 400, 250
        return 1


def test_a_window_of_another_program_is_placed_by_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeFrame()
    monkeypatch.setattr(win32, "load_library", lambda name: fake)
    Win32Desktop().place_window(3, Rect(108, 81, 568, 322))
    assert fake.places == [(None, 100, 50, 584, 361, 0x4 | 0x10)]


class FakeStack(FakeUser32):
    """Windows by their handle: the process, the style and the owner of each, topmost first."""

    WINDOWS: ClassVar = {5: (9, 0x80, None), OVERLAY: (0, 0, None), 3: (1, 0, 2), 4: (9, 0, None), 2: (1, 0, None)}

    def EnumWindows(self, visit: Callable[[int, int], int], _data: int) -> int:  # noqa: N802
        return int(all(visit(window, 0) for window in self.WINDOWS))

    def GetForegroundWindow(self) -> int:  # noqa: N802
        return 4

    def GetShellWindow(self) -> int:  # noqa: N802
        return 99

    def IsWindowVisible(self, _window: int) -> int:  # noqa: N802
        return 1

    def DwmGetWindowAttribute(self, *_arguments: object) -> int:  # noqa: N802
        return 0

    def GetWindowRect(self, window: int, rect: Any) -> int:  # noqa: N802
        area = ctypes.cast(rect, ctypes.POINTER(wintypes.RECT)).contents
        area.left, area.top, area.right, area.bottom = window, 0, window + 100, 50
        return 1

    def GetWindowThreadProcessId(self, window: int, pid: Any) -> int:  # noqa: N802
        ctypes.cast(pid, ctypes.POINTER(wintypes.DWORD)).contents.value = self.WINDOWS[window][0]
        return 1

    def GetWindowLongPtrW(self, window: int, _what: int) -> int:  # noqa: N802
        return self.WINDOWS[window][1]

    def GetWindow(self, window: int, _what: int) -> int | None:  # noqa: N802
        return self.WINDOWS[window][2]


def test_the_stack_says_whose_each_window_is(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeStack()
    monkeypatch.setattr(win32, "load_library", lambda name: fake)
    found = [(w.id, w.owner, w.active) for w in Win32Desktop().list_stack(2, OVERLAY)]
    assert found == [
        (5, "system", False),
        (OVERLAY, "overlay", False),
        (3, "popup", False),
        (4, "program", True),
        (2, "game", False),
    ]


def test_openings_are_cut_out_of_the_overlay_and_closed_again(user32: FakeUser32) -> None:
    made: list[tuple[object, ...]] = []
    user32.CreateRectRgn = lambda *corners: made.append(corners) or len(made)  # type: ignore[attr-defined]
    user32.CombineRgn = lambda *parts: made.append(("combine", *parts)) or 1  # type: ignore[attr-defined]
    user32.DeleteObject = lambda region: 1  # type: ignore[attr-defined]
    user32.SetWindowRgn = lambda *arguments: made.append(("set", *arguments)) or 1  # type: ignore[attr-defined]
    desktop, place = Win32Desktop(), Rect(100, 50, 640, 480)
    desktop.place_overlay(OVERLAY, place, 5, [Rect(120, 70, 30, 20)])
    assert user32.places == [(5, *place, 0x10)], "directly below that window"
    assert made == [(0, 0, 640, 480), (20, 20, 50, 40), ("combine", 1, 1, 2, 4), ("set", OVERLAY, 1, True)]
    desktop.place_overlay(OVERLAY, place, None, [])
    assert made[4:] == [("set", OVERLAY, None, True)]


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
    user32: FakeUser32,
    build: int,
    grants: bool,
    keeps: bool,
    excluded: bool,
    agreed: bool,
    asked: list[int],
) -> None:
    monkeypatch.setattr(win32, "get_build_number", lambda: build)
    user32.grants, user32.keeps = grants, keeps
    assert Win32Desktop().exclude_from_capture(OVERLAY, excluded) is agreed
    assert user32.affinities == asked


class FakeEventLoop:
    """Qt's application and timer, as far as the hotkeys use them."""

    def __init__(self) -> None:
        self.filters: list[hotkeys_win32.HotkeyFilter] = []
        self.ticking = False
        self.tick = lambda: None

    def instance(self) -> FakeEventLoop:
        return self

    def installNativeEventFilter(self, event_filter: hotkeys_win32.HotkeyFilter) -> None:  # noqa: N802 (Qt's name)
        self.filters.append(event_filter)

    def removeNativeEventFilter(self, event_filter: hotkeys_win32.HotkeyFilter) -> None:  # noqa: N802
        self.filters.remove(event_filter)

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
def loop(monkeypatch: pytest.MonkeyPatch, user32: FakeUser32) -> FakeEventLoop:
    fake = FakeEventLoop()
    monkeypatch.setattr(hotkeys_win32, "QCoreApplication", fake)
    monkeypatch.setattr(hotkeys_win32, "QTimer", fake.timer)
    return fake


def test_a_held_key_is_reported_when_pressed_and_when_released(user32: FakeUser32, loop: FakeEventLoop) -> None:
    events: list[str] = []
    hotkeys = hotkeys_win32.RegisteredHotkeys()
    keys = {"hud": "", "compare": "ctrl+alt+c"}
    assert hotkeys.bind(keys, lambda a: events.append(f"+{a}"), lambda a: events.append(f"-{a}")) == []
    assert list(user32.registered.values()) == [(0x4003, 0x43)]
    user32.down = {0x43}
    loop.press(1)
    loop.tick()
    assert events == ["+compare"] and loop.ticking
    user32.down = set()
    loop.tick()
    assert events == ["+compare", "-compare"] and not loop.ticking


def test_keys_that_cannot_be_bound_give_a_sentence_each(user32: FakeUser32, loop: FakeEventLoop) -> None:
    hotkeys = hotkeys_win32.RegisteredHotkeys()
    keys = {"hud": "a", "quit": "ctrl+q", "pause": "ctrl+q", "split": "ctlr+x"}
    sentences = hotkeys.bind(keys, print, print)
    assert [s.split(":")[0] for s in sentences] == ["hud", "pause", "split"]
    assert "is in use by another program" in sentences[0]
    assert 'Did you mean "ctrl"?' in sentences[2]


def test_nothing_stays_bound_after_the_close_or_the_next_binding(user32: FakeUser32, loop: FakeEventLoop) -> None:
    hotkeys = hotkeys_win32.RegisteredHotkeys()
    hotkeys.bind({"quit": "ctrl+q"}, print, print)
    hotkeys.bind({"hud": "ctrl+h"}, print, print)
    assert list(user32.registered.values()) == [(0x4002, 0x48)]
    hotkeys.close()
    assert user32.registered == {} and loop.filters == []


def test_the_structures_that_windows_fills_in_have_the_size_it_expects() -> None:
    # 12 and 276 bytes there; other systems have a longer `long` and a longer character
    wide = ctypes.sizeof(wintypes.LONG) // 4
    assert ctypes.sizeof(windows.PowerThrottling) == 12 * wide
    assert ctypes.sizeof(win32.OsVersion) == 20 * wide + 128 * ctypes.sizeof(wintypes.WCHAR)


# AltGr, which Windows reports as Ctrl and Alt

RIGHT_ALT, LEFT_ALT, RIGHT_CTRL = 0xA5, 0xA4, 0xA3


@pytest.mark.parametrize(
    ("what", "key", "down", "heard"),
    [
        ("Ctrl+Alt with the left hand", "ctrl+alt+q", {LEFT_ALT}, True),
        ("AltGr", "ctrl+alt+q", {RIGHT_ALT}, False),
        ("the right Alt with the right Ctrl is no AltGr", "ctrl+alt+q", {RIGHT_ALT, RIGHT_CTRL}, True),
        ("both Alt keys", "ctrl+alt+q", {RIGHT_ALT, LEFT_ALT}, True),
        ("a key without Ctrl", "alt+shift+q", {RIGHT_ALT}, True),
        ("Ctrl+Alt+Shift", "ctrl+alt+shift+q", {RIGHT_ALT}, False),
    ],
)
def test_altgr_is_told_from_ctrl_alt(
    what: str, key: str, down: set[int], heard: bool, user32: FakeUser32, loop: FakeEventLoop
) -> None:
    events: list[str] = []
    hotkeys = hotkeys_win32.RegisteredHotkeys()
    assert hotkeys.bind({"quit": key}, events.append, events.append) == []
    user32.down = down | {ord("Q")}
    loop.press(1)
    assert events == (["quit"] if heard else []), what


def test_a_hotkey_that_types_a_character_with_altgr_is_told(user32: FakeUser32, loop: FakeEventLoop) -> None:
    user32.typed = {(0x51, False): "@", (0x45, True): "€"}
    keys = {"quit": "ctrl+alt+q", "hud": "ctrl+alt+e", "split": "ctrl+alt+shift+e", "pause": "alt+shift+q"}
    sentences = hotkeys_win32.RegisteredHotkeys().bind(keys, print, print)
    assert sentences == [
        'quit: ctrl+alt+q is AltGr for "@", which cannot be typed now: choose another',
        'split: ctrl+alt+shift+e is AltGr for "€", which cannot be typed now: choose another',
    ]


def test_the_default_hotkeys_of_windows_hold_no_altgr() -> None:
    script = (
        "from live_sr.system import platform; platform.get_platform = lambda: 'win32'\n"
        "from live_sr.config import HotkeySettings, parse_key\n"
        "print(sorted({'+'.join(sorted(parse_key(key)[0])) for key in HotkeySettings().model_dump().values()}))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['alt+shift']"


def test_the_process_sees_physical_pixels_before_it_asks_for_any(user32: FakeUser32) -> None:
    Win32Desktop()
    assert user32.asked == ["SetProcessDpiAwarenessContext -4", "SetProcessInformation"]
