"""The pointer on Windows, with fakes of its libraries that behave as documented."""

from __future__ import annotations

import ctypes
import io
import sys
from ctypes import wintypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from live_sr.desktop import cursor_win32, pointer_guard_win32, pointer_win32
from live_sr.desktop.pointer_win32 import Win32Pointer, choose_speed
from live_sr.errors import MissingPart
from live_sr.pipeline.frame import Rect
from live_sr.system import win32

WHOLE = Rect(-1280, 0, 3200, 1080)
GAME, PICTURE = Rect(100, 200, 320, 180), Rect(0, 0, 1280, 720)
WHITE, BLACK = 255, 0


class FakeWindows:
    """user32, gdi32 and magnification in one: a pointer, its clip, speed and cursor."""

    def __init__(self) -> None:
        self.clip, self.speed, self.accelerated, self.shown = WHOLE, 10, False, True
        self.place, self.cursor, self.showing, self.down, self.front = (5, 6), 9, True, set[int](), 7
        self.bitmaps: dict[int, np.ndarray] = {}
        self.icon = (0, 0, 0, 0)  # hotspot, mask, colours
        self.magnifier, self.deleted, self.fetched = True, list[int](), 0

    # Windows' names
    def GetCursorInfo(self, info: Any) -> int:  # noqa: N802
        info = info._obj
        assert info.cbSize == ctypes.sizeof(pointer_win32.CursorInfo)
        info.flags, info.hCursor = int(self.showing), self.cursor
        info.ptScreenPos.x, info.ptScreenPos.y = self.place
        return 1

    def GetAsyncKeyState(self, key: int) -> int:  # noqa: N802
        return -0x8000 if key in self.down else 0

    def GetForegroundWindow(self) -> int:  # noqa: N802
        return self.front

    def GetSystemMetrics(self, number: int) -> int:  # noqa: N802
        return WHOLE[number - 76]

    def GetClipCursor(self, rect: Any) -> int:  # noqa: N802
        rect = rect._obj
        rect.left, rect.top = self.clip.x, self.clip.y
        rect.right, rect.bottom = self.clip.x + self.clip.width, self.clip.y + self.clip.height
        return 1

    def ClipCursor(self, rect: Any) -> int:  # noqa: N802
        """Windows keeps what lies on its monitors."""
        self.clip = WHOLE
        if rect is not None:
            wanted = rect._obj
            left, top = max(wanted.left, WHOLE.x), max(wanted.top, WHOLE.y)
            right, bottom = min(wanted.right, WHOLE.x + WHOLE.width), min(wanted.bottom, WHOLE.y + WHOLE.height)
            self.clip = Rect(left, top, right - left, bottom - top)
        return 1

    def SetCursorPos(self, x: int, y: int) -> int:  # noqa: N802
        self.place = (x, y)
        return 1

    def SystemParametersInfoW(self, action: int, size: int, value: Any, update: int) -> int:  # noqa: N802
        assert (size, update) == (0, 0), "nothing is written to the user's profile"
        if action == 0x70:
            value._obj.value = self.speed
        elif action == 0x71:
            self.speed = value
        elif action == 0x03:
            value._obj[2] = int(self.accelerated)
        return 1

    def MagInitialize(self) -> int:  # noqa: N802
        return int(self.magnifier)

    def MagUninitialize(self) -> int:  # noqa: N802
        return 1

    def MagShowSystemCursor(self, shown: bool) -> int:  # noqa: N802
        self.shown = shown
        return 1

    def GetIconInfo(self, cursor: int, info: Any) -> int:  # noqa: N802
        self.fetched += 1
        info = info._obj
        info.xHotspot, info.yHotspot, info.hbmMask, info.hbmColor = self.icon
        return int(cursor == self.cursor)

    def GetObjectW(self, bitmap: int, size: int, shape: Any) -> int:  # noqa: N802
        shape._obj.bmHeight, shape._obj.bmWidth = self.bitmaps[bitmap].shape[:2]
        return size

    def GetDIBits(self, *arguments: Any) -> int:  # noqa: N802
        screen, bitmap, first, count, data, info, _ = arguments
        info = info._obj
        pixels = self.bitmaps[bitmap]
        assert (screen, first, info.biSize) == (3, 0, measure_header())
        assert (info.biWidth, -info.biHeight, info.biBitCount) == (pixels.shape[1], pixels.shape[0], 32)
        data.raw = pixels.tobytes()
        return int(count)

    def GetDC(self, window: None) -> int:  # noqa: N802
        return 3

    def ReleaseDC(self, window: None, screen: int) -> int:  # noqa: N802
        return 1

    def DeleteObject(self, bitmap: int) -> int:  # noqa: N802
        self.deleted.append(bitmap)
        return 1


