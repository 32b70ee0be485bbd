"""Results in files, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from live_sr.errors import LiveSRError


def write(path: Path, data: bytes) -> None:
    """To a temporary file first, so that no half-written one is left. Raises LiveSRError."""
    if path.is_dir():
        raise LiveSRError(f"{path} cannot be written: it is a folder", "choose another file")
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise LiveSRError(f"{path} cannot be written: {error.strerror}", "choose another folder") from None
