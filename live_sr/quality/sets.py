"""What is measured on: pairs of pictures, plain frames that are shrunk here, or two videos."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from live_sr import degradation
from live_sr.capture.video import VideoSource
from live_sr.errors import SourceClosed, UsageError, did_you_mean
from live_sr.frame import Pixels, Size, size_of
from live_sr.quality.metrics import Picture

PICTURES = (".png", ".webp", ".jpg", ".jpeg", ".bmp")
# PLACE_FRAMENUMBER: a number of four digits and more, or after _ or -, or nothing but a number
NUMBERED = re.compile(r"(.*?)[_-]?\d{4,}|(.*)[_-]\d+|\d+")


@dataclass(frozen=True)
class Shot:
    """One moment. small: what an engine is given, BGRA. target: what it should make of it, BGR, `scale` times as large.

    `place`: what the frames of one sequence share.
    """

    place: str
    small: Pixels
    target: Picture


class Shots(Protocol):
    """A set. `degrade` is None where the small pictures are the game's own."""

    @property
    def name(self) -> str: ...

    @property
    def degrade(self) -> str | None: ...

    def shots(self, scale: int) -> Iterator[Shot]:
        """In the order of time. Raises UsageError for a picture that cannot be used."""
        ...


@dataclass(frozen=True)
class PairFolder:
    """`lr/` and `hr/` with the same names in both; hr is area-averaged to `scale` times lr where it is larger."""

    name: str
    folder: Path
    degrade: None = None

    def shots(self, scale: int) -> Iterator[Shot]:
        for small, large in self.pairs():
            picture = read(small)
            yield Shot(place(small.stem), with_alpha(picture), fitted(read(large), picture, scale, str(large)))

    def pairs(self) -> list[tuple[Path, Path]]:
        """Small and large, by name. Raises UsageError when one is alone."""
        small, large = ({path.stem: path for path in pictures(self.folder / part)} for part in ("lr", "hr"))
        for ours, theirs, lacking in ((small, large, "hr"), (large, small, "lr")):
            lone = sorted(ours.keys() - theirs.keys())
            if lone:
                raise UsageError(
                    f"{ours[lone[0]]} has no picture of the same name in {lacking}/", "add that one, or take this out"
                )
        return [(path, large[stem]) for stem, path in small.items()]


@dataclass(frozen=True)
class Frames:
    """Plain pictures or a video: each frame is the target, and shrunk by `degrade` what an engine is given."""

    name: str
    source: Path
    degrade: str

    def shots(self, scale: int) -> Iterator[Shot]:
        for number, (where, frame) in enumerate(self._frames()):
            height, width = (side - side % scale for side in frame.shape[:2])
            if not (height and width):
                raise UsageError(f"{self.source} has a picture smaller than {scale} pixels", "take it out")
            target = np.ascontiguousarray(frame[:height, :width])
            small = degradation.shrink(target, scale, self.degrade, seed=number)
            yield Shot(where, with_alpha(small), target)

    def _frames(self) -> Iterator[tuple[str, Picture]]:
        if self.source.is_dir():
            for path in pictures(self.source):
                yield place(path.stem), read(path)
        else:
            for frame in video(self.source):
                yield self.source.stem, frame[..., :3]


@dataclass(frozen=True)
class VideoPair:
    """The same frames small and large; the shorter video tells the length."""

    name: str
    small: Path
    large: Path
    degrade: None = None

    def shots(self, scale: int) -> Iterator[Shot]:
        for small, large in zip(video(self.small), video(self.large), strict=False):
            target = fitted(np.ascontiguousarray(large[..., :3]), small, scale, str(self.large))
            yield Shot(self.small.stem, small, target)


