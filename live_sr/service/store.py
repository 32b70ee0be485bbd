"""The database of jobs. Every change is on the disk before it is reported, but for progress, which is in memory."""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
import time
from pathlib import Path

from live_sr.errors import LiveSRError
from live_sr.service.jobs import JobState, ServiceJob, StoreFailed, UnknownJob

SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    source TEXT NOT NULL, target TEXT NOT NULL, model TEXT NOT NULL, scale INTEGER NOT NULL,
    temporary INTEGER NOT NULL, created REAL NOT NULL, state TEXT NOT NULL, message TEXT NOT NULL DEFAULT '',
    starts INTEGER NOT NULL DEFAULT 0, ended REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS job_state ON job (state, number);
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
FIELDS = [field.name for field in dataclasses.fields(ServiceJob) if field.name not in ("done", "total")]
COLUMNS = ", ".join(FIELDS)


class JobStore:
    """The jobs of one folder. All methods may be called from any thread, and may raise StoreFailed."""

    def __init__(self, path: Path) -> None:
        """Raises LiveSRError where the file is no database, or cannot be written."""
        self._lock = threading.Lock()
        self._progress: dict[str, tuple[int, int]] = {}
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise LiveSRError(f"{path} cannot be used: {error}", "name another folder with --folder") from None

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def add(self, job: ServiceJob) -> None:
        marks = ", ".join("?" * len(FIELDS))
        self._execute(f"INSERT INTO job ({COLUMNS}) VALUES ({marks})", [getattr(job, name) for name in FIELDS])

    def get(self, job_id: str) -> ServiceJob:
        """The job with its progress. Raises UnknownJob."""
        rows = self._execute(f"SELECT {COLUMNS} FROM job WHERE id = ?", [job_id])
        if not rows:
            raise UnknownJob
        return self._make_job(rows[0])

    def list_jobs(self) -> list[ServiceJob]:
        return [self._make_job(row) for row in self._execute(f"SELECT {COLUMNS} FROM job ORDER BY number")]

    def find_next(self) -> ServiceJob | None:
        """The job that has waited longest."""
        rows = self._execute(f"SELECT {COLUMNS} FROM job WHERE state = ? ORDER BY number LIMIT 1", [JobState.QUEUED])
        return self._make_job(rows[0]) if rows else None

    def count(self, state: JobState) -> int:
        return len(self._execute("SELECT id FROM job WHERE state = ?", [state]))

    def start(self, job_id: str) -> bool:
        """Marks a waiting job as running. False if it waits no more."""
        query = "UPDATE job SET state = ?, starts = starts + 1 WHERE id = ? AND state = ? RETURNING id"
        return bool(self._execute(query, [JobState.RUNNING, job_id, JobState.QUEUED]))

    def requeue(self, job_id: str, *, forgive: bool) -> None:
        """A running job waits again. forgive: this start does not count, because the service was stopped in order."""
        query = "UPDATE job SET state = ?, starts = starts - ? WHERE id = ? AND state = ?"
        self._execute(query, [JobState.QUEUED, int(forgive), job_id, JobState.RUNNING])

    def end(self, job_id: str, state: JobState, message: str = "", *, only_if: JobState = JobState.RUNNING) -> bool:
        """Gives a job its final state. False if it was not in the state `only_if`."""
        query = "UPDATE job SET state = ?, message = ?, ended = ? WHERE id = ? AND state = ? RETURNING id"
        return bool(self._execute(query, [state, message, time.time(), job_id, only_if]))

    def delete(self, job_id: str) -> None:
        self._execute("DELETE FROM job WHERE id = ?", [job_id])
        with self._lock:
            self._progress.pop(job_id, None)

    def report(self, job_id: str, done: int, total: int) -> None:
        """Sets a job's progress in frames."""
        with self._lock:
            self._progress[job_id] = (done, total)

    def read_setting(self, name: str) -> str | None:
        rows = self._execute("SELECT value FROM setting WHERE name = ?", [name])
        return str(rows[0][0]) if rows else None

    def write_setting(self, name: str, value: str) -> None:
        self._execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", [name, value])

    def _execute(self, query: str, values: list[str | int | float] | None = None) -> list[tuple[object, ...]]:
        try:
            with self._lock:
                return self._database.execute(query, values or []).fetchall()
        except sqlite3.Error as error:
            raise StoreFailed(f"the database of jobs cannot be used: {error}", "free some space on its disk") from None

    def _make_job(self, row: tuple[object, ...]) -> ServiceJob:
        values = dict(zip(FIELDS, row, strict=True))
        values |= {"state": JobState(str(values["state"])), "temporary": bool(values["temporary"])}
        with self._lock:
            done, total = self._progress.get(str(values["id"]), (0, 0))
        return ServiceJob(**values, done=done, total=total)  # type: ignore[arg-type]  # the columns are its fields