def measure_header() -> int:
    """BITMAPINFOHEADER: 40 bytes there. Other systems have a longer `long`."""
    return int(cursor_win32.BitmapInfo.bmiColors.offset)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> FakeWindows:
    fake = FakeWindows()
    monkeypatch.setattr(win32, "load_library", lambda name: fake)
    monkeypatch.setattr(
        pointer_win32, "start_guard", lambda speed: SimpleNamespace(own_speed=speed, close=lambda: None)
    )
    fake.bitmaps = {1: paint(np.full((2, 2), BLACK)), 2: paint(np.full((2, 2), 90), alpha=255)}
    fake.icon = (1, 0, 1, 2)
    return fake


def paint(levels: np.ndarray, alpha: int = 0) -> np.ndarray:
    """BGRA, the same in all colours."""
    out = np.repeat(levels.astype(np.uint8)[..., None], 4, axis=2)
    out[..., 3] = alpha
    return out


def test_the_pointer_is_held_hidden_and_slower_and_then_as_before(windows: FakeWindows) -> None:
    pointer = Win32Pointer()
    pointer.hold(GAME, GAME, PICTURE)
    assert (windows.clip, windows.shown, windows.speed) == (GAME, False, 4)
    windows.clip = WHOLE  # as when another window was activated for a moment
    pointer.read()
    assert windows.clip == GAME
    pointer.hold(Rect(0, 0, 640, 360), Rect(0, 0, 640, 360), PICTURE)
    assert (windows.clip, windows.speed) == (Rect(0, 0, 640, 360), 6)
    pointer.free()
    assert (windows.clip, windows.shown, windows.speed) == (WHOLE, True, 10)
    windows.clip = own = Rect(1, 1, 5, 5)
    pointer.free()
    assert windows.clip == own, "what is not held is left alone"
    pointer.hold(GAME, GAME, PICTURE)
    windows.clip = own
    pointer.read()
    pointer.close()
    assert windows.clip == own, "a game's own clip stays"


def test_an_area_that_is_open_to_other_monitors_ends_with_the_desktop(windows: FakeWindows) -> None:
    pointer = Win32Pointer()
    pointer.hold(Rect(GAME.x - 4096, GAME.y, 4096 + GAME.width, GAME.height), GAME, PICTURE)
    assert windows.clip == Rect(WHOLE.x, GAME.y, GAME.x + GAME.width - WHOLE.x, GAME.height)
    assert not pointer.is_grabbed()
    pointer.free()
    assert windows.clip == WHOLE


