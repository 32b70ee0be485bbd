"""Prepares colours under transparency for enlarging, and cleans the enlarged alpha plane."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from live_sr.pipeline.frame import AnyPixels

Grid = npt.NDArray[np.float32]
A = TypeVar("A", npt.NDArray[np.uint8], npt.NDArray[np.uint16])


def bleed_colours(pixels: AnyPixels, alpha: AnyPixels) -> None:
    """Gives every fully transparent pixel the colour of the visible pixels near it, in place.

    Files may have any colour there, often black, which a network or a filter would draw as a fringe around the visible
    part. The visible colours, weighted by alpha, are averaged over ever larger cells, and each transparent pixel takes
    the average of the smallest cell with anything visible (pull-push, Gortler et al. 1996, The Lumigraph, section 3.4).
    pixels: BGRA (H, W, 4). alpha: (H, W).
    """
    transparent = alpha == 0
    if not transparent.any() or transparent.all():
        return
    weight: Grid = (alpha / np.float32(np.iinfo(alpha.dtype).max)).astype(np.float32)[..., np.newaxis]
    visible: Grid = (pixels[..., :3] * weight).astype(np.float32)
    pyramid = [(visible, weight)]
    while pyramid[-1][1].shape[:2] != (1, 1):
        colour, weight = pyramid[-1]
        pyramid.append((_sum_2x2(colour), _sum_2x2(weight)))
    colour, weight = pyramid.pop()
    known = colour / weight
    while pyramid:
        colour, weight = pyramid.pop()
        larger = known.repeat(2, 0)[: colour.shape[0]].repeat(2, 1)[:, : colour.shape[1]]
        known = np.where(weight > 0, colour / np.maximum(weight, 1e-6), larger)
    pixels[..., :3][transparent] = np.rint(known[transparent])


def _sum_2x2(grid: Grid) -> Grid:
    """Sums of 2x2 cells; beyond an odd edge, zeros are added."""
    padded = np.pad(grid, ((0, grid.shape[0] % 2), (0, grid.shape[1] % 2), (0, 0)))
    return padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2]


def clamp_alpha(large: A, small: A, scale: int) -> A:
    """Limits an enlarged alpha plane to the range of the 3x3 pixels of the small one around each place.

    Areas that were fully opaque or transparent stay so, and no ringing remains.
    """
    padded = np.pad(small, 1, mode="edge")
    height, width = small.shape
    around = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    least, most = around[0].copy(), around[0].copy()
    for one in around[1:]:
        np.minimum(least, one, out=least)
        np.maximum(most, one, out=most)
    return np.clip(large, _repeat_pixels(least, scale), _repeat_pixels(most, scale))


def _repeat_pixels(plane: A, scale: int) -> A:
    return plane.repeat(scale, 0).repeat(scale, 1)
