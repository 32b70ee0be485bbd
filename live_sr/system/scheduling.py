"""Keeps libraries from making the threads of this process real-time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

linux: Any = os  # types for Windows know nothing of schedules


@contextmanager
def undo_realtime() -> Iterator[None]:
    """Gives every thread of this process that a library makes real-time meanwhile its usual schedule back.

    SVT-AV1 makes its own threads and the one that opens it real-time when root runs it, with the highest priority.
    Whatever such a thread starts later is real-time too, and a few of them stop everything else on the machine.
    Does nothing outside Linux, and nothing where the calling thread was real-time before.
    """
    if not hasattr(os, "sched_setscheduler") or linux.sched_getscheduler(0) != linux.SCHED_OTHER:
        yield
        return
    try:
        yield
    finally:
        for task in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # the thread has ended
                if linux.sched_getscheduler(int(task.name)) in (linux.SCHED_FIFO, linux.SCHED_RR):
                    linux.sched_setscheduler(int(task.name), linux.SCHED_OTHER, linux.sched_param(0))
