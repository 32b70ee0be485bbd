"""The results as records: one row for each combination and mode, over all its rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from live_sr.pipeline.latency import Percentiles

PERCENTILES = ("p50", "p95", "p99", "max")
CURVE_PERCENTILES = (0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 99.5, 99.9, 100)
"""The percentiles at which a latency curve is sampled."""


@dataclass(frozen=True)
class Spread:
    """A figure over the rounds: median, minimum and maximum."""

    median: float
    min: float
    max: float

    @classmethod
    def from_values(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class PercentileSpreads:
    """The percentiles of the latency in ms, each as its spread over the rounds."""

    p50: Spread
    p95: Spread
    p99: Spread
    max: Spread

    @classmethod
    def from_rounds(cls, rounds: Sequence[Percentiles]) -> PercentileSpreads:
        return cls(*(Spread.from_values([getattr(one, name) for one in rounds]) for name in PERCENTILES))


@dataclass(frozen=True)
class BenchRound:
    """One run of one combination in one mode. `device_ms` is the card's own clock, by stage; `curve_ms` at CURVE_AT.

    cpu_ms: processor time for a frame, of all threads of the process. drawn: the mean share of the picture that the
    engine drew.
    """

    frames: int
    seconds: float
    fps: float
    dropped: int
    latency_ms: Percentiles
    stages_ms: dict[str, Percentiles]
    device_ms: dict[str, Percentiles]
    curve_ms: tuple[float, ...]
    cpu_ms: float = 0.0
    drawn: float = 1.0


@dataclass(frozen=True)
class BenchStatistics:
    """All rounds of one combination in one mode. Frames, seconds and drops are sums; the rest are spreads."""

    rounds: int
    seconds: float
    frames: int
    dropped: int
    fps: Spread
    latency_ms: PercentileSpreads
    stages_ms: dict[str, PercentileSpreads]
    device_ms: dict[str, PercentileSpreads] = field(default_factory=dict)
    curve_ms: tuple[float, ...] = ()
    cpu_ms: Spread | None = None  # None: of an earlier version
    drawn: float = 1.0

    @classmethod
    def from_rounds(cls, rounds: Sequence[BenchRound]) -> BenchStatistics:
        """Needs at least one round. The curve is the median of the rounds' curves, point by point."""
        return cls(
            rounds=len(rounds),
            seconds=sum(one.seconds for one in rounds),
            frames=sum(one.frames for one in rounds),
            dropped=sum(one.dropped for one in rounds),
            fps=Spread.from_values([one.fps for one in rounds]),
            latency_ms=PercentileSpreads.from_rounds([one.latency_ms for one in rounds]),
            stages_ms=_group_by_stage([one.stages_ms for one in rounds]),
            device_ms=_group_by_stage([one.device_ms for one in rounds]),
            curve_ms=tuple(statistics.median(at) for at in zip(*(one.curve_ms for one in rounds), strict=True)),
            cpu_ms=Spread.from_values([one.cpu_ms for one in rounds]),
            drawn=statistics.mean(one.drawn for one in rounds),
        )


@dataclass(frozen=True)
class FrameCost:
    """The work for one frame: multiply-adds (None: unknown, or a filter) and bytes of BGRA read and written."""

    macs: int | None
    bytes: int


@dataclass(frozen=True)
class RooflineFloor:
    """The shortest time that the device allows for a frame (see `roofline`), or the reason why it is unknown.

    bandwidth: bytes read and written per second by a copy; rate: operations per second, two for each multiply-add.
    """

    device: str
    ms: float = 0.0
    bandwidth: float = 0.0
    rate: float = 0.0
    bound: str = ""  # "copy" or "compute": what sets the time
    reason: str = ""


@dataclass(frozen=True)
class BenchRow:
    """One combination in one mode. pace: frames per second, None: free-running. `reason`: why figures are missing.

    changed_regions: only what changed was drawn, as in the live window.
    """

    model: str
    scale: int
    size: str
    engine: str
    precision: str
    pace: float | None
    build_s: float = 0.0  # until it was ready, the first time
    cost: FrameCost | None = None
    figures: BenchStatistics | None = None
    floor: RooflineFloor | None = None
    reason: str = ""
    changed_regions: bool = False

    @property
    def key(self) -> tuple[str, int, str, str, str, float | None, bool]:
        """Identifies the combination and the mode in another report."""
        return (self.model, self.scale, self.size, self.engine, self.precision, self.pace, self.changed_regions)

    @property
    def label(self) -> str:
        name = f"{self.model} x{self.scale}, {self.engine} {self.precision}".rstrip()
        return f"{name}, changed regions" if self.changed_regions else name

    @property
    def times_floor(self) -> float | None:
        """The engine's median time divided by the floor."""
        if self.floor is None or not self.floor.ms or self.figures is None:
            return None
        return self.figures.stages_ms["upscale"].p50.median / self.floor.ms


def _group_by_stage(rounds: Sequence[dict[str, Percentiles]]) -> dict[str, PercentileSpreads]:
    """The stages that every round has."""
    return {
        stage: PercentileSpreads.from_rounds([one[stage] for one in rounds])
        for stage in rounds[0]
        if all(stage in r for r in rounds)
    }
