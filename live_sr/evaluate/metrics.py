"""The table of metrics, and those that need only numpy: PSNR of the luma, and flicker."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from live_sr.errors import MissingPart, UsageError, did_you_mean

BgrImage = npt.NDArray[np.uint8]
"""BGR, shape (height, width, 3), uint8."""

BORDER = 8  # pixels that every metric ignores on each side, where filters and networks lack neighbours
# BT.601, limited range (16..235), as in MATLAB's rgb2ycbcr and the super-resolution literature; in BGR order
LUMA = np.array([24.966, 128.553, 65.481], np.float32) / 255


class MetricAccumulator(Protocol):
    """Collects one metric of one model over one dataset."""

    def add(self, shown: BgrImage, target: BgrImage, sequence: str) -> None:
        """Adds a frame and its target, both without borders; `sequence` names the frames that follow each other."""
        ...

    def mean(self) -> float | None:
        """The mean over the frames so far; None if nothing could be measured."""
        ...


MakeAccumulator = Callable[[], MetricAccumulator]


@dataclass(frozen=True)
class Metric:
    """path: "module:function", a function that returns a factory of accumulators, or raises MissingPart.

    higher: whether a higher value is better. digits: decimals in tables. usual: measured by default.
    """

    name: str
    path: str
    higher: bool
    digits: int
    usual: bool = False

    def load(self) -> MakeAccumulator:
        """Raises MissingPart with the reason why the metric is not available."""
        module, name = self.path.split(":")
        try:
            return cast(MakeAccumulator, getattr(importlib.import_module(module), name)())
        except (ImportError, OSError) as error:
            raise MissingPart(f"{error}") from error


METRICS = (
    Metric("psnr_y", "live_sr.evaluate.metrics:make_psnr_y", higher=True, digits=2, usual=True),
    Metric("ssim_y", "live_sr.evaluate.piq_metrics:make_ssim_y", higher=True, digits=4, usual=True),
    Metric("ms_ssim", "live_sr.evaluate.piq_metrics:make_ms_ssim", higher=True, digits=4),
    Metric("haarpsi", "live_sr.evaluate.piq_metrics:make_haarpsi", higher=True, digits=4, usual=True),
    Metric("flip", "live_sr.evaluate.flip:make_flip", higher=False, digits=4, usual=True),
    Metric("lpips", "live_sr.evaluate.piq_metrics:make_lpips", higher=False, digits=4),
    Metric("dists", "live_sr.evaluate.piq_metrics:make_dists", higher=False, digits=4),
    Metric("brisque", "live_sr.evaluate.brisque:make_brisque", higher=False, digits=2),
    Metric("vmaf", "live_sr.evaluate.vmaf:make_vmaf", higher=True, digits=2),
    Metric("flicker", "live_sr.evaluate.metrics:make_flicker", higher=False, digits=3, usual=True),
)


def choose_metrics(names: Sequence[str]) -> list[Metric]:
    """The metrics of those names; the usual ones for no name, every one for "all". Raises UsageError."""
    known = [metric.name for metric in METRICS]
    for name in names:
        if name not in (*known, "all"):
            raise UsageError(
                f'there is no metric called "{name}".{did_you_mean(name, known)}', f"all, or some of {', '.join(known)}"
            )
    return [m for m in METRICS if "all" in names or m.name in names or (not names and m.usual)]


def crop_border(picture: BgrImage) -> BgrImage:
    """The picture without its borders. Raises UsageError if nothing would be left."""
    if min(picture.shape[:2]) <= 2 * BORDER:
        raise UsageError(
            f"a picture of {picture.shape[1]}x{picture.shape[0]} is too small to be measured",
            f"more than {2 * BORDER} pixels a side are needed, since {BORDER} on each side do not count",
        )
    return picture[BORDER:-BORDER, BORDER:-BORDER]


def compute_luma(picture: BgrImage) -> npt.NDArray[np.float32]:
    """BT.601 limited-range luma (H, W), 16..235, unrounded."""
    return np.asarray(picture.astype(np.float32) @ LUMA + 16, np.float32)


def compute_psnr_y(shown: BgrImage, target: BgrImage) -> float:
    """10 log10(255² / mean squared error of the luma), in dB; equal pictures give about 138."""
    error = float(np.mean((compute_luma(shown) - compute_luma(target)) ** 2))
    return 10 * math.log10(255**2 / max(error, 1e-9))


class FrameMean:
    """The mean over frames of a function of (shown, target); None from it means that a frame cannot be measured."""

    def __init__(self, measure: Callable[[BgrImage, BgrImage], float | None]) -> None:
        self._measure = measure
        self._figures: list[float] = []

    def add(self, shown: BgrImage, target: BgrImage, sequence: str) -> None:
        figure = self._measure(shown, target)
        if figure is not None and math.isfinite(figure):
            self._figures.append(figure)

    def mean(self) -> float | None:
        return float(np.mean(self._figures)) if self._figures else None


class Flicker:
    """How much more the shown sequence flickers than the target: mean |ΔO - ΔR| of the luma, 0..219 levels.

    O(t) is the shown luma, R(t) the target's, ΔX = X(t) - X(t-1) over neighbouring frames of one sequence; the mean is
    over pixels, then over these pairs of frames. Zero for a sequence that changes exactly as its target does. Since
    ΔO - ΔR is the change of the error O - R from one frame to the next, an error that stands still costs nothing.
    The idea is that of tOF/tLP-like measures (Chu et al., TecoGAN, 2020), on plain differences.
    """

    def __init__(self) -> None:
        self._sequence: str | None = None
        self._error: npt.NDArray[np.float32] | None = None
        self._changes: list[float] = []

    def add(self, shown: BgrImage, target: BgrImage, sequence: str) -> None:
        error = compute_luma(shown) - compute_luma(target)
        if self._error is not None and sequence == self._sequence and error.shape == self._error.shape:
            self._changes.append(float(np.mean(np.abs(error - self._error))))
        self._sequence, self._error = sequence, error

    def mean(self) -> float | None:
        return float(np.mean(self._changes)) if self._changes else None


def make_psnr_y() -> MakeAccumulator:
    return lambda: FrameMean(compute_psnr_y)


def make_flicker() -> MakeAccumulator:
    return Flicker
