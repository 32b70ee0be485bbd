"""Selects the part of a dataset where the models differ most, to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from live_sr.evaluate.datasets import FramePair
from live_sr.evaluate.metrics import BORDER, BgrImage, compute_luma
from live_sr.pipeline.frame import Size

CROP = Size(144, 108)  # of the large picture, in pixels
STEP = 12  # pixels between the corners that are tried; a multiple of every scale


@dataclass(frozen=True)
class SelectedCrops:
    """The same part of one frame: the input, the target and each model's result by name. group: the dataset's."""

    group: tuple[int, str, str]
    small: BgrImage
    target: BgrImage
    models: Mapping[str, BgrImage]


class CropSelection:
    """Keeps the crop with the largest differences among the frames that it is shown."""

    def __init__(self, scale: int) -> None:
        self._scale = scale
        self._interest = -1.0
        self._best: tuple[BgrImage, BgrImage, dict[str, BgrImage]] | None = None

    def consider(self, pair: FramePair, shown: Mapping[str, BgrImage]) -> None:
        """Rates a crop by the mean standard deviation of the luma among the models and the target."""
        spread = np.std([compute_luma(pair.target), *(compute_luma(picture) for picture in shown.values())], axis=0)
        y, x, interest = find_greatest_mean(spread)
        if interest <= self._interest:
            return
        self._interest = interest
        large = np.s_[y : y + CROP.height, x : x + CROP.width]
        ys, xs = (slice(at // self._scale, (at + side) // self._scale) for at, side in ((y, CROP[1]), (x, CROP[0])))
        crops = {name: picture[large].copy() for name, picture in shown.items()}
        self._best = pair.small[ys, xs, :3].copy(), pair.target[large].copy(), crops

    def select(self, group: tuple[int, str, str]) -> SelectedCrops:
        assert self._best is not None, "nothing was considered"
        return SelectedCrops(group, *self._best)


def find_greatest_mean(values: npt.NDArray[np.floating]) -> tuple[int, int, float]:
    """Row and column of the crop with the greatest mean, and that mean; borders are avoided where there is room."""
    height, width = values.shape
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = values.cumsum(0, np.float64).cumsum(1)
    tall, wide = min(CROP.height, height), min(CROP.width, width)
    ys, xs = (_list_corners(side, part) for side, part in ((height, tall), (width, wide)))
    top, left = np.meshgrid(ys, xs, indexing="ij")
    means = (sums[top + tall, left + wide] - sums[top, left + wide] - sums[top + tall, left] + sums[top, left]) / (
        tall * wide
    )
    at = int(np.argmax(means))
    return int(top.flat[at]), int(left.flat[at]), float(means.flat[at])


def _list_corners(side: int, part: int) -> npt.NDArray[np.intp]:
    first = -(-BORDER // STEP) * STEP
    corners = np.arange(first, side - part - BORDER + 1, STEP)
    return corners if corners.size else np.zeros(1, np.intp)
