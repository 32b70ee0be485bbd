"""One combination, run once in one mode: the real pipeline, with a display that only counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter_ns
from typing import Protocol, runtime_checkable

import numpy as np

from live_sr.bench.options import BenchOptions
from live_sr.bench.rows import CURVE_AT, Round
from live_sr.contracts import Engine, FrameSource
from live_sr.counting import CountingDisplay
from live_sr.errors import UsageError
from live_sr.frame import Pixels, Size, Stamps
from live_sr.latency import Latency, Percentiles
from live_sr.pipeline import WAIT_S, Pipeline

WARM_UP_S = 1.0  # of running, after the engine is built
KEPT = 100_000  # frames of a run whose ages are kept


@runtime_checkable
class TimedOnDevice(Protocol):
    """An engine whose card measures its own stages by events between the commands."""

    def device_ms(self) -> dict[str, list[float]]:
        """Milliseconds of the newest frames, oldest first, by stage: "copy in", "compute", "copy out"."""
        ...


class Ages:
    """From the source to the display, of each frame of a run, without allocating. For `Latency.on_shown`."""

    def __init__(self) -> None:
        self._rows = np.zeros((KEPT, 2), np.int64)  # shown, age; the upscale thread's until the run is over
        self._count = 0

    def __call__(self, stamps: Stamps) -> None:
        row = self._rows[self._count % KEPT]
        row[0] = stamps.shown
        row[1] = stamps.shown - stamps.seen
        self._count += 1

    def curve(self, since_ns: int) -> tuple[float, ...]:
        """Milliseconds at CURVE_AT, of the frames shown since then; the run is over."""
        rows = self._rows[: self._count]
        ages = rows[rows[:, 0] >= since_ns, 1] / 1e6
        return tuple(float(at) for at in np.percentile(ages, CURVE_AT)) if len(ages) else (0.0,) * len(CURVE_AT)


def measured(open_source: Callable[[], FrameSource], engine: Engine, seconds: float, *, free: bool) -> Round:
    """The pipeline for some seconds after a warm-up; less if the source ends before. Raises LiveSRError."""
    latency = Latency(capacity=KEPT)
    ages = Ages()
    latency.on_shown = ages
    pipeline: Pipeline[Pixels] = Pipeline(
        open_source, engine, CountingDisplay(latency), latency, reopen=False, every_frame=free
    )
    since = 0
    pipeline.start()
    try:
        if not _ended_within(pipeline, WARM_UP_S):
            since = perf_counter_ns()
            latency.reset()
            _ended_within(pipeline, seconds)
        report = latency.report()
    finally:
        pipeline.stop()
    if not report.shown:
        raise UsageError("not a single frame was measured", "give it more --seconds, or a longer source")
    return Round(
        frames=report.shown,
        seconds=report.seconds,
        fps=report.shown_fps,
        dropped=report.dropped,
        latency_ms=report.total,
        stages_ms=report.stages,
        device_ms=_device(engine, report.shown),
        curve_ms=ages.curve(since),
    )


def source_opener(options: BenchOptions, size: Size | None, pace: float | None) -> Callable[[], FrameSource]:
    if options.source == "pattern":
        from live_sr.capture.pattern import PatternSource

        return partial(PatternSource, size or options.sizes[0], fps=pace)
    from live_sr.capture.video import VideoSource

    return partial(VideoSource, Path(options.source), loop=True, paced=pace is not None, fps=pace)


def _device(engine: Engine, frames: int) -> dict[str, Percentiles]:
    """What the card measured of the last so many frames; nothing for an engine in main memory."""
    if not isinstance(engine, TimedOnDevice):
        return {}
    return {stage: Percentiles.of(np.array(ms[-frames:])) for stage, ms in engine.device_ms().items() if ms}


def _ended_within(pipeline: Pipeline[Pixels], seconds: float) -> bool:
    end = monotonic() + seconds
    while (left := end - monotonic()) > 0:
        if pipeline.wait(min(left, WAIT_S)):
            return True
    return False
