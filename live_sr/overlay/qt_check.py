"""Checks whether Qt can open a window here, without importing this program's own Qt code."""

from __future__ import annotations

import ctypes
import importlib
from pathlib import Path

from live_sr.errors import MissingPart
from live_sr.system.platform import get_platform


def check_qt() -> None:
    """Raises MissingPart when Qt cannot open a window here: without some libraries it would abort the process."""
    remedy = "`python3 tools/start.py demo` installs what is missing, or see the README for the list"
    try:
        if get_platform() == "linux":
            ctypes.CDLL("libxcb-cursor.so.0")
        importlib.import_module("PyQt6.QtWidgets")
        if get_platform() == "linux":
            ctypes.CDLL(find_plugin("libqxcb.so"))  # with it all the libraries that it needs
    except (ImportError, OSError) as error:
        raise MissingPart(f"Qt cannot open a window here: {error}", remedy) from None


def find_plugin(name: str) -> str:
    """The path of one of Qt's plug-ins for windows. Needs PyQt6."""
    from PyQt6.QtCore import QLibraryInfo

    return str(Path(QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath), "platforms", name))
