"""Windows' desktop through user32 and dwmapi: the game's window, the monitors, and what Qt does not do for an overlay.

Written against Microsoft's documentation and headers and never run (docs/never-run-here.md). All coordinates are
physical pixels: Qt 6 makes the process per-monitor DPI aware, so Windows scales none of them.
"""

from __future__ import annotations

import os
from ctypes import Structure, byref, c_int, create_unicode_buffer, sizeof, wintypes
from pathlib import PureWindowsPath

from live_sr import win32
from live_sr.contracts import Monitor, WindowInfo, WindowState
from live_sr.errors import DisplayLost
from live_sr.frame import Rect

GWL_EXSTYLE = -20
WS_EX_TRANSPARENT = 0x00000020  # with WS_EX_LAYERED: clicks go to the window below, also of another program
WS_EX_TOOLWINDOW = 0x00000080  # not in the taskbar, not in Alt+Tab
WS_EX_LAYERED = 0x00080000
WS_EX_NOACTIVATE = 0x08000000
OVERLAY = WS_EX_TRANSPARENT | WS_EX_TOOLWINDOW | WS_EX_LAYERED | WS_EX_NOACTIVATE
LWA_ALPHA = 2

HWND_TOPMOST = -1
SWP_NOSIZE, SWP_NOMOVE, SWP_NOZORDER, SWP_NOACTIVATE, SWP_FRAMECHANGED = 0x1, 0x2, 0x4, 0x10, 0x20

WDA_NONE = 0x00
WDA_EXCLUDEFROMCAPTURE = 0x11
EXCLUSION_BUILD = 19041  # Windows 10 2004; before it, the value makes the window a black box in every capture

DWMWA_CLOAKED = 14
PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
TITLE_LENGTH = 512
PATH_LENGTH = 32768

POWER_THROTTLING_CLASS = 4  # ProcessPowerThrottling of PROCESS_INFORMATION_CLASS
PROCESS_POWER_THROTTLING_EXECUTION_SPEED = 0x1
PROCESS_POWER_THROTTLING_IGNORE_TIMER_RESOLUTION = 0x4


class PowerThrottling(Structure):
    """PROCESS_POWER_THROTTLING_STATE."""

    _fields_ = (("Version", wintypes.ULONG), ("ControlMask", wintypes.ULONG), ("StateMask", wintypes.ULONG))


