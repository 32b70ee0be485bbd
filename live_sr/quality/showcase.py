"""Which part of a set is worth looking at: where the models differ most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from live_sr.frame import Size
from live_sr.quality.metrics import BORDER, Picture, luma
from live_sr.quality.sets import Shot

CROP = Size(144, 108)  # of the large picture, in pixels
STEP = 12  # between the corners that are considered; a multiple of every scale


@dataclass(frozen=True)
class Exhibit:
    """The same part of one frame. `group` says of which set; small and target as they went in; models by name."""

    group: tuple[int, str, str]
    small: Picture
    target: Picture
    models: Mapping[str, Picture]


class Showcase:
    """Keeps the most telling crop of the frames it is shown."""

    def __init__(self, scale: int) -> None:
        self._scale = scale
        self._interest = -1.0
        self._best: tuple[Picture, Picture, dict[str, Picture]] | None = None

    def consider(self, shot: Shot, shown: Mapping[str, Picture]) -> None:
        """The interest of a crop is the mean deviation of the luma between the models and the target."""
        spread = np.std([luma(shot.target), *(luma(picture) for picture in shown.values())], axis=0)
        y, x, interest = most(spread)
        if interest <= self._interest:
            return
        self._interest = interest
        large = np.s_[y : y + CROP.height, x : x + CROP.width]
        ys, xs = (slice(at // self._scale, (at + side) // self._scale) for at, side in ((y, CROP[1]), (x, CROP[0])))
        crops = {name: picture[large].copy() for name, picture in shown.items()}
        self._best = shot.small[ys, xs, :3].copy(), shot.target[large].copy(), crops

    def exhibit(self, group: tuple[int, str, str]) -> Exhibit:
        assert self._best is not None, "nothing was considered"
        return Exhibit(group, *self._best)


def most(values: npt.NDArray[np.floating]) -> tuple[int, int, float]:
    """Row and column of the crop with the greatest mean, and that mean; borders are avoided where there is room."""
    height, width = values.shape
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = values.cumsum(0, np.float64).cumsum(1)
    tall, wide = min(CROP.height, height), min(CROP.width, width)
    ys, xs = (_corners(side, part) for side, part in ((height, tall), (width, wide)))
    top, left = np.meshgrid(ys, xs, indexing="ij")
    means = (sums[top + tall, left + wide] - sums[top, left + wide] - sums[top + tall, left] + sums[top, left]) / (
        tall * wide
    )
    at = int(np.argmax(means))
    return int(top.flat[at]), int(left.flat[at]), float(means.flat[at])


def _corners(side: int, part: int) -> npt.NDArray[np.intp]:
    first = -(-BORDER // STEP) * STEP
    corners = np.arange(first, side - part - BORDER + 1, STEP)
    return corners if corners.size else np.zeros(1, np.intp)
