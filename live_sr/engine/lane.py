"""What draws one tile after another into a large picture."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from live_sr.contracts import Job
from live_sr.engine.tiling import Tile
from live_sr.errors import EngineError
from live_sr.frame import Frame, Pixels, Rect, Size

Deep = npt.NDArray[np.uint16]
"""As Pixels, with 16 bits a channel."""

L = TypeVar("L", Pixels, Deep)


class Enlarger(Protocol[L]):
    """An engine for pictures of 8 or of 16 bits: `Engine` is the one of 8."""

    @property
    def scale(self) -> int: ...

    @property
    def job(self) -> Job: ...

    def warm_up(self, size: Size) -> None: ...

    def upscale(self, frame: Frame[L], into: L | None = None) -> Frame[L] | None: ...

    def close(self) -> None: ...


class Lane(Generic[L]):
    """An engine for tiles, and what it reads from and draws into."""

    def __init__(self, engine: Enlarger[L]) -> None:
        self.engine: Enlarger[L] = engine
        self._source: L | None = None
        self._made: L | None = None

    def draw(self, pixels: L, tile: Tile, done: L, fade: int) -> None:
        """Its part of the picture into `done`; with `fade`, blended with its neighbours above and to the left over so
        many pixels on either side of where they meet, which are drawn before."""
        self._source = fitting(self._source, tile.source.size, pixels)
        _cut_out(pixels, tile.source, self._source)
        made = self.engine.upscale(Frame(self._source), self._made)
        if made is None:
            raise EngineError(f"{self.engine.job} dropped a tile", "use queue = 0, or --tile off")
        self._made = made.pixels
        scale = self.engine.scale
        if fade:
            _blend(made.pixels, tile, done, scale, fade)
            return
        kept, source = tile.kept, tile.source
        _part(done, kept, scale)[...] = _part(made.pixels, _moved(kept, source), scale)


def _blend(made: L, tile: Tile, done: L, scale: int, fade: int) -> None:
    """Each tile is painted over those before it, further to the right and below than it is kept.

    Where four meet, their shares must be those of fading the two rows first and then one row into the other, or an
    edge shows. With the next tile's share n across and the tile's own share d down, what the next one will leave of it
    is right when it is painted with d * (1 - n) / (1 - d * n).
    """
    kept, source = tile.kept, tile.source
    room = Rect(0, 0, done.shape[1] // scale, done.shape[0] // scale)
    left, top = min(fade, kept.x), min(fade, kept.y)
    right = min(fade, room.width - kept.x - kept.width)
    below = min(fade, room.height - kept.y - kept.height)
    wide = Rect(kept.x - left, kept.y - top, left + kept.width + right, top + kept.height + below)
    across = _ramp(2 * left * scale, wide.width * scale)
    following = 1 - _ramp(2 * right * scale, wide.width * scale)[::-1]
    down = _ramp(2 * top * scale, wide.height * scale)[:, np.newaxis]
    weight = (down * across * (1 - following) / (1 - down * following))[..., np.newaxis]
    there = _part(done, wide, scale)
    here = _part(made, _moved(wide, source), scale)
    there[...] = np.rint(there + (here - there.astype(np.float32)) * weight)


def _ramp(rise: int, length: int) -> npt.NDArray[np.float32]:
    """From 0 to 1 over `rise` pixels, then 1."""
    weights = np.ones(length, np.float32)
    weights[:rise] = (np.arange(rise, dtype=np.float32) + 0.5)[:length] / max(rise, 1)
    return weights


def _moved(part: Rect, source: Rect) -> Rect:
    """Where a part of the picture is in the tile."""
    return Rect(part.x - source.x, part.y - source.y, part.width, part.height)


def _part(pixels: L, rect: Rect, scale: int = 1) -> L:
    """A view."""
    return pixels[
        rect.y * scale : (rect.y + rect.height) * scale,
        rect.x * scale : (rect.x + rect.width) * scale,
    ]


def _cut_out(pixels: L, source: Rect, into: L) -> None:
    """That part of the picture, its edge repeated where the part goes beyond it."""
    height = min(source.height, pixels.shape[0] - source.y)
    width = min(source.width, pixels.shape[1] - source.x)
    into[:height, :width] = pixels[source.y : source.y + height, source.x : source.x + width]
    into[:height, width:] = into[:height, width - 1 : width]
    into[height:] = into[height - 1]


def fitting(into: L | None, size: Size, like: L) -> L:
    """`into` if it is of that size, else a new picture with as many bits as `like`."""
    shape = (size.height, size.width, 4)
    return into if into is not None and into.shape == shape else np.empty(shape, like.dtype)