def test_without_the_magnification_api_all_but_hiding_works(
    windows: FakeWindows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> FakeWindows:
        if name == "magnification":
            raise MissingPart("it cannot be loaded", "")
        return windows

    monkeypatch.setattr(win32, "load_library", load)
    pointer = Win32Pointer()
    pointer.hold(GAME, GAME, PICTURE)
    assert (windows.clip, windows.shown) == (GAME, True)
    pointer.close()
    assert (windows.clip, windows.speed) == (WHOLE, 10)


def test_place_buttons_and_cursor_are_read(windows: FakeWindows) -> None:
    pointer = Win32Pointer()
    state = pointer.read()
    assert (state.x, state.y, state.pressed, state.shape.hotspot) == (5.0, 6.0, False, (1, 0))
    assert state.shape.pixels.tolist() == paint(np.full((2, 2), 90), alpha=255).tolist()
    assert windows.deleted == [1, 2], "the bitmaps are given back"
    windows.down = {0x05}
    again = pointer.read()
    assert again.pressed
    assert again.shape is state.shape
    assert windows.fetched == 1
    windows.showing = False
    assert pointer.read().shape.is_empty


@pytest.mark.parametrize(
    ("clip", "held", "grabbed"),
    [(WHOLE, False, False), (GAME, True, False), (Rect(100, 200, 300, 100), False, True), (GAME, False, True)],
)
def test_a_game_that_confines_the_pointer_has_taken_it(
    windows: FakeWindows, clip: Rect, held: bool, grabbed: bool
) -> None:
    pointer = Win32Pointer()
    if held:
        pointer.hold(clip, GAME, PICTURE)
    windows.clip = clip
    assert pointer.is_grabbed() is grabbed


def test_the_focus_is_the_foreground_windows(windows: FakeWindows) -> None:
    assert Win32Pointer().has_focus((7,))
    assert not Win32Pointer().has_focus((8,))


@pytest.mark.parametrize(
    ("own", "scale", "accelerated", "speed"),
    [
        (10, 1.0, False, 10),
        (10, 2.0, False, 6),
        (10, 4.0, False, 4),
        (10, 3.0, False, 5),
        (20, 2.0, False, 13),
        (1, 4.0, False, 1),
        (10, 2.0, True, 5),
        (10, 4.0, True, 2),
        (1, 4.0, True, 1),
        (20, 0.5, True, 20),
    ],
)
def test_the_speed_is_the_nearest_to_the_picture_s_scale(own: int, scale: float, accelerated: bool, speed: int) -> None:
    assert choose_speed(own, scale, accelerated=accelerated) == speed


def test_a_cursor_without_colours_covers_inverts_or_lets_through() -> None:
    mask = np.array([[BLACK, BLACK, WHITE, WHITE]])
    drawn = np.array([[BLACK, WHITE, BLACK, WHITE]])
    out = cursor_win32.compose_cursor(paint(np.vstack([mask, drawn])), None)
    # black, white, the rim of what inverts, and white for what inverts
    assert out.tolist() == [[[0, 0, 0, 255], [255, 255, 255, 255], [0, 0, 0, 255], [255, 255, 255, 255]]]


def test_a_cursor_with_alpha_is_premultiplied_and_its_mask_is_not_asked() -> None:
    colour = paint(np.array([[200, 100]]), alpha=128)
    out = cursor_win32.compose_cursor(paint(np.full((1, 2), WHITE)), colour)
    assert out.tolist() == [[[100, 100, 100, 128], [50, 50, 50, 128]]]


def test_a_coloured_cursor_without_alpha_has_its_mask() -> None:
    out = cursor_win32.compose_cursor(paint(np.array([[BLACK, WHITE]])), paint(np.array([[77, BLACK]])))
    assert out.tolist() == [[[77, 77, 77, 255], [0, 0, 0, 0]]]


def test_a_bitmap_that_windows_does_not_give_is_no_cursor(windows: FakeWindows) -> None:
    assert cursor_win32.fetch_shape(None).is_empty
    assert cursor_win32.fetch_shape(12345).is_empty


def test_the_guard_restores_everything_when_its_input_ends(
    windows: FakeWindows, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows.clip, windows.shown, windows.speed = GAME, False, 3
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO()))
    monkeypatch.setattr(sys, "argv", ["guard", "11"])
    pointer_guard_win32.main()
    assert (windows.clip, windows.shown, windows.speed) == (WHOLE, True, 11)


def test_the_structures_that_windows_fills_in_have_the_size_it_expects() -> None:
    # 40, 24 and 32 bytes there; other systems have a longer `long`
    wide = ctypes.sizeof(wintypes.LONG) // 4
    assert measure_header() == 40 * wide
    assert ctypes.sizeof(pointer_win32.CursorInfo) == 8 + 16 * wide
    assert ctypes.sizeof(cursor_win32.IconInfo) == 24 + 8 * wide
