"""Writes files as a whole or not at all."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path

from live_sr.errors import LiveSRError


def choose_part_path(path: Path) -> Path:
    """A temporary name beside `path`, short enough for every file system, however long the name of `path` is."""
    digest = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return path.with_name(f".{digest}.part")


def check_writable(path: Path) -> None:
    """Finds out before long work whether `write` could write there now. Raises LiveSRError."""
    if path.is_dir():
        raise LiveSRError(f"{path} cannot be written: it is a folder", "choose another file")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise LiveSRError(f"{path} cannot be written: {error.strerror}", "choose another folder") from None


def write(path: Path, data: bytes) -> None:
    """Writes to a temporary file and renames it, so that no half-written file is left. Raises LiveSRError."""
    if path.is_dir():
        raise LiveSRError(f"{path} cannot be written: it is a folder", "choose another file")
    part = choose_part_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):  # where the folder is a file
            part.unlink(missing_ok=True)
        raise LiveSRError(f"{path} cannot be written: {error.strerror}", "choose another folder") from None
