"""Measures a network's receptive-field radius: it changes a few pixels and looks how far away the result changes."""

from __future__ import annotations

import numpy as np

from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Frame, Pixels, Size, make_black

PROBE_SIDE = 160  # pixels of the test pictures
BLOCK_SIDE = 8  # pixels that are changed


def measure_radius(engine: Engine, step: int = 1) -> int | None:
    """The radius in input pixels, or None where the change is visible nearly everywhere.

    Changes below one of 256 levels stay invisible, so the true radius is a little larger. step: the sides of the test
    pictures are multiples of it. Raises what the engine raises.
    """
    side = -(-PROBE_SIDE // step) * step
    first = (side - BLOCK_SIDE) // 2 // step * step
    size = Size(side, side)
    radius = 0
    for before in (_make_noise(size), make_black(size)):
        after = before.copy()
        block = after[first : first + BLOCK_SIDE, first : first + BLOCK_SIDE, :3]
        np.subtract(255, block, out=block)
        changed = (_upscale(engine, before) != _upscale(engine, after)).any(2)
        for along_axis in (changed.any(0), changed.any(1)):
            places = np.flatnonzero(along_axis)
            if places.size:
                low, high = places[0] // engine.scale, places[-1] // engine.scale
                radius = max(radius, first - int(low), int(high) - (first + BLOCK_SIDE - 1))
    return radius if radius < first * 3 // 4 else None


def _upscale(engine: Engine, pixels: Pixels) -> Pixels:
    done = engine.upscale(Frame(pixels))
    assert done is not None, "an engine drops no picture that comes alone"
    return done.pixels


def _make_noise(size: Size) -> Pixels:
    pixels = make_black(size)
    pixels[..., :3] = np.random.default_rng(0).integers(0, 256, (size.height, size.width, 3), np.uint8)
    return pixels
