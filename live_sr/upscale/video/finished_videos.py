"""Remembers how finished videos were made, so that `--resume` knows one that was made with other settings.

The file has checksums only: of each video's path, and of each thing that its job depended on. A video is known again by
its path, its length and the time when it was written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from live_sr.errors import LiveSRError
from live_sr.system import atomic_file, paths

FILE_NAME = "finished-videos.json"
KEPT = 1000  # videos, the newest ones
IGNORED = "version"  # a newer live-sr or PyAV does not make a finished video an unfinished one


def remember(target: Path, job: Mapping[str, str]) -> None:
    """The video is finished. `job`: everything that it depends on, by name."""
    folder = paths.get_state_folder()
    if folder is None:
        return
    name, entries = _digest(str(target.resolve())), _read()
    entries.pop(name, None)
    with suppress(LiveSRError, OSError):  # such as a video that is moved away at once: it is only not known again
        entries[name] = {"file": _describe_file(target), "job": _summarise(job)}
        newest = dict(list(entries.items())[-KEPT:])
        atomic_file.write(folder / FILE_NAME, json.dumps(newest, indent=1).encode())


def find_changes(target: Path, job: Mapping[str, str]) -> list[str] | None:
    """The names of what was different when that video was made. None: that is not known."""
    entry = _read().get(_digest(str(target.resolve())))
    if not isinstance(entry, dict) or entry.get("file") != _describe_file(target):
        return None
    made = entry.get("job")
    if not isinstance(made, dict):
        return None
    now = _summarise(job)
    return sorted(name for name in {*made, *now} if made.get(name) != now.get(name))


def _summarise(job: Mapping[str, str]) -> dict[str, str]:
    return {name: _digest(value) for name, value in job.items() if name != IGNORED}


def _read() -> dict[str, Any]:
    folder = paths.get_state_folder()
    if folder is None:
        return {}
    try:
        found = json.loads((folder / FILE_NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _describe_file(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]
