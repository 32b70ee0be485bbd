"""The hidden folder beside a target where it is made: finished segments, a description of the job, and a lock.

    .film.mkv.live-sr/lock           held by the command that works here; freed by the system if it dies
    .film.mkv.live-sr/job.json       the journal: what is being made, written before the first segment
    .film.mkv.live-sr/000007.segment a complete segment
    .film.mkv.live-sr/000008.part    a segment in progress
    .film.mkv.live-sr/000007.state   what segment 8 depends on (sequence_state.py); most networks have none
    .film.mkv.live-sr/whole.part     the muxed file, which is then moved to the target

Only complete files get a name other than .part, so the command may die at any moment.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from live_sr.errors import UsageError
from live_sr.system.file_lock import ProcessLock
from live_sr.upscale.video import segment_file
from live_sr.upscale.video.segment_file import make_write_error

JOURNAL_FILE = "job.json"
LOCK_FILE = "lock"
LONGEST_NAME = 255  # bytes, in all usual file systems

Journal = Mapping[str, str]


class JobChanged(UsageError):
    """The folder contains an unfinished job with another source or other settings."""


class JobFolder:
    """The folder for making `target`, used by one command at a time.

    When left, it is kept if it contains complete segments, unless `finish` was called. Raises UsageError when another
    command uses it, or when it contains an unfinished job and neither `resume` nor `discard` is set.
    """

    def __init__(self, target: Path, journal: Journal, *, resume: bool = False, discard: bool = False) -> None:
        """journal: everything that the segments depend on, by name. A job is resumed only with an equal journal."""
        self._target = target
        self._journal = {name: str(value) for name, value in journal.items()}
        self._resume = resume
        self._discard = discard
        self.folder = get_job_folder(target)
        self._lock = ProcessLock(self.folder / LOCK_FILE)

    def __enter__(self) -> JobFolder:
        in_use = UsageError(
            f"another command is making {self._target} now", "wait until it has finished, or write to another file"
        )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(in_use)
        except OSError as error:
            raise make_write_error(self.folder, error) from None
        try:
            self._resume_or_reset()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        keep = self._journal_path().exists() and self.count_complete() > 0
        if keep:
            self._clear("*.part")
        self._lock.release()  # first, because Windows cannot delete an open file
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def get_segment_path(self, number: int) -> Path:
        """The file of that segment."""
        return self.folder / f"{number:06}.segment"

    @property
    def muxed_path(self) -> Path:
        return self.folder / "whole.part"

    def count_complete(self) -> int:
        """How many segments are complete."""
        return len(list(self.folder.glob("*.segment")))

    def finish(self) -> None:
        """Moves the muxed file to the target. The folder is then deleted when it is left."""
        try:
            self.muxed_path.replace(self._target)
        except OSError as error:
            raise make_write_error(self._target, error) from None
        self._journal_path().unlink(missing_ok=True)  # first, so that a crash here leaves nothing to resume

    def _resume_or_reset(self) -> None:
        """Resumes the job in the folder, deletes it, or refuses."""
        journal = _read_journal(self._journal_path())
        if journal is not None and self.count_complete() and not self._discard:
            if not self._resume:
                raise UsageError(
                    f"{self._target} was started before: {self.count_complete()} of its segments are finished",
                    "add --resume to continue, or --discard to delete them",
                )
            changed = sorted(n for n in {*journal, *self._journal} if journal.get(n) != self._journal.get(n))
            if changed:
                raise JobChanged(
                    f"{self._target} was started with other settings: {', '.join(changed)}",
                    "use the same input and flags as before, or add --discard to start again",
                )
            self._clear("*.part")
        else:
            self._clear("*.part", "*.segment", "*.state", JOURNAL_FILE)
            part = self._journal_path().with_suffix(".part")
            try:
                part.write_text(json.dumps(self._journal, indent=1), encoding="utf-8")
                part.replace(self._journal_path())
            except OSError as error:
                raise make_write_error(part, error) from None

    def _journal_path(self) -> Path:
        return self.folder / JOURNAL_FILE

    def _clear(self, *patterns: str) -> None:
        for pattern in patterns:
            for path in self.folder.glob(pattern):
                with suppress(OSError):
                    path.unlink()


def get_job_folder(target: Path) -> Path:
    """The job folder of a target, hidden on systems where a leading dot hides files."""
    name = f".{target.name}.live-sr"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:24]}.live-sr"
    return target.with_name(name)


def has_unfinished_job(target: Path) -> bool:
    """Whether an interrupted job can be resumed."""
    return (get_job_folder(target) / JOURNAL_FILE).exists()


def must_be_made(path: Path) -> bool:
    """Whether a segment is missing or damaged."""
    return segment_file.read_segment(path) is None


def _read_journal(path: Path) -> dict[str, str] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
