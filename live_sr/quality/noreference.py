"""BRISQUE, which judges a picture by itself, from the package `brisque`, which carries its model with it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from brisque import BRISQUE

from live_sr.quality.metrics import FrameMean, MakeTally, Picture

SIDE = 32  # pixels a side, below which its statistics mean nothing


class Judge(BRISQUE):  # type: ignore[misc]  # it comes without types
    """brisque 0.2.0 makes numbers of one-element arrays, which numpy 2.4 no longer takes for numbers."""

    def scale_features(self, features: Iterable[npt.ArrayLike]) -> npt.NDArray[np.float64]:
        return np.asarray(super().scale_features([np.ravel(feature)[0] for feature in features]))


def brisque() -> MakeTally:
    """How unnatural a picture looks, about 0..100, less is better (Mittal et al. 2012).

    It was learned from photographs; drawn pictures may lie outside of its range on either side.
    """
    judge = Judge()

    def figure(shown: Picture, _target: Picture) -> float | None:
        if min(shown.shape[:2]) < SIDE:
            return None
        with np.errstate(invalid="ignore"):  # a flat picture has no statistics, and gives no figure
            return float(judge.score(np.ascontiguousarray(shown[..., ::-1])))

    return lambda: FrameMean(figure)
