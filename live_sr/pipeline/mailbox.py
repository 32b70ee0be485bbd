"""Hands the newest item from one thread to another."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class MailboxClosed(Exception):
    """The mailbox was closed; `__cause__` is the failure that closed it, if any."""


class Mailbox(Generic[T]):
    """Holds at most one item: a new one replaces one that has not been taken."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # guarded by _changed:
        self._item: T | None = None
        self._closed = False
        self._cause: BaseException | None = None

    def post(self, item: T) -> T | None:
        """Leaves an item. Returns the one that it replaced, or the item itself if the mailbox is closed."""
        with self._changed:
            if self._closed:
                return item
            pushed_out, self._item = self._item, item
            self._changed.notify_all()
            return pushed_out

    def take(self, timeout_s: float) -> T | None:
        """The newest item, or None after `timeout_s`. Raises MailboxClosed once it is closed and empty."""
        with self._changed:
            if self._item is None and not self._closed:
                self._changed.wait(timeout_s)
            item, self._item = self._item, None
            if item is None and self._closed:
                raise MailboxClosed from self._cause
            self._changed.notify_all()
            return item

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Waits up to `timeout_s` until an item would replace none. Returns whether that is so."""
        with self._changed:
            if self._item is not None and not self._closed:
                self._changed.wait(timeout_s)
            return self._item is None or self._closed

    def wake(self) -> None:
        """Makes a waiting `take` return at once."""
        with self._changed:
            self._changed.notify_all()

    def close(self, cause: BaseException | None = None) -> None:
        with self._changed:
            self._closed = True
            self._cause = self._cause or cause
            self._changed.notify_all()
