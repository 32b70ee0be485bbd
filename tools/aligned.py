"""A folder of aligned pairs of frames: lr/ and hr/ with the same file names, and manifest.csv."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt
from degrade import READ, write

from live_sr.degradation import Picture
from live_sr.errors import LiveSRError, UsageError

MANIFEST = "manifest.csv"
FLAT = 2.0  # of 255: a picture whose brightness deviates less than this has nothing to learn from or to align by
SHIFT = 0.5  # small pixels; true renders of one instant measured below 0.15, a game that had scrolled on 1.6
Grey = npt.NDArray[np.float32]
NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


@dataclass(frozen=True)
class Alignment:
    """How a small picture lies on the area average of its large one."""

    psnr: float
    """In dB on the grey picture, in place."""
    moved_psnr: float
    """The best when one of them is moved by one small pixel, in any of eight directions."""
    shift: tuple[float, float]
    """x and y in small pixels, by phase correlation."""
    contrast: float
    """Standard deviation of the small picture's grey, of 255."""

    @property
    def fault(self) -> str:
        """Why the pair is of no use, or nothing."""
        if self.contrast < FLAT:
            return "it is flat"
        if max(map(abs, self.shift)) >= SHIFT:
            return f"it is moved by {self.shift[0]:+.2f}, {self.shift[1]:+.2f} small pixels"
        if self.moved_psnr >= self.psnr:
            return "it fits better one pixel aside"
        return ""


def alignment(small: Picture, large: Picture) -> Alignment:
    """Of two BGR pictures, of at least 16x16 and any larger size."""
    height, width = small.shape[:2]
    mean = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
    ours, theirs = (np.asarray(cv2.cvtColor(p, cv2.COLOR_BGR2GRAY), np.float32) for p in (small, mean))
    inner = ours[1:-1, 1:-1]
    moved = [theirs[1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx] for dy, dx in NEIGHBOURS]
    return Alignment(
        psnr=_psnr(inner, theirs[1:-1, 1:-1]),
        moved_psnr=max(_psnr(inner, other) for other in moved),
        shift=_shift(ours, theirs),
        contrast=float(ours.std()),
    )


def _shift(ours: Grey, theirs: Grey) -> tuple[float, float]:
    """By phase correlation of a part of them: OpenCV pads other lengths, and is half a pixel off at odd ones."""
    height, width = (_even_length(side) for side in ours.shape)
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    one, other = (picture[:height, :width].copy() for picture in (ours, theirs))  # it writes into what it is given
    (x, y), _ = cv2.phaseCorrelate(one, other, window)
    return x, y


def _even_length(side: int) -> int:
    """The greatest that is even and that OpenCV transforms without padding."""
    return next(n for n in range(side - side % 2, 1, -2) if cv2.getOptimalDFTSize(n) == n)


def _psnr(a: Grey, b: Grey) -> float:
    return 10 * math.log10(255**2 / max(float(np.mean((a - b) ** 2)), 1e-3))


@dataclass(frozen=True)
class Origin:
    """Where pairs come from, for the manifest."""

    game: str
    licence: str = ""


@dataclass(frozen=True)
class Row:
    """A line of the manifest. `kind` is "render" where the game has drawn both sizes, "video" where there were two
    versions of one, else the kernel that shrank."""

    file: str
    place: str
    game: str
    source: str
    kind: str
    small: str
    large: str
    psnr: str
    shift: str
    licence: str


@dataclass
class Pairs:
    """A folder that is being filled; what is there already stays, and is replaced by a pair of the same name.

    `never`: folders of pairs whose places must not be made, as those that a network will be tested on. To be used in a
    `with`: the manifest is written at its end, also after Ctrl-C.
    """

    out: Path
    format: str
    never: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.written = 0
        self.left_out: list[str] = []
        self._rows = {row.file: row for row in self._read()}
        self._banned = {place_of(path.stem): folder for folder in self.never for path in _small(folder)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._rows:
            return
        part = self.out / f"{MANIFEST}.part"
        try:
            with part.open("w", encoding="utf-8", newline="") as file:
                lines = csv.writer(file)
                lines.writerow(f.name for f in fields(Row))
                lines.writerows(astuple(self._rows[name]) for name in sorted(self._rows))
            part.replace(self.out / MANIFEST)
        except OSError as error:
            raise LiveSRError(f"{part} cannot be written: {error.strerror}", "choose another --out") from None

    @property
    def places(self) -> set[str]:
        return {row.place for row in self._rows.values()}

    def allowed(self, place: str) -> bool:
        """Whether pairs of this place may be made; that they may not is noted."""
        folder = self._banned.get(place)
        if folder is not None and not any(note.startswith(f"{place}: ") for note in self.left_out):
            self.left_out.append(f"{place}: it is in {folder}")
        return folder is None

    def add(self, name: str, small: Picture, large: Picture, kind: str, source: str, origin: Origin) -> None:
        """Writes the pair PLACE_NUMBER if it is aligned and allowed, else notes why not."""
        place = place_of(name)
        if not self.allowed(place):
            return
        found = alignment(small, large)
        if found.fault:
            self.left_out.append(f"{name}: {found.fault}")
            return
        file = f"{name}.{self.format}"
        write(self.out / "hr" / file, large)  # first: a pair is looked up by its small picture
        write(self.out / "lr" / file, small)
        sizes = (f"{p.shape[1]}x{p.shape[0]}" for p in (small, large))
        shift = f"{found.shift[0]:+.3f} {found.shift[1]:+.3f}"
        line = (file, place, origin.game, source, kind, *sizes, f"{found.psnr:.2f}", shift, origin.licence)
        self._rows[file] = Row(*line)
        self.written += 1

    def _read(self) -> list[Row]:
        path = self.out / MANIFEST
        if not path.exists():
            return []
        try:
            with path.open(encoding="utf-8", newline="") as file:
                return [Row(**line) for line in csv.DictReader(file)]
        except (OSError, UnicodeDecodeError, TypeError) as error:
            raise UsageError(
                f"{path} is not a manifest of pairs ({error})", "choose another --out or move it away"
            ) from None


def place_of(name: str) -> str:
    """The map, level or stretch of a name PLACE_NUMBER."""
    return name.rsplit("_", 1)[0]


def named(stem: str) -> str:
    """A file's name as PLACE_NUMBER; a picture without a number is a place of its own."""
    place, _, number = stem.rpartition("_")
    return stem if place and number.isdigit() else f"{stem}_00000"


def _small(folder: Path) -> Iterable[Path]:
    if not (folder / "lr").is_dir():
        raise UsageError(f"{folder} holds no lr/", "give a folder of pairs to --never")
    return [path for path in (folder / "lr").iterdir() if path.suffix.lower() in READ]
