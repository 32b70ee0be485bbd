"""Guards OpenVINO's own cache of compiled graphs, which OpenVINO writes and reads by itself, against damage.

1234567890.blob   a compiled graph; OpenVINO would use it with a flipped bit in it
blobs.json        the SHA-256 of each
blobs.lock        held while a graph is compiled or loaded
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from live_sr.errors import LiveSRError
from live_sr.system import atomic_file

log = logging.getLogger(__name__)

MAX_BLOBS = 32  # compiled graphs kept in the folder; each has some hundred kB
LOCK_TIMEOUT_S = 10.0  # for another thread or process that compiles; after that, the graph is not kept
POLL_S = 0.01
CHECKSUMS, LOCK = "blobs.json", "blobs.lock"

_verified: dict[Path, tuple[int, int]] = {}  # length and time of the files that this process has read


@contextmanager
def open_blobs(folder: Path | None) -> Iterator[Path | None]:
    """The folder for OpenVINO's cache, for one compilation, with no damaged file in it. None: it cannot be used.

    Files of which no checksum is known are deleted, too: they may be half-written. The user is told of damaged ones.
    """
    if folder is None or not _make_writable(folder):
        yield None
        return
    lock = FileLock(folder / LOCK, timeout=LOCK_TIMEOUT_S)
    try:
        lock.acquire(poll_interval=POLL_S)
    except OSError:  # also the lock's Timeout
        yield None
        return
    try:
        kept = _discard_unsafe(folder)
        yield folder if kept is not None else None
        if kept is not None:
            _write_checksums(folder, kept)
    finally:
        lock.release()


def _discard_unsafe(folder: Path) -> dict[str, object] | None:
    """Deletes old and damaged files. The checksums of the others; None if an unsafe one is still there."""
    known = _read_checksums(folder)
    kept: dict[str, object] = {}
    for blob in _list_newest_first(folder):
        if len(kept) < MAX_BLOBS - 1 and blob.name in known:
            if _is_unchanged(blob, known[blob.name]):
                kept[blob.name] = known[blob.name]
                continue
            log.warning("%s is not used: it was changed or damaged; it is built again", blob)
        try:
            blob.unlink(missing_ok=True)
        except OSError:  # Windows refuses while it is in use
            return None
    return kept


def _write_checksums(folder: Path, known: dict[str, object]) -> None:
    """`known`: of the files that were there before. The others are new."""
    with suppress(OSError, LiveSRError):  # such as a full disk: then the next start deletes the files
        sums = {blob.name: known.get(blob.name) or _compute_checksum(blob) for blob in _list_newest_first(folder)}
        if sums != _read_checksums(folder):
            atomic_file.write(folder / CHECKSUMS, json.dumps(sums, indent=1).encode())


def _is_unchanged(blob: Path, checksum: object) -> bool:
    """Whether a file is as it was written. This process reads each once, unless its time changes."""
    try:
        state = _describe(blob)
        if _verified.get(blob) != state and _compute_checksum(blob) != checksum:
            return False
    except OSError:  # deleted meanwhile, or unreadable
        return not blob.exists()
    _verified[blob] = state
    return True


def _compute_checksum(blob: Path) -> str:
    with blob.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_checksums(folder: Path) -> dict[str, object]:
    try:
        found = json.loads((folder / CHECKSUMS).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _list_newest_first(folder: Path) -> list[Path]:
    """Every size that a window has while it is dragged larger leaves one."""
    with suppress(OSError):  # one is deleted meanwhile by a command that does not compile
        return sorted(folder.glob("*.blob"), key=lambda blob: blob.stat().st_mtime, reverse=True)
    return sorted(folder.glob("*.blob"))


def _describe(blob: Path) -> tuple[int, int]:
    facts = blob.stat()
    return facts.st_size, facts.st_mtime_ns


def _make_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
