"""What SIGTERM does, which `kill` and a system that shuts down send, and SIGHUP, which a terminal sends that closes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


def list_signals() -> list[signal.Signals]:
    """SIGTERM, and SIGHUP unless it is ignored, as under nohup. Windows has none: it ends what a console held."""
    hangup: signal.Signals | None = getattr(signal, "SIGHUP", None)
    if hangup is None or signal.getsignal(hangup) == signal.SIG_IGN:
        return [signal.SIGTERM]
    return [signal.SIGTERM, hangup]


@contextmanager
def end_as_with_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread, so that what is open is closed and children end.

    Without it, Python dies at once. Only the main thread may use it.
    """
    before = {number: signal.signal(number, signal.default_int_handler) for number in list_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class HeldInterrupt:
    """Ctrl-C, SIGTERM and SIGHUP, which raise KeyboardInterrupt at chosen moments only.

    Use it in a `with` statement, in the main thread only. An exception in the middle of a request leaves python-xlib's
    connection locked for ever.
    """

    def __init__(self) -> None:
        self._come = False
        self._held = True

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, *list_signals())}
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