def open_sets(
    paths: Sequence[Path], videos: Sequence[tuple[Path, Path]], kinds: Sequence[str]
) -> list[PairFolder | Frames | VideoPair]:
    """One for each folder of pairs and pair of videos; of plain frames one for each kind of degradation.

    Raises UsageError for what is missing or cannot be understood.
    """
    for kind in kinds:
        if kind not in degradation.KINDS:
            near = did_you_mean(kind, degradation.KINDS)
            raise UsageError(f'there is no degradation "{kind}".{near}', f"one of {', '.join(degradation.KINDS)}")
    names = _names(paths)
    found: list[PairFolder | Frames | VideoPair] = []
    for path, name in zip(paths, names, strict=True):
        if _is_pairs(path):
            pairs = PairFolder(name, path)
            pairs.pairs()  # tells what is missing before anything is measured
            found.append(pairs)
            continue
        if path.is_dir():
            pictures(path)
        if not kinds:
            raise UsageError(
                f"{path} holds large frames only, and nothing says how to shrink them",
                f"add --degrade {'|'.join(degradation.KINDS)}, or give folders with lr/ and hr/",
            )
        found += [Frames(name, path, kind) for kind in kinds]
    found += [VideoPair(small.stem, small, large) for small, large in videos]
    if not found:
        raise UsageError("there is nothing to measure on", "give a folder with lr/ and hr/, or --video LR HR")
    return found


def limited(shots: Iterator[Shot], limit: int | None) -> Iterator[Shot]:
    """The first `limit` of them."""
    return islice(shots, limit)


def pictures(folder: Path) -> list[Path]:
    """By name. Raises UsageError when there is none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    if not found:
        raise UsageError(f"there is no picture in {folder}", f"put files there that end in {', '.join(PICTURES)}")
    return found


def read(path: Path) -> Picture:
    """Raises UsageError for what is no picture."""
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open every name on Windows
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if picture is None:
        raise UsageError(f"{path} is damaged, or no picture", "get it again, or take it out")
    return np.asarray(picture, np.uint8)


def video(path: Path) -> Iterator[Pixels]:
    """Every frame, BGRA. Raises UsageError for no video."""
    source = VideoSource(path, paced=False)
    try:
        while True:
            try:
                frame = source.next_frame(0.1)
            except SourceClosed:
                return
            if frame is not None:
                yield frame.pixels
    finally:
        source.close()


def place(stem: str) -> str:
    """What is before a frame's number: "map07" of "map07_00315", and of "menu" itself."""
    found = NUMBERED.fullmatch(stem)
    return stem if found is None else found[1] or found[2] or ""


def fitted(large: Picture, small: Picture | Pixels, scale: int, named: str) -> Picture:
    """`large` area-averaged to `scale` times `small`. Raises UsageError where it is smaller, or of another shape."""
    size, wanted = size_of(large), size_of(small).times(scale)
    if size.width < wanted.width or size.height < wanted.height:
        raise UsageError(f"{named} is {size}, and {scale} times its small picture is {wanted}", "use a smaller --scale")
    if abs(size.width * wanted.height - size.height * wanted.width) > max(wanted):  # more than a pixel off
        raise UsageError(
            f"{named} is {size}, which is of another shape than its small picture, {size_of(small)}",
            "both must show the same, for example 480x270 and 1920x1080",
        )
    return averaged(large, wanted)


def averaged(picture: Picture, size: Size) -> Picture:
    """Shrunk by the mean over areas."""
    if size_of(picture) == size:
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def with_alpha(picture: Picture) -> Pixels:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA), np.uint8)


def _is_pairs(path: Path) -> bool:
    if not path.exists():
        raise UsageError(f"there is no folder {path}", "correct the path")
    there = [part for part in ("lr", "hr") if (path / part).is_dir()]
    if len(there) == 1:
        lacking = "hr" if there == ["lr"] else "lr"
        raise UsageError(f"{path} has a folder {there[0]}/ and none called {lacking}/", f"add {lacking}/ to it")
    return len(there) == 2


def _names(paths: Sequence[Path]) -> list[str]:
    """The folder's own name; with the one above it where that says too little, or two are called the same."""
    whole = [path.resolve() for path in paths]
    short = [path.name for path in whole]
    vague = {name for name in short if short.count(name) > 1} | {"lr", "hr"}
    return [f"{path.parent.name}/{path.name}" if path.name in vague else path.name for path in whole]
