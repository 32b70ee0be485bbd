"""Plans which rectangles of a picture to draw so that every changed tile is drawn, at the least cost.

The rectangle around all changed tiles is cut in two where the two parts together are smallest, each part is reduced to
the rectangle around its own changed tiles, and so on. A cut is kept where drawing the parts costs less. Rows and
columns of tiles are integers, one bit for each tile, because Python's operations on these take some 50 ns, and NumPy's
on so few elements a microsecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from live_sr.engines.regions.compare import TileMap

MAX_CUTS = 12  # in a plan; each takes some 30 µs
MAX_SKIPPED = 4  # frames in a row that are drawn whole without a plan
DENSE = 0.85  # a rectangle with at least this share of changed tiles is not cut


class TileBox(NamedTuple):
    """A rectangle of tiles; bottom and right are not part of it."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left


Estimate = Callable[[TileBox], float]
"""The cost of drawing everything that a box of changed tiles affects."""


def plan_boxes(changed: TileMap, estimate: Estimate, margin: float) -> tuple[list[TileBox], float]:
    """Boxes that hold all changed tiles, and what drawing them costs.

    margin: tiles by which drawing a box reaches beyond it, on both sides together.
    """
    planner = _Planner(changed, estimate, margin)
    whole = planner.shrink(TileBox(0, changed.shape[0], 0, changed.shape[1]))
    return planner.divide(whole, MAX_CUTS) if whole is not None else ([], 0.0)


class RejectedPlans:
    """Spares planning while frame after frame is drawn whole: for a few frames in which about as much changes."""

    def __init__(self) -> None:
        self._changed = 0  # tiles, in the frame whose plan was rejected last
        self._skips = 0  # after the next rejection
        self._left = 0

    def skips_plan(self, changed: int) -> bool:
        """Whether a frame with that many changed tiles is drawn whole without a plan."""
        if not self._left or 2 * changed < self._changed:
            return False
        self._left -= 1
        return True

    def record(self, changed: int, *, rejected: bool) -> None:
        """What became of the plan for a frame with that many changed tiles."""
        self._changed = changed
        self._skips = min(2 * self._skips + 1, MAX_SKIPPED) if rejected else 0
        self._left = self._skips


class _Planner:
    def __init__(self, changed: TileMap, estimate: Estimate, margin: float) -> None:
        self._rows = _pack_lines(changed)
        self._columns = _pack_lines(changed.T)
        self._estimate = estimate
        self._margin = margin

    def shrink(self, box: TileBox) -> TileBox | None:
        """The smallest box around the changed tiles of this one; None: it has none."""
        rows = _cut_out(self._rows, box.top, box.bottom, box.left, box.right)
        columns = _unite(rows)
        if not columns:
            return None
        filled = [i for i, row in enumerate(rows) if row]
        left = box.left + _count_zeros(columns)
        return TileBox(box.top + filled[0], box.top + filled[-1] + 1, left, box.left + columns.bit_length())

    def divide(self, box: TileBox, cuts: int) -> tuple[list[TileBox], float]:
        """The best boxes found for the changed tiles in this box, with at most so many cuts."""
        cost = self._estimate(box)
        parts = self._cut(box) if cuts else ()
        if not parts:
            return [box], cost
        left = cuts - 1
        divided = [self.divide(part, share) for part, share in zip(parts, (left // 2, left - left // 2), strict=True)]
        parts_cost = sum(each for _, each in divided)
        if parts_cost >= cost:
            return [box], cost
        return [one for boxes, _ in divided for one in boxes], parts_cost

    def _cut(self, box: TileBox) -> tuple[TileBox, ...]:
        """The two parts of the best cut; none if there is nothing to gain."""
        rows = _cut_out(self._rows, box.top, box.bottom, box.left, box.right)
        if sum(row.bit_count() for row in rows) >= DENSE * box.height * box.width:
            return ()
        columns = _cut_out(self._columns, box.left, box.right, box.top, box.bottom)
        down, down_area = _find_cut(rows, self._margin)
        across, across_area = _find_cut(columns, self._margin)
        if not down and not across:
            return ()
        if across and (not down or across_area < down_area):
            at = box.left + across
            parts = (box._replace(right=at), box._replace(left=at))
        else:
            at = box.top + down
            parts = (box._replace(bottom=at), box._replace(top=at))
        return tuple(shrunk for part in parts if (shrunk := self.shrink(part)) is not None)


def _pack_lines(changed: TileMap) -> list[int]:
    """Each row as an integer; its lowest bit is the leftmost tile."""
    packed = np.packbits(changed, axis=1, bitorder="little")
    return [int.from_bytes(line.tobytes(), "little") for line in packed]


def _cut_out(lines: list[int], first: int, end: int, low: int, high: int) -> list[int]:
    mask = (1 << (high - low)) - 1
    return [(line >> low) & mask for line in lines[first:end]]


def _find_cut(lines: list[int], margin: float) -> tuple[int, float]:
    """Before which line to cut so that the two parts, with their margins, are smallest, and their area; 0: nowhere."""
    heads = _measure_parts(lines, margin)
    tails = _measure_parts(reversed(lines), margin)
    tails.reverse()
    areas = [head + tail for head, tail in zip(heads[:-1], tails[1:], strict=True)]
    if not areas:
        return 0, 0.0
    area = min(areas)
    return areas.index(area) + 1, area


def _measure_parts(lines: Iterable[int], margin: float) -> list[float]:
    """For each line, the area of the smallest box around the changed tiles of it and of the lines before it."""
    areas = []
    united, first, last = 0, -1, 0
    for number, line in enumerate(lines):
        if line:
            united |= line
            last = number
            if first < 0:
                first = number
        width = united.bit_length() - _count_zeros(united)
        areas.append((last - first + 1 + margin) * (width + margin))
    return areas


def _count_zeros(line: int) -> int:
    """The zeros below the lowest one."""
    return (line & -line).bit_length() - 1 if line else 0


def _unite(lines: list[int]) -> int:
    united = 0
    for line in lines:
        united |= line
    return united
