"""How far a network sees, measured: change a few pixels, and look how far around them the result changes."""

from __future__ import annotations

import numpy as np

from live_sr.contracts import Engine
from live_sr.frame import Frame, Pixels, Size, fresh

SIDE = 160  # pixels of the pictures that it is tried on
BLOCK = 8  # pixels that are changed


def reach(engine: Engine, step: int = 1) -> int | None:
    """Pixels of the input; None where a change is seen nearly everywhere.

    What changes less than one level of eight bits is not seen, so it is a little more in truth. step: sides of pictures
    that the network likes. Raises what the engine raises.
    """
    side = -(-SIDE // step) * step
    first = (side - BLOCK) // 2 // step * step
    size = Size(side, side)
    seen = 0
    for before in (_noise(size), fresh(size)):
        after = before.copy()
        block = after[first : first + BLOCK, first : first + BLOCK, :3]
        np.subtract(255, block, out=block)
        changed = (_enlarged(engine, before) != _enlarged(engine, after)).any(2)
        for along in (changed.any(0), changed.any(1)):
            places = np.flatnonzero(along)
            if places.size:
                low, high = places[0] // engine.scale, places[-1] // engine.scale
                seen = max(seen, first - int(low), int(high) - (first + BLOCK - 1))
    return seen if seen < first * 3 // 4 else None


def _enlarged(engine: Engine, pixels: Pixels) -> Pixels:
    done = engine.upscale(Frame(pixels))
    assert done is not None, "an engine drops no picture that comes alone"
    return done.pixels


def _noise(size: Size) -> Pixels:
    pixels = fresh(size)
    pixels[..., :3] = np.random.default_rng(0).integers(0, 256, (size.height, size.width, 3), np.uint8)
    return pixels
