"""Time alignment of two videos: the offset and the drift between their clocks, from thumbnails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from live_sr.errors import UsageError
from live_sr.training.pairs.pair_folder import FLAT_CONTRAST
from live_sr.training.pairs.video_frames import THUMBNAIL, make_thumbnail, read_video_frames

ANCHORS = 60  # instants of the small video that are searched for in the large one
SAME_INSTANT = 0.7  # least correlation of thumbnails; the same instant in two versions has well above 0.9
DRIFT_RANGE = (0.9, 1.1)  # of the clocks; PAL's speed-up is 1.0417
BAR_LEVEL = 24  # of 255; a pixel of a black bar never reaches it
GRID = (32, 18)  # the size at which thumbnails are compared
SHIFTS = [(dx, dy) for dy in (0, -1, 1, -2, 2) for dx in (0, -1, 1, -2, 2, -3, 3)]  # in cells, if it is cropped
SLACK_FRAMES = 5  # frames by which the first estimate of the clocks may be wrong

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """The picture without black bars: its left, top, right and bottom, in pixels."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class VideoSummary:
    """A whole video in small. times: seconds since its first frame; thumbs: a grey thumbnail of each frame; grids: the
    visible part of each thumbnail, coarser; size: (width, height) of its pictures; box: the picture without bars."""

    path: Path
    times: Floats
    thumbs: npt.NDArray[np.uint8]
    grids: npt.NDArray[np.float32]
    size: tuple[int, int]
    box: Box

    def restrict_to(self, seen: Box) -> VideoSummary:
        """The same video, with grids of only that part of the picture."""
        return replace(self, grids=_make_grids(self.thumbs, seen, self.size))

    def compute_descriptors(self, shift: tuple[int, int] | None = None) -> npt.NDArray[np.float32]:
        """A unit vector for each frame that does not depend on brightness and contrast; zero for a flat frame.

        Of the whole grid, or of its middle, shifted by some cells.
        """
        grids = self.grids
        if shift is not None:
            (x, y), (width, height) = shift, GRID
            grids = grids[:, 2 + y : height - 2 + y, 3 + x : width - 3 + x]
        flat = grids.reshape(len(grids), -1)
        flat = flat - flat.mean(1, keepdims=True)
        lengths = np.linalg.norm(flat, axis=1, keepdims=True)
        return np.where(lengths > FLAT_CONTRAST * np.sqrt(flat.shape[1]), flat / np.maximum(lengths, 1), np.float32(0))

    @property
    def interval(self) -> float:
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 1.0


@dataclass(frozen=True)
class ClockMapping:
    """From the smaller video's time to the larger one's: drift * seconds + offset.

    anchors: pairs of frame numbers that support it, in the smaller and in the larger video.
    """

    offset: float
    drift: float
    anchors: tuple[tuple[int, int], ...]

    def convert(self, seconds: Floats) -> Floats:
        return np.asarray(self.drift * seconds + self.offset, np.float64)


def summarise_video(path: Path) -> VideoSummary:
    """Reads a whole video. Raises UsageError when it cannot be read, or changes its size."""
    times, thumbs = [], []
    brightest: npt.NDArray[np.uint8] | None = None
    for seconds, picture in read_video_frames(path):
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        if brightest is not None and grey.shape != brightest.shape:
            raise UsageError(f"{path} changes its size at {seconds:.1f} s", "cut it there, and use one part")
        brightest = grey if brightest is None else np.maximum(brightest, grey, out=brightest)
        times.append(seconds)
        thumbs.append(make_thumbnail(picture).astype(np.uint8))
    assert brightest is not None  # or video_frames would have raised
    box = _find_picture_box(brightest)
    size = brightest.shape[1], brightest.shape[0]
    return VideoSummary(path, np.array(times), np.array(thumbs), _make_grids(np.array(thumbs), box, size), size, box)


def _find_picture_box(brightest: npt.NDArray[np.uint8]) -> Box:
    across, down = (np.flatnonzero((brightest >= BAR_LEVEL).any(axis)) for axis in (0, 1))
    if not len(across):
        return Box(0, 0, brightest.shape[1], brightest.shape[0])
    return Box(int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1)


