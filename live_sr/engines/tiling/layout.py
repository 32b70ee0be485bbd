"""Computes where a picture is cut into tiles.

Neighbouring tiles overlap by the network's receptive-field radius. Of each result only the part is kept whose whole
receptive field was inside the tile, so the assembled picture equals the one made in one piece. All tiles of a picture
have the same size, because engines compile for each size; the last tile of a row is not smaller but begins earlier. At
the picture's own edges a tile ends with the picture, and the network treats that edge as it always does.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isqrt

from live_sr.pipeline.frame import Rect, Size, Tile


@dataclass(frozen=True)
class TileRequirements:
    """What a network requires of its tiles, in pixels of its input.

    radius: the receptive-field radius, how far the network sees beyond each side of what it draws. step: tiles begin at
    multiples of it. multiple: the engine pads the sides of a picture to a multiple of it. memory: bytes held at once
    for each pixel. exact: the radius is known, so that tiles leave no trace; otherwise tiles are cross-faded.
    fixed_size: the only size that the network accepts.
    """

    radius: int
    step: int = 1
    multiple: int = 1
    memory: int = 0
    exact: bool = True
    fixed_size: Size | None = None

    @property
    def border(self) -> int:
        """How far the kept part of a tile stays away from where the tile is cut."""
        return _round_up(self.radius, self.step)

    @property
    def smallest_side(self) -> int:
        """Side of the smallest tile worth trying: half of it is kept, and up to a step is lost to alignment."""
        return _round_up(max(4 * self.border, 32), self.step) + self.step

    def fits_edges(self, tile: Size, size: Size) -> bool:
        """Whether tiles of that size can end where a picture of `size` ends."""
        return all(
            _round_up(whole, self.multiple) >= side and (_round_up(whole, self.multiple) - side) % self.step == 0
            for side, whole in zip(tile, size, strict=True)
        )


@dataclass(frozen=True)
class TileLayout:
    """All tiles of a picture, row by row, each of the size `tile_size`.

    border: how far the kept part of each tile stays away from where it is cut, at the least. It is smaller than what
    the network requires where the only size that it accepts leaves no room for that.
    """

    tile_size: Size
    tiles: tuple[Tile, ...]
    border: int

    @property
    def input_pixels(self) -> int:
        """Pixels that the network processes."""
        return len(self.tiles) * self.tile_size.width * self.tile_size.height


def plan_tiles(size: Size, largest: Size, requirements: TileRequirements) -> TileLayout:
    """The tiles for a picture of `size`, at most `largest`, but not below `requirements.smallest_side`.

    That is a single tile where one is enough. A network of a fixed size gets tiles of that size, even where the picture
    is smaller.
    """
    fixed_size = requirements.fixed_size or Size(0, 0)
    across = _split_axis(size.width, largest.width, requirements, fixed_size.width)
    down = _split_axis(size.height, largest.height, requirements, fixed_size.height)
    tiles = [
        Tile(Rect(x.start, y.start, x.length, y.length), Rect(x.first, y.first, x.end - x.first, y.end - y.first))
        for y in down
        for x in across
    ]
    border = min(_fit_border(requirements, fixed)[0] for fixed in fixed_size)
    return TileLayout(tiles[0].source.size, tuple(tiles), border)


def limit_tile_size(size: Size, pixels: int, requirements: TileRequirements) -> Size:
    """The largest tile of about that many pixels for a picture of `size`: square, unless the picture is narrow."""
    smallest = requirements.smallest_side
    side = max(isqrt(max(pixels, 1)), smallest)
    if size.width * size.height <= side * side:
        return size
    if size.height < side:
        return Size(max(side * side // size.height, smallest), size.height)
    if size.width < side:
        return Size(size.width, max(side * side // size.width, smallest))
    return Size(side, side)


@dataclass(frozen=True)
class _TileSpan:
    """A tile along one axis: it begins at `start` and has `length`; of it, `first` until before `end` is kept."""

    start: int
    length: int
    first: int
    end: int


def _split_axis(length: int, largest: int, requirements: TileRequirements, fixed: int) -> list[_TileSpan]:
    """The tiles along one axis of that length. fixed: the only length that the network accepts, 0 for any."""
    border, step = _fit_border(requirements, fixed)
    beyond = _round_up(max(length - fixed, 0), step)
    padded = fixed + beyond if fixed else _round_up(length, requirements.multiple)  # up to which engines fill
    room = fixed or max(largest, requirements.smallest_side)
    if padded <= room:
        return [_TileSpan(0, fixed or length, 0, length)]
    # the last tile also begins at a multiple of step, and ends with the picture
    tile = fixed or padded - _round_up(padded - room, step)
    count = _count_tiles(padded, tile, border, step)
    while not fixed and _count_tiles(padded, tile - step, border, step) == count:
        tile -= step
    starts = [min(i * _compute_stride(tile, border, step), padded - tile) for i in range(count)]
    edges = [0, *(start + border for start in starts[1:]), length]
    return [_TileSpan(start, tile, edges[i], edges[i + 1]) for i, start in enumerate(starts)]


def _fit_border(requirements: TileRequirements, fixed: int) -> tuple[int, int]:
    """The border and the step along one axis. fixed: as above; tiles of less than two steps begin anywhere."""
    if not fixed:
        return requirements.border, requirements.step
    step = requirements.step if fixed >= 2 * requirements.step else 1
    return min(requirements.border, (fixed - step) // (2 * step) * step), step


def _compute_stride(tile: int, border: int, step: int) -> int:
    """The distance from one tile to the next; 0 where the tile is too small."""
    return max(tile - 2 * border, 0) // step * step


def _count_tiles(padded: int, tile: int, border: int, step: int) -> int:
    stride = _compute_stride(tile, border, step)
    return ceil((padded - tile) / stride) + 1 if stride else 0


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step
