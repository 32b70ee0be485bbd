"""A folder of aligned pairs of frames: lr/ and hr/ with the same file names, and manifest.csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from live_sr.errors import LiveSRError, UsageError
from live_sr.imaging.degradation import Picture
from live_sr.imaging.picture_file import is_picture
from live_sr.system import atomic_file
from live_sr.system.file_lock import ProcessLock
from live_sr.training.pairs.degrade import write_picture

MANIFEST = "manifest.csv"
LOCK = ".lock"  # there while a command writes pairs
# A standard deviation of brightness, of 255. A picture below it holds nothing to learn from or to align by.
FLAT_CONTRAST = 2.0
LARGEST_OFFSET = 10.0  # of 255, of a colour's mean; most engines measured below 7, a sky that had loaded late 43
LARGEST_SHIFT = 0.5  # small pixels; renders of the same instant measured below 0.15, a game that had scrolled on 1.6
Grey = npt.NDArray[np.float32]
NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


@dataclass(frozen=True)
class Alignment:
    """How well a small picture fits the area average of its large one."""

    psnr: float
    """In dB on the grey picture, both in place."""
    shifted_psnr: float
    """The best PSNR when one of them is shifted by one small pixel, in any of eight directions."""
    shift: tuple[float, float]
    """x and y in small pixels, by phase correlation."""
    contrast: float
    """Standard deviation of the small picture's grey, of 255."""
    offset: float = 0.0
    """The largest difference between the means of blue, green or red, of 255."""

    @property
    def defect(self) -> str:
        """Why the pair cannot be used, or an empty string."""
        if self.contrast < FLAT_CONTRAST:
            return "it is flat"
        if max(map(abs, self.shift)) >= LARGEST_SHIFT:
            return f"it is shifted by {self.shift[0]:+.2f}, {self.shift[1]:+.2f} small pixels"
        if self.shifted_psnr >= self.psnr:
            return "it fits better one pixel aside"
        if self.offset > LARGEST_OFFSET:
            return f"its colours differ by {self.offset:.0f} of 255"
        return ""


def measure_alignment(small: Picture, large: Picture) -> Alignment:
    """Compares two BGR pictures: a small one of at least 16x16 pixels, and a larger one of any size."""
    height, width = small.shape[:2]
    mean = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
    ours, theirs = (np.asarray(cv2.cvtColor(p, cv2.COLOR_BGR2GRAY), np.float32) for p in (small, mean))
    inner = ours[1:-1, 1:-1]
    moved = [theirs[1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx] for dy, dx in NEIGHBOURS]
    return Alignment(
        psnr=_compute_psnr(inner, theirs[1:-1, 1:-1]),
        shifted_psnr=max(_compute_psnr(inner, other) for other in moved),
        shift=_measure_shift(ours, theirs),
        contrast=float(ours.std()),
        offset=float(np.abs(small.mean((0, 1)) - mean.mean((0, 1))).max()),
    )


def _measure_shift(ours: Grey, theirs: Grey) -> tuple[float, float]:
    """x and y in pixels, by phase correlation.

    It crops, as OpenCV pads some lengths, and is half a pixel off at odd ones.
    """
    height, width = (_find_even_length(side) for side in ours.shape)
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    one, other = (picture[:height, :width].copy() for picture in (ours, theirs))  # it writes into what it is given
    (x, y), _ = cv2.phaseCorrelate(one, other, window)
    return x, y


def _find_even_length(side: int) -> int:
    """The largest even length up to `side` that OpenCV transforms without padding."""
    return next(n for n in range(side - side % 2, 1, -2) if cv2.getOptimalDFTSize(n) == n)


def _compute_psnr(a: Grey, b: Grey) -> float:
    return 10 * math.log10(255**2 / max(float(np.mean((a - b) ** 2)), 1e-3))


@dataclass(frozen=True)
class PairOrigin:
    """Where pairs come from, for the manifest."""

    game: str
    licence: str = ""


