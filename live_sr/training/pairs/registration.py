"""Registration of two pictures: scale and shift of each axis, first from SIFT features, then from all pixels.

Coordinates count from the corner of the picture: the centre of the first pixel is at 0.5, so that a picture of half the
size has exactly half the coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor

import cv2
import numpy as np
import numpy.typing as npt

from live_sr.errors import UsageError
from live_sr.imaging.degradation import Picture
from live_sr.training.pairs.time_alignment import Box

FEATURES = 500  # of a picture
RATIO_TEST = 0.75  # of the best match's distance to that of the second best, as in Lowe (2004)
FEWEST_MATCHES = 30  # that agree, over all frames together
LARGEST_LEAN = 1.0  # small pixels by which an edge may lean across the picture before it counts as turned
SNAP = 0.2  # large pixels; a shift this near to a whole number counts as whole: pictures are cropped, not resampled
REMEDY = "give two versions of one video, the smaller first, both upright and whole"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Registration:
    """The point (x, y) of the small picture is at (sx * x + ox, sy * y + oy) in the large one."""

    sx: float
    sy: float
    ox: float
    oy: float

    def __str__(self) -> str:
        return f"x{self.sx:.4f} by x{self.sy:.4f}, shifted by {self.ox:+.2f}, {self.oy:+.2f} pixels"


@dataclass(frozen=True)
class CommonArea:
    """What both pictures show: `box` in the small one, and the same area, `scale` times as large, in the large one."""

    registration: Registration
    box: Box
    scale: int

    @property
    def exact(self) -> bool:
        """Whether the large part is cropped as it is, and not resampled."""
        found = self.registration
        return found.sx == found.sy == self.scale and found.ox == round(found.ox) and found.oy == round(found.oy)

    def locate_in_large(self, size: tuple[int, int]) -> Box:
        """`box` in the pixels of a large picture of that size."""
        found, box = self.registration, self.box
        left, top = round(found.sx * box.left + found.ox), round(found.sy * box.top + found.oy)
        right, bottom = round(found.sx * box.right + found.ox), round(found.sy * box.bottom + found.oy)
        return Box(max(0, left), max(0, top), min(size[0], right), min(size[1], bottom))

    def crop_small(self, picture: Picture) -> Picture:
        return np.ascontiguousarray(picture[self.box.top : self.box.bottom, self.box.left : self.box.right])

    def crop_large(self, picture: Picture) -> Picture:
        found, box = self.registration, self.box
        size = (box.right - box.left) * self.scale, (box.bottom - box.top) * self.scale
        if self.exact:
            left, top = box.left * self.scale + round(found.ox), box.top * self.scale + round(found.oy)
            return np.ascontiguousarray(picture[top : top + size[1], left : left + size[0]])
        shrunk = found.sx / self.scale, found.sy / self.scale
        if max(shrunk) > 1.15:  # against aliasing
            x, y = (0.5 * max(r * r - 1, 1e-3) ** 0.5 for r in shrunk)
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), x, sigmaY=y), np.uint8)
        return _resample(picture, shrunk, (found.sx * box.left + found.ox, found.sy * box.top + found.oy), size)


def _resample(
    picture: Picture, step: tuple[float, float], start: tuple[float, float], size: tuple[int, int]
) -> Picture:
    """A picture of `size` pixels, each `step` wide, that begins at `start`."""
    ahead = [0.5 * s + o - 0.5 for s, o in zip(step, start, strict=True)]
    matrix = np.array([[step[0], 0, ahead[0]], [0, step[1], ahead[1]]])
    how = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE), np.uint8)


@dataclass(frozen=True)
class SiftFeatures:
    """SIFT features of one picture: their points (n, 2) in its pixels, and their descriptors (n, 128)."""

    points: Floats
    descriptors: npt.NDArray[np.float32]


def detect_features(picture: Picture, shrunk_by: float = 1.0) -> SiftFeatures:
    """SIFT (Lowe 2004), after the picture was made `shrunk_by` times smaller."""
    small = picture
    if shrunk_by > 1:
        small = np.asarray(cv2.resize(picture, None, fx=1 / shrunk_by, fy=1 / shrunk_by, interpolation=cv2.INTER_AREA))
    by = np.array([picture.shape[1] / small.shape[1], picture.shape[0] / small.shape[0]])
    points, descriptors = cv2.SIFT.create(FEATURES).detectAndCompute(_convert_to_grey(small), None)
    if descriptors is None:
        return SiftFeatures(np.zeros((0, 2)), np.zeros((0, 128), np.float32))
    return SiftFeatures((np.array([point.pt for point in points]) + 0.5) * by, np.asarray(descriptors, np.float32))


@dataclass(frozen=True)
class RegistrationGuess:
    """The registration that `agreeing` of all `matches` between features agree on."""

    registration: Registration
    agreeing: int
    matches: int


def guess_registration(pairs: Sequence[tuple[SiftFeatures, SiftFeatures]]) -> RegistrationGuess:
    """Estimates the registration from the features of pictures of the same instants, the smaller one first."""
    here, there = (np.concatenate(places) for places in zip(*(_match_features(*pair) for pair in pairs), strict=True))
    found, agreeing = _fit_with_ransac(here, there)
    return RegistrationGuess(found, agreeing, len(here))


def refine_registration(guess: RegistrationGuess, pairs: Sequence[tuple[Picture, Picture]]) -> Registration:
    """Makes the guess exact, with the pixels of all pictures. Raises UsageError where they do not fit."""
    found = guess.registration
    if guess.agreeing < FEWEST_MATCHES or guess.agreeing < 0.3 * guess.matches:
        what = "they do not show the same picture, or one is turned or mirrored"
        few = f"{guess.agreeing} of {guess.matches} features agree"
        raise UsageError(f"the two videos do not fit: {what} ({few})", REMEDY)
    if min(found.sx, found.sy) < 1.9:
        what = f"the large one is only {min(found.sx, found.sy):.2f} times as large as the small one"
        raise UsageError(f"the two videos do not fit: {what}, and a pair needs 2", REMEDY)
    return _snap_to_whole(_maximise_correlation(pairs, found), pairs[0][0].shape[1])


def _match_features(small: SiftFeatures, large: SiftFeatures) -> tuple[Floats, Floats]:
    """The points of features that match, (n, 2) each."""
    if len(large.descriptors) < 2 or not len(small.descriptors):
        return np.zeros((0, 2)), np.zeros((0, 2))
    found = [
        m[0]
        for m in cv2.BFMatcher().knnMatch(small.descriptors, large.descriptors, k=2)
        if m[0].distance < RATIO_TEST * m[1].distance
    ]
    return small.points[[m.queryIdx for m in found]], large.points[[m.trainIdx for m in found]]


def _convert_to_grey(picture: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def _fit_with_ransac(here: Floats, there: Floats) -> tuple[Registration, int]:
    """What most matches agree on, and how many do, by RANSAC over random pairs of them (Fischler & Bolles 1981)."""
    if len(here) < 2:
        return Registration(1, 1, 0, 0), 0
    rng = np.random.default_rng(1)
    best = np.zeros(len(here), bool)
    for a, b in rng.integers(0, len(here), (500, 2)):
        apart = here[b] - here[a]
        if (np.abs(apart) < 8).any():
            continue
        scale = (there[b] - there[a]) / apart
        if (scale <= 0.2).any():
            continue
        off = np.abs(here * scale + (there[a] - scale * here[a]) - there)
        agree = (off < scale).all(1)  # within a small pixel
        if agree.sum() > best.sum():
            best = agree
    if best.sum() < 3:
        return Registration(1, 1, 0, 0), int(best.sum())
    (sx, ox), (sy, oy) = (np.polyfit(here[best, axis], there[best, axis], 1) for axis in (0, 1))
    return Registration(float(sx), float(sy), float(ox), float(oy)), int(best.sum())


def _maximise_correlation(pairs: Sequence[tuple[Picture, Picture]], found: Registration) -> Registration:
    """By enhanced correlation of all pixels (ECC, Evangelidis & Psarakis 2008). Raises UsageError if one is turned."""
    rests = []
    for small, large in pairs:
        shape = small.shape[1], small.shape[0]
        ready = cv2.GaussianBlur(large, (0, 0), found.sx / 3, sigmaY=found.sy / 3)
        onto = _resample(np.asarray(ready, np.uint8), (found.sx, found.sy), (found.ox, found.oy), shape)
        ends = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-6)
        mask = _make_overlap_mask(found, large, shape)
        try:
            start = np.eye(2, 3, dtype=np.float32)
            rests.append(
                cv2.findTransformECC(
                    _convert_to_grey(small), _convert_to_grey(onto), start, cv2.MOTION_AFFINE, ends, mask, 5
                )[1]
            )
        except cv2.error:  # this pair does not converge: too dark, or too little in it
            continue
    if not rests:
        return found
    rest = np.median(np.array(rests, np.float64), 0)
    lean = max(abs(rest[0, 1]) * pairs[0][0].shape[0], abs(rest[1, 0]) * pairs[0][0].shape[1])
    if lean > LARGEST_LEAN:
        raise UsageError(f"the two videos do not fit: one leans by {lean:.1f} pixels", REMEDY)
    # From pixel centres, which OpenCV counts from, to corners: v + 0.5 becomes rest * v + shift + 0.5 in `onto`.
    ax, ay = rest[0, 0], rest[1, 1]
    tx, ty = rest[0, 2] + 0.5 - 0.5 * ax, rest[1, 2] + 0.5 - 0.5 * ay
    made = found.sx * ax, found.sy * ay, found.sx * tx + found.ox, found.sy * ty + found.oy
    return Registration(*map(float, made))


def _make_overlap_mask(found: Registration, large: Picture, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """255 where the small picture overlaps the large one, else 0."""
    x = (np.arange(shape[0]) + 0.5) * found.sx + found.ox
    y = (np.arange(shape[1]) + 0.5) * found.sy + found.oy
    mask = ((y > 2) & (y < large.shape[0] - 2))[:, None] & ((x > 2) & (x < large.shape[1] - 2))
    return np.asarray(mask * 255, np.uint8)


def _snap_to_whole(found: Registration, width: int) -> Registration:
    """Rounds scales and shifts that cannot be told apart from whole numbers."""
    scale = round((found.sx + found.sy) / 2)
    if max(abs(found.sx - scale), abs(found.sy - scale)) * width > SNAP * scale:
        return found
    middle = width / 2  # the shift is known best there
    ox, oy = found.ox + (found.sx - scale) * middle, found.oy + (found.sy - scale) * middle
    near = replace(found, sx=float(scale), sy=float(scale), ox=ox, oy=oy)
    if max(abs(ox - round(ox)), abs(oy - round(oy))) <= SNAP:
        return replace(near, ox=float(round(ox)), oy=float(round(oy)))
    return near


def find_common_area(found: Registration, small: Box, large: Box) -> CommonArea:
    """What both show inside their black bars, in whole small pixels. Raises UsageError if that is too little."""
    left, right = _intersect(small.left, small.right, large.left, large.right, found.sx, found.ox)
    top, bottom = _intersect(small.top, small.bottom, large.top, large.bottom, found.sy, found.oy)
    area = max(0, right - left) * max(0, bottom - top)
    whole = (small.right - small.left) * (small.bottom - small.top)
    if min(right - left, bottom - top) < 16 or area < whole / 4:
        raise UsageError(f"the two videos share only {100 * area // whole} % of the picture", REMEDY)
    return CommonArea(found, Box(left, top, right, bottom), min(4, floor(min(found.sx, found.sy) + 0.05)))


def _intersect(begin: int, end: int, large_begin: int, large_end: int, scale: float, shift: float) -> tuple[int, int]:
    """The common interval of one axis, in small pixels."""
    first, last = (large_begin - shift) / scale, (large_end - shift) / scale
    return max(begin, ceil(first - 1e-6)), min(end, floor(last + 1e-6))
