"""When two videos show the same: an offset and a drift between their clocks, found by comparing thumbnails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from aligned import FLAT
from clips import THUMB, thumbnail, video_frames

from live_sr.errors import UsageError

ANCHORS = 60  # instants that are looked for
ALIKE = 0.7  # correlation of thumbnails, of the same instant in two versions well above 0.9
DRIFT = (0.9, 1.1)  # PAL's speed-up is 1.0417
BAR = 24  # levels of 255 that a pixel of a black bar never reaches
GRID = (32, 18)  # what thumbnails are compared at
SHIFTS = [(dx, dy) for dy in (0, -1, 1, -2, 2) for dx in (0, -1, 1, -2, 2, -3, 3)]  # of a cropped one's grid, in cells
SLACK = 5  # frames that a first look at the clocks may be off

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """Left, top, right and bottom of what is no black bar, in pixels."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Strip:
    """A video at a glance. times: seconds since its first frame; thumbs: of the frames, grey; grids: of what is seen of
    them, coarser; box: what is no black bar."""

    path: Path
    times: Floats
    thumbs: npt.NDArray[np.uint8]
    grids: npt.NDArray[np.float32]
    size: tuple[int, int]
    box: Box

    def within(self, seen: Box) -> Strip:
        """The same video, looked at in that part of the picture."""
        return replace(self, grids=_grids(self.thumbs, seen, self.size))

    def looks(self, shift: tuple[int, int] | None = None) -> npt.NDArray[np.float32]:
        """A unit vector for each frame, without its brightness and contrast, 0 for a flat one; of the whole grid, or
        of its middle moved by some cells."""
        grids = self.grids
        if shift is not None:
            (x, y), (width, height) = shift, GRID
            grids = grids[:, 2 + y : height - 2 + y, 3 + x : width - 3 + x]
        flat = grids.reshape(len(grids), -1)
        flat = flat - flat.mean(1, keepdims=True)
        lengths = np.linalg.norm(flat, axis=1, keepdims=True)
        return np.where(lengths > FLAT * np.sqrt(flat.shape[1]), flat / np.maximum(lengths, 1), np.float32(0))

    @property
    def interval(self) -> float:
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 1.0


@dataclass(frozen=True)
class Clock:
    """What the larger video's clock shows at `seconds` of the smaller one's: drift * seconds + offset.

    anchors: pairs of frame numbers that agree with it, in the smaller and in the larger video.
    """

    offset: float
    drift: float
    anchors: tuple[tuple[int, int], ...]

    def at(self, seconds: Floats) -> Floats:
        return np.asarray(self.drift * seconds + self.offset, np.float64)


def strip(path: Path) -> Strip:
    """Reads a whole video. Raises UsageError when there is nothing in it that could be found again."""
    times, thumbs = [], []
    brightest: npt.NDArray[np.uint8] | None = None
    for seconds, picture in video_frames(path):
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        if brightest is not None and grey.shape != brightest.shape:
            raise UsageError(f"{path} changes its size at {seconds:.1f} s", "cut it there, and use one part")
        brightest = grey if brightest is None else np.maximum(brightest, grey, out=brightest)
        times.append(seconds)
        thumbs.append(thumbnail(picture).astype(np.uint8))
    assert brightest is not None  # or video_frames would have raised
    box = _without_bars(brightest)
    size = brightest.shape[1], brightest.shape[0]
    return Strip(path, np.array(times), np.array(thumbs), _grids(np.array(thumbs), box, size), size, box)


def _without_bars(brightest: npt.NDArray[np.uint8]) -> Box:
    across, down = (np.flatnonzero((brightest >= BAR).any(axis)) for axis in (0, 1))
    if not len(across):
        return Box(0, 0, brightest.shape[1], brightest.shape[0])
    return Box(int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1)


