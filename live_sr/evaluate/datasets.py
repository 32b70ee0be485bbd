"""Datasets: pairs of pictures, plain frames that are shrunk here, or two videos."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from live_sr.capture.video import VideoSource
from live_sr.errors import SourceClosed, UsageError, did_you_mean
from live_sr.evaluate.metrics import BgrImage
from live_sr.imaging import degradation
from live_sr.imaging.picture_file import READABLE, is_picture, read_picture
from live_sr.pipeline.frame import Pixels, Size, get_size

# SEQUENCE_FRAMENUMBER: a number of four digits and more, or after _ or -, or nothing but a number
FRAME_NUMBER = re.compile(r"(.*?)[_-]?\d{4,}|(.*)[_-]\d+|\d+")


@dataclass(frozen=True)
class FramePair:
    """One frame in two sizes. small: an engine's input, BGRA. target: its ideal output, BGR, `scale` times as large.

    sequence: what the names of one sequence's frames share.
    """

    sequence: str
    small: Pixels
    target: BgrImage


class Dataset(Protocol):
    """A dataset. degrade: how small frames are made from large ones; None where the game rendered both."""

    @property
    def name(self) -> str: ...

    @property
    def degrade(self) -> str | None: ...

    def read(self, scale: int) -> Iterator[FramePair]:
        """The frames in order. Raises UsageError for a picture that cannot be used."""
        ...


@dataclass(frozen=True)
class PairDataset:
    """Folders `lr/` and `hr/` with the same file names. Larger hr pictures are area-averaged to `scale` times lr."""

    name: str
    folder: Path
    degrade: None = None

    def read(self, scale: int) -> Iterator[FramePair]:
        for small, large in self.list_files():
            picture = read_image(small)
            yield FramePair(
                get_sequence_name(small.stem),
                add_alpha(picture),
                fit_target(read_image(large), picture, scale, str(large)),
            )

    def list_files(self) -> list[tuple[Path, Path]]:
        """The files small and large, by name. Raises UsageError for a file without its counterpart."""
        small, large = ({path.stem: path for path in list_images(self.folder / part)} for part in ("lr", "hr"))
        for ours, theirs, lacking in ((small, large, "hr"), (large, small, "lr")):
            lone = sorted(ours.keys() - theirs.keys())
            if lone:
                raise UsageError(
                    f"{ours[lone[0]]} has no picture of the same name in {lacking}/", "add that one, or take this out"
                )
        return [(path, large[stem]) for stem, path in small.items()]


@dataclass(frozen=True)
class DegradedDataset:
    """Plain pictures or a video: each frame is the target, and shrunk with `degrade` it is the input."""

    name: str
    source: Path
    degrade: str

    def read(self, scale: int) -> Iterator[FramePair]:
        for number, (where, frame) in enumerate(self._frames()):
            height, width = (side - side % scale for side in frame.shape[:2])
            if not (height and width):
                raise UsageError(f"{self.source} has a picture smaller than {scale} pixels", "take it out")
            target = np.ascontiguousarray(frame[:height, :width])
            small = degradation.shrink(target, scale, self.degrade, seed=number)
            yield FramePair(where, add_alpha(small), target)

    def _frames(self) -> Iterator[tuple[str, BgrImage]]:
        if self.source.is_dir():
            for path in list_images(self.source):
                yield get_sequence_name(path.stem), read_image(path)
        else:
            for frame in read_video(self.source):
                yield self.source.stem, frame[..., :3]


@dataclass(frozen=True)
class VideoPairDataset:
    """Two videos of the same frames, small and large, up to the end of the shorter one."""

    name: str
    small: Path
    large: Path
    degrade: None = None

    def read(self, scale: int) -> Iterator[FramePair]:
        for small, large in zip(read_video(self.small), read_video(self.large), strict=False):
            target = fit_target(np.ascontiguousarray(large[..., :3]), small, scale, str(self.large))
            yield FramePair(self.small.stem, small, target)


def open_datasets(
    paths: Sequence[Path], videos: Sequence[tuple[Path, Path]], kinds: Sequence[str]
) -> list[PairDataset | DegradedDataset | VideoPairDataset]:
    """One dataset for each folder of pairs and each pair of videos; one for each degradation of plain frames.

    Raises UsageError for anything missing or unknown.
    """
    for kind in kinds:
        if kind not in degradation.KINDS:
            near = did_you_mean(kind, degradation.KINDS)
            raise UsageError(f'there is no degradation "{kind}".{near}', f"one of {', '.join(degradation.KINDS)}")
    names = _choose_names(paths)
    found: list[PairDataset | DegradedDataset | VideoPairDataset] = []
    for path, name in zip(paths, names, strict=True):
        if _has_pairs(path):
            pairs = PairDataset(name, path)
            pairs.list_files()  # raises before anything is measured
            found.append(pairs)
            continue
        if path.is_dir():
            list_images(path)
        if not kinds:
            raise UsageError(
                f"{path} holds large frames only, and nothing says how to shrink them",
                f"add --degrade {'|'.join(degradation.KINDS)}, or give folders with lr/ and hr/",
            )
        found += [DegradedDataset(name, path, kind) for kind in kinds]
    found += [VideoPairDataset(small.stem, small, large) for small, large in videos]
    if not found:
        raise UsageError("there is nothing to measure on", "give a folder with lr/ and hr/, or --video LR HR")
    return found


def list_images(folder: Path) -> list[Path]:
    """The pictures in a folder, by name. Raises UsageError if there are none."""
    found = sorted(path for path in folder.iterdir() if is_picture(path))
    if not found:
        raise UsageError(f"there is no picture in {folder}", f"put files there that end in {', '.join(READABLE)}")
    return found


def read_image(path: Path) -> BgrImage:
    """Raises UsageError for a file that is not a picture."""
    return read_picture(path, "get it again, or take it out")


def read_video(path: Path) -> Iterator[Pixels]:
    """Every frame, BGRA. Raises UsageError for a file that is not a video."""
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


def get_sequence_name(stem: str) -> str:
    """The name without the frame's number: "map07" of "map07_00315"; all of "menu"."""
    found = FRAME_NUMBER.fullmatch(stem)
    return stem if found is None else found[1] or found[2] or ""


