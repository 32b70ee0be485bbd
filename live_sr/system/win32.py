"""The Windows calls that capture and desktop share, with their types. Can be imported on any system."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_int, c_long, c_short, c_void_p, sizeof, wintypes
from functools import cache
from typing import Any, NamedTuple

from live_sr.errors import MissingPart
from live_sr.pipeline.frame import Rect

# CDLL and CFUNCTYPE exist everywhere, so they are used instead of WinDLL and WINFUNCTYPE. The two calling conventions
# differ in 32-bit processes only, and neither Qt nor OpenVINO exists for those.
CType = Any  # ctypes has no public name for "a C type"
ENUM_WINDOWS = ctypes.CFUNCTYPE(wintypes.BOOL, wintypes.HWND, wintypes.LPARAM)
ENUM_MONITORS = ctypes.CFUNCTYPE(wintypes.BOOL, wintypes.HMONITOR, wintypes.HDC, c_void_p, wintypes.LPARAM)

DWMWA_EXTENDED_FRAME_BOUNDS = 9
MONITORINFOF_PRIMARY = 1
DPI_AWARENESS_CONTEXT_PER_MONITOR_AWARE_V2 = -4

# name: (result, arguments), as in the headers of Windows; tests/unit/test_windows_contracts.py compares them.
SIGNATURES: dict[str, dict[str, tuple[CType, tuple[CType, ...]]]] = {
    "user32": {
        "ClipCursor": (wintypes.BOOL, (c_void_p,)),
        "ClientToScreen": (wintypes.BOOL, (wintypes.HWND, c_void_p)),
        "EnumDisplayMonitors": (wintypes.BOOL, (wintypes.HDC, c_void_p, ENUM_MONITORS, wintypes.LPARAM)),
        "EnumWindows": (wintypes.BOOL, (ENUM_WINDOWS, wintypes.LPARAM)),
        "GetAsyncKeyState": (c_short, (c_int,)),
        "GetClipCursor": (wintypes.BOOL, (c_void_p,)),
        "GetCursorInfo": (wintypes.BOOL, (c_void_p,)),
        "GetDC": (wintypes.HDC, (wintypes.HWND,)),
        "GetIconInfo": (wintypes.BOOL, (wintypes.HICON, c_void_p)),
        "GetSystemMetrics": (c_int, (c_int,)),
        "GetClassNameW": (c_int, (wintypes.HWND, wintypes.LPWSTR, c_int)),
        "GetClientRect": (wintypes.BOOL, (wintypes.HWND, c_void_p)),
        "GetForegroundWindow": (wintypes.HWND, ()),
        "GetKeyboardLayout": (wintypes.HKL, (wintypes.DWORD,)),
        "GetMonitorInfoW": (wintypes.BOOL, (wintypes.HMONITOR, c_void_p)),
        "GetShellWindow": (wintypes.HWND, ()),
        "GetWindow": (wintypes.HWND, (wintypes.HWND, wintypes.UINT)),
        "GetWindowDisplayAffinity": (wintypes.BOOL, (wintypes.HWND, POINTER(wintypes.DWORD))),
        "GetWindowLongPtrW": (wintypes.LPARAM, (wintypes.HWND, c_int)),
        "GetWindowRect": (wintypes.BOOL, (wintypes.HWND, c_void_p)),
        "GetWindowTextW": (c_int, (wintypes.HWND, wintypes.LPWSTR, c_int)),
        "GetWindowThreadProcessId": (wintypes.DWORD, (wintypes.HWND, POINTER(wintypes.DWORD))),
        "IsIconic": (wintypes.BOOL, (wintypes.HWND,)),
        "IsWindow": (wintypes.BOOL, (wintypes.HWND,)),
        "IsWindowVisible": (wintypes.BOOL, (wintypes.HWND,)),
        "MapVirtualKeyW": (wintypes.UINT, (wintypes.UINT, wintypes.UINT)),
        "RegisterHotKey": (wintypes.BOOL, (wintypes.HWND, c_int, wintypes.UINT, wintypes.UINT)),
        "ReleaseDC": (c_int, (wintypes.HWND, wintypes.HDC)),
        "SetCursorPos": (wintypes.BOOL, (c_int, c_int)),
        "SetLayeredWindowAttributes": (
            wintypes.BOOL,
            (wintypes.HWND, wintypes.DWORD, wintypes.BYTE, wintypes.DWORD),
        ),
        "SetProcessDpiAwarenessContext": (wintypes.BOOL, (wintypes.HANDLE,)),
        "SetWindowDisplayAffinity": (wintypes.BOOL, (wintypes.HWND, wintypes.DWORD)),
        "SetWindowLongPtrW": (wintypes.LPARAM, (wintypes.HWND, c_int, wintypes.LPARAM)),
        "SetWindowPos": (
            wintypes.BOOL,
            (wintypes.HWND, wintypes.HWND, c_int, c_int, c_int, c_int, wintypes.UINT),
        ),
        "ToUnicodeEx": (
            c_int,
            (*(wintypes.UINT, wintypes.UINT, c_void_p, wintypes.LPWSTR), *(c_int, wintypes.UINT, wintypes.HKL)),
        ),
        "SetWindowRgn": (c_int, (wintypes.HWND, wintypes.HRGN, wintypes.BOOL)),
        "SystemParametersInfoW": (wintypes.BOOL, (wintypes.UINT, wintypes.UINT, c_void_p, wintypes.UINT)),
        "UnregisterHotKey": (wintypes.BOOL, (wintypes.HWND, c_int)),
        "VkKeyScanW": (c_short, (wintypes.WCHAR,)),
    },
    "gdi32": {
        "CombineRgn": (c_int, (wintypes.HRGN, wintypes.HRGN, wintypes.HRGN, c_int)),
        "CreateRectRgn": (wintypes.HRGN, (c_int, c_int, c_int, c_int)),
        "DeleteObject": (wintypes.BOOL, (wintypes.HGDIOBJ,)),
        "GetDIBits": (
            c_int,
            (wintypes.HDC, wintypes.HBITMAP, wintypes.UINT, wintypes.UINT, c_void_p, c_void_p, wintypes.UINT),
        ),
        "GetObjectW": (c_int, (wintypes.HANDLE, c_int, c_void_p)),
    },
    "magnification": {
        "MagInitialize": (wintypes.BOOL, ()),
        "MagShowSystemCursor": (wintypes.BOOL, (wintypes.BOOL,)),
        "MagUninitialize": (wintypes.BOOL, ()),
    },
    "dwmapi": {
        "DwmGetWindowAttribute": (c_long, (wintypes.HWND, wintypes.DWORD, c_void_p, wintypes.DWORD)),
    },
    "kernel32": {
        "CloseHandle": (wintypes.BOOL, (wintypes.HANDLE,)),
        "GetCurrentProcess": (wintypes.HANDLE, ()),
        "OpenProcess": (wintypes.HANDLE, (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)),
        "QueryFullProcessImageNameW": (
            wintypes.BOOL,
            (wintypes.HANDLE, wintypes.DWORD, wintypes.LPWSTR, POINTER(wintypes.DWORD)),
        ),
        "SetProcessInformation": (wintypes.BOOL, (wintypes.HANDLE, c_int, c_void_p, wintypes.DWORD)),
    },
    "ole32": {
        "CoCreateInstance": (c_long, (c_void_p, c_void_p, wintypes.DWORD, c_void_p, c_void_p)),
        "CoInitializeEx": (c_long, (c_void_p, wintypes.DWORD)),
        "CoTaskMemFree": (None, (c_void_p,)),
        "CoUninitialize": (None, ()),
    },
    "ntdll": {
        "RtlGetVersion": (c_long, (c_void_p,)),
    },
}


class Screen(NamedTuple):
    """A monitor as GetMonitorInfoW tells it: its device name (the one DXGI knows it by) and its physical pixels."""

    name: str
    rect: Rect
    primary: bool


class MonitorInfo(Structure):
    """MONITORINFOEXW."""

    _fields_ = (
        ("cbSize", wintypes.DWORD),
        ("rcMonitor", wintypes.RECT),
        ("rcWork", wintypes.RECT),
        ("dwFlags", wintypes.DWORD),
        ("szDevice", wintypes.WCHAR * 32),
    )


class OsVersion(Structure):
    """OSVERSIONINFOW."""

    _fields_ = (
        ("dwOSVersionInfoSize", wintypes.ULONG),
        ("dwMajorVersion", wintypes.ULONG),
        ("dwMinorVersion", wintypes.ULONG),
        ("dwBuildNumber", wintypes.ULONG),
        ("dwPlatformId", wintypes.ULONG),
        ("szCSDVersion", wintypes.WCHAR * 128),
    )


@cache
def load_library(name: str) -> ctypes.CDLL:
    """Loads a system library and sets the types of the calls in SIGNATURES. Raises MissingPart where it is missing."""
    try:
        loaded = ctypes.CDLL(name)
    except OSError as error:
        raise MissingPart(f"{name} cannot be loaded: {error}", "this part of live-sr runs on Windows only") from None
    for call, (result, arguments) in SIGNATURES[name].items():
        function = getattr(loaded, call)
        function.restype, function.argtypes = result, arguments
    return loaded


def use_physical_pixels() -> None:
    """Makes this process aware of each monitor's scaling, so that Windows reports physical pixels from now on.

    python.exe is not, and Qt makes it so only with its first window. If Qt has already done so, Windows refuses this
    call, which does no harm.
    """
    load_library("user32").SetProcessDpiAwarenessContext(DPI_AWARENESS_CONTEXT_PER_MONITOR_AWARE_V2)


def is_window(window: int) -> bool:
    """Whether the window still exists."""
    return bool(load_library("user32").IsWindow(window))


def is_minimised(window: int) -> bool:
    return bool(load_library("user32").IsIconic(window))


def get_client_rect(window: int) -> Rect | None:
    """The window's area without border and title bar, in desktop coordinates; None when the window is gone."""
    user32 = load_library("user32")
    rect, corner = wintypes.RECT(), wintypes.POINT()
    if not user32.GetClientRect(window, byref(rect)) or not user32.ClientToScreen(window, byref(corner)):
        return None
    return Rect(corner.x, corner.y, rect.right, rect.bottom)


