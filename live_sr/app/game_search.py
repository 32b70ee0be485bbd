"""Looks for the game's window: the chosen one first, and later the one that takes its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from live_sr.pipeline.desktop_contracts import WindowInfo

SEARCH_AGAIN_S = 0.5  # between two searches for a window that has not appeared yet
SUCCESSOR_S = 3.0  # how long a game may take to open another window in place of the one that it closed


def find_successor(windows: Sequence[WindowInfo], lost: WindowInfo, others: set[int]) -> WindowInfo | None:
    """The window that takes the place of a lost one: of its process, else of its program and class, else of its title.

    `others`: the windows that were there beside the lost one, which are none of its successors.
    """
    new = [w for w in windows if w.id != lost.id and w.id not in others]
    of_process = [w for w in new if lost.pid and w.pid == lost.pid]
    of_program = [w for w in new if lost.kind and (w.process, w.kind) == (lost.process, lost.kind)]
    of_title = [w for w in new if lost.title and w.title == lost.title]
    return next(iter([*of_process, *of_program, *of_title]), None)


class GameSearch:
    """Belongs to the GUI thread."""

    def __init__(
        self,
        list_windows: Callable[[], Sequence[WindowInfo]],
        first: WindowInfo | None,
        search: Callable[[], WindowInfo | None],
        wait: bool,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`first`: the chosen window, if it is open. `search`: looks for what the player named.

        `wait`: whether to search even before a first window was found.
        """
        self._list_windows = list_windows
        self._first = first
        self._search = search
        self._wait = wait
        self._clock = clock
        self._next = clock()
        self._followed: WindowInfo | None = None  # the last one found
        self._others: set[int] = set()  # the windows beside it when it was found

    def find(self) -> WindowInfo | None:
        """The window to follow, or None; looks no more than twice a second."""
        if self._first is not None:
            found, self._first = self._first, None
            return self._follow(found)
        if self._clock() < self._next:
            return None
        self._next = self._clock() + SEARCH_AGAIN_S
        named = self._search() if self._wait or self._followed is not None else None
        if named is not None and named.id not in self._others:
            return self._follow(named)
        return self.find_successor()

    def find_successor(self) -> WindowInfo | None:
        """A window that the game has opened in place of the followed one, which may still be there but hidden."""
        if self._followed is None:
            return None
        found = find_successor(self._list_windows(), self._followed, self._others)
        return None if found is None else self._follow(found)

    def _follow(self, window: WindowInfo) -> WindowInfo:
        if self._followed is None:
            self._others = {w.id for w in self._list_windows()} - {window.id}
        self._followed = window
        return window
