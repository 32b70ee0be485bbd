"""Cuts pictures into tiles that fade into each other, for networks that see too far for tiles to leave no trace."""

from __future__ import annotations

import torch
from torch import Tensor

OVERLAP = 32  # pixels of two neighbouring tiles; in the middle half of it one fades into the other

Span = tuple[int, int]
"""Where a tile begins and ends along a side, in pixels."""


def cut_side(side: int, tile: int, multiple: int) -> list[Span]:
    """The tiles along a side. They begin at multiples of `multiple`, and so do the lengths of all but the last.

    tile: 0 for a single one.
    """
    if not tile or side <= tile:
        return [(0, side)]
    last = (side - tile) // multiple * multiple
    step = (tile - OVERLAP) // multiple * multiple
    starts = [*range(0, last, step), last]
    return [(start, start + tile) for start in starts[:-1]] + [(last, side)]


def weigh(spans: list[Span], number: int, scale: int) -> Tensor:
    """The share of a tile in each pixel of its enlarged side. All shares in a pixel add up to 1."""
    begin, end = spans[number]
    place = (torch.arange(scale * (end - begin)) + 0.5) / scale + begin

    def rise(middle: float) -> Tensor:
        return ((place - middle) / (OVERLAP / 2) + 0.5).clamp(0, 1)

    share = torch.ones_like(place)
    if number:
        share = rise((spans[number - 1][1] + begin) / 2)
    if number + 1 < len(spans):
        share = share - rise((end + spans[number + 1][0]) / 2)
    return share
