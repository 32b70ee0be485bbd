"""The thread that does one job after another, with the code of `live-sr upscale`."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from live_sr.errors import LiveSRError, explain
from live_sr.pipeline.frame import Pixels
from live_sr.service import figures
from live_sr.service.catalogue import ModelCatalogue
from live_sr.service.changes import Changes
from live_sr.service.jobs import MEASUREMENT, JobState, QueueFull, ServiceJob, StoreFailed
from live_sr.service.measuring import MeasuringProcess, MeasuringStopped
from live_sr.service.metrics import ServiceMetrics
from live_sr.service.options import ServiceOptions
from live_sr.service.store import JobStore
from live_sr.upscale.images.job import ImageUpscaler
from live_sr.upscale.options import EncodingOptions, ScalingOptions
from live_sr.upscale.video import job as video
from live_sr.upscale.video.job import OutputOptions, TranscodeJob
from live_sr.upscale.video.job_folder import JobChanged
from live_sr.upscale.video.segments import Segment
from live_sr.upscale.video.transcode import TranscodeCallbacks

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_STARTS = 20  # of one job: one that ends the process each time must not do so for ever
REPORT_S = 0.1  # between two reports of progress
RETRY_S = 1.0  # after the database could not be used
STOP_S = 5.0  # how long the end of the service waits for a picture
ENCODING = EncodingOptions()  # the defaults of `live-sr upscale`


class JobStopped(Exception):
    """The job was cancelled, or the service ends."""


class JobWorker:
    """Does the jobs of the store, the oldest first. One engine works at a time."""

    def __init__(
        self,
        options: ServiceOptions,
        store: JobStore,
        catalogue: ModelCatalogue,
        changes: Changes,
        metrics: ServiceMetrics,
    ) -> None:
        self._options = options
        self._store = store
        self._catalogue = catalogue
        self._changes = changes
        self._metrics = metrics
        self._thread = threading.Thread(target=self._work, name="live-sr jobs", daemon=True)
        self._changed = threading.Condition()
        # guarded by _changed:
        self._receiving = 0
        self._stopping = False
        self._cancelled: set[str] = set()
        # the worker thread's:
        self._images: tuple[ScalingOptions, ImageUpscaler] | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> bool:
        """Stops after the current frame, or soon after a picture. Whether the thread has ended."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(STOP_S)
        return not self._thread.is_alive()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def reserve(self) -> None:
        """Takes a place in the queue for a file that is being received. Raises QueueFull."""
        with self._changed:
            if self._receiving + self._store.count(JobState.QUEUED) >= self._options.limits.queue:
                raise QueueFull
            self._receiving += 1

    def release(self) -> None:
        """Gives the place back."""
        with self._changed:
            self._receiving -= 1

    def submit(self, job: ServiceJob, *, reserved: bool) -> None:
        """Puts a job into the queue; `reserved`: in a place taken before, which is then free. Raises QueueFull."""
        with self._changed:
            if not reserved and self._receiving + self._store.count(JobState.QUEUED) >= self._options.limits.queue:
                raise QueueFull
            self._receiving -= reserved
            self._store.add(job)
            self._changed.notify_all()

    def cancel(self, job_id: str) -> None:
        """Cancels a job that waits, or stops it while it runs; one that has ended stays as it is."""
        with self._changed:
            if not self._store.end(job_id, JobState.CANCELLED, only_if=JobState.QUEUED):
                if self._store.get(job_id).state is JobState.RUNNING:
                    self._cancelled.add(job_id)
                return
        self._clean_up(self._store.get(job_id))
        self._changes.notify()

    def get_folder(self, job_id: str) -> Path:
        return self._options.folder / "jobs" / job_id

    # On the worker thread

    def _work(self) -> None:
        with suppress(StoreFailed):  # while the service ends
            while (job := self._insist(self._wait_for_job)) is not None:
                self._work_on(job)
        self._close_images()

    def _work_on(self, job: ServiceJob) -> None:
        if not self._insist(lambda: self._store.start(job.id)):
            return  # cancelled meanwhile
        self._changes.notify()
        begun = time.perf_counter()
        state, message = self._try_job(job)
        self._metrics.observe(job.kind, state, time.perf_counter() - begun)
        self._insist(lambda: self._end_job(job, state, message))
        self._changes.notify()

    def _insist(self, use_store: Callable[[], T]) -> T:
        """Tries again while the database cannot be used, as on a full disk. Raises StoreFailed if the service ends."""
        while True:
            try:
                return use_store()
            except StoreFailed as error:
                log.warning("%s", error.message)
                with self._changed:
                    if self._stopping:
                        raise
                    self._changed.wait(RETRY_S)

    def _wait_for_job(self) -> ServiceJob | None:
        """The next job; None when the service ends."""
        with self._changed:
            while not self._stopping:
                job = self._store.find_next()
                if job is not None:
                    return job
                self._changed.wait()
        return None

    def _try_job(self, job: ServiceJob) -> tuple[JobState, str]:
        """Does it. Returns the state that it then has, and why it failed."""
        try:
            if job.starts >= MAX_STARTS:
                raise LiveSRError(f"the service ended {job.starts} times during this job", "try another file")
            message = self._do_job(job)
        except JobStopped:
            return (JobState.CANCELLED if self._is_cancelled(job) else JobState.QUEUED), ""
        except LiveSRError as error:
            folder = self.get_folder(job.id)
            sentence = explain(error).replace(str(folder / job.source), job.name)
            return JobState.FAILED, self._options.hide_folder(sentence)
        except Exception as error:  # one job must not end the others
            log.exception("job %s failed", job.id)
            return JobState.FAILED, f"unexpected error: {type(error).__name__}"
        return (JobState.CANCELLED if self._is_cancelled(job) else JobState.FINISHED), message

    def _end_job(self, job: ServiceJob, state: JobState, message: str) -> None:
        if state is JobState.QUEUED:
            self._store.requeue(job.id, forgive=True)
            return
        self._store.end(job.id, state, message)
        self._clean_up(job, keep_result=state is JobState.FINISHED)
        with self._changed:
            self._cancelled.discard(job.id)

    def _do_job(self, job: ServiceJob) -> str:
        """What is to be told at its end. Raises LiveSRError or JobStopped."""
        if job.kind == MEASUREMENT:
            return self._measure(job)
        model = self._catalogue.find(job.model)
        scaling = ScalingOptions(model, job.scale or None, engine=self._options.engine)
        folder = self.get_folder(job.id)
        source, target = folder / job.source, folder / job.target
        if job.kind == "picture":
            self._store.report(job.id, 0, 1)
            self._open_images(scaling).upscale(source, target)
            self._store.report(job.id, 1, 1)
            return ""
        self._close_images()  # one engine at a time
        run = self._make_runner(job)
        try:
            video.upscale_video(source, target, scaling, ENCODING, OutputOptions(resume=True), run=run)
        except JobChanged:  # it was begun with another engine or version of live-sr, whose frames may differ
            video.upscale_video(source, target, scaling, ENCODING, OutputOptions(discard=True), run=run)
        return ""

    def _measure(self, job: ServiceJob) -> str:
        """Which networks were left out, and why. Raises JobStopped."""
        self._close_images()  # one engine at a time
        left_out: tuple[str, ...] = ()
        try:
            with MeasuringProcess(self._options.engine, lambda: self._must_stop(job)) as process:
                for progress in figures.measure_networks(self._store, process, self._options.measure_s):
                    self._store.report(job.id, progress.done, progress.total)
                    self._changes.notify()
                    left_out = progress.left_out
        except MeasuringStopped:
            raise JobStopped from None
        return f"left out: {'; '.join(left_out)}" if left_out else ""

    def _make_runner(self, job: ServiceJob) -> video.SegmentRunner:
        """What makes the segments of a video, reports the progress, and stops when it should."""

        def run(
            prepared: TranscodeJob,
            segments: Sequence[Segment],
            get_path: Callable[[Segment], Path],
            callbacks: TranscodeCallbacks,
        ) -> None:
            total = prepared.plan.frames
            done = total - sum(segment.frames for segment in segments)
            due = 0.0

            def on_frame(pixels: Pixels | None) -> None:
                nonlocal done, due
                if self._must_stop(job):
                    raise JobStopped
                done += 1
                self._metrics.count_frame()
                self._store.report(job.id, min(done, total), total)
                if time.monotonic() >= due:
                    due = time.monotonic() + REPORT_S
                    self._changes.notify()
                callbacks.on_frame(pixels)

            video.run_in_process(prepared, segments, get_path, TranscodeCallbacks(on_frame, callbacks.on_segment))

        return run

    def _is_cancelled(self, job: ServiceJob) -> bool:
        with self._changed:
            return job.id in self._cancelled

    def _must_stop(self, job: ServiceJob) -> bool:
        with self._changed:
            return self._stopping or job.id in self._cancelled

    def _open_images(self, scaling: ScalingOptions) -> ImageUpscaler:
        """The one of the picture before, if that had the same model and scale."""
        if self._images is None or self._images[0] != scaling:
            self._close_images()
            self._images = (scaling, ImageUpscaler(scaling))
        return self._images[1]

    def _close_images(self) -> None:
        if self._images is not None:
            self._images[1].close()
            self._images = None

    def _clean_up(self, job: ServiceJob, *, keep_result: bool = False) -> None:
        """Deletes the job's files, but for its result."""
        folder = self.get_folder(job.id)
        if not keep_result:
            shutil.rmtree(folder, ignore_errors=True)
            return
        with suppress(OSError):  # deleted with the result later
            (folder / job.source).unlink()
