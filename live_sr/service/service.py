"""Everything that the routes need, in one value."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from fastapi.concurrency import run_in_threadpool

from live_sr.errors import LiveSRError, ModelError, UsageError
from live_sr.service import figures
from live_sr.service.catalogue import ModelCatalogue
from live_sr.service.changes import Changes
from live_sr.service.gate import Place
from live_sr.service.intake import Intake
from live_sr.service.jobs import MEASUREMENT, JobNotFinished, JobState, JobWithoutFile, ServiceJob, ServiceStopped
from live_sr.service.metrics import ServiceMetrics
from live_sr.service.options import ServiceOptions
from live_sr.service.store import JobStore
from live_sr.service.worker import JobWorker

log = logging.getLogger(__name__)

EXAMPLE = Path(__file__).parent / "page" / "example.png"
MODEL, SCALE, STARTED_WITH = "model", "scale", "started with"  # names of settings in the store
DELETE_S = 60.0  # between two looks for jobs whose time is over
VIDEO_REFUSED = "a video takes too long for one answer", "begin a job for it with POST /jobs"


class Service:
    """The store, the worker and what else belongs to one folder. `open` and `close` are called on the event loop."""

    def __init__(self, options: ServiceOptions) -> None:
        """Raises LiveSRError where the folder or the model cannot be used."""
        self.options = options
        self.store = JobStore(options.folder / "jobs.sqlite")
        self.catalogue = ModelCatalogue(options.folder / "models", options.model, options.engine)
        self.changes = Changes()
        self.metrics = ServiceMetrics(self.store)
        self.worker = JobWorker(options, self.store, self.catalogue, self.changes, self.metrics)
        self._intake = Intake(options)
        self._measuring = threading.Lock()  # while a measurement is looked for, and begun
        self.catalogue.find(options.model)

    def open(self) -> None:
        if self.store.read_setting(STARTED_WITH) != self.options.model:  # it was named anew, in place of a chosen one
            self._set_current(self.options.model, 0)
            self.store.write_setting(STARTED_WITH, self.options.model)
        self._recover()
        self.changes.attach()
        self.worker.start()

    def close(self) -> None:
        self.changes.stop()
        if self.worker.stop():
            self.store.close()

    def get_current(self) -> tuple[str, int]:
        """The model and scale for requests that name none; scale 0 is the model's default."""
        return self.store.read_setting(MODEL) or self.options.model, int(self.store.read_setting(SCALE) or 0)

    def accept(
        self, data: BinaryIO, name: str, model: str, scale: int, *, temporary: bool, place: Place | None = None
    ) -> ServiceJob:
        """Puts a file into the queue. Blocks. Raises LiveSRError.

        temporary: a picture whose client waits for it.
        An empty model and scale 0 are the current ones. place: in the queue, taken before the file was received.
        """
        now_model, now_scale = self.get_current()
        scale = scale or (now_scale if model in ("", now_model) else 0)
        model = model or now_model
        job = self._intake.make_job(data, name, self.catalogue.find(model, scale), model, scale, temporary=temporary)
        try:
            if temporary and job.kind == "video":
                raise UsageError(*VIDEO_REFUSED)
            self.worker.submit(job, reserved=place is not None and place.hand_over())
        except BaseException:
            shutil.rmtree(self.worker.get_folder(job.id), ignore_errors=True)
            raise
        return job

    async def upscale_example(self, model: str, scale: int) -> ServiceJob:
        """The ended job of the example picture. Raises LiveSRError where it has failed."""

        def accept() -> ServiceJob:
            with EXAMPLE.open("rb") as file:
                return self.accept(file, EXAMPLE.name, model, scale, temporary=True)

        return await self.wait((await run_in_threadpool(accept)).id)

    def begin_measurement(self) -> ServiceJob:
        """The job that measures the networks: the one that has not ended, or a new one. Raises QueueFull."""
        with self._measuring:
            for job in self.store.list_jobs():
                if job.kind == MEASUREMENT and not job.state.is_final:
                    return job
            job = figures.make_job()
            self.worker.submit(job, reserved=False)
            return job

    async def configure(self, model: str, scale: int) -> None:
        """Makes a model the current one, once it has enlarged the example. Raises LiveSRError."""
        job = await self.upscale_example(model, scale)
        self.delete(job.id)
        self._set_current(model, scale)

    async def watch(self, job_id: str) -> AsyncIterator[ServiceJob]:
        """The job now and after each change, until it has ended or the service ends. Raises UnknownJob."""
        last = None
        while True:
            change = self.changes.get_next()
            job = self.store.get(job_id)
            if job != last:
                yield job
                last = job
            if job.state.is_final or self.changes.stopping:
                return
            await change.wait()

    async def wait(self, job_id: str) -> ServiceJob:
        """The finished job. Raises LiveSRError where it has failed, or the service ends."""
        *_, job = [job async for job in self.watch(job_id)]
        if job.state is JobState.FINISHED:
            return job
        if not job.state.is_final:
            raise ServiceStopped
        self.delete(job_id)
        raise ModelError(job.message, "")

    def get_result_path(self, job: ServiceJob) -> Path:
        """The result's file. Raises JobNotFinished or JobWithoutFile."""
        if job.kind == MEASUREMENT:
            raise JobWithoutFile
        if job.state is not JobState.FINISHED:
            raise JobNotFinished(job.state)
        return self.worker.get_folder(job.id) / job.target

    def delete(self, job_id: str) -> None:
        """Deletes an ended job and its files."""
        self.store.delete(job_id)  # first, so that nobody is sent to a file that is gone
        shutil.rmtree(self.worker.get_folder(job_id), ignore_errors=True)

    async def delete_old_jobs(self) -> None:
        """Deletes ended jobs when their time is over, until it is cancelled."""
        while True:
            try:
                await run_in_threadpool(self._delete_old)
            except LiveSRError as error:
                log.warning("old jobs are not deleted: %s", error.message)
            await asyncio.sleep(min(DELETE_S, 3600 * self.options.keep_hours))

    def _set_current(self, model: str, scale: int) -> None:
        self.store.write_setting(SCALE, str(scale))
        self.store.write_setting(MODEL, model)

    def _recover(self) -> None:
        """What a stopped or killed service left: its jobs go on, and what belongs to none is deleted."""
        for job in self.store.list_jobs():
            if job.temporary:
                self.delete(job.id)
            else:
                self.store.requeue(job.id, forgive=False)
        known = {job.id for job in self.store.list_jobs()}
        for folder in (self.options.folder / "jobs").glob("*"):
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def _delete_old(self) -> None:
        before = time.time() - 3600 * self.options.keep_hours
        for job in self.store.list_jobs():
            if job.state.is_final and job.ended < before:
                self.delete(job.id)