class Win32Desktop:
    """The Desktop of Windows 10 and 11.

    About full screen: Qt's documentation warns that an OpenGL window which covers a monitor exactly may be promoted
    past the compositor, to the harm of other windows and of captures, and advises WS_BORDER. That is not done here: a
    layered window is always composed. Should a machine show the fault (black or frozen picture only when the overlay
    covers the whole monitor), give WS_BORDER to GWL_STYLE in `dress`.
    """

    def __init__(self) -> None:
        self._user32 = win32.library("user32")
        _run_at_full_speed()

    def windows(self) -> list[WindowInfo]:
        handles: list[int] = []

        def visit(window: int | None, _data: int) -> int:
            handles.append(window or 0)
            return 1  # go on

        self._user32.EnumWindows(win32.ENUM_WINDOWS(visit), 0)  # from the topmost down
        found = (self._described(window) for window in handles)
        return [window for window in found if window is not None]

    def state(self, window: int) -> WindowState | None:
        rect = win32.client_rect(window) if win32.alive(window) else None
        return None if rect is None else WindowState(rect, win32.minimised(window))

    def monitors(self) -> list[Monitor]:
        return [Monitor(screen.name, screen.rect, screen.primary) for screen in win32.screens()]

    def dress(self, overlay: int) -> None:
        """Call it again whenever Qt makes a new native window (QEvent.WinIdChange).

        The window must be opaque: no alpha in its surface format and no WA_TranslucentBackground. Qt would then draw it
        with UpdateLayeredWindow, and Windows does not hide such windows from capture.
        """
        style = self._user32.GetWindowLongPtrW(overlay, GWL_EXSTYLE) | OVERLAY
        self._user32.SetWindowLongPtrW(overlay, GWL_EXSTYLE, style)
        if self._user32.GetWindowLongPtrW(overlay, GWL_EXSTYLE) & OVERLAY != OVERLAY:
            raise DisplayLost("Windows did not let clicks through the overlay", "use the mode beside the game")
        # A layered window shows nothing until it is told how opaque it is.
        self._user32.SetLayeredWindowAttributes(overlay, 0, 255, LWA_ALPHA)
        unchanged = SWP_NOMOVE | SWP_NOSIZE | SWP_NOZORDER | SWP_NOACTIVATE
        self._user32.SetWindowPos(overlay, None, 0, 0, 0, 0, unchanged | SWP_FRAMECHANGED)

    def place(self, overlay: int, rect: Rect) -> None:
        if not self._user32.SetWindowPos(overlay, HWND_TOPMOST, *rect, SWP_NOACTIVATE):
            raise DisplayLost("Windows did not place the overlay: its window is gone", "start live-sr again")

    def exclude_from_capture(self, overlay: int, excluded: bool) -> bool:
        if excluded and win32.build() < EXCLUSION_BUILD:
            return False
        # From one value to another Windows goes by way of none (dotnet/winforms#13684).
        agreed = self._user32.SetWindowDisplayAffinity(overlay, WDA_NONE)
        wanted = WDA_EXCLUDEFROMCAPTURE if excluded else WDA_NONE
        if excluded:
            agreed = self._user32.SetWindowDisplayAffinity(overlay, wanted)
        if agreed and self._affinity(overlay) == wanted:
            return True
        self._user32.SetWindowDisplayAffinity(overlay, WDA_NONE)  # rather captured than a black box
        return False

    def map_pointer(self, game: Rect | None, picture: Rect | None) -> bool:
        return False

    def close(self) -> None:
        """Nothing is held: the styles go with the overlay's window."""

    def _affinity(self, window: int) -> int:
        """What Windows made of it; -1 when it does not say."""
        value = wintypes.DWORD()
        return int(value.value) if self._user32.GetWindowDisplayAffinity(window, byref(value)) else -1

    def _described(self, window: int) -> WindowInfo | None:
        """None for what nobody would choose: unseen, untitled, minimised, a tool's, or our own."""
        user32 = self._user32
        pid = wintypes.DWORD()
        user32.GetWindowThreadProcessId(window, byref(pid))
        if not user32.IsWindowVisible(window) or pid.value == os.getpid() or _cloaked(window):
            return None
        if win32.minimised(window) or user32.GetWindowLongPtrW(window, GWL_EXSTYLE) & WS_EX_TOOLWINDOW:
            return None
        title = create_unicode_buffer(TITLE_LENGTH)
        user32.GetWindowTextW(window, title, TITLE_LENGTH)
        rect = win32.client_rect(window)
        if not title.value or rect is None or not rect.width or not rect.height:
            return None
        return WindowInfo(window, title.value, _process_name(pid.value), pid.value, rect)


def _cloaked(window: int) -> bool:
    """Whether DWM keeps it out of sight: on another virtual desktop, or a suspended app of the Store."""
    value = c_int()
    failed = win32.library("dwmapi").DwmGetWindowAttribute(window, DWMWA_CLOAKED, byref(value), sizeof(value))
    return not failed and bool(value.value)


def _process_name(pid: int) -> str:
    """For example doom.exe; empty when Windows does not tell."""
    kernel32 = win32.library("kernel32")
    process = kernel32.OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, False, pid)
    if not process:
        return ""
    try:
        path, length = create_unicode_buffer(PATH_LENGTH), wintypes.DWORD(PATH_LENGTH)
        told = kernel32.QueryFullProcessImageNameW(process, 0, path, byref(length))
        return PureWindowsPath(path.value).name if told else ""
    finally:
        kernel32.CloseHandle(process)


def _run_at_full_speed() -> None:
    """Asks Windows 11 not to slow this process down, which it does to programs whose windows it thinks unseen.

    timeBeginPeriod is not called: since Python 3.11 `time.sleep` has a high-resolution timer of its own, Qt's precise
    timers bring theirs, and waking from a lock or an event takes no timer at all. An older Windows refuses this call,
    and has no such throttling.
    """
    both = PROCESS_POWER_THROTTLING_EXECUTION_SPEED | PROCESS_POWER_THROTTLING_IGNORE_TIMER_RESOLUTION
    state = PowerThrottling(1, both, 0)  # version 1; these two are ours to control, and both are off
    kernel32 = win32.library("kernel32")
    process = kernel32.GetCurrentProcess()
    kernel32.SetProcessInformation(process, POWER_THROTTLING_CLASS, byref(state), sizeof(state))
