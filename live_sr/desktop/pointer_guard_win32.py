"""Gives the pointer on Windows back when live-sr ends, whatever ends it.

Windows keeps the speed of the pointer when the program that changed it ends. `python -m` this module, with that speed
as its argument, restores everything as soon as its standard input ends.
"""

from __future__ import annotations

import sys
from contextlib import suppress

from live_sr.desktop.guard_process import GuardProcess
from live_sr.errors import MissingPart
from live_sr.system import win32

SPI_SETMOUSESPEED = 0x0071
CREATE_NEW_PROCESS_GROUP = 0x00000200  # Ctrl+C in our terminal does not end it
CREATE_NO_WINDOW = 0x08000000


def start_guard(own_speed: int) -> GuardProcess:
    """Starts the process that restores the pointer, and this speed, when this program ends."""
    flags = CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW
    return GuardProcess("live_sr.desktop.pointer_guard_win32", str(own_speed), creationflags=flags)


def restore(own_speed: int) -> None:
    """Lets the pointer go everywhere, at its own speed, and shows it."""
    user32 = win32.load_library("user32")
    user32.SystemParametersInfoW(SPI_SETMOUSESPEED, 0, own_speed, 0)
    user32.ClipCursor(None)
    with suppress(MissingPart):
        magnification = win32.load_library("magnification")
        if magnification.MagInitialize():
            magnification.MagShowSystemCursor(True)
            magnification.MagUninitialize()


def main() -> None:
    """Waits for the end of standard input, then restores the speed that the argument names."""
    sys.stdin.buffer.read()
    restore(int(sys.argv[1]))


if __name__ == "__main__":
    main()
