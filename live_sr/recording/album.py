"""A folder that is being filled with pictures of a game: their names, and a manifest of them."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from live_sr.errors import LiveSRError
from live_sr.frame import Pixels
from live_sr.pictures import write_png

MANIFEST = "recording.jsonl"


@dataclass(frozen=True)
class Shot:
    """A captured frame on its way to the disk. Frames of different stretches lie apart in time, or in size."""

    pixels: Pixels
    stretch: int
    time: datetime


@dataclass(frozen=True)
class Entry:
    """One line of the manifest, as JSON: a saved frame. `time` is UTC, ISO 8601."""

    file: str
    window: str
    width: int
    height: int
    time: str


class Album:
    """A folder of pictures NAME-STRETCH_NUMBER.png and a manifest; goes on where an earlier recording ended."""

    def __init__(self, folder: Path, window: str) -> None:
        """Raises LiveSRError when the folder cannot be had."""
        self.folder = folder
        self._window = window
        self._name = place_name(window)
        self.saved = self.bytes = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            there = [_parts(path.stem) for path in folder.glob(f"{self._name}-*_*.png")]
        except OSError as error:
            raise LiveSRError(f"{folder} cannot be made: {error.strerror}", "choose another --out") from None
        self._before = max((stretch for stretch, _ in there), default=0)
        self._number = max((number for _, number in there), default=0)

    def keep(self, shot: Shot) -> None:
        """Raises LiveSRError when it cannot be written; then nothing half-written is left."""
        self._number += 1
        path = self.folder / f"{self._name}-{letters(self._before + shot.stretch)}_{self._number:05}.png"
        height, width = shot.pixels.shape[:2]
        entry = Entry(path.name, self._window, width, height, shot.time.isoformat(timespec="milliseconds"))
        try:
            write_png(path, shot.pixels)
            with (self.folder / MANIFEST).open("a", encoding="utf-8") as manifest:
                manifest.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
            self.bytes += path.stat().st_size
        except OSError as error:
            what = f"{self.folder / MANIFEST} cannot be written: {error.strerror}"
            raise LiveSRError(what, "see that the folder is yours and its disk is not full") from None
        finally:
            with suppress(OSError):
                path.with_suffix(".part").unlink(missing_ok=True)
        self.saved += 1


def place_name(title: str) -> str:
    """What the pictures of a window are called: "chocolate-doom" of "Chocolate Doom 3.0"."""
    words = re.findall(r"(?<![a-z0-9])[a-z][a-z0-9]*", title.lower())
    return "-".join(words)[:24].strip("-") or "game"


def letters(number: int) -> str:
    """1, 2, ... 26, 27 -> a, b, ... z, aa: as spreadsheets count their columns."""
    out = ""
    while number > 0:
        number, rest = divmod(number - 1, 26)
        out = chr(ord("a") + rest) + out
    return out


def _parts(stem: str) -> tuple[int, int]:
    """(stretch, number) of a picture's name, 0 for what is not ours."""
    found = re.fullmatch(r".*-([a-z]{1,6})_(\d+)", stem)
    if found is None:
        return 0, 0
    stretch = 0
    for letter in found[1]:
        stretch = stretch * 26 + ord(letter) - ord("a") + 1
    return stretch, int(found[2])
