"""How one picture of two lies on the other: scale and shift of each axis, from features and then from all pixels.

Coordinates are those of corners: the middle of the first pixel is at 0.5, so that shrinking by 2 is exactly a half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor

import cv2
import numpy as np
import numpy.typing as npt
from instants import Box

from live_sr.degradation import Picture
from live_sr.errors import UsageError

FEATURES = 500  # of a picture
LIKELY = 0.75  # a match's distance to that of the next best, as in Lowe (2004)
FEWEST = 30  # matches that agree, of all frames together
TURNED = 1.0  # small pixels by which an edge may lean from one side of the picture to the other
SNAP = 0.2  # large pixels by which a shift may be off a whole number and be cut, not resampled
REMEDY = "give two versions of one video, the smaller first, both upright and whole"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Laid:
    """A place (x, y) of the small picture is at (sx * x + ox, sy * y + oy) of the large one."""

    sx: float
    sy: float
    ox: float
    oy: float

    def __str__(self) -> str:
        return f"x{self.sx:.4f} by x{self.sy:.4f}, moved by {self.ox:+.2f}, {self.oy:+.2f} pixels"


@dataclass(frozen=True)
class Cut:
    """What both pictures show: `box` of the small one, and the same `scale` times larger of the large one."""

    laid: Laid
    box: Box
    scale: int

    @property
    def exact(self) -> bool:
        """Whether the large part is cut out as it is, and not resampled."""
        laid = self.laid
        return laid.sx == laid.sy == self.scale and laid.ox == round(laid.ox) and laid.oy == round(laid.oy)

    def of_large(self, size: tuple[int, int]) -> Box:
        """Where `box` lies on a large picture of that size, in its pixels."""
        laid, box = self.laid, self.box
        left, top = round(laid.sx * box.left + laid.ox), round(laid.sy * box.top + laid.oy)
        right, bottom = round(laid.sx * box.right + laid.ox), round(laid.sy * box.bottom + laid.oy)
        return Box(max(0, left), max(0, top), min(size[0], right), min(size[1], bottom))

    def small(self, picture: Picture) -> Picture:
        return np.ascontiguousarray(picture[self.box.top : self.box.bottom, self.box.left : self.box.right])

    def large(self, picture: Picture) -> Picture:
        laid, box = self.laid, self.box
        size = (box.right - box.left) * self.scale, (box.bottom - box.top) * self.scale
        if self.exact:
            left, top = box.left * self.scale + round(laid.ox), box.top * self.scale + round(laid.oy)
            return np.ascontiguousarray(picture[top : top + size[1], left : left + size[0]])
        shrunk = laid.sx / self.scale, laid.sy / self.scale
        if max(shrunk) > 1.15:  # what the new grid cannot hold must not turn into other patterns
            x, y = (0.5 * max(r * r - 1, 1e-3) ** 0.5 for r in shrunk)
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), x, sigmaY=y), np.uint8)
        return _resampled(picture, shrunk, (laid.sx * box.left + laid.ox, laid.sy * box.top + laid.oy), size)


def _resampled(
    picture: Picture, step: tuple[float, float], start: tuple[float, float], size: tuple[int, int]
) -> Picture:
    """`size` pixels of which each is `step` wide, from `start` on."""
    ahead = [0.5 * s + o - 0.5 for s, o in zip(step, start, strict=True)]
    matrix = np.array([[step[0], 0, ahead[0]], [0, step[1], ahead[1]]])
    how = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE), np.uint8)


@dataclass(frozen=True)
class Features:
    """Of one picture: places (n, 2) in its pixels, and what they look like, (n, 128)."""

    places: Floats
    looks: npt.NDArray[np.float32]


def features(picture: Picture, shrunk_by: float = 1.0) -> Features:
    """SIFT's (Lowe 2004), of the picture after it was made so many times smaller."""
    small = picture
    if shrunk_by > 1:
        small = np.asarray(cv2.resize(picture, None, fx=1 / shrunk_by, fy=1 / shrunk_by, interpolation=cv2.INTER_AREA))
    by = np.array([picture.shape[1] / small.shape[1], picture.shape[0] / small.shape[0]])
    points, looks = cv2.SIFT_create(FEATURES).detectAndCompute(_grey(small), None)
    if looks is None:
        return Features(np.zeros((0, 2)), np.zeros((0, 128), np.float32))
    return Features((np.array([point.pt for point in points]) + 0.5) * by, np.asarray(looks, np.float32))


@dataclass(frozen=True)
class Guess:
    """What `agreeing` of all `matches` between features agree on."""

    laid: Laid
    agreeing: int
    matches: int


def guessed(pairs: Sequence[tuple[Features, Features]]) -> Guess:
    """From the features of pictures of the same instants, the smaller first."""
    here, there = (np.concatenate(places) for places in zip(*(_matches(*pair) for pair in pairs), strict=True))
    found, agreeing = _agreed(here, there)
    return Guess(found, agreeing, len(here))


def laid(guess: Guess, pairs: Sequence[tuple[Picture, Picture]]) -> Laid:
    """The guess made exact by the pictures themselves. Raises UsageError where they do not fit."""
    found = guess.laid
    if guess.agreeing < FEWEST or guess.agreeing < 0.3 * guess.matches:
        what = "they do not show the same picture, or one is turned or mirrored"
        few = f"{guess.agreeing} of {guess.matches} features agree"
        raise UsageError(f"the two videos do not fit: {what} ({few})", REMEDY)
    if min(found.sx, found.sy) < 1.9:
        what = f"the large one is only {min(found.sx, found.sy):.2f} times as large as the small one"
        raise UsageError(f"the two videos do not fit: {what}, and a pair needs 2", REMEDY)
    return snapped(refined(pairs, found), pairs[0][0].shape[1])


