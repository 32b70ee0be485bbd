"""The folder of a recording: names its pictures and writes the manifest."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from live_sr.errors import LiveSRError
from live_sr.imaging.png import write_png
from live_sr.pipeline.frame import Pixels

MANIFEST = "recording.jsonl"


@dataclass(frozen=True)
class RecordedFrame:
    """A captured frame to be saved. Frames of different stretches differ in time or in size."""

    pixels: Pixels
    stretch: int
    time: datetime


@dataclass(frozen=True)
class RecordingEntry:
    """One line of the manifest, in JSON: a saved frame. `time` is UTC in ISO 8601."""

    file: str
    window: str
    width: int
    height: int
    time: str


class RecordingFolder:
    """Pictures NAME-STRETCH_NUMBER.png and a manifest; continues the numbers of an earlier recording."""

    def __init__(self, folder: Path, window: str) -> None:
        """Raises LiveSRError when the folder cannot be created or read."""
        self.path = folder
        self._window = window
        self._name = make_place_name(window)
        self.saved = self.bytes = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            there = [_parse_name(path.stem) for path in folder.glob(f"{self._name}-*_*.png")]
        except OSError as error:
            raise LiveSRError(f"{folder} cannot be created: {error.strerror}", "choose another --out") from None
        self._before = max((stretch for stretch, _ in there), default=0)
        self._number = max((number for _, number in there), default=0)

    def save(self, frame: RecordedFrame) -> None:
        """Raises LiveSRError when it cannot be written; no half-written file is left then."""
        self._number += 1
        path = self.path / f"{self._name}-{format_letters(self._before + frame.stretch)}_{self._number:05}.png"
        height, width = frame.pixels.shape[:2]
        entry = RecordingEntry(path.name, self._window, width, height, frame.time.isoformat(timespec="milliseconds"))
        try:
            write_png(path, frame.pixels)
            with (self.path / MANIFEST).open("a", encoding="utf-8", errors="replace") as manifest:
                manifest.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
            self.bytes += path.stat().st_size
        except OSError as error:
            what = f"{self.path / MANIFEST} cannot be written: {error.strerror}"
            raise LiveSRError(what, "check that the folder belongs to you and that the disk is not full") from None
        finally:
            with suppress(OSError):
                path.with_suffix(".part").unlink(missing_ok=True)
        self.saved += 1


def make_place_name(title: str) -> str:
    """The first part of the pictures' names: "chocolate-doom" for "Chocolate Doom 3.0"."""
    words = re.findall(r"(?<![a-z0-9])[a-z][a-z0-9]*", title.lower())
    return "-".join(words)[:24].strip("-") or "game"


def format_letters(number: int) -> str:
    """1, 2, ... 26, 27 -> a, b, ... z, aa, as in spreadsheet columns."""
    out = ""
    while number > 0:
        number, rest = divmod(number - 1, 26)
        out = chr(ord("a") + rest) + out
    return out


def _parse_name(stem: str) -> tuple[int, int]:
    """(stretch, number) from a picture's name; zeros for other names."""
    found = re.fullmatch(r".*-([a-z]{1,6})_(\d+)", stem)
    if found is None:
        return 0, 0
    stretch = 0
    for letter in found[1]:
        stretch = stretch * 26 + ord(letter) - ord("a") + 1
    return stretch, int(found[2])
