"""What a job of the service is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from live_sr.errors import LiveSRError

MEASUREMENT = "measurement"
"""The kind of a job without a file, which measures the networks."""


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class ServiceJob:
    """One file to upscale, or a measurement.

    id: 32 random hexadecimal digits, also the name of the job's folder. name: the file's name for people, never a path.
    source and target: file names in the job's folder, made here. scale: 0 is the model's default. temporary: its client
    waits for it, so it does not outlive the process. starts: how often it was begun. done and total: frames, of which a
    picture has one, or networks of a measurement. created and ended: seconds since the epoch; ended is 0 before.
    message: why it failed, or what a measurement left out.
    """

    id: str
    kind: str
    name: str
    source: str
    target: str
    model: str
    scale: int
    temporary: bool
    created: float
    state: JobState = JobState.QUEUED
    message: str = ""
    starts: int = 0
    ended: float = 0.0
    done: int = 0
    total: int = 0


class QueueFull(LiveSRError):
    """As many jobs wait as may wait."""

    def __init__(self) -> None:
        super().__init__("the queue is full", "try again in a moment")


class UnknownJob(LiveSRError):
    """There is no such job, or it was deleted."""

    def __init__(self) -> None:
        super().__init__("there is no such job", "ended jobs are deleted after some hours")


class JobNotFinished(LiveSRError):
    """The job has no result, or not yet."""

    def __init__(self, state: JobState) -> None:
        super().__init__(f"the job is {state}", "" if state.is_final else "wait until it is finished")


class JobWithoutFile(LiveSRError):
    """The job has no file as its result."""

    def __init__(self) -> None:
        super().__init__("a measurement makes no file", "GET /figures has what was measured")


class ServiceStopped(LiveSRError):
    """The service ends while somebody waits."""

    def __init__(self) -> None:
        super().__init__("the service is being stopped", "try again when it runs")


class StoreFailed(LiveSRError):
    """The database of jobs could not be read or written."""


class UploadLimit(LiveSRError):
    """The uploaded file has too many bytes, pixels or seconds."""


def clean_name(name: str) -> str:
    """A file name for people: the last part, without characters that mean something to a system or in a header."""
    last = re.split(r"[/\\]", name)[-1]
    return re.sub(r"[^\w .()+-]", "_", last).strip(" .")[-100:] or "file"
