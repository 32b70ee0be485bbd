"""Where a picture is cut into tiles: numbers only.

Tiles overlap by what a network sees beyond what it draws, and of each result only the part is kept that has seen all it
needs; so what is put together is what the whole picture would have become. All tiles of a picture have one size, for
each size is compiled by itself: the last one of a row is not smaller but begins earlier. At the picture's own edges a
tile ends as the picture does, and the network does there what it always does at an edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isqrt

from live_sr.frame import Rect, Size


@dataclass(frozen=True)
class Needs:
    """What a network asks of its tiles, in pixels of its input.

    reach: what it sees beyond each side of what it draws. step: tiles begin at multiples of it. multiple: of which the
    sides of a picture are made one before it gets there. memory: bytes held at once for each pixel. exact: the reach is
    known to be all it sees, so that tiles leave no trace; else they are cross-faded. fixed: the one size it takes.
    """

    reach: int
    step: int = 1
    multiple: int = 1
    memory: int = 0
    exact: bool = True
    fixed: Size | None = None

    @property
    def border(self) -> int:
        """How far the kept part of a tile stays from where the tile is cut."""
        return _up(self.reach, self.step)

    @property
    def smallest(self) -> int:
        """Side of the smallest tile worth trying: half of it is kept."""
        return (
            _up(max(4 * self.border, 32), self.step) + self.step
        )  # of which up to a step is for ending with the picture

    def suits(self, tile: Size, size: Size) -> bool:
        """Whether tiles of that size end where a picture of `size` does."""
        return all(
            _up(whole, self.multiple) >= side and (_up(whole, self.multiple) - side) % self.step == 0
            for side, whole in zip(tile, size, strict=True)
        )


@dataclass(frozen=True)
class Tile:
    """`source`: what the network is given; it may end right of or below the picture, whose edge is repeated there.
    `kept`: the part of the picture that is drawn with the result."""

    source: Rect
    kept: Rect


@dataclass(frozen=True)
class Plan:
    """All tiles, rows first, each of the size `tile`."""

    tile: Size
    tiles: tuple[Tile, ...]

    @property
    def work(self) -> int:
        """Pixels that the network is given."""
        return len(self.tiles) * self.tile.width * self.tile.height


def plan(size: Size, most: Size, needs: Needs) -> Plan:
    """Tiles of at most `most` (but not below `needs.smallest`) for a picture of `size`; one, if that is enough.

    Of a network of one size the tiles have that size, also where the picture is smaller.
    """
    across = _cuts(size.width, most.width, needs, needs.fixed.width if needs.fixed else 0)
    down = _cuts(size.height, most.height, needs, needs.fixed.height if needs.fixed else 0)
    tiles = [
        Tile(Rect(x.start, y.start, x.length, y.length), Rect(x.first, y.first, x.end - x.first, y.end - y.first))
        for y in down
        for x in across
    ]
    return Plan(tiles[0].source.size, tuple(tiles))


def at_most(size: Size, pixels: int, needs: Needs) -> Size:
    """The largest tile of about that many pixels for a picture of `size`: square, unless the picture is narrow."""
    side = max(isqrt(max(pixels, 1)), needs.smallest)
    if size.width * size.height <= side * side:
        return size
    if size.height < side:
        return Size(max(side * side // size.height, needs.smallest), size.height)
    if size.width < side:
        return Size(size.width, max(side * side // size.width, needs.smallest))
    return Size(side, side)


@dataclass(frozen=True)
class _Cut:
    """Along one axis: the tile from `start`, `length` long, of which `first` until before `end` is kept."""

    start: int
    length: int
    first: int
    end: int


def _cuts(length: int, most: int, needs: Needs, fixed: int) -> list[_Cut]:
    step = needs.step
    border = min(needs.border, (fixed - step) // (2 * step) * step) if fixed else needs.border
    # where the network's own edge is: what an engine fills a picture up to
    whole = fixed + _up(max(length - fixed, 0), step) if fixed else _up(length, needs.multiple)
    room = fixed or max(most, needs.smallest)
    if whole <= room:
        return [_Cut(0, fixed or length, 0, length)]
    # the last tile begins at a multiple of step, too, and ends with the picture
    tile = fixed or whole - _up(whole - room, step)
    count = _count(whole, tile, border, step)
    while not fixed and _count(whole, tile - step, border, step) == count:
        tile -= step
    starts = [min(i * _stride(tile, border, step), whole - tile) for i in range(count)]
    edges = [0, *(start + border for start in starts[1:]), length]
    return [_Cut(start, tile, edges[i], edges[i + 1]) for i, start in enumerate(starts)]


def _stride(tile: int, border: int, step: int) -> int:
    """From one tile to the next; 0: the tile is too small."""
    return max(tile - 2 * border, 0) // step * step


def _count(whole: int, tile: int, border: int, step: int) -> int:
    stride = _stride(tile, border, step)
    return ceil((whole - tile) / stride) + 1 if stride else 0


def _up(number: int, step: int) -> int:
    return -(-number // step) * step
