"""The areas that each dispatch computes so that some rectangles of a picture are drawn, as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from live_sr.engines.webgpu import wgsl
from live_sr.pipeline.frame import Rect, Size

Boxes = npt.NDArray[np.int64]
"""Rectangles: rows of left, top, right and bottom, of which the last two are not part of them."""

Table = npt.NDArray[np.uint32]
"""Areas as the shaders read them, shape (wgsl.AREAS, fields of wgsl.AREA)."""


def list_boxes(regions: Sequence[Rect]) -> Boxes:
    return np.array([(r.x, r.y, r.x + r.width, r.y + r.height) for r in regions], np.int64)


def grow(boxes: Boxes, before: int, after: int, size: Size) -> Boxes:
    """Boxes that are larger on the left and above, and on the right and below, inside `size`."""
    grown = boxes + np.array([-before, -before, after, after])
    clipped: Boxes = np.clip(grown, 0, np.array([*size, *size]))
    return clipped


def divide_by(boxes: Boxes, side: int) -> Boxes:
    """The boxes of cells of that side that hold all of these boxes of pixels."""
    cells: Boxes = boxes.copy()
    cells[:, 2:] += side - 1
    cells //= side
    return cells


def split_into_batches(regions: Sequence[Rect], size: Size) -> Iterator[list[Rect]]:
    """The regions in groups that fit into one table, and together have no more pixels than `size`."""
    batch: list[Rect] = []
    room = size.width * size.height
    left = room
    for region in regions:
        area = region.width * region.height
        if batch and (area > left or len(batch) == wgsl.AREAS):
            yield batch
            batch, left = [], room
        batch.append(region)
        left -= area
    if batch:
        yield batch


def list_row_spans(boxes: Boxes) -> list[tuple[int, int]]:
    """(first, end) of all rows that these boxes lie in, without overlap."""
    spans: list[tuple[int, int]] = []
    for top, bottom in sorted(boxes[:, [1, 3]].tolist()):
        if spans and top <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(bottom, spans[-1][1])
        else:
            spans.append((top, bottom))
    return spans


def place_side_by_side(boxes: Boxes) -> tuple[Boxes, Boxes]:
    """Where each box begins in a buffer that holds all of them one after the other, and its pitch; in pixels.

    Begin is where the picture's pixel (0, 0) would be, which may be negative.
    """
    pitches = boxes[:, 2] - boxes[:, 0]
    pixels = pitches * (boxes[:, 3] - boxes[:, 1])
    return np.cumsum(pixels) - pixels - boxes[:, 1] * pitches - boxes[:, 0], pitches


def place_in_rows(boxes: Boxes, row: int) -> tuple[Boxes, Boxes]:
    """The same for a buffer that holds the whole picture, with rows of so many pixels."""
    return np.zeros(len(boxes), np.int64), np.full(len(boxes), row)


def write_table(computed: Boxes, positions: int, written: Boxes, places: tuple[Boxes, Boxes]) -> tuple[Table, int]:
    """A dispatch's table, and how many workgroups it takes where a thread computes so many positions.

    written and places: if the layer writes a picture, its boxes of pixels, and their (begin, pitch).
    """
    count = len(computed)
    wide, high = wgsl.GROUP
    width, height = computed[:, 2] - computed[:, 0], computed[:, 3] - computed[:, 1]
    groups = -(-width // (positions * wide)) * -(-height // high)
    table = np.zeros((wgsl.AREAS, len(wgsl.AREA)), np.int64)
    table[:count, 0] = np.cumsum(groups) - groups
    table[:, 1] = count
    table[:count, 2:6] = computed
    table[:count, 6], table[:count, 7] = places
    table[:count, 8:12] = written
    return table.astype(np.uint32), int(groups.sum())
