"""A clock for time limits, which slows down while the machine is busy.

A limit in wall-clock time fails on a machine that is busy with other things. Here a thread does a fixed piece of work
twice a second and measures its duration. The ratio of `QUIET_S` to that duration is the current pace of the machine,
and `clock()` adds up the time at that pace. So ten of its seconds are ten seconds of a quiet machine, whatever else
runs. The pace is measured all the time, so that a quiet moment at the beginning does not shorten a later wait.
"""

from __future__ import annotations

import functools
import threading
import time
import zlib
from collections.abc import Callable
from typing import TypeVar

LONG_S = 60.0  # for anything that happens by itself, such as the start of a program
PAUSE_S = 0.5
WORK = bytes(48 << 20)
QUIET_S = 0.014  # the duration of WORK's checksum on the machine where the limits were chosen (AMD EPYC, Zen 5)
T = TypeVar("T")


class _Clock(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="patience", daemon=True)
        self.seconds = 0.0
        self.start()

    def run(self) -> None:
        while True:
            time.sleep(PAUSE_S)
            begun = time.perf_counter()
            zlib.crc32(WORK)  # releases the interpreter's lock, and allocates nothing
            self.seconds += PAUSE_S * min(1.0, QUIET_S / (time.perf_counter() - begun))


@functools.cache
def _clock() -> _Clock:
    return _Clock()


def clock() -> float:
    """Seconds of a quiet machine since the first call."""
    return _clock().seconds


def until(find: Callable[[], T | None], what: str = "it", limit_s: float = LONG_S, pause_s: float = 0.02) -> T:
    """Calls `find` until its result is not None or False, and returns the result.

    Raises TimeoutError, which names `what` was awaited, after `limit_s` on the patient clock.
    """
    begun, end = time.monotonic(), clock() + limit_s
    while True:
        found = find()
        if found is not None and found is not False:
            return found
        if clock() > end:
            waited = time.monotonic() - begun
            raise TimeoutError(f"{what}: not within {limit_s:.0f} s of a quiet machine ({waited:.0f} s by the clock)")
        time.sleep(pause_s)


def wait(event: threading.Event, limit_s: float = LONG_S) -> bool:
    """Waits for the event. Returns whether it was set within `limit_s` on the patient clock."""
    end = clock() + limit_s
    while not event.wait(0.1):
        if clock() > end:
            return False
    return True