def _make_grids(thumbs: npt.NDArray[np.uint8], box: Box, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The part of each thumbnail inside the box, resampled to GRID."""
    x, y = THUMBNAIL[0] / size[0], THUMBNAIL[1] / size[1]
    step = (box.right - box.left) * x / GRID[0], (box.bottom - box.top) * y / GRID[1]
    start = box.left * x + step[0] / 2 - 0.5, box.top * y + step[1] / 2 - 0.5
    matrix = np.array([[step[0], 0, start[0]], [0, step[1], start[1]]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    soft = (cv2.GaussianBlur(thumb.astype(np.float32), (0, 0), step[0] / 3, sigmaY=step[1] / 3) for thumb in thumbs)
    return np.array(
        [cv2.warpAffine(thumb, matrix, GRID, flags=how, borderMode=cv2.BORDER_REPLICATE) for thumb in soft], np.float32
    )


def estimate_clocks(small: VideoSummary, large: VideoSummary) -> list[ClockMapping]:
    """Candidates that may be some frames off: one without drift, one with it. One of the pictures may be cropped.

    Raises UsageError where too few instants are found in both.
    """
    ours = _choose_anchors(small)
    near = SLACK_FRAMES * max(small.interval, large.interval)
    there = [
        _find_most_similar(small.compute_descriptors((0, 0))[ours], large.compute_descriptors(shift))
        for shift in SHIFTS
    ]
    best: list[ClockMapping] = []
    for drifting in (False, True):
        tries = [_vote(small.times[ours], large.times[found], good, near, drifting) for found, good in there]
        at = max(range(len(tries)), key=lambda i: tries[i][1].sum())
        guess, agreement = tries[at]
        kept = agreement > 0
        anchors = tuple((int(a), int(b)) for a, b in zip(ours[kept], there[at][0][kept], strict=True))
        if len(anchors) >= 5 and not (drifting and best and guess[0] == 1):
            best.append(ClockMapping(guess[1], guess[0], anchors))
    if not best:
        raise _make_mismatch_error(small, large, len(ours), 0)
    return best


def align_clocks(small: VideoSummary, large: VideoSummary) -> ClockMapping:
    """The exact mapping between two clocks, from summaries of the area that both videos show.

    Raises UsageError when they show something different.
    """
    ours = _choose_anchors(small)
    found, good = _find_most_similar(small.compute_descriptors()[ours], large.compute_descriptors())
    near = max(small.interval, large.interval)
    here, there = small.times[ours], large.times[found]
    best, agreement = _vote(here, there, good, near, drifting=True)
    kept = agreement > 0
    possible = best[0] * small.times[ours] + best[1]
    inside = int(((possible >= 0) & (possible <= large.times[-1])).sum())
    if kept.sum() < 5 or kept.sum() < inside / 2:
        raise _make_mismatch_error(small, large, len(ours), int(kept.sum()))
    drift, offset = _fit(here[kept], there[kept], near)
    return ClockMapping(offset, drift, tuple((int(a), int(b)) for a, b in zip(ours[kept], found[kept], strict=True)))


def _make_mismatch_error(small: VideoSummary, large: VideoSummary, of: int, found: int) -> UsageError:
    return UsageError(
        f"{small.path.name} and {large.path.name} do not show the same: of {of} instants {found} were found in both",
        "give two versions of one video, the smaller first",
    )


def _find_most_similar(
    wanted: npt.NDArray[np.float32], among: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """For each wanted descriptor the index of the most similar one, and whether it is similar enough."""
    alike = among @ wanted.T
    return np.asarray(alike.argmax(0), np.intp), np.asarray(alike.max(0) >= SAME_INSTANT, np.bool_)


def _vote(
    here: Floats, there: Floats, good: npt.NDArray[np.bool_], near: float, drifting: bool
) -> tuple[tuple[float, float], Floats]:
    """The (drift, offset) that the good anchors support most, and the support of each. Prefers no drift."""

    def agreement(guess: tuple[float, float]) -> Floats:
        off = np.abs(guess[0] * here + guess[1] - there) / near
        return np.asarray(good * np.maximum(0, 1 - off) * (1 if guess[0] == 1 else 0.9), np.float64)

    guesses = _iterate_guesses(here[good], there[good], drifting)
    best = max(guesses, key=lambda guess: agreement(guess).sum(), default=(1.0, 0.0))
    return best, agreement(best)


def find_nearest(one: VideoSummary, seconds: Floats) -> npt.NDArray[np.intp]:
    """The numbers of the frames nearest to these times."""
    after = np.searchsorted(one.times, seconds).clip(1, max(1, len(one.times) - 1))
    before = seconds - one.times[after - 1] < one.times[np.minimum(after, len(one.times) - 1)] - seconds
    return np.asarray(np.where(before, after - 1, after), np.intp)


def _choose_anchors(one: VideoSummary) -> npt.NDArray[np.intp]:
    """Frames that differ from their neighbours, one of each part of the video. Raises UsageError if there are none."""
    reach = 3
    descriptors = one.compute_descriptors()
    before, after = np.roll(descriptors, reach, 0), np.roll(descriptors, -reach, 0)
    change = 1 - np.maximum((descriptors * before).sum(1), (descriptors * after).sum(1))
    change[(descriptors == 0).all(1)] = 0
    change[:reach] = change[-reach:] = 0
    stretches = np.array_split(np.arange(len(change)), min(ANCHORS, max(1, len(change) // 2)))
    chosen = np.array([stretch[change[stretch].argmax()] for stretch in stretches])
    chosen = chosen[change[chosen] > 1e-3]
    if len(chosen) < 5:
        raise UsageError(f"{one.path} is too short or too still to be aligned by", "give videos in which things move")
    return np.asarray(chosen, np.intp)


def _iterate_guesses(here: Floats, there: Floats, drifting: bool) -> Iterator[tuple[float, float]]:
    """(drift, offset) without drift from every anchor, and with drift from all pairs of anchors that are well apart."""
    for a, b in zip(here, there, strict=True):
        yield 1.0, float(b - a)
    span = float(np.ptp(here)) if len(here) else 0.0
    for i, j in combinations(range(len(here)), 2):
        if drifting and abs(here[j] - here[i]) > span / 4:
            drift = float((there[j] - there[i]) / (here[j] - here[i]))
            if DRIFT_RANGE[0] <= drift <= DRIFT_RANGE[1]:
                yield drift, float(there[i] - drift * here[i])


def _fit(here: Floats, there: Floats, near: float) -> tuple[float, float]:
    """Drift and offset by least squares, refitted to the anchors that fit best. A drift below half a frame is none."""
    drift, offset = np.polyfit(here, there, 1)
    off = np.abs(drift * here + offset - there)
    close = off <= max(float(np.median(off)), near / 10)
    drift, offset = (float(value) for value in np.polyfit(here[close], there[close], 1))
    if abs(drift - 1) * float(np.ptp(here)) < near / 2:
        return 1.0, float(np.median(there - here))
    return drift, offset
