"""A lock that one process holds at a time, by a file. The system frees it when the process dies."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from live_sr.errors import LiveSRError


class ProcessLock:
    """The lock of that file, whose folder must be there. It does not wait for another process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path)

    def acquire(self, in_use: LiveSRError) -> None:
        """Raises `in_use` where another process holds it, and OSError where the file cannot be written."""
        while True:
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                raise in_use from None
            if self._path.exists():
                return
            self._lock.release()  # its holder deleted it just now: nobody else would find what is held here

    def release(self, delete: bool = False) -> None:
        """delete: leave no file behind."""
        if delete:
            with suppress(OSError):  # Windows deletes it by itself, and no file that is open
                self._path.unlink()
        self._lock.release()
