"""The time that this process has worked."""

from __future__ import annotations

from time import perf_counter, process_time

from live_sr.system.platform import get_platform


def read_processor_s() -> float:
    """Seconds of processor time of all threads of this process; only differences mean something.

    What other programs do hardly changes it; what other threads of this one do counts. On Windows, where it counts in
    steps of 15 ms, it is the time on the wall.
    """
    return perf_counter() if get_platform() == "win32" else process_time()
