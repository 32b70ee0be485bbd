"""The settings of `live-sr learn`. Imports nothing heavy, so that parsing stays fast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

START = "fast"
"""The network that every training begins with: it is fast enough for live pictures on a processor."""
PRIORITIES = ("idle", "normal")


@dataclass(frozen=True)
class LearnOptions:
    """The flags of `live-sr learn`; its help describes each. `pairs` without a window or pid: no game is captured."""

    window: str | None = None
    pid: int | None = None
    pairs: Path | None = None
    name: str | None = None
    scale: int = 2
    steps: int = 1200
    threads: int = 1
    priority: str = PRIORITIES[0]

    @property
    def captures(self) -> bool:
        """Whether pairs are taken of a game first."""
        return self.pairs is None or self.window is not None or self.pid is not None
