"""Wakes those who wait on the event loop for a change that happens on another thread."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Changes:
    """One signal for all jobs: who is woken looks at its own job."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next = asyncio.Event()
        self.stopping = False

    def attach(self) -> None:
        """Called on the event loop, before anybody waits."""
        self._loop = asyncio.get_running_loop()

    def notify(self) -> None:
        """Something has changed. From any thread, also in a signal handler."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._wake)

    def stop(self) -> None:
        """The service ends: nobody should wait any longer."""
        self.stopping = True
        self.notify()

    def get_next(self) -> asyncio.Event:
        """The event that the next change sets. Get it first, then look at the job, then wait."""
        return self._next

    def _wake(self) -> None:
        self._next.set()
        self._next = asyncio.Event()
