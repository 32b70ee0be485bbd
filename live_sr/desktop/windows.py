"""The desktop on Windows, through user32 and dwmapi: windows, monitors, and what Qt cannot do for the overlay.

Written against Microsoft's documentation and headers and never run (docs/never-run-here.md). All coordinates are
physical pixels: the process is per-monitor DPI aware before anything is asked for, so Windows does not scale them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from ctypes import Structure, byref, c_int, create_unicode_buffer, sizeof, wintypes
from pathlib import PureWindowsPath

from live_sr.errors import DisplayLost
from live_sr.pipeline.desktop_contracts import Monitor, StackedWindow, WindowInfo, WindowOwner, WindowState
from live_sr.pipeline.frame import Rect
from live_sr.system import win32

GWL_EXSTYLE = -20
GW_OWNER = 4
RGN_DIFF = 4
WS_EX_TRANSPARENT = 0x00000020  # with WS_EX_LAYERED: clicks go to the window below, even of another program
WS_EX_TOOLWINDOW = 0x00000080  # not in the taskbar, not in Alt+Tab
WS_EX_LAYERED = 0x00080000
WS_EX_NOACTIVATE = 0x08000000
OVERLAY = WS_EX_TRANSPARENT | WS_EX_TOOLWINDOW | WS_EX_LAYERED | WS_EX_NOACTIVATE
LWA_ALPHA = 2

HWND_TOPMOST = -1
SWP_NOSIZE, SWP_NOMOVE, SWP_NOZORDER, SWP_NOACTIVATE, SWP_FRAMECHANGED = 0x1, 0x2, 0x4, 0x10, 0x20

WDA_NONE = 0x00
WDA_EXCLUDEFROMCAPTURE = 0x11
EXCLUSION_BUILD = 19041  # Windows 10 2004; on older ones the window would be a black box in every capture

DWMWA_CLOAKED = 14
PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
TITLE_LENGTH = 512
CLASS_LENGTH = 257  # the longest name of a window class, and its end
PATH_LENGTH = 32768

POWER_THROTTLING_CLASS = 4  # ProcessPowerThrottling of PROCESS_INFORMATION_CLASS
PROCESS_POWER_THROTTLING_EXECUTION_SPEED = 0x1
PROCESS_POWER_THROTTLING_IGNORE_TIMER_RESOLUTION = 0x4


class PowerThrottling(Structure):
    """PROCESS_POWER_THROTTLING_STATE."""

    _fields_ = (("Version", wintypes.ULONG), ("ControlMask", wintypes.ULONG), ("StateMask", wintypes.ULONG))


class Win32Desktop:
    """Implements `contracts.Desktop` for Windows 10 and 11.

    About full screen: Qt's documentation warns that an OpenGL window that covers a monitor exactly may bypass the
    compositor, which harms other windows and captures, and recommends WS_BORDER. This class does not set it, because a
    layered window is always composited. If a machine shows the fault (a black or frozen picture only when the overlay
    covers the whole monitor), add WS_BORDER to GWL_STYLE in `apply_window_styles`.
    """

    def __init__(self) -> None:
        self._user32 = win32.load_library("user32")
        self._openings: tuple[Rect, ...] = ()
        win32.use_physical_pixels()
        _run_at_full_speed()

    def list_windows(self) -> list[WindowInfo]:
        found = (self._describe_window(window) for window in self._list_handles())
        return [window for window in found if window is not None]

    def get_window_state(self, window: int) -> WindowState | None:
        rect = win32.get_client_rect(window) if win32.is_window(window) else None
        return None if rect is None else WindowState(rect, win32.is_minimised(window))

    def list_monitors(self) -> list[Monitor]:
        return [Monitor(screen.name, screen.rect, screen.primary) for screen in win32.list_screens()]

    def place_window(self, window: int, rect: Rect) -> None:
        """The border and the title bar stay as wide as they are."""
        outer, inner = win32.get_window_rect(window), win32.get_client_rect(window)
        if outer is None or inner is None:
            return
        x, y = rect.x + outer.x - inner.x, rect.y + outer.y - inner.y
        width, height = rect.width + outer.width - inner.width, rect.height + outer.height - inner.height
        self._user32.SetWindowPos(window, None, x, y, width, height, SWP_NOZORDER | SWP_NOACTIVATE)

    def apply_window_styles(self, overlay: int) -> None:
        """See Desktop. Call it again whenever Qt makes a new native window (QEvent.WinIdChange).

        The window must be opaque: no alpha in its surface format, and no WA_TranslucentBackground. With either, Qt
        would draw it with UpdateLayeredWindow, and Windows does not hide such windows from capture.
        """
        style = self._user32.GetWindowLongPtrW(overlay, GWL_EXSTYLE) | OVERLAY
        self._user32.SetWindowLongPtrW(overlay, GWL_EXSTYLE, style)
        if self._user32.GetWindowLongPtrW(overlay, GWL_EXSTYLE) & OVERLAY != OVERLAY:
            raise DisplayLost(
                "Windows does not pass clicks through the overlay", 'set mode = "beside" in [overlay] of config.toml'
            )
        # A layered window is invisible until its opacity is set.
        self._user32.SetLayeredWindowAttributes(overlay, 0, 255, LWA_ALPHA)
        unchanged = SWP_NOMOVE | SWP_NOSIZE | SWP_NOZORDER | SWP_NOACTIVATE
        self._user32.SetWindowPos(overlay, None, 0, 0, 0, 0, unchanged | SWP_FRAMECHANGED)

    def list_stack(self, game: int, overlay: int) -> list[StackedWindow]:
        active = self._user32.GetForegroundWindow()
        found = []
        for window in self._list_handles():
            rect = win32.get_window_rect(window)
            if self._user32.IsWindowVisible(window) and not _is_cloaked(window) and rect is not None:
                owner = self._find_owner(window, game, overlay)
                is_active = window == active and owner in ("game", "popup", "program")
                found.append(StackedWindow(window, rect, owner, active=is_active))
        return found

    def place_overlay(self, overlay: int, rect: Rect, below: int | None = None, openings: Sequence[Rect] = ()) -> None:
        """Openings are cut out of the window's region, which keeps it topmost; a topmost game stays below it too."""
        user32 = self._user32
        after = HWND_TOPMOST if below is None else below
        placed = user32.SetWindowPos(overlay, after, *rect, SWP_NOACTIVATE)
        if not placed and below is not None:  # that window is gone
            placed = user32.SetWindowPos(overlay, HWND_TOPMOST, *rect, SWP_NOACTIVATE)
        if not placed:
            raise DisplayLost("Windows could not place the overlay: its window is gone", "start live-sr again")
        if tuple(openings) != self._openings:
            self._openings = tuple(openings)
            user32.SetWindowRgn(overlay, self._make_region(rect, openings) if openings else None, True)

    def _make_region(self, rect: Rect, openings: Sequence[Rect]) -> int:
        """The window's shape, in its own coordinates. Windows owns it once it is set."""
        gdi32 = win32.load_library("gdi32")
        region = gdi32.CreateRectRgn(0, 0, rect.width, rect.height)
        for hole in openings:
            left, top = hole.x - rect.x, hole.y - rect.y
            cut = gdi32.CreateRectRgn(left, top, left + hole.width, top + hole.height)
            gdi32.CombineRgn(region, region, cut, RGN_DIFF)
            gdi32.DeleteObject(cut)
        return int(region)

    def exclude_from_capture(self, overlay: int, excluded: bool) -> bool:
        if excluded and win32.get_build_number() < EXCLUSION_BUILD:
            return False
        # Windows changes from one value to another only by way of WDA_NONE (dotnet/winforms#13684).
        agreed = self._user32.SetWindowDisplayAffinity(overlay, WDA_NONE)
        wanted = WDA_EXCLUDEFROMCAPTURE if excluded else WDA_NONE
        if excluded:
            agreed = self._user32.SetWindowDisplayAffinity(overlay, wanted)
        if agreed and self._query_affinity(overlay) == wanted:
            return True
        self._user32.SetWindowDisplayAffinity(overlay, WDA_NONE)  # better captured than a black box
        return False

    def close(self) -> None:
        """Does nothing: the styles disappear with the overlay's window."""

    def _list_handles(self) -> list[int]:
        """All top-level windows, topmost first."""
        handles: list[int] = []

        def visit(window: int | None, _data: int) -> int:
            handles.append(window or 0)
            return 1  # go on

        self._user32.EnumWindows(win32.ENUM_WINDOWS(visit), 0)
        return handles

    def _find_owner(self, window: int, game: int, overlay: int) -> WindowOwner:
        """The windows of tooltips, menus and notifications never get the focus, or are in no list of windows."""
        user32 = self._user32
        pid = self._find_pid(window)
        if window == game:
            return "game"
        if window == overlay or pid == os.getpid():
            return "overlay"
        if user32.GetWindow(window, GW_OWNER) == game or pid == self._find_pid(game):
            return "popup"
        helper = user32.GetWindowLongPtrW(window, GWL_EXSTYLE) & (WS_EX_TOOLWINDOW | WS_EX_NOACTIVATE)
        return "system" if helper or window == user32.GetShellWindow() else "program"

    def _find_pid(self, window: int) -> int:
        pid = wintypes.DWORD()
        self._user32.GetWindowThreadProcessId(window, byref(pid))
        return int(pid.value)

    def _query_affinity(self, window: int) -> int:
        """The window's display affinity; -1 when Windows does not report it."""
        value = wintypes.DWORD()
        return int(value.value) if self._user32.GetWindowDisplayAffinity(window, byref(value)) else -1

    def _describe_window(self, window: int) -> WindowInfo | None:
        """None for a window that is hidden, untitled, minimised, a tool window, empty or our own."""
        user32 = self._user32
        pid = self._find_pid(window)
        if not user32.IsWindowVisible(window) or pid == os.getpid() or _is_cloaked(window):
            return None
        if win32.is_minimised(window) or user32.GetWindowLongPtrW(window, GWL_EXSTYLE) & WS_EX_TOOLWINDOW:
            return None
        title = create_unicode_buffer(TITLE_LENGTH)
        user32.GetWindowTextW(window, title, TITLE_LENGTH)
        rect = win32.get_client_rect(window)
        if not title.value or rect is None or not rect.width or not rect.height:
            return None
        kind = create_unicode_buffer(CLASS_LENGTH)
        user32.GetClassNameW(window, kind, CLASS_LENGTH)
        return WindowInfo(window, title.value, _find_process_name(pid), pid, rect, kind.value)


