"""Waits until a game that draws a picture in several parts has drawn them all."""

from __future__ import annotations

LONGEST_NS = 2_000_000  # a frame never waits longer
MARGIN_NS = 250_000  # added to the longest burst of the last frames
MEMORY = 120  # frames that count as the last ones; the first so many frames wait for LONGEST_NS


class BurstTimer:
    """Learns how long a game takes from the first to the last change of one picture.

    A game that draws its picture at once is captured at once. One that draws in parts is captured when its parts have
    had as much time as those of the last frames took. All times in nanoseconds.
    """

    def __init__(self) -> None:
        self._longest = 0
        self._age = 0  # frames since `_longest` was seen
        self._learning = MEMORY
        self._begun = 0

    def begin(self, now: int) -> None:
        """The first change of a picture. A change soon after the last picture's was a part of that one."""
        late = now - self._begun
        if 0 < late <= LONGEST_NS:
            self._remember(late)
        self._begun = now
        self._learning = max(0, self._learning - 1)
        self._age += 1
        if self._age > MEMORY:
            self._longest = 0

    def extend(self, now: int) -> None:
        """A further change of the same picture."""
        self._remember(now - self._begun)

    def compute_due(self) -> int:
        """When the picture is to be captured."""
        if self._learning:
            return self._begun + LONGEST_NS
        return self._begun + (min(LONGEST_NS, self._longest + MARGIN_NS) if self._longest else 0)

    def _remember(self, duration: int) -> None:
        if duration >= self._longest:
            self._longest, self._age = min(duration, LONGEST_NS), 0
