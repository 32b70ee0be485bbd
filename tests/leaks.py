"""What a process holds, and whether doing the same thing again and again makes it hold more."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import psutil
from patience import until

MEGABYTE = 1 << 20
ROUNDS = 5


class Belongings(NamedTuple):
    """What a process holds now: bytes of memory, threads, and open files, sockets and the like."""

    memory: int
    threads: int
    handles: int


def list_belongings(pid: int | None = None) -> Belongings:
    """Those of the process `pid`, otherwise of this one."""
    process = psutil.Process(pid)
    handles = process.num_handles() if sys.platform == "win32" else process.num_fds()
    return Belongings(process.memory_info().rss, process.num_threads(), handles)


def check_nothing_stays(play: Callable[[], object], memory: int = 20 * MEGABYTE, pid: int | None = None) -> None:
    """Calls `play` until one call leaves nothing behind, at most 1 + ROUNDS times; raises AssertionError otherwise.

    What a library makes once, when it is needed, stays: threads of a pool, the allocator's arenas. So does what the
    tests before left to be collected. But a leak is in every round. `memory`: how many bytes a round may add, since
    the allocator does not return all that is freed.
    """

    def settle(limit: Belongings | None) -> Belongings:
        gc.collect()
        if limit is not None:  # threads that were told to end need a moment
            with suppress(TimeoutError):  # the next round shows whether they are made once or every time
                until(lambda: list_belongings(pid).threads <= limit.threads, limit_s=2)
        return list_belongings(pid)

    play()
    before = settle(None)
    seen = [before]
    for _ in range(ROUNDS):
        play()
        after = settle(before)
        seen.append(after)
        if (
            after.memory - before.memory < memory
            and after.threads <= before.threads
            and after.handles <= before.handles
        ):
            return
        before = after
    raise AssertionError(f"each round leaves something behind: {seen}")
