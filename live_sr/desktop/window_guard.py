"""Puts another program's window back to its place and size when live-sr ends, whatever ends it.

`python -m` this module, with the window's id and its place as arguments, does so as soon as its standard input ends.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing, suppress

from live_sr.desktop.guard_process import GuardProcess
from live_sr.desktop.open import open_desktop
from live_sr.errors import LiveSRError
from live_sr.pipeline.frame import Rect


def start_guard(window: int, place: Rect) -> GuardProcess:
    """Starts the process that puts the window back. `place`: of its content, in physical pixels of the desktop."""
    flags = (getattr(subprocess, name, 0) for name in ("CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW"))  # of Windows
    arguments = (str(window), *map(str, place))
    return GuardProcess("live_sr.desktop.window_guard", *arguments, creationflags=sum(flags))


def main() -> None:
    """Waits for the end of standard input, then puts the window back."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    window, *place = map(int, sys.argv[1:])
    with suppress(LiveSRError), closing(open_desktop()) as desktop:
        desktop.place_window(window, Rect(*place))


if __name__ == "__main__":
    main()
