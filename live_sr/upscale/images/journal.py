"""Remembers with which settings pictures were made, so that an interrupted command can be resumed.

    results/.live-sr-pictures   one line of JSON for each finished picture; deleted when the command has finished all

A picture is known again by its name, its length and the time when it was written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

JOURNAL_NAME = ".live-sr-pictures"

FINISHED, OTHER_SETTINGS, UNKNOWN = "finished", "other settings", "unknown"


class PictureJournal:
    """The journals of the folders that one command writes to."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, object]] = {}

    def look_up(self, target: Path, settings: Sequence[object]) -> str:
        """Whether that picture was FINISHED with these settings, with OTHER_SETTINGS, or whether that is UNKNOWN."""
        entry = self._read(target.parent).get(target.name)
        if not isinstance(entry, dict) or entry.get("file") != _describe_file(target):
            return UNKNOWN
        return FINISHED if entry.get("settings") == _digest(settings) else OTHER_SETTINGS

    def add(self, target: Path, settings: Sequence[object]) -> None:
        """The picture is finished."""
        entry = {"name": target.name, "file": _describe_file(target), "settings": _digest(settings)}
        self._read(target.parent)[target.name] = entry
        with suppress(OSError), (target.parent / JOURNAL_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def delete(self) -> None:
        """All pictures of the command are finished."""
        for folder in self._folders:
            with suppress(OSError):
                (folder / JOURNAL_NAME).unlink(missing_ok=True)

    def _read(self, folder: Path) -> dict[str, object]:
        if folder not in self._folders:
            entries: dict[str, object] = {}
            with suppress(OSError):
                for line in (folder / JOURNAL_NAME).read_text(encoding="utf-8").splitlines():
                    with suppress(ValueError, KeyError, TypeError):  # the last line of a command that was killed
                        entry = json.loads(line)
                        entries[entry["name"]] = entry
            self._folders[folder] = entries
        return self._folders[folder]


def _digest(settings: Sequence[object]) -> str:
    return hashlib.sha256(repr(tuple(settings)).encode("utf-8", "surrogatepass")).hexdigest()


def _describe_file(path: Path) -> list[int]:
    try:
        facts = path.stat()
    except OSError:
        return []
    return [facts.st_size, facts.st_mtime_ns]