def _is_cloaked(window: int) -> bool:
    """Whether DWM hides it: it is on another virtual desktop, or belongs to a suspended Store app."""
    value = c_int()
    failed = win32.load_library("dwmapi").DwmGetWindowAttribute(window, DWMWA_CLOAKED, byref(value), sizeof(value))
    return not failed and bool(value.value)


def _find_process_name(pid: int) -> str:
    """For example doom.exe; empty when Windows does not report it."""
    kernel32 = win32.load_library("kernel32")
    process = kernel32.OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, False, pid)
    if not process:
        return ""
    try:
        path, length = create_unicode_buffer(PATH_LENGTH), wintypes.DWORD(PATH_LENGTH)
        found = kernel32.QueryFullProcessImageNameW(process, 0, path, byref(length))
        return PureWindowsPath(path.value).name if found else ""
    finally:
        kernel32.CloseHandle(process)


def _run_at_full_speed() -> None:
    """Asks Windows 11 not to slow this process down, as it does with programs whose windows it considers hidden.

    timeBeginPeriod is not needed: since Python 3.11 `time.sleep` uses a high-resolution timer, so do Qt's precise
    timers, and waking from a lock or an event takes no timer. Older versions of Windows refuse this call, and have no
    such throttling.
    """
    both = PROCESS_POWER_THROTTLING_EXECUTION_SPEED | PROCESS_POWER_THROTTLING_IGNORE_TIMER_RESOLUTION
    state = PowerThrottling(1, both, 0)  # version 1; we control these two, and turn both off
    kernel32 = win32.load_library("kernel32")
    process = kernel32.GetCurrentProcess()
    kernel32.SetProcessInformation(process, POWER_THROTTLING_CLASS, byref(state), sizeof(state))
