"""BRISQUE, a metric without a reference, from the package `brisque`, which includes its model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from brisque import BRISQUE

from live_sr.evaluate.metrics import BgrImage, FrameMean, MakeAccumulator

SIDE = 32  # pixels a side, below which its statistics mean nothing


class NumpyBrisque(BRISQUE):  # type: ignore[misc]  # it comes without types
    """brisque 0.2.0 converts one-element arrays to numbers, which NumPy 2.4 no longer allows."""

    def scale_features(self, features: Iterable[npt.ArrayLike]) -> npt.NDArray[np.float64]:
        return np.asarray(super().scale_features([np.ravel(feature)[0] for feature in features]))


def make_brisque() -> MakeAccumulator:
    """How unnatural a picture looks, about 0..100, less is better (Mittal et al. 2012).

    It was trained on photographs; drawn pictures may lie outside that range on either side.
    """
    scorer = NumpyBrisque()

    def figure(shown: BgrImage, _target: BgrImage) -> float | None:
        if min(shown.shape[:2]) < SIDE:
            return None
        with np.errstate(invalid="ignore"):  # a flat picture has no statistics, and gives no figure
            return float(scorer.score(np.ascontiguousarray(shown[..., ::-1])))

    return lambda: FrameMean(figure)
