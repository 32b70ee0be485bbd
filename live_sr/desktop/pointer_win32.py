"""The pointer on Windows: a clip holds it, the Magnification API hides it, and its speed is set lower.

Written against Microsoft's documentation and headers and never run (docs/never-run-here.md). `pointer_guard_win32`
gives everything back when the program is killed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from ctypes import Structure, byref, c_int, sizeof, wintypes
from math import log

from live_sr.desktop.cursor_win32 import HIDDEN, fetch_shape
from live_sr.desktop.guard_process import GuardProcess
from live_sr.desktop.pointer_guard_win32 import SPI_SETMOUSESPEED, start_guard
from live_sr.errors import MissingPart
from live_sr.pipeline.desktop_contracts import CursorShape, PointerState
from live_sr.pipeline.frame import Rect
from live_sr.system import win32

CURSOR_SHOWING = 0x00000001
SPI_GETMOUSE = 0x0003
SPI_GETMOUSESPEED = 0x0070
SM_XVIRTUALSCREEN, SM_YVIRTUALSCREEN, SM_CXVIRTUALSCREEN, SM_CYVIRTUALSCREEN = 76, 77, 78, 79
VK_LBUTTON, VK_RBUTTON, VK_MBUTTON, VK_XBUTTON1, VK_XBUTTON2 = 0x01, 0x02, 0x04, 0x05, 0x06
BUTTONS = (VK_LBUTTON, VK_RBUTTON, VK_MBUTTON, VK_XBUTTON1, VK_XBUTTON2)
_DOWN = 0x8000

SPEEDS = tuple(range(1, 21))
FACTORS = (1 / 32, 1 / 16, *(step / 8 for step in range(1, 9)), *(step / 4 for step in range(5, 15)))
"""What Windows multiplies the movements of a mouse with, for each speed; with its acceleration switched off."""


class CursorInfo(Structure):
    """CURSORINFO."""

    _fields_ = (
        ("cbSize", wintypes.DWORD),
        ("flags", wintypes.DWORD),
        ("hCursor", wintypes.HANDLE),
        ("ptScreenPos", wintypes.POINT),
    )


class Win32Pointer:
    """Implements `contracts.Pointer` for Windows 10 and 11. The process must be DPI aware, as Qt makes it."""

    def __init__(self) -> None:
        self._user32 = win32.load_library("user32")
        self._cursor: int | None = None
        self._shape: CursorShape = HIDDEN
        self._area: Rect | None = None  # while held
        self._own_speed = 0
        self._guard: GuardProcess | None = None
        self._hides = False

    @property
    def motion_file(self) -> None:
        """Windows reports movements to windows only, and a look at the pointer costs it next to nothing."""

    def read(self) -> PointerState:
        info = CursorInfo()
        info.cbSize = sizeof(info)
        self._user32.GetCursorInfo(byref(info))
        cursor = info.hCursor if info.flags & CURSOR_SHOWING else None
        if cursor != self._cursor:
            self._cursor, self._shape = cursor, fetch_shape(cursor)
        if self._area is not None and self._find_clip() == self._find_desktop():
            self._clip(self._area)  # Windows drops the clip whenever another window is activated
        pressed = any(self._user32.GetAsyncKeyState(button) & _DOWN for button in BUTTONS)
        return PointerState(float(info.ptScreenPos.x), float(info.ptScreenPos.y), pressed, self._shape)

    def has_focus(self, windows: Sequence[int]) -> bool:
        return self._user32.GetForegroundWindow() in windows

    def is_grabbed(self) -> bool:
        """Whether another program has confined the pointer."""
        return self._find_clip() not in (None, self._find_desktop(), self._area)

    def hold(self, area: Rect, game: Rect, picture: Rect) -> None:
        if self._guard is None:
            self._own_speed = self._find_speed()
            self._guard = start_guard(self._own_speed)
        speed = choose_speed(self._own_speed, picture.width / game.width, accelerated=self._is_accelerated())
        self._user32.SystemParametersInfoW(SPI_SETMOUSESPEED, 0, speed, 0)
        if self._area is None:
            self._show_cursor(False)
        self._area = area.intersect(self._find_desktop())  # so that Windows reports the clip as it was set
        self._clip(self._area)

    def free(self) -> None:
        if self._area is None:
            return
        area, self._area = self._area, None
        if self._find_clip() == area:  # else it is the game's own
            self._user32.ClipCursor(None)
        self._user32.SystemParametersInfoW(SPI_SETMOUSESPEED, 0, self._own_speed, 0)
        self._show_cursor(True)

    def move(self, x: int, y: int) -> None:
        self._user32.SetCursorPos(x, y)

    def close(self) -> None:
        self.free()
        if self._hides:
            win32.load_library("magnification").MagUninitialize()
            self._hides = False
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def _show_cursor(self, shown: bool) -> None:
        """Where Windows has no Magnification API, the real pointer stays visible in the game's window."""
        with suppress(MissingPart):
            magnification = win32.load_library("magnification")
            self._hides = self._hides or bool(magnification.MagInitialize())
            if self._hides:
                magnification.MagShowSystemCursor(shown)

    def _clip(self, area: Rect) -> None:
        rect = wintypes.RECT(area.x, area.y, area.x + area.width, area.y + area.height)
        self._user32.ClipCursor(byref(rect))

    def _find_desktop(self) -> Rect:
        """All monitors together, which is the clip while nobody clips."""
        return Rect(
            self._user32.GetSystemMetrics(SM_XVIRTUALSCREEN),
            self._user32.GetSystemMetrics(SM_YVIRTUALSCREEN),
            self._user32.GetSystemMetrics(SM_CXVIRTUALSCREEN),
            self._user32.GetSystemMetrics(SM_CYVIRTUALSCREEN),
        )

    def _find_clip(self) -> Rect | None:
        """Where the pointer may be now; None when Windows does not report it."""
        rect = wintypes.RECT()
        return win32.to_rect(rect) if self._user32.GetClipCursor(byref(rect)) else None

    def _find_speed(self) -> int:
        speed = c_int(10)
        self._user32.SystemParametersInfoW(SPI_GETMOUSESPEED, 0, byref(speed), 0)
        return int(speed.value)

    def _is_accelerated(self) -> bool:
        """Whether "Enhance pointer precision" is on: the third of three numbers."""
        numbers = (c_int * 3)()
        self._user32.SystemParametersInfoW(SPI_GETMOUSE, 0, byref(numbers), 0)
        return bool(numbers[2])


def choose_speed(own: int, scale: float, *, accelerated: bool) -> int:
    """The speed from 1 to 20 with which the hand crosses a game as it would cross a picture `scale` times as large.

    With acceleration, Windows multiplies by a tenth of the speed; without, by FACTORS. It is the nearest there is.
    """
    if accelerated:
        return min(max(SPEEDS), max(min(SPEEDS), round(own / scale)))
    wanted = FACTORS[own - 1] / scale
    return min(SPEEDS, key=lambda speed: abs(log(FACTORS[speed - 1] / wanted)))
