"""Runs one combination once in one mode: the real pipeline, with a display that only counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter_ns, process_time_ns
from typing import Protocol, runtime_checkable

import numpy as np

from live_sr.bench.options import BenchOptions
from live_sr.bench.results import CURVE_PERCENTILES, BenchRound
from live_sr.errors import UsageError
from live_sr.pipeline.contracts import Engine, FrameSource
from live_sr.pipeline.frame import Pixels, Size, Stamps
from live_sr.pipeline.latency import Latency, Percentiles
from live_sr.pipeline.null_display import NullDisplay
from live_sr.pipeline.pipeline import WAIT_S, Pipeline

WARM_UP_S = 1.0  # seconds of running after the engine is built
SLOWEST_S = 60.0  # how long a frame may take that outlasts the round
CAPACITY = 100_000  # the newest frames of a run whose latency is kept


@runtime_checkable
class TimedOnDevice(Protocol):
    """An engine whose GPU measures its own stages, with events between the commands."""

    def get_device_ms(self) -> dict[str, list[float]]:
        """Milliseconds of the newest frames, oldest first, by stage: "copy in", "compute", "copy out"."""
        ...


class LatencyRecorder:
    """Keeps the latency from source to display of each frame of a run, without allocating. For `Latency.on_shown`."""

    def __init__(self) -> None:
        self._rows = np.zeros((CAPACITY, 2), np.int64)  # shown, age; the upscale thread's until the run is over
        self._count = 0

    def __call__(self, stamps: Stamps) -> None:
        row = self._rows[self._count % CAPACITY]
        row[0] = stamps.shown
        row[1] = stamps.shown - stamps.seen
        self._count += 1

    def compute_curve(self, since_ns: int) -> tuple[float, ...]:
        """The latency in ms at CURVE_PERCENTILES, of the frames shown since `since_ns`; call it after the run."""
        rows = self._rows[: self._count]
        ages = rows[rows[:, 0] >= since_ns, 1] / 1e6
        return (
            tuple(float(at) for at in np.percentile(ages, CURVE_PERCENTILES))
            if len(ages)
            else (0.0,) * len(CURVE_PERCENTILES)
        )


def measure_round(open_source: Callable[[], FrameSource], engine: Engine, seconds: float, *, free: bool) -> BenchRound:
    """Runs the pipeline for `seconds` after a warm-up, or until the source ends. Raises LiveSRError.

    An engine that takes longer than `seconds` for its first frame gets the time to finish it.
    """
    latency = Latency(capacity=CAPACITY)
    recorder = LatencyRecorder()
    latency.on_shown = recorder
    pipeline: Pipeline[Pixels] = Pipeline(
        open_source, engine, NullDisplay(latency), latency, reopen=False, every_frame=free
    )
    since, cpu_ns = 0, 0
    pipeline.start()
    try:
        if not _wait_for_end(pipeline, WARM_UP_S):
            since, cpu_ns = perf_counter_ns(), process_time_ns()
            latency.reset()
            if not _wait_for_end(pipeline, seconds):
                _wait_for_frame(pipeline, latency)
            cpu_ns = process_time_ns() - cpu_ns
        report = latency.report()
    finally:
        pipeline.stop()
    if not report.shown:
        raise UsageError("not a single frame was measured", "give it more --seconds, or a longer source")
    return BenchRound(
        frames=report.shown,
        seconds=report.seconds,
        fps=report.shown_fps,
        dropped=report.dropped,
        latency_ms=report.total,
        stages_ms=report.stages,
        device_ms=_read_device_times(engine, report.shown),
        curve_ms=recorder.compute_curve(since),
        cpu_ms=cpu_ns / 1e6 / report.shown,
        drawn=report.drawn,
    )


def make_source_opener(options: BenchOptions, size: Size | None, pace: float | None) -> Callable[[], FrameSource]:
    if options.source == "pattern":
        from live_sr.capture.pattern import PatternSource

        return partial(PatternSource, size or options.sizes[0], fps=pace)
    from live_sr.bench.sequence import SequenceSource, read_sequence

    return partial(SequenceSource, read_sequence(Path(options.source)), pace)


def _read_device_times(engine: Engine, frames: int) -> dict[str, Percentiles]:
    """What the GPU measured for the newest `frames` frames; empty for an engine on the CPU."""
    if not isinstance(engine, TimedOnDevice):
        return {}
    return {stage: Percentiles.of(np.array(ms[-frames:])) for stage, ms in engine.get_device_ms().items() if ms}


def _wait_for_end(pipeline: Pipeline[Pixels], seconds: float) -> bool:
    end = monotonic() + seconds
    while (left := end - monotonic()) > 0:
        if pipeline.wait(min(left, WAIT_S)):
            return True
    return False


def _wait_for_frame(pipeline: Pipeline[Pixels], latency: Latency) -> None:
    """Waits until one frame was shown since the reset, or the source ends."""
    end = monotonic() + SLOWEST_S
    while not latency.report().shown and monotonic() < end:
        if pipeline.wait(WAIT_S):
            return
