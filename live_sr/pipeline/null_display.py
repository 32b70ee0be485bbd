"""A display without a window, for the benchmark and for the demo without a screen."""

from __future__ import annotations

from time import perf_counter_ns

from live_sr.pipeline.frame import Frame, Pixels
from live_sr.pipeline.latency import Latency


class NullDisplay:
    """Fulfils `contracts.Display`: a frame counts as shown at once, and is returned when the next one comes."""

    def __init__(self, latency: Latency) -> None:
        self._latency = latency
        self._last: Frame[Pixels] | None = None  # the upscale thread's

    def show(self, frame: Frame[Pixels]) -> Frame[Pixels] | None:
        frame.stamps.shown = perf_counter_ns()
        self._latency.record_shown(frame.stamps)
        self._last, given_back = frame, self._last
        return given_back
