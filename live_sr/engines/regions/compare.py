"""Finds which tiles of a picture differ from the picture before."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from live_sr.pipeline.frame import Pixels, Size

TILE = 16  # pixels; larger tiles hold more that has not changed, smaller ones make more rectangles
GROUP = 8  # pixels whose comparisons are combined at once

TileMap = npt.NDArray[np.bool_]
"""One element for each tile, shape (rows, columns)."""


def choose_tile_side(step: int) -> int:
    """The side of the tiles in pixels: about TILE, and a multiple of the step of the network."""
    unit = math.lcm(step, GROUP)
    return max(1, TILE // unit) * unit


class ChangeFinder:
    """Compares each picture of one size with the one before. In the steady state only the small map is allocated.

    640x480 takes 0.1 ms where nothing changes, and 0.2 ms where everything does.
    """

    def __init__(self, size: Size, tile: int) -> None:
        """tile: the side of the tiles, a multiple of 8."""
        self._size = size
        self._tile = tile
        self._rows, self._columns = -(-size.height // tile), -(-size.width // tile)
        self._previous: npt.NDArray[np.uint32] | None = None
        # one for each pixel; those beyond the right and lower edge stay False
        self._differs = np.zeros((self._rows * tile, self._columns * tile), np.bool_)

    def compare(self, pixels: Pixels) -> TileMap:
        """Which tiles differ from the picture before; all of them if there is none."""
        height, width = self._size.height, self._size.width
        words = pixels.view(np.uint32).reshape(height, width)
        if self._previous is None:
            self._previous = words.copy()
            return np.ones((self._rows, self._columns), np.bool_)
        np.not_equal(words, self._previous, out=self._differs[:height, :width])
        groups = self._differs.view(np.uint64).reshape(self._rows, self._tile, -1)
        changed: TileMap = np.bitwise_or.reduce(groups, axis=1).reshape(self._rows, self._columns, -1).any(axis=2)
        for first, end in _find_runs(np.any(changed, axis=1)):
            rows = slice(first * self._tile, end * self._tile)
            np.copyto(self._previous[rows], words[rows])
        return changed


def _find_runs(flags: TileMap) -> Iterator[tuple[int, int]]:
    """(first, end) of each run of True."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)).tolist()
    return zip(edges[::2], edges[1::2], strict=True)
