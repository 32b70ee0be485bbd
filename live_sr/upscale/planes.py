"""Transparency: colours where nothing is seen, and an alpha that stays clean."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from live_sr.engine.lane import L

Grid = npt.NDArray[np.float32]
A = TypeVar("A", npt.NDArray[np.uint8], npt.NDArray[np.uint16])


def bleed(pixels: L, alpha: L) -> None:
    """Gives every pixel that nobody sees the colour of what is seen near it, in place.

    Files have anything there, often black, and a network or a filter would draw it as a fringe around what is seen.
    Averages of what is seen, weighted by alpha, are taken in ever larger cells, and each unseen pixel takes the
    smallest cell that saw anything (as pull-push, Gortler et al. 1996, The Lumigraph, section 3.4).
    pixels: BGRA (H, W, 4). alpha: (H, W).
    """
    unseen = alpha == 0
    if not unseen.any() or unseen.all():
        return
    weight: Grid = (alpha / np.float32(np.iinfo(alpha.dtype).max)).astype(np.float32)[..., np.newaxis]
    seen: Grid = (pixels[..., :3] * weight).astype(np.float32)
    pyramid = [(seen, weight)]
    while pyramid[-1][1].shape[:2] != (1, 1):
        colour, weight = pyramid[-1]
        pyramid.append((_cells(colour), _cells(weight)))
    colour, weight = pyramid.pop()
    known = colour / weight
    while pyramid:
        colour, weight = pyramid.pop()
        larger = known.repeat(2, 0)[: colour.shape[0]].repeat(2, 1)[:, : colour.shape[1]]
        known = np.where(weight > 0, colour / np.maximum(weight, 1e-6), larger)
    pixels[..., :3][unseen] = np.rint(known[unseen])


def _cells(grid: Grid) -> Grid:
    """Sums of 2x2; what lies beyond an odd edge is nothing."""
    padded = np.pad(grid, ((0, grid.shape[0] % 2), (0, grid.shape[1] % 2), (0, 0)))
    return padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2]


def clean(large: A, small: A, scale: int) -> A:
    """An enlarged alpha, kept between the least and the most around each pixel of the small one: what was opaque or
    clear throughout stays so, and no ringing is left."""
    framed = np.pad(small, 1, mode="edge")
    height, width = small.shape
    around = [framed[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    least, most = around[0].copy(), around[0].copy()
    for one in around[1:]:
        np.minimum(least, one, out=least)
        np.maximum(most, one, out=most)
    return np.clip(large, _repeated(least, scale), _repeated(most, scale))


def _repeated(plane: A, scale: int) -> A:
    return plane.repeat(scale, 0).repeat(scale, 1)
