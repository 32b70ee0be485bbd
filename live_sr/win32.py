"""The calls of Windows that capture and overlay share, with their types. Imports anywhere, works on Windows."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_int, c_long, c_short, c_void_p, sizeof, wintypes
from functools import cache
from typing import Any, NamedTuple

from live_sr.errors import MissingPart
from live_sr.frame import Rect

# CDLL and CFUNCTYPE, which exist everywhere, stand for WinDLL and WINFUNCTYPE: the two calling conventions differ in
# 32-bit processes only, and neither Qt nor OpenVINO exists for those.
CType = Any  # ctypes has no public name for "a C type"
ENUM_WINDOWS = ctypes.CFUNCTYPE(wintypes.BOOL, wintypes.HWND, wintypes.LPARAM)
ENUM_MONITORS = ctypes.CFUNCTYPE(wintypes.BOOL, wintypes.HMONITOR, wintypes.HDC, c_void_p, wintypes.LPARAM)

DWMWA_EXTENDED_FRAME_BOUNDS = 9
MONITORINFOF_PRIMARY = 1

# name: (result, arguments), as in the headers of Windows; tests/test_windows_contracts.py compares them.
SIGNATURES: dict[str, dict[str, tuple[CType, tuple[CType, ...]]]] = {
    "user32": {
        "ClientToScreen": (wintypes.BOOL, (wintypes.HWND, c_void_p)),
        "EnumDisplayMonitors": (wintypes.BOOL, (wintypes.HDC, c_void_p, ENUM_MONITORS, wintypes.LPARAM)),
        "EnumWindows": (wintypes.BOOL, (ENUM_WINDOWS, wintypes.LPARAM)),
        "GetAsyncKeyState": (c_short, (c_int,)),
        "GetClientRect": (wintypes.BOOL, (wintypes.HWND, c_void_p)),
        "GetMonitorInfoW": (wintypes.BOOL, (wintypes.HMONITOR, c_void_p)),
        "GetWindowDisplayAffinity": (wintypes.BOOL, (wintypes.HWND, POINTER(wintypes.DWORD))),
        "GetWindowLongPtrW": (wintypes.LPARAM, (wintypes.HWND, c_int)),
        "GetWindowRect": (wintypes.BOOL, (wintypes.HWND, c_void_p)),
        "GetWindowTextW": (c_int, (wintypes.HWND, wintypes.LPWSTR, c_int)),
        "GetWindowThreadProcessId": (wintypes.DWORD, (wintypes.HWND, POINTER(wintypes.DWORD))),
        "IsIconic": (wintypes.BOOL, (wintypes.HWND,)),
        "IsWindow": (wintypes.BOOL, (wintypes.HWND,)),
        "IsWindowVisible": (wintypes.BOOL, (wintypes.HWND,)),
        "RegisterHotKey": (wintypes.BOOL, (wintypes.HWND, c_int, wintypes.UINT, wintypes.UINT)),
        "SetLayeredWindowAttributes": (
            wintypes.BOOL,
            (wintypes.HWND, wintypes.DWORD, wintypes.BYTE, wintypes.DWORD),
        ),
        "SetWindowDisplayAffinity": (wintypes.BOOL, (wintypes.HWND, wintypes.DWORD)),
        "SetWindowLongPtrW": (wintypes.LPARAM, (wintypes.HWND, c_int, wintypes.LPARAM)),
        "SetWindowPos": (
            wintypes.BOOL,
            (wintypes.HWND, wintypes.HWND, c_int, c_int, c_int, c_int, wintypes.UINT),
        ),
        "UnregisterHotKey": (wintypes.BOOL, (wintypes.HWND, c_int)),
        "VkKeyScanW": (c_short, (wintypes.WCHAR,)),
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


class Version(Structure):
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
def library(name: str) -> ctypes.CDLL:
    """A system library with the types of the calls in SIGNATURES set. Raises MissingPart where it does not exist."""
    try:
        loaded = ctypes.CDLL(name)
    except OSError as error:
        raise MissingPart(f"{name} cannot be loaded: {error}", "this part of live-sr runs on Windows only") from None
    for call, (result, arguments) in SIGNATURES[name].items():
        function = getattr(loaded, call)
        function.restype, function.argtypes = result, arguments
    return loaded


def alive(window: int) -> bool:
    return bool(library("user32").IsWindow(window))


def minimised(window: int) -> bool:
    return bool(library("user32").IsIconic(window))


def client_rect(window: int) -> Rect | None:
    """The window's picture without border and title bar, on the desktop; None when the window is gone."""
    user32 = library("user32")
    rect, corner = wintypes.RECT(), wintypes.POINT()
    if not user32.GetClientRect(window, byref(rect)) or not user32.ClientToScreen(window, byref(corner)):
        return None
    return Rect(corner.x, corner.y, rect.right, rect.bottom)


def window_rect(window: int) -> Rect | None:
    """With border, and on Windows 10 and later with the invisible part of it that can be grabbed."""
    rect = wintypes.RECT()
    return as_rect(rect) if library("user32").GetWindowRect(window, byref(rect)) else None


def frame_bounds(window: int) -> Rect | None:
    """With the border that is visible: what Windows.Graphics.Capture sees of most windows."""
    rect = wintypes.RECT()
    failed = library("dwmapi").DwmGetWindowAttribute(window, DWMWA_EXTENDED_FRAME_BOUNDS, byref(rect), sizeof(rect))
    return None if failed else as_rect(rect)


def screens() -> list[Screen]:
    """The monitors of the desktop."""
    user32 = library("user32")
    found: list[Screen] = []

    def visit(monitor: int, _context: int, _clip: int, _data: int) -> int:
        info = MonitorInfo()
        info.cbSize = sizeof(info)
        if user32.GetMonitorInfoW(monitor, byref(info)):
            found.append(Screen(info.szDevice, as_rect(info.rcMonitor), bool(info.dwFlags & MONITORINFOF_PRIMARY)))
        return 1  # go on

    user32.EnumDisplayMonitors(None, None, ENUM_MONITORS(visit), 0)
    return found


def build() -> int:
    """The build number of Windows, as no compatibility mode changes it; 19041 is Windows 10 2004."""
    version = Version()
    version.dwOSVersionInfoSize = sizeof(version)
    library("ntdll").RtlGetVersion(byref(version))
    return int(version.dwBuildNumber)


def as_rect(rect: wintypes.RECT) -> Rect:
    return Rect(rect.left, rect.top, rect.right - rect.left, rect.bottom - rect.top)
