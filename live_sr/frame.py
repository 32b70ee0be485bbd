"""A picture on its way from the game to the screen, with the moments it passed each stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""BGRA, shape (height, width, 4), uint8, C-contiguous; alpha is always 255."""

P = TypeVar("P")
Q = TypeVar("Q")


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    def times(self, scale: int) -> Size:
        return Size(self.width * scale, self.height * scale)

    def fitted(self, room: Size) -> Size:
        """The largest size of this aspect ratio inside `room`, at least 1x1."""
        ratio = min(room.width / self.width, room.height / self.height)
        return Size(max(1, round(self.width * ratio)), max(1, round(self.height * ratio)))


class Rect(NamedTuple):
    """A rectangle of the desktop in physical pixels; x and y may be negative."""

    x: int
    y: int
    width: int
    height: int

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)

    def overlaps(self, other: Rect) -> bool:
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )

    def __str__(self) -> str:
        return f"{self.width}x{self.height}+{self.x}+{self.y}"


@dataclass(slots=True)
class Stamps:
    """When a frame passed each stage, in nanoseconds of `time.perf_counter_ns`; 0: not yet.

    seen: the source learned that the game had drawn; captured: its pixels are ours; begun: the upscale thread took it;
    upscaled: the enlarged picture is complete; shown: it was handed to the compositor (scan-out is not included).
    """

    seen: int = 0
    captured: int = 0
    begun: int = 0
    upscaled: int = 0
    shown: int = 0


@dataclass(slots=True)
class Frame(Generic[P]):
    """Pixels and their journey. An upscaled frame keeps the journey of the captured frame it was made of."""

    pixels: P
    stamps: Stamps = field(default_factory=Stamps)
    number: int = 0

    def redrawn(self, pixels: Q) -> Frame[Q]:
        """The same moment of the game in other pixels."""
        return Frame(pixels, self.stamps, self.number)


def size_of(pixels: Pixels) -> Size:
    return Size(pixels.shape[1], pixels.shape[0])


def fresh(size: Size) -> Pixels:
    """A new, opaque black picture."""
    pixels = np.zeros((size.height, size.width, 4), np.uint8)
    pixels[..., 3] = 255
    return pixels


def fitting(into: Pixels | None, size: Size) -> Pixels:
    """`into` if it is of that size, else a new picture: the one place where a change of size costs an allocation."""
    if into is not None and into.shape == (size.height, size.width, 4):
        return into
    return fresh(size)
