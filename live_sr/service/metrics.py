"""Figures for Prometheus."""

from __future__ import annotations

from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from live_sr.service.jobs import JobState
from live_sr.service.store import JobStore

BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class ServiceMetrics:
    """Counts in this process only, since its start."""

    def __init__(self, store: JobStore) -> None:
        self._registry = CollectorRegistry()
        self._jobs = Counter("live_sr_jobs", "Jobs that have ended", ["kind", "state"], registry=self._registry)
        self._seconds = Histogram(
            "live_sr_job_seconds",
            "Time from a job's start to its end",
            ["kind"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._frames = Counter("live_sr_video_frames", "Frames of videos that were upscaled", registry=self._registry)
        for state in (JobState.QUEUED, JobState.RUNNING):
            gauge = Gauge(f"live_sr_jobs_{state}", f"Jobs that are {state} now", registry=self._registry)
            gauge.set_function(partial(store.count, state))

    def observe(self, kind: str, state: JobState, seconds: float) -> None:
        """A job has ended, or was stopped together with the service, which does not count."""
        if state.is_final:
            self._jobs.labels(kind, state).inc()
            self._seconds.labels(kind).observe(seconds)

    def count_frame(self) -> None:
        self._frames.inc()

    def format(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self._registry)
