"""Notices a game that steers the pointer itself, as those do in which the mouse turns the view."""

from __future__ import annotations

from collections import deque
from math import hypot

RETURNS = 4  # to the same place, within PERIOD_S
PERIOD_S = 1.0
NEAR_PX = 1.5  # this near, the pointer is back
APART_PX = 3.0  # this far, it was away: a hand trembles less
AWAY_S = 0.1  # a game puts it back within one of its frames


class SteeringDetector:
    """Such a game hides the pointer, and either takes it for itself or puts it back to one place again and again."""

    def __init__(self) -> None:
        self._steered = False
        self.start_over()

    def start_over(self) -> None:
        """Forgets everything: the game has just got the focus."""
        self._steered = False
        self._home: tuple[float, float] | None = None
        self._left_s: float | None = None
        self._returns: deque[float] = deque(maxlen=RETURNS)

    def observe(self, now_s: float, x: float, y: float, *, hidden: bool, pressed: bool, grabbed: bool) -> bool:
        """Whether the game steers the pointer. Call it with each place of the pointer.

        A game that was found to put the pointer back counts as steering until it shows the pointer. Places with a
        pressed button do not count, since dragging a map with a fixed pointer is common in games that show a cursor of
        their own.
        """
        if not hidden:
            self.start_over()
            return False
        if pressed:
            self._home = self._left_s = None
        elif not self._steered:
            self._count_returns(now_s, x, y)
        return grabbed or self._steered

    def _count_returns(self, now_s: float, x: float, y: float) -> None:
        away = hypot(x - self._home[0], y - self._home[1]) if self._home is not None else 0.0
        if self._home is None or (self._left_s is not None and now_s - self._left_s > AWAY_S):
            self._home, self._left_s = (x, y), None
            self._returns.clear()
        elif self._left_s is None:
            if away >= APART_PX:
                self._left_s = now_s
        elif away <= NEAR_PX:
            self._left_s = None
            self._returns.append(now_s)
            self._steered = len(self._returns) == RETURNS and now_s - self._returns[0] <= PERIOD_S