def fit_target(large: BgrImage, small: BgrImage | Pixels, scale: int, named: str) -> BgrImage:
    """`large` area-averaged to `scale` times `small`. Raises UsageError if it is smaller or has another shape."""
    size, wanted = get_size(large), get_size(small).times(scale)
    if size.width < wanted.width or size.height < wanted.height:
        raise UsageError(f"{named} is {size}, and {scale} times its small picture is {wanted}", "use a smaller --scale")
    if abs(size.width * wanted.height - size.height * wanted.width) > max(wanted):  # more than a pixel off
        raise UsageError(
            f"{named} is {size}, which is of another shape than its small picture, {get_size(small)}",
            "both must show the same, for example 480x270 and 1920x1080",
        )
    return shrink_by_area(large, wanted)


def shrink_by_area(picture: BgrImage, size: Size) -> BgrImage:
    """The picture shrunk by averaging areas."""
    if get_size(picture) == size:
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def add_alpha(picture: BgrImage) -> Pixels:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA), np.uint8)


def _has_pairs(path: Path) -> bool:
    if not path.exists():
        raise UsageError(f"there is no folder {path}", "correct the path")
    there = [part for part in ("lr", "hr") if (path / part).is_dir()]
    if len(there) == 1:
        lacking = "hr" if there == ["lr"] else "lr"
        raise UsageError(f"{path} has a folder {there[0]}/ and none called {lacking}/", f"add {lacking}/ to it")
    return len(there) == 2


def _choose_names(paths: Sequence[Path]) -> list[str]:
    """Each folder's own name, with its parent's where the name alone is ambiguous."""
    whole = [path.resolve() for path in paths]
    short = [path.name for path in whole]
    vague = {name for name in short if short.count(name) > 1} | {"lr", "hr"}
    return [f"{path.parent.name}/{path.name}" if path.name in vague else path.name for path in whole]