@dataclass(frozen=True)
class ManifestRow:
    """A line of the manifest.

    `kind` is "render" where the game drew both sizes, "video" where they are of two versions of a video, else the
    kernel that made the large frame small.
    """

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
class PairFolder:
    """A folder of pairs that is being filled. Pairs that it already holds stay, unless one of the same name comes.

    `never`: folders of pairs whose places must not be made, for example those that a network will be tested on. Use it
    in a `with` statement, which raises UsageError where another process writes pairs there. The manifest is written
    with every pair, so that it holds all of them however the process ends.
    """

    out: Path
    format: str
    never: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.written = 0
        self.left_out: list[str] = []
        self._rows: dict[str, ManifestRow] = {}
        self._saved = True
        self._unlisted: set[str] = set()  # places of pairs that the manifest lacks
        self._lock = ProcessLock(self.out / LOCK)
        self._banned = {get_place(path.stem): folder for folder in self.never for path in _list_small_pictures(folder)}

    def __enter__(self) -> Self:
        what = f"another live-sr is writing pairs into {self.out}"
        in_use = UsageError(what, "wait until it has ended, or choose another folder")
        self._created = [path for path in (self.out, *self.out.parents) if not path.exists()]
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(in_use)
        except OSError as error:
            raise LiveSRError(f"{self.out} cannot be written: {error.strerror}", "choose another --out") from None
        try:
            self._rows = {row.file: row for row in self._read()}
            self._unlisted = {get_place(path.stem) for path in self._list_pairs() if path.name not in self._rows}
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if not self._saved:  # Ctrl-C came just then
                self._write_manifest()
        finally:
            self._leave()

    def _leave(self) -> None:
        """Frees the folder, and deletes it if it was made for nothing."""
        self._lock.release(delete=True)
        with suppress(OSError):  # it holds pairs
            for path in self._created:
                path.rmdir()

    @property
    def places(self) -> set[str]:
        """Of all pairs that are there, also of those that the manifest lacks."""
        return self._unlisted | {row.place for row in self._rows.values()}

    def allowed(self, place: str) -> bool:
        """Whether pairs of this place may be made. If not, that is noted in `left_out`."""
        folder = self._banned.get(place)
        if folder is not None and not any(note.startswith(f"{place}: ") for note in self.left_out):
            self.left_out.append(f"{place}: it is in {folder}")
        return folder is None

    def add(self, name: str, small: Picture, large: Picture, kind: str, source: str, origin: PairOrigin) -> None:
        """Writes the pair PLACE_NUMBER if it is aligned and allowed, else notes in `left_out` why not."""
        place = get_place(name)
        if not self.allowed(place):
            return
        found = measure_alignment(small, large)
        if found.defect:
            self.left_out.append(f"{name}: {found.defect}")
            return
        file = f"{name}.{self.format}"
        write_picture(self.out / "hr" / file, large)  # first: readers look a pair up by its small picture
        write_picture(self.out / "lr" / file, small)
        sizes = (f"{p.shape[1]}x{p.shape[0]}" for p in (small, large))
        shift = f"{found.shift[0]:+.3f} {found.shift[1]:+.3f}"
        line = (file, place, origin.game, source, kind, *sizes, f"{found.psnr:.2f}", shift, origin.licence)
        self._rows[file], self._saved = ManifestRow(*line), False
        self._write_manifest()
        self.written += 1

    def _write_manifest(self) -> None:
        text = io.StringIO(newline="")
        lines = csv.writer(text)
        lines.writerow(f.name for f in fields(ManifestRow))
        lines.writerows(vars(self._rows[name]).values() for name in sorted(self._rows))
        atomic_file.write(self.out / MANIFEST, text.getvalue().encode())
        self._saved = True

    def _list_pairs(self) -> list[Path]:
        """The small pictures that have a large one."""
        return [path for path in _list_files(self.out / "lr") if (self.out / "hr" / path.name).exists()]

    def _read(self) -> list[ManifestRow]:
        path = self.out / MANIFEST
        if not path.exists():
            return []
        try:
            with path.open(encoding="utf-8", newline="") as file:
                return [ManifestRow(**line) for line in csv.DictReader(file)]
        except (OSError, UnicodeDecodeError, TypeError) as error:
            raise UsageError(
                f"{path} is not a manifest of pairs ({error})", "choose another --out or move it away"
            ) from None


def get_place(name: str) -> str:
    """The map, level or stretch of a name PLACE_NUMBER."""
    return name.rsplit("_", 1)[0]


def make_pair_name(stem: str) -> str:
    """PLACE_NUMBER of a file's name. A picture without a number becomes a place of its own."""
    place, _, number = stem.rpartition("_")
    return stem if place and number.isdigit() else f"{stem}_00000"


def _list_small_pictures(folder: Path) -> Iterable[Path]:
    if not (folder / "lr").is_dir():
        raise UsageError(f"{folder} holds no lr/", "give a folder of pairs to --never")
    return _list_files(folder / "lr")


def _list_files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if is_picture(path)] if folder.is_dir() else []
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror}", "give a folder that is yours") from None