def get_window_rect(window: int) -> Rect | None:
    """The window with its border, on Windows 10 and later with the invisible part of it that can be dragged."""
    rect = wintypes.RECT()
    return to_rect(rect) if load_library("user32").GetWindowRect(window, byref(rect)) else None


def get_frame_bounds(window: int) -> Rect | None:
    """The window with its visible border: what Windows.Graphics.Capture captures of most windows."""
    rect = wintypes.RECT()
    failed = load_library("dwmapi").DwmGetWindowAttribute(
        window, DWMWA_EXTENDED_FRAME_BOUNDS, byref(rect), sizeof(rect)
    )
    return None if failed else to_rect(rect)


def list_screens() -> list[Screen]:
    """The monitors of the desktop."""
    user32 = load_library("user32")
    found: list[Screen] = []

    def visit(monitor: int, _context: int, _clip: int, _data: int) -> int:
        info = MonitorInfo()
        info.cbSize = sizeof(info)
        if user32.GetMonitorInfoW(monitor, byref(info)):
            found.append(Screen(info.szDevice, to_rect(info.rcMonitor), bool(info.dwFlags & MONITORINFOF_PRIMARY)))
        return 1  # go on

    user32.EnumDisplayMonitors(None, None, ENUM_MONITORS(visit), 0)
    return found


def get_build_number() -> int:
    """The build number of Windows, regardless of compatibility modes; 19041 is Windows 10 2004."""
    version = OsVersion()
    version.dwOSVersionInfoSize = sizeof(version)
    load_library("ntdll").RtlGetVersion(byref(version))
    return int(version.dwBuildNumber)


def to_rect(rect: wintypes.RECT) -> Rect:
    return Rect(rect.left, rect.top, rect.right - rect.left, rect.bottom - rect.top)
