"""The picture with which engines are tried."""

from __future__ import annotations

import numpy as np

from live_sr.pipeline.frame import Pixels, Size, make_black


def make_trial_picture(size: Size) -> Pixels:
    """Smooth above, noise below: every level, and the largest steps there can be."""
    pixels = make_black(size)
    x, y = np.meshgrid(np.linspace(0, 255, size.width), np.linspace(0, 255, size.height))
    pixels[..., :3] = np.stack((x, y, (x + y) / 2), 2).astype(np.uint8)
    lower = pixels[size.height // 2 :, :, :3]
    lower[...] = np.random.default_rng(0).integers(0, 256, lower.shape, np.uint8)
    return pixels
