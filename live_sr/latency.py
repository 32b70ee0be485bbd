"""Ages of frames: percentiles, rates, drops, worst. HUD, benchmark and log all read this one record."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns

import numpy as np
import numpy.typing as npt

from live_sr.frame import Stamps

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
class Report:
    """What the last seconds (or the whole run) looked like. Rates are frames per second."""

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


class Latency:
    """Collects frames from any thread. Keeps the newest `capacity` shown frames: a minute of the HUD at 240 fps.

    Counts are since the last reset.
    """

    def __init__(self, capacity: int = 16384, clock: Callable[[], int] = perf_counter_ns) -> None:
        self._clock = clock
        self.on_shown: Callable[[Stamps], None] | None = None  # a log's; set before the first frame
        self._lock = threading.Lock()
        # guarded by _lock:
        self._rows = np.zeros((capacity, 5), np.int64)  # seen captured begun upscaled shown
        self._times = {what: np.zeros(capacity, np.int64) for what in ("captured", "upscaled")}
        self._counts = {"captured": 0, "upscaled": 0, "shown": 0, "duplicates": 0, "dropped": 0}
        self._since = clock()

    def reset(self) -> None:
        """Forget everything so far: the end of a warm-up."""
        with self._lock:
            self._counts = dict.fromkeys(self._counts, 0)
            self._since = self._clock()

    def captured(self) -> None:
        """A frame with new content came from the source."""
        self._tick("captured")

    def upscaled(self) -> None:
        self._tick("upscaled")

    def duplicate(self) -> None:
        """The source delivered what it had delivered before."""
        with self._lock:
            self._counts["duplicates"] += 1

    def dropped(self) -> None:
        """A frame was replaced by a newer one before it reached the screen."""
        with self._lock:
            self._counts["dropped"] += 1

    def shown(self, stamps: Stamps) -> None:
        with self._lock:
            row = self._rows[self._counts["shown"] % len(self._rows)]
            row[:] = (stamps.seen, stamps.captured, stamps.begun, stamps.upscaled, stamps.shown)
            self._counts["shown"] += 1
        if self.on_shown is not None:
            self.on_shown(stamps)

    @property
    def frames_upscaled(self) -> int:
        """Since the last reset."""
        with self._lock:
            return self._counts["upscaled"]

    def _tick(self, what: str) -> None:
        with self._lock:
            times = self._times[what]
            times[self._counts[what] % len(times)] = self._clock()
            self._counts[what] += 1

    def report(self, last_s: float | None = None) -> Report:
        """Of the last `last_s` seconds, or of all since the reset as far as it was kept."""
        with self._lock:
            now = self._clock()
            since = self._since if last_s is None else max(self._since, now - int(last_s * 1e9))
            counts = dict(self._counts)
            rows = self._newest(self._rows, counts["shown"])
            recent = {k: int((self._newest(t, counts[k]) >= since).sum()) for k, t in self._times.items()}
        rows = rows[rows[:, 4] >= since]
        seconds = max((now - since) / 1e9, 1e-9)
        whole = last_s is None
        ages = np.diff(rows, axis=1) / 1e6
        intervals = np.diff(rows[:, 4]) / 1e6
        return Report(
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
        )

    @staticmethod
    def _newest(ring: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
        """What is kept of a ring, oldest first, as a copy."""
        kept = min(count, len(ring))
        return np.roll(ring, -(count % len(ring)), axis=0)[-kept:] if count > len(ring) else ring[:kept].copy()


def table(report: Report) -> str:
    """Rates and percentiles in columns, for a terminal."""
    lines = [f"  {'stage':8}{'p50':>9}{'p95':>9}{'p99':>9}{'worst ms':>11}"]
    for name, p in [*report.stages.items(), ("total", report.total)]:
        lines.append(f"  {name:8}{p.p50:9.2f}{p.p95:9.2f}{p.p99:9.2f}{p.max:11.2f}")
    rates = f"{report.shown_fps:.1f} fps shown of {report.captured_fps:.1f} captured, 1 % low {report.low_fps:.1f} fps"
    return "\n".join([f"  {rates}; {report.dropped} dropped, {report.duplicates} repeats left out", *lines])
