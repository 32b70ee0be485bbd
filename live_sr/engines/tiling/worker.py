"""Draws single tiles into a large picture."""

from __future__ import annotations

from typing import Generic

import numpy as np
import numpy.typing as npt

from live_sr.errors import EngineError
from live_sr.pipeline.contracts import ImageEngine
from live_sr.pipeline.engine_contracts import RecurrentEngine
from live_sr.pipeline.frame import AnyPixels, Frame, Rect, Tile, copy_part, reuse_or_allocate_like


class TileWorker(Generic[AnyPixels]):
    """An engine for tiles with its own input and output buffers. One thread at a time uses it."""

    def __init__(self, engine: ImageEngine[AnyPixels]) -> None:
        self.engine: ImageEngine[AnyPixels] = engine
        self._source: AnyPixels | None = None
        self._result: AnyPixels | None = None

    def draw(self, pixels: AnyPixels, tile: Tile, done: AnyPixels, fade: int) -> None:
        """Draws the kept part of `tile` into `done`.

        fade: 0, or over how many pixels on each side of a seam the tile is blended with its neighbours above and to the
        left. Those must be drawn already.
        """
        self._source = reuse_or_allocate_like(self._source, tile.source.size, pixels)
        copy_part(pixels, tile.source, self._source)
        if isinstance(self.engine, RecurrentEngine):
            self.engine.begin()  # the tile before is not the frame before
        result = self.engine.upscale(Frame(self._source), self._result)
        if result is None:
            raise EngineError(f"{self.engine.info} dropped a tile", "use queue = 0, or --tile off")
        self._result = result.pixels
        scale = self.engine.scale
        if fade:
            _blend(result.pixels, tile, done, scale, fade)
            return
        kept, source = tile.kept, tile.source
        _view(done, kept, scale)[...] = _view(result.pixels, _to_tile_coordinates(kept, source), scale)


def _blend(result: AnyPixels, tile: Tile, done: AnyPixels, scale: int, fade: int) -> None:
    """Paints a tile over those before it, further to the right and below than its kept part.

    Where four tiles meet, their shares must equal those of fading the two rows first and then one row into the other;
    otherwise an edge shows. Let n be the next tile's share across, and d this tile's share down. The remainder that the
    next tile leaves is right when this tile is painted with d * (1 - n) / (1 - d * n).
    """
    kept, source = tile.kept, tile.source
    picture = Rect(0, 0, done.shape[1] // scale, done.shape[0] // scale)
    left, top = min(fade, kept.x), min(fade, kept.y)
    right = min(fade, picture.width - kept.x - kept.width)
    below = min(fade, picture.height - kept.y - kept.height)
    wide = Rect(kept.x - left, kept.y - top, left + kept.width + right, top + kept.height + below)
    across = _make_ramp(2 * left * scale, wide.width * scale)
    following = 1 - _make_ramp(2 * right * scale, wide.width * scale)[::-1]
    down = _make_ramp(2 * top * scale, wide.height * scale)[:, np.newaxis]
    weight = (down * across * (1 - following) / (1 - down * following))[..., np.newaxis]
    target = _view(done, wide, scale)
    painted = _view(result, _to_tile_coordinates(wide, source), scale)
    target[...] = np.rint(target + (painted - target.astype(np.float32)) * weight)


def _make_ramp(rise: int, length: int) -> npt.NDArray[np.float32]:
    """Weights that rise from 0 to 1 over `rise` pixels and then stay 1."""
    weights = np.ones(length, np.float32)
    weights[:rise] = (np.arange(rise, dtype=np.float32) + 0.5)[:length] / max(rise, 1)
    return weights


def _to_tile_coordinates(part: Rect, source: Rect) -> Rect:
    """Where a part of the picture lies in the tile."""
    return Rect(part.x - source.x, part.y - source.y, part.width, part.height)


def _view(pixels: AnyPixels, rect: Rect, scale: int = 1) -> AnyPixels:
    """The part of an enlarged picture that belongs to `rect`, without a copy."""
    return pixels[
        rect.y * scale : (rect.y + rect.height) * scale,
        rect.x * scale : (rect.x + rect.width) * scale,
    ]
