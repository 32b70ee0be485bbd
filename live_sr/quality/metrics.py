"""The metrics there are, as a table, and those that need nothing but numpy: PSNR of the luma, and flicker."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from live_sr.errors import MissingPart, UsageError, did_you_mean

Picture = npt.NDArray[np.uint8]
"""BGR, shape (height, width, 3), uint8."""

BORDER = 8  # pixels left out on each side, where filters and networks lack neighbours; by every metric
# BT.601, limited range (16..235), as MATLAB's rgb2ycbcr and the super-resolution literature have it; here in BGR order
LUMA = np.array([24.966, 128.553, 65.481], np.float32) / 255


class Tally(Protocol):
    """One metric of one model over one set."""

    def add(self, shown: Picture, target: Picture, place: str) -> None:
        """A frame and what it should be, without their borders; `place`: what the frames of one sequence share."""
        ...

    def mean(self) -> float | None:
        """Over the frames so far; None where nothing could be measured."""
        ...


MakeTally = Callable[[], Tally]


@dataclass(frozen=True)
class Metric:
    """`path`: "module:function"; the function returns what makes tallies, and raises MissingPart.

    higher: whether more is better. digits: behind the point, in tables. usual: measured unless asked otherwise.
    """

    name: str
    path: str
    higher: bool
    digits: int
    usual: bool = False

    def load(self) -> MakeTally:
        """Raises MissingPart with a sentence that says why it cannot be had."""
        module, name = self.path.split(":")
        try:
            return cast(MakeTally, getattr(importlib.import_module(module), name)())
        except (ImportError, OSError) as error:
            raise MissingPart(f"{error}") from error


_HERE = "live_sr.quality"
METRICS = (
    Metric("psnr_y", f"{_HERE}.metrics:psnr_tallies", higher=True, digits=2, usual=True),
    Metric("ssim_y", f"{_HERE}.perceptual:ssim_y", higher=True, digits=4, usual=True),
    Metric("ms_ssim", f"{_HERE}.perceptual:ms_ssim", higher=True, digits=4),
    Metric("haarpsi", f"{_HERE}.perceptual:haarpsi", higher=True, digits=4, usual=True),
    Metric("flip", f"{_HERE}.flip:flip", higher=False, digits=4, usual=True),
    Metric("lpips", f"{_HERE}.perceptual:lpips", higher=False, digits=4),
    Metric("dists", f"{_HERE}.perceptual:dists", higher=False, digits=4),
    Metric("brisque", f"{_HERE}.noreference:brisque", higher=False, digits=2),
    Metric("vmaf", f"{_HERE}.vmaf:vmaf", higher=True, digits=2),
    Metric("flicker", f"{_HERE}.metrics:flicker_tallies", higher=False, digits=3, usual=True),
)


def chosen(names: Sequence[str]) -> list[Metric]:
    """By name, or the usual ones for none, or every one for "all". Raises UsageError."""
    known = [metric.name for metric in METRICS]
    for name in names:
        if name not in (*known, "all"):
            raise UsageError(
                f'there is no metric called "{name}".{did_you_mean(name, known)}', f"all, or some of {', '.join(known)}"
            )
    return [m for m in METRICS if "all" in names or m.name in names or (not names and m.usual)]


def inner(picture: Picture) -> Picture:
    """Without its borders. Raises UsageError when nothing would be left."""
    if min(picture.shape[:2]) <= 2 * BORDER:
        raise UsageError(
            f"a picture of {picture.shape[1]}x{picture.shape[0]} is too small to be measured",
            f"more than {2 * BORDER} pixels a side are needed, since {BORDER} on each side do not count",
        )
    return picture[BORDER:-BORDER, BORDER:-BORDER]


def luma(picture: Picture) -> npt.NDArray[np.float32]:
    """BT.601 limited-range luma (H, W), 16..235, unrounded."""
    return np.asarray(picture.astype(np.float32) @ LUMA + 16, np.float32)


def psnr_y(shown: Picture, target: Picture) -> float:
    """10 log10(255² / mean squared error of the luma), in dB; equal pictures give about 138."""
    error = float(np.mean((luma(shown) - luma(target)) ** 2))
    return 10 * math.log10(255**2 / max(error, 1e-9))


class FrameMean:
    """The mean over frames of a function of (shown, target), which may say None for pictures it cannot measure."""

    def __init__(self, measure: Callable[[Picture, Picture], float | None]) -> None:
        self._measure = measure
        self._figures: list[float] = []

    def add(self, shown: Picture, target: Picture, place: str) -> None:
        figure = self._measure(shown, target)
        if figure is not None and math.isfinite(figure):
            self._figures.append(figure)

    def mean(self) -> float | None:
        return float(np.mean(self._figures)) if self._figures else None


class Flicker:
    """How much more the shown sequence flickers than the target: mean |ΔO - ΔR| of the luma, 0..219 levels.

    O(t) is the shown luma, R(t) the target's, ΔX = X(t) - X(t-1) over neighbouring frames of one place; the mean is
    over pixels, then over these pairs of frames. Zero for a sequence that changes exactly as its target does. Since
    ΔO - ΔR is the change of the error O - R from one frame to the next, an error that stands still costs nothing.
    The idea is that of tOF/tLP-like measures (Chu et al., TecoGAN, 2020), on plain differences.
    """

    def __init__(self) -> None:
        self._place: str | None = None
        self._error: npt.NDArray[np.float32] | None = None
        self._changes: list[float] = []

    def add(self, shown: Picture, target: Picture, place: str) -> None:
        error = luma(shown) - luma(target)
        if self._error is not None and place == self._place and error.shape == self._error.shape:
            self._changes.append(float(np.mean(np.abs(error - self._error))))
        self._place, self._error = place, error

    def mean(self) -> float | None:
        return float(np.mean(self._changes)) if self._changes else None


def psnr_tallies() -> MakeTally:
    return lambda: FrameMean(psnr_y)


def flicker_tallies() -> MakeTally:
    return Flicker
