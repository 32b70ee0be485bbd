"""The process that builds an engine for `build_process`: it reports progress, lowers its priority, and ends with its
parent.

    if __name__ == "__main__":
        sys.exit(build_worker.run_worker(Spec, make))

It reads the request from standard input, which stays open as long as the parent waits for the engine. On standard
output it writes lines of JSON:

    ["stage", words]               what it is doing now
    ["engine", length]             followed by that many bytes, then the end
    ["failed", message, remedy]    instead of an engine, then the end
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
from live_sr.terminal import set_up_streams

Spec = TypeVar("Spec")
ReportStage = Callable[[str], None]
"""Is called with what is being done now, in a few words: "optimising"."""

NICENESS = 10  # a game runs at the same time
PR_SET_PDEATHSIG, SIGKILL = 1, 9  # <linux/prctl.h>, <signal.h>
EXIT_NOBODY_WAITS = 3


def run_worker(spec: Callable[..., Spec], make: Callable[[Spec, ReportStage], bytes]) -> int:
    """Builds what the parent requests with `make`, and returns the exit code.

    spec: the dataclass that the parent gave to `find_or_build`, created here from its fields (tuples arrive as lists).
    Whatever else is printed, also by a library, goes to standard error.
    """
    with os.fdopen(os.dup(1), "wb") as out:  # processes that `make` starts do not inherit this copy
        os.dup2(2, 1)
        set_up_streams()
        request = json.loads(_read_request())
        _end_with_parent()
        if hasattr(os, "nice"):  # on Windows the parent sets the priority
            os.nice(NICENESS)

        def send(*message: str | int) -> None:
            out.write(json.dumps(message).encode() + b"\n")
            out.flush()

        try:
            engine = make(spec(**request), lambda words: send("stage", words))
        except LiveSRError as error:
            send("failed", error.message, error.remedy)
            return error.exit_code
        send("engine", len(engine))
        out.write(engine)
    return 0


def _read_request() -> bytes:
    """The first line of standard input."""
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(0, 1)
        if not more:
            os._exit(EXIT_NOBODY_WAITS)
        line += more
    return line


def _end_with_parent() -> None:
    """Makes this process end when its parent ends, whatever it is doing.

    On every system standard input ends then. A thread waits for that, but it cannot run while a library builds without
    releasing the interpreter. Linux also kills the process when the thread that started it ends; that thread waits for
    it.
    """
    with suppress(TypeError, OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    threading.Thread(target=_end_at_eof, name="parent", daemon=True).start()


def _end_at_eof() -> None:
    while os.read(0, 64):
        pass
    os._exit(EXIT_NOBODY_WAITS)
