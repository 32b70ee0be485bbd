"""Names for files that the player's keys make."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path


def find_free_name(folder: Path, moment: datetime, endings: Sequence[str]) -> str:
    """The moment to the second, with a number behind it if there is a file of that name with one of the endings."""
    second = name = f"{moment:%Y-%m-%d_%H-%M-%S}"
    number = 1
    while any((folder / f"{name}{ending}").exists() for ending in endings):
        number += 1
        name = f"{second}_{number}"
    return name
