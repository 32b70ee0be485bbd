"""Processes that live-sr starts to work for it: what they are asked for, how they end, and their priority.

The parent writes a line to the child's standard input, and keeps that open for as long as it waits for the result.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG, SIGKILL = 1, 9  # <linux/prctl.h>, <signal.h>
EXIT_NOBODY_WAITS = 3
LOWEST_NICENESS = 19

linux: Any = os  # types for Windows know nothing of schedules


def read_request() -> bytes:
    """The first line of standard input. Ends this process if there is none."""
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(0, 1)
        if not more:
            os._exit(EXIT_NOBODY_WAITS)
        line += more
    return line


def end_with_parent() -> None:
    """Makes this process end when its parent ends, whatever it is doing.

    On every system standard input ends then. A thread waits for that, but it cannot run while a library works without
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


def lower_priority(niceness: int) -> None:
    """Makes the calling thread, and those that it starts, give way to other programs. On Windows the parent does so."""
    if hasattr(os, "nice"):
        os.nice(niceness)


def work_when_idle() -> None:
    """Makes the calling thread, and those that it starts, work only in time that no other program wants.

    On Linux the session counts as well: where sessions share the processor (autogroup), only they are compared.
    """
    lower_priority(LOWEST_NICENESS)
    with suppress(OSError):  # there are no autogroups, or this session is not ours alone
        Path("/proc/self/autogroup").write_text(str(LOWEST_NICENESS), encoding="ascii")
    if hasattr(os, "sched_setscheduler"):
        with suppress(OSError):
            linux.sched_setscheduler(0, linux.SCHED_IDLE, linux.sched_param(0))


def get_creation_flags(priority: str = "BELOW_NORMAL_PRIORITY_CLASS") -> int:
    """Windows's flags for a hidden process with that priority; elsewhere 0, as the child lowers its own priority."""
    names = ("CREATE_NO_WINDOW", "CREATE_NEW_PROCESS_GROUP", priority)
    return sum(int(getattr(subprocess, name, 0)) for name in names)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a process that leads a session, and all that it started, also where it has already ended itself."""
    kill_group = getattr(os, "killpg", None)
    if kill_group is not None:
        with suppress(ProcessLookupError, PermissionError):
            kill_group(process.pid, signal.Signals["SIGKILL"])  # by name, because Windows has no such constant
    elif process.poll() is None:  # Windows
        with suppress(OSError):
            subprocess.run(
                ["taskkill", "/T", "/F", "/PID", str(process.pid)],
                capture_output=True,
                check=False,
                creationflags=get_creation_flags(),
            )
        process.kill()


def describe_exit(code: int | None) -> str:
    """Why a process ended without a result, as a clause: the signal that ended it, or its exit code."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        hint = ", perhaps because memory ran out" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with code {code}"
