"""Finds out how much memory is free."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from ctypes import Structure, byref, c_uint32, c_uint64, sizeof
from pathlib import Path

ASSUMED_FREE = 2 << 30  # where the system does not report it: what any machine that plays games has
GROUP = Path("/sys/fs/cgroup")


class MemoryStatus(Structure):
    """MEMORYSTATUSEX of Windows."""

    _fields_ = (
        ("length", c_uint32),
        ("load", c_uint32),
        ("total", c_uint64),
        ("available", c_uint64),
        ("total_page_file", c_uint64),
        ("available_page_file", c_uint64),
        ("total_virtual", c_uint64),
        ("available_virtual", c_uint64),
        ("available_extended", c_uint64),
    )


def get_free_memory(meminfo: Path = Path("/proc/meminfo"), group: Path = GROUP) -> int:
    """Bytes that can be allocated without swapping, within the limits of a container."""
    with suppress(OSError, ValueError):
        lines = meminfo.read_text(encoding="ascii", errors="replace").splitlines()
        kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
        return min(kib << 10, _get_group_allowance(group))
    with suppress(OSError, AttributeError):
        status = MemoryStatus(length=sizeof(MemoryStatus))
        if ctypes.CDLL("kernel32").GlobalMemoryStatusEx(byref(status)):
            return int(status.available)
    return ASSUMED_FREE


def _get_group_allowance(group: Path) -> int:
    """Bytes that Linux still allows this control group; 2**62 without a limit. The file cache counts as free."""
    with suppress(OSError, ValueError):
        most = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        cached = [line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines()]
        cache = sum(int(words[1]) for words in cached if words[0] in ("inactive_file", "active_file"))
        if most != "max":
            return max(int(most) - used + cache, 0)
    return 1 << 62
