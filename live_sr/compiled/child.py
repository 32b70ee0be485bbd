"""The far end of `build`: what a process that builds engines does to be heard, to be nice, and to end with its parent.

    if __name__ == "__main__":
        sys.exit(child.run(Spec, make))

It reads its order from the standard input, which stays open as long as somebody waits for the engine. On its standard
output it tells lines of JSON:

    ["stage", words]               what it does now
    ["engine", length]             followed by so many bytes, and the end
    ["failed", message, remedy]    instead of an engine, and the end
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from live_sr.errors import LiveSRError

Spec = TypeVar("Spec")
Say = Callable[[str], None]
"""Tells what is being done now, in a few words: "optimising"."""

NICENESS = 10  # a game is running meanwhile
PR_SET_PDEATHSIG, SIGKILL = 1, 9  # <linux/prctl.h>, <signal.h>
NOBODY_WAITS = 3  # exit code


def run(spec: Callable[..., Spec], make: Callable[[Spec, Say], bytes]) -> int:
    """Builds what the parent orders with `make`; the exit code.

    spec: the dataclass that was given to `build`, made here again of its fields (tuples come as lists). Whatever else
    is printed, by a library too, goes to the standard error.
    """
    with os.fdopen(os.dup(1), "wb") as out:  # not inherited by processes that `make` starts
        os.dup2(2, 1)
        order = json.loads(_order())
        _end_with_parent()
        if hasattr(os, "nice"):  # Windows: the parent has said so
            os.nice(NICENESS)

        def tell(*what: str | int) -> None:
            out.write(json.dumps(what).encode() + b"\n")
            out.flush()

        try:
            engine = make(spec(**order), lambda words: tell("stage", words))
        except LiveSRError as error:
            tell("failed", error.message, error.remedy)
            return error.exit_code
        tell("engine", len(engine))
        out.write(engine)
    return 0


def _order() -> bytes:
    """The first line of the standard input."""
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(0, 1)
        if not more:
            os._exit(NOBODY_WAITS)
        line += more
    return line


def _end_with_parent() -> None:
    """From now on this process ends when its parent does, whatever it is at.

    The end of the standard input tells it on every system, but to a thread, which waits as long as a library builds
    without letting Python on. Linux also kills by itself: when the thread that started this process ends, which waits
    for it.
    """
    with suppress(TypeError, OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    threading.Thread(target=_end_at_eof, name="parent", daemon=True).start()


def _end_at_eof() -> None:
    while os.read(0, 64):
        pass
    os._exit(NOBODY_WAITS)
