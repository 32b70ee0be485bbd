"""The settings of `live-sr learn`. Imports nothing heavy, so that parsing stays fast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RATES = {"turbo": 1e-3, "fast": 1e-3, "balanced": 8e-4, "quality": 5e-4}
"""The networks that a training can begin with, and the learning rate of each: deep ones forget at a higher one."""
PRIORITIES = ("idle", "normal")


@dataclass(frozen=True)
class LearnOptions:
    """The flags of `live-sr learn`; its help describes each. `pairs` without a window or pid: no game is captured."""

    window: str | None = None
    pid: int | None = None
    pairs: Path | None = None
    name: str | None = None
    model: str = "fast"
    scale: int = 2
    steps: int = 1200
    threads: int = 1
    priority: str = PRIORITIES[0]

    def name_model(self, game: str) -> str:
        """What the new network is called. Networks of one game that cost more do not replace those that cost less."""
        return self.name or (game if self.model == LearnOptions.model else f"{game}-{self.model}")

    @property
    def captures(self) -> bool:
        """Whether pairs are taken of a game first."""
        return self.pairs is None or self.window is not None or self.pid is not None
