"""The hidden folder beside a target in which it is made: finished segments, what job they belong to, and a lock.

    .film.mkv.live-sr/lock           held by the command that works here; the system frees a dead one's
    .film.mkv.live-sr/job.json       what is being made, written before the first segment
    .film.mkv.live-sr/000007.segment a complete segment
    .film.mkv.live-sr/000008.part    one in work
    .film.mkv.live-sr/whole.part     the joined file, which is then moved to its place

Every name but .part is given to complete files only, so a command may die at any moment.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from live_sr.errors import UsageError
from live_sr.upscale import segmentfile
from live_sr.upscale.segmentfile import unwritable

JOB = "job.json"
LOCK = "lock"

Journal = Mapping[str, str]


class Workshop:
    """A place to make `target` in, alone. On leaving it is kept if it holds complete segments, unless `finish`ed.

    Raises UsageError when another command works there, or when it holds what somebody did not say what to do with.
    """

    def __init__(self, target: Path, journal: Journal, *, resume: bool = False, discard: bool = False) -> None:
        """`journal`: all that the segments depend on, as texts by name; an interrupted job's must be the same."""
        self._target = target
        self._journal = {name: str(value) for name, value in journal.items()}
        self._resume = resume
        self._discard = discard
        self.folder = folder_of(target)
        self._lock = FileLock(self.folder / LOCK)

    def __enter__(self) -> Workshop:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except Timeout:
            raise UsageError(
                f"another command is making {self._target} now", "wait until it has, or write to another file"
            ) from None
        except OSError as error:
            raise unwritable(self.folder, error) from None
        try:
            self._settle()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        keep = self._job_file().exists() and self.complete() > 0
        if keep:
            self._clear("*.part")
        self._lock.release()  # first: Windows deletes no open file
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def place(self, number: int) -> Path:
        """Where that segment belongs."""
        return self.folder / f"{number:06}.segment"

    @property
    def whole(self) -> Path:
        return self.folder / "whole.part"

    def complete(self) -> int:
        """How many segments have their name."""
        return len(list(self.folder.glob("*.segment")))

    def finish(self) -> None:
        """Moves the joined file to its place; nothing is kept then."""
        try:
            self.whole.replace(self._target)
        except OSError as error:
            raise unwritable(self._target, error) from None
        self._job_file().unlink(missing_ok=True)  # first, so that what a death here leaves is no job any more

    def _settle(self) -> None:
        """Goes on with what is here, throws it away, or refuses."""
        begun = _read(self._job_file())
        if begun is not None and self.complete() and not self._discard:
            if not self._resume:
                raise UsageError(
                    f"{self._target} was begun before: {self.complete()} of its segments are done",
                    "add --resume to go on with them, or --discard to throw them away",
                )
            changed = sorted(n for n in {*begun, *self._journal} if begun.get(n) != self._journal.get(n))
            if changed:
                raise UsageError(
                    f"{self._target} was begun with something else: {', '.join(changed)}",
                    "go on with the input and flags of before, or add --discard to begin again",
                )
            self._clear("*.part")
        else:
            self._clear("*.part", "*.segment", JOB)
            part = self._job_file().with_suffix(".part")
            try:
                part.write_text(json.dumps(self._journal, indent=1), encoding="utf-8")
                part.replace(self._job_file())
            except OSError as error:
                raise unwritable(part, error) from None

    def _job_file(self) -> Path:
        return self.folder / JOB

    def _clear(self, *patterns: str) -> None:
        for pattern in patterns:
            for path in self.folder.glob(pattern):
                with suppress(OSError):
                    path.unlink()


def folder_of(target: Path) -> Path:
    """The working folder of a target; hidden, where a leading dot hides."""
    return target.with_name(f".{target.name}.live-sr")


def unfinished(target: Path) -> bool:
    """Whether an interrupted job waits to be gone on with."""
    return (folder_of(target) / JOB).exists()


def damaged(path: Path) -> bool:
    """Whether a segment has to be made (again)."""
    return segmentfile.read(path) is None


def _read(path: Path) -> dict[str, str] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
