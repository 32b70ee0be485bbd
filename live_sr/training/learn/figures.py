"""What a training is asked for and what it reports, and whether its network is worth keeping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from live_sr.terminal import format_table

LEAST_GAIN = 0.3
"""dB by which a network has to be better than what is there without it: less is hardly seen."""


@dataclass(frozen=True)
class TrainRequest:
    """What the process that trains has to do. Folders are text, since it travels as JSON.

    model: the network to begin with. idle: whether it gives way to all other programs. earlier: the weights of a
    network that an earlier `live-sr learn` has made of this game, to be measured too; empty: none.
    """

    pairs: str
    out: str
    name: str
    model: str
    scale: int
    steps: int
    threads: int
    idle: bool
    earlier: str
    trained_on: str
    notes: str


@dataclass(frozen=True)
class LearnedFigures:
    """PSNR-Y in dB, mean over `held_out` pairs of places that were not trained with.

    learned: of the new network; before: of what it began with; filters: by name; earlier: of the network that is there
    already, or None. trained: how many pairs it was trained with. seconds, processor_s: how long that took, by the
    clock and of one core.
    """

    onnx: str
    learned: float
    before: float
    filters: Mapping[str, float]
    earlier: float | None
    held_out: int
    trained: int
    seconds: float
    processor_s: float

    @property
    def best_filter(self) -> str:
        return max(self.filters, key=lambda name: self.filters[name])

    @property
    def gain(self) -> float:
        """dB above the better of what it began with and the best filter."""
        return self.learned - max(self.before, self.filters[self.best_filter])

    @property
    def defect(self) -> str:
        """Why the network is not worth keeping, as a clause; empty if it is."""
        if not self.gain >= LEAST_GAIN:  # also where it is no number
            how = f"{self.gain:.2f} dB better" if self.gain >= 0 else f"{-self.gain:.2f} dB worse"
            return f"it is {how} than the best of what is there without it, and {LEAST_GAIN} dB are wanted"
        if self.earlier is not None and self.learned < self.earlier:
            return f"the one that you have is {self.earlier - self.learned:.2f} dB better"
        return ""

    def format(self, name: str, start: str) -> str:
        """A table of all, best first."""
        rows = {name: self.learned, start: self.before, **self.filters}
        if self.earlier is not None:
            rows[f"{name}, as it is"] = self.earlier
        ordered = sorted(rows.items(), key=lambda row: -row[1])
        return "\n".join(format_table([(f"  {label}", f"{score:.2f}") for label, score in ordered], "<>"))
