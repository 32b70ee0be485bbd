"""What was measured, as records: one row for each combination and mode, over all its rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from live_sr.latency import Percentiles

NAMES = ("p50", "p95", "p99", "max")
CURVE_AT = (0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 99.5, 99.9, 100)
"""The percentiles that a curve is made of."""


@dataclass(frozen=True)
class Spread:
    """A figure over the rounds: their median, the least and the most."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Tail:
    """Milliseconds: each percentile of a round, over the rounds."""

    p50: Spread
    p95: Spread
    p99: Spread
    max: Spread

    @classmethod
    def of(cls, rounds: Sequence[Percentiles]) -> Tail:
        return cls(*(Spread.of([getattr(one, name) for one in rounds]) for name in NAMES))


@dataclass(frozen=True)
class Round:
    """One run of one combination in one mode. `device_ms` is the card's own clock, by stage; `curve_ms` at CURVE_AT."""

    frames: int
    seconds: float
    fps: float
    dropped: int
    latency_ms: Percentiles
    stages_ms: dict[str, Percentiles]
    device_ms: dict[str, Percentiles]
    curve_ms: tuple[float, ...]


@dataclass(frozen=True)
class Figures:
    """All rounds of one combination in one mode: frames, seconds and drops are sums, the rest spreads over rounds."""

    rounds: int
    seconds: float
    frames: int
    dropped: int
    fps: Spread
    latency_ms: Tail
    stages_ms: dict[str, Tail]
    device_ms: dict[str, Tail] = field(default_factory=dict)
    curve_ms: tuple[float, ...] = ()

    @classmethod
    def of(cls, rounds: Sequence[Round]) -> Figures:
        """Of at least one round. A curve is the median of the rounds' curves, point by point."""
        return cls(
            rounds=len(rounds),
            seconds=sum(one.seconds for one in rounds),
            frames=sum(one.frames for one in rounds),
            dropped=sum(one.dropped for one in rounds),
            fps=Spread.of([one.fps for one in rounds]),
            latency_ms=Tail.of([one.latency_ms for one in rounds]),
            stages_ms=_by_stage([one.stages_ms for one in rounds]),
            device_ms=_by_stage([one.device_ms for one in rounds]),
            curve_ms=tuple(statistics.median(at) for at in zip(*(one.curve_ms for one in rounds), strict=True)),
        )


@dataclass(frozen=True)
class Cost:
    """What one frame asks for: multiply-adds (None: not known, or a filter) and bytes of BGRA read and written."""

    macs: int | None
    bytes: int


@dataclass(frozen=True)
class Floor:
    """The least time that the device allows for a frame (see `roofline`), or why it cannot be told.

    bandwidth: bytes read and written per second by a copy; rate: operations per second, two for each multiply-add.
    """

    device: str
    ms: float = 0.0
    bandwidth: float = 0.0
    rate: float = 0.0
    bound: str = ""  # "copy" or "compute": which of the two it is
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """One combination in one mode. `pace` None: free-running. Without figures, `reason` says why."""

    model: str
    scale: int
    size: str
    engine: str
    precision: str
    pace: float | None
    build_s: float = 0.0  # until it was ready, the first time
    cost: Cost | None = None
    figures: Figures | None = None
    floor: Floor | None = None
    reason: str = ""

    @property
    def key(self) -> tuple[str, int, str, str, str, float | None]:
        """What makes it the same combination in another report."""
        return (self.model, self.scale, self.size, self.engine, self.precision, self.pace)

    @property
    def label(self) -> str:
        return f"{self.model} x{self.scale}, {self.engine} {self.precision}".rstrip()

    @property
    def times_floor(self) -> float | None:
        """How many times as long as the floor the engine takes, by its median."""
        if self.floor is None or not self.floor.ms or self.figures is None:
            return None
        return self.figures.stages_ms["upscale"].p50.median / self.floor.ms


def _by_stage(rounds: Sequence[dict[str, Percentiles]]) -> dict[str, Tail]:
    """Of the stages that every round has."""
    return {stage: Tail.of([one[stage] for one in rounds]) for stage in rounds[0] if all(stage in r for r in rounds)}