def _grids(thumbs: npt.NDArray[np.uint8], box: Box, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """What is inside of the box, on GRID."""
    x, y = THUMB[0] / size[0], THUMB[1] / size[1]
    step = (box.right - box.left) * x / GRID[0], (box.bottom - box.top) * y / GRID[1]
    start = box.left * x + step[0] / 2 - 0.5, box.top * y + step[1] / 2 - 0.5
    matrix = np.array([[step[0], 0, start[0]], [0, step[1], start[1]]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    soft = (cv2.GaussianBlur(thumb.astype(np.float32), (0, 0), step[0] / 3, sigmaY=step[1] / 3) for thumb in thumbs)
    return np.array(
        [cv2.warpAffine(thumb, matrix, GRID, flags=how, borderMode=cv2.BORDER_REPLICATE) for thumb in soft], np.float32
    )


def rough_clocks(small: Strip, large: Strip) -> list[Clock]:
    """What the clocks may be, some frames off, without and with a drift, where one of the pictures may be cropped.

    Raises UsageError for a video that nothing can be told by.
    """
    ours = _anchors(small)
    near = SLACK * max(small.interval, large.interval)
    there = [_found(small.looks((0, 0))[ours], large.looks(shift)) for shift in SHIFTS]
    best = []
    for drifting in (False, True):
        tries = [_agreed(small.times[ours], large.times[found], good, near, drifting) for found, good in there]
        at = max(range(len(tries)), key=lambda i: tries[i][1].sum())
        guess, agreement = tries[at]
        kept = agreement > 0
        anchors = tuple((int(a), int(b)) for a, b in zip(ours[kept], there[at][0][kept], strict=True))
        if len(anchors) >= 5 and not (drifting and best and guess[0] == 1):
            best.append(Clock(guess[1], guess[0], anchors))
    if not best:
        raise _unlike(small, large, len(ours), 0)
    return best


def clock(small: Strip, large: Strip) -> Clock:
    """How the clocks of two videos of the same belong together, both seen in the part that they have in common.

    Raises UsageError when they show something else.
    """
    ours = _anchors(small)
    found, good = _found(small.looks()[ours], large.looks())
    near = max(small.interval, large.interval)
    here, there = small.times[ours], large.times[found]
    best, agreement = _agreed(here, there, good, near, drifting=True)
    kept = agreement > 0
    possible = best[0] * small.times[ours] + best[1]
    inside = int(((possible >= 0) & (possible <= large.times[-1])).sum())
    if kept.sum() < 5 or kept.sum() < inside / 2:
        raise _unlike(small, large, len(ours), int(kept.sum()))
    drift, offset = _fitted(here[kept], there[kept], near)
    return Clock(offset, drift, tuple((int(a), int(b)) for a, b in zip(ours[kept], found[kept], strict=True)))


def _unlike(small: Strip, large: Strip, of: int, found: int) -> UsageError:
    return UsageError(
        f"{small.path.name} and {large.path.name} do not show the same: of {of} instants {found} were found in both",
        "give two versions of one video, the smaller first",
    )


def _found(
    wanted: npt.NDArray[np.float32], among: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """The numbers of those most alike, and whether they are alike at all."""
    alike = among @ wanted.T
    return np.asarray(alike.argmax(0), np.intp), np.asarray(alike.max(0) >= ALIKE, np.bool_)


def _agreed(
    here: Floats, there: Floats, good: npt.NDArray[np.bool_], near: float, drifting: bool
) -> tuple[tuple[float, float], Floats]:
    """(drift, offset) that most of the good anchors agree with, and how much each does; no drift if that does too."""

    def agreement(guess: tuple[float, float]) -> Floats:
        off = np.abs(guess[0] * here + guess[1] - there) / near
        return np.asarray(good * np.maximum(0, 1 - off) * (1 if guess[0] == 1 else 0.9), np.float64)

    guesses = _guesses(here[good], there[good], drifting)
    best = max(guesses, key=lambda guess: agreement(guess).sum(), default=(1.0, 0.0))
    return best, agreement(best)


def nearest(one: Strip, seconds: Floats) -> npt.NDArray[np.intp]:
    """The numbers of the frames nearest to those times."""
    after = np.searchsorted(one.times, seconds).clip(1, max(1, len(one.times) - 1))
    before = seconds - one.times[after - 1] < one.times[np.minimum(after, len(one.times) - 1)] - seconds
    return np.asarray(np.where(before, after - 1, after), np.intp)


def _anchors(one: Strip) -> npt.NDArray[np.intp]:
    """Frames that differ from those around them, one in each stretch. Raises UsageError for a video without any."""
    reach = 3
    looks = one.looks()
    before, after = np.roll(looks, reach, 0), np.roll(looks, -reach, 0)
    change = 1 - np.maximum((looks * before).sum(1), (looks * after).sum(1))
    change[(looks == 0).all(1)] = 0
    change[:reach] = change[-reach:] = 0
    stretches = np.array_split(np.arange(len(change)), min(ANCHORS, max(1, len(change) // 2)))
    chosen = np.array([stretch[change[stretch].argmax()] for stretch in stretches])
    chosen = chosen[change[chosen] > 1e-3]
    if len(chosen) < 5:
        raise UsageError(f"{one.path} is too short or too still to be aligned by", "give videos in which things move")
    return np.asarray(chosen, np.intp)


def _guesses(here: Floats, there: Floats, drifting: bool) -> Iterator[tuple[float, float]]:
    """(drift, offset) of every anchor with no drift, and of all pairs of anchors that lie well apart."""
    for a, b in zip(here, there, strict=True):
        yield 1.0, float(b - a)
    span = float(np.ptp(here)) if len(here) else 0.0
    for i, j in combinations(range(len(here)), 2):
        if drifting and abs(here[j] - here[i]) > span / 4:
            drift = float((there[j] - there[i]) / (here[j] - here[i]))
            if DRIFT[0] <= drift <= DRIFT[1]:
                yield drift, float(there[i] - drift * here[i])


def _fitted(here: Floats, there: Floats, near: float) -> tuple[float, float]:
    """Drift and offset by least squares, the second time of those that fit best; no drift of less than half a frame."""
    drift, offset = np.polyfit(here, there, 1)
    off = np.abs(drift * here + offset - there)
    close = off <= max(float(np.median(off)), near / 10)
    drift, offset = (float(value) for value in np.polyfit(here[close], there[close], 1))
    if abs(drift - 1) * float(np.ptp(here)) < near / 2:
        return 1.0, float(np.median(there - here))
    return drift, offset
