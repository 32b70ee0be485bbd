"""What SIGTERM does, which `kill` and a system that shuts down send."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


@contextmanager
def end_as_with_ctrl_c() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt in the main thread, so that what is open is closed and children are ended.

    Without it, Python dies at once. Only the main thread may use it.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class HeldInterrupt:
    """Ctrl-C and SIGTERM, which raise KeyboardInterrupt at chosen moments only, while used in a `with` statement.

    An exception in the middle of a request leaves python-xlib's connection locked for ever. Only the main thread may
    use it.
    """

    def __init__(self) -> None:
        self._come = False
        self._held = True

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raises KeyboardInterrupt if one of them has come."""
        if self._come:
            self._come = False
            raise KeyboardInterrupt

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """Meanwhile they raise KeyboardInterrupt at once, as when the user is asked something."""
        self._held = False
        try:
            self.check()
            yield
        finally:
            self._held = True

    def _take(self, *_: object) -> None:
        if not self._held:
            raise KeyboardInterrupt
        self._come = True
