"""How old frames are when they are shown: percentiles, rates, drops. HUD, benchmark and log read this one record."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from live_sr.pipeline.frame import Stamps

Number = TypeVar("Number", np.int64, np.float64)

STAGES = ("capture", "wait", "upscale", "show")
"""capture: seen -> captured; wait: in the mailbox; upscale: engine, with its conversions; show: to the compositor."""


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values_ms: npt.NDArray[np.float64]) -> Percentiles:
        """Linear interpolation between ranks; all zero for no values."""
        if not len(values_ms):
            return cls(0.0, 0.0, 0.0, 0.0)
        p50, p95, p99 = np.percentile(values_ms, (50, 95, 99))
        return cls(float(p50), float(p95), float(p99), float(values_ms.max()))


@dataclass(frozen=True)
class LatencyReport:
    """Figures of the last seconds, or of the whole run. Rates are frames per second, times milliseconds."""

    seconds: float
    captured_fps: float
    upscaled_fps: float
    shown_fps: float
    low_fps: float  # 1 % low: 1 / (99th percentile of the time between shown frames)
    duplicates: int
    dropped: int
    shown: int
    total: Percentiles
    stages: dict[str, Percentiles]
    intervals_ms: npt.NDArray[np.float64]  # between shown frames, oldest first
    drawn: float = 1.0  # mean share of the shown pictures that an engine had to enlarge


class Latency:
    """Collects frames from any thread. Keeps the newest `capacity` shown frames, a minute's worth at 240 fps.

    Counts are those since the last reset. `on_shown` is called with each shown frame, for a log.
    """

    def __init__(self, capacity: int = 16384, clock: Callable[[], int] = perf_counter_ns) -> None:
        self._clock = clock
        self.on_shown: Callable[[Stamps], None] | None = None  # set before the first frame
        self._lock = threading.Lock()
        # guarded by _lock:
        self._rows = np.zeros((capacity, 5), np.int64)  # seen captured begun upscaled shown
        self._drawn = np.ones(capacity)
        self._times = {what: np.zeros(capacity, np.int64) for what in ("captured", "upscaled")}
        self._counts = {"captured": 0, "upscaled": 0, "shown": 0, "duplicates": 0, "dropped": 0}
        self._since = clock()

    def reset(self) -> None:
        """Forgets everything so far, at the end of a warm-up."""
        with self._lock:
            self._counts = dict.fromkeys(self._counts, 0)
            self._since = self._clock()

    def count_captured(self) -> None:
        """A frame with new content came from the source."""
        self._record_time("captured")

    def count_upscaled(self) -> None:
        self._record_time("upscaled")

    def count_duplicate(self) -> None:
        """The source delivered the same picture again."""
        with self._lock:
            self._counts["duplicates"] += 1

    def count_dropped(self) -> None:
        """A frame was replaced by a newer one before it reached the screen."""
        with self._lock:
            self._counts["dropped"] += 1

    def record_shown(self, stamps: Stamps) -> None:
        with self._lock:
            at = self._counts["shown"] % len(self._rows)
            self._drawn[at] = stamps.drawn
            row = self._rows[at]
            row[:] = (stamps.seen, stamps.captured, stamps.begun, stamps.upscaled, stamps.shown)
            self._counts["shown"] += 1
        if self.on_shown is not None:
            self.on_shown(stamps)

    @property
    def frames_upscaled(self) -> int:
        """Since the last reset."""
        with self._lock:
            return self._counts["upscaled"]

    def _record_time(self, what: str) -> None:
        with self._lock:
            times = self._times[what]
            times[self._counts[what] % len(times)] = self._clock()
            self._counts[what] += 1

    def report(self, last_s: float | None = None) -> LatencyReport:
        """Figures of the last `last_s` seconds; None: of everything since the reset that was kept."""
        with self._lock:
            now = self._clock()
            since = self._since if last_s is None else max(self._since, now - int(last_s * 1e9))
            counts = dict(self._counts)
            rows = self._unroll(self._rows, counts["shown"])
            drawn = self._unroll(self._drawn, counts["shown"])
            recent = {k: int((self._unroll(t, counts[k]) >= since).sum()) for k, t in self._times.items()}
        is_recent = rows[:, 4] >= since
        rows, drawn = rows[is_recent], drawn[is_recent]
        seconds = max((now - since) / 1e9, 1e-9)
        whole = last_s is None
        ages = np.diff(rows, axis=1) / 1e6
        intervals = np.diff(rows[:, 4]) / 1e6
        return LatencyReport(
            seconds=seconds,
            captured_fps=(counts["captured"] if whole else recent["captured"]) / seconds,
            upscaled_fps=(counts["upscaled"] if whole else recent["upscaled"]) / seconds,
            shown_fps=(counts["shown"] if whole else len(rows)) / seconds,
            low_fps=1000 / max(float(np.percentile(intervals, 99)), 1e-6) if len(intervals) else 0.0,
            duplicates=counts["duplicates"],
            dropped=counts["dropped"],
            shown=counts["shown"],
            total=Percentiles.of((rows[:, 4] - rows[:, 0]) / 1e6),
            stages={name: Percentiles.of(ages[:, i]) for i, name in enumerate(STAGES)},
            intervals_ms=intervals,
            drawn=float(drawn.mean()) if len(drawn) else 1.0,
        )

    @staticmethod
    def _unroll(ring: npt.NDArray[Number], count: int) -> npt.NDArray[Number]:
        """The values kept in a ring buffer, oldest first, as a copy."""
        kept = min(count, len(ring))
        return np.roll(ring, -(count % len(ring)), axis=0)[-kept:] if count > len(ring) else ring[:kept].copy()


def format_stage_rows(report: LatencyReport) -> list[tuple[str, ...]]:
    """The percentiles of each stage and of the whole way, in ms with two digits, as a table's rows; the first is its
    header."""
    rows: list[tuple[str, ...]] = [("stage", "p50", "p95", "p99", "worst ms")]
    for name, p in [*report.stages.items(), ("total", report.total)]:
        rows.append((name, *(f"{ms:.2f}" for ms in (p.p50, p.p95, p.p99, p.max))))
    return rows


def describe_rates(report: LatencyReport) -> str:
    """Frame rates and counts, in a line."""
    rates = f"{report.shown_fps:.1f} fps shown of {report.captured_fps:.1f} captured, 1 % low {report.low_fps:.1f} fps"
    return f"{rates}; {report.dropped} dropped, {report.duplicates} repeats left out"