def _matches(small: Features, large: Features) -> tuple[Floats, Floats]:
    """Places of the same features, (n, 2) each."""
    if len(large.looks) < 2 or not len(small.looks):
        return np.zeros((0, 2)), np.zeros((0, 2))
    found = [
        m[0] for m in cv2.BFMatcher().knnMatch(small.looks, large.looks, k=2) if m[0].distance < LIKELY * m[1].distance
    ]
    return small.places[[m.queryIdx for m in found]], large.places[[m.trainIdx for m in found]]


def _grey(picture: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def _agreed(here: Floats, there: Floats) -> tuple[Laid, int]:
    """What most matches agree on, and how many do: random pairs of them are tried, as in Fischler & Bolles (1981)."""
    if len(here) < 2:
        return Laid(1, 1, 0, 0), 0
    random = np.random.default_rng(1)
    best = np.zeros(len(here), bool)
    for a, b in random.integers(0, len(here), (500, 2)):
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
        return Laid(1, 1, 0, 0), int(best.sum())
    (sx, ox), (sy, oy) = (np.polyfit(here[best, axis], there[best, axis], 1) for axis in (0, 1))
    return Laid(float(sx), float(sy), float(ox), float(oy)), int(best.sum())


def refined(pairs: Sequence[tuple[Picture, Picture]], found: Laid) -> Laid:
    """By enhanced correlation of all pixels (Evangelidis & Psarakis 2008). Raises UsageError for turned pictures."""
    rests = []
    for small, large in pairs:
        shape = small.shape[1], small.shape[0]
        ready = cv2.GaussianBlur(large, (0, 0), found.sx / 3, sigmaY=found.sy / 3)
        onto = _resampled(np.asarray(ready, np.uint8), (found.sx, found.sy), (found.ox, found.oy), shape)
        ends = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-6)
        mask = _inside(found, large, shape)
        try:
            start = np.eye(2, 3, dtype=np.float32)
            rests.append(cv2.findTransformECC(_grey(small), _grey(onto), start, cv2.MOTION_AFFINE, ends, mask, 5)[1])
        except cv2.error:  # this one does not converge: too dark, or too little in it
            continue
    if not rests:
        return found
    rest = np.median(np.array(rests, np.float64), 0)
    lean = max(abs(rest[0, 1]) * pairs[0][0].shape[0], abs(rest[1, 0]) * pairs[0][0].shape[1])
    if lean > TURNED:
        raise UsageError(f"the two videos do not fit: one leans by {lean:.1f} pixels", REMEDY)
    # in corners: a small pixel's middle v + 0.5 is at rest * v + shift + 0.5 of `onto`, which is laid as found
    ax, ay = rest[0, 0], rest[1, 1]
    tx, ty = rest[0, 2] + 0.5 - 0.5 * ax, rest[1, 2] + 0.5 - 0.5 * ay
    made = found.sx * ax, found.sy * ay, found.sx * tx + found.ox, found.sy * ty + found.oy
    return Laid(*map(float, made))


def _inside(found: Laid, large: Picture, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """255 where the small picture lies on the large one."""
    x = (np.arange(shape[0]) + 0.5) * found.sx + found.ox
    y = (np.arange(shape[1]) + 0.5) * found.sy + found.oy
    mask = ((y > 2) & (y < large.shape[0] - 2))[:, None] & ((x > 2) & (x < large.shape[1] - 2))
    return np.asarray(mask * 255, np.uint8)


def snapped(found: Laid, width: int) -> Laid:
    """Whole scales and shifts where it is as near to them as can be told."""
    scale = round((found.sx + found.sy) / 2)
    if max(abs(found.sx - scale), abs(found.sy - scale)) * width > SNAP * scale:
        return found
    middle = width / 2  # where the shift is known best
    ox, oy = found.ox + (found.sx - scale) * middle, found.oy + (found.sy - scale) * middle
    near = replace(found, sx=float(scale), sy=float(scale), ox=ox, oy=oy)
    if max(abs(ox - round(ox)), abs(oy - round(oy))) <= SNAP:
        return replace(near, ox=float(round(ox)), oy=float(round(oy)))
    return near


def cut(found: Laid, small: Box, large: Box) -> Cut:
    """What both show, inside of their black bars, in whole small pixels. Raises UsageError for next to nothing."""
    left, right = _common(small.left, small.right, large.left, large.right, found.sx, found.ox)
    top, bottom = _common(small.top, small.bottom, large.top, large.bottom, found.sy, found.oy)
    area = max(0, right - left) * max(0, bottom - top)
    whole = (small.right - small.left) * (small.bottom - small.top)
    if min(right - left, bottom - top) < 16 or area < whole / 4:
        raise UsageError(f"the two videos share only {100 * area // whole} % of the picture", REMEDY)
    return Cut(found, Box(left, top, right, bottom), min(4, floor(min(found.sx, found.sy) + 0.05)))


def _common(begin: int, end: int, large_begin: int, large_end: int, scale: float, shift: float) -> tuple[int, int]:
    """Of one axis."""
    first, last = (large_begin - shift) / scale, (large_end - shift) / scale
    return max(begin, ceil(first - 1e-6)), min(end, floor(last + 1e-6))
