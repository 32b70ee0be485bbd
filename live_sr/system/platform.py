"""Detects the operating system and the display server. No other module outside `backends` does."""

from __future__ import annotations

import os
import sys

DISPLAY_NAMES = {"linux": "Linux", "win32": "Windows"}


def get_platform() -> str:
    """ "linux", "win32" or another value of `sys.platform`."""
    return sys.platform


def detect_desktop() -> str:
    """The name of the desktop on Linux, in lower case, such as "sway" or "kde"; empty if it has none."""
    return os.environ.get("XDG_CURRENT_DESKTOP", "").rpartition(":")[2].lower()


def detect_session() -> str:
    """The display server: windows, x11, xwayland (X programs on Wayland), wayland or none."""
    if get_platform() == "win32":
        return "windows"
    if os.environ.get("DISPLAY"):
        return "xwayland" if os.environ.get("WAYLAND_DISPLAY") else "x11"
    return "wayland" if os.environ.get("WAYLAND_DISPLAY") else "none"
