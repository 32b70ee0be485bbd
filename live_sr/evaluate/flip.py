"""FLIP, NVIDIA's metric for rendered images: what a viewer notices when two pictures alternate on one screen."""

from __future__ import annotations

import flip_evaluator
import numpy as np

from live_sr.evaluate.metrics import BgrImage, FrameMean, MakeAccumulator


def make_flip() -> MakeAccumulator:
    """The mean of the LDR-FLIP error map, 0..1 (Andersson et al. 2020), seen at its usual 67 pixels per degree."""
    return lambda: FrameMean(_measure_flip)


def _measure_flip(shown: BgrImage, target: BgrImage) -> float:
    reference, test = (np.ascontiguousarray(p[..., ::-1], np.float32) / np.float32(255) for p in (target, shown))
    _, mean, _ = flip_evaluator.evaluate(reference, test, "LDR", applyMagma=False)
    return float(mean)
