"""A frame: a picture on its way from the game to the screen, with the times at which it passed each stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""BGRA, shape (height, width, 4), uint8, C-contiguous; alpha is always 255."""

Pixels16 = npt.NDArray[np.uint16]
"""As Pixels, with 16 bits a channel."""

AnyPixels = TypeVar("AnyPixels", Pixels, Pixels16)
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

    def round_up(self, multiple: int) -> Size:
        """The smallest size that holds this one and whose sides are multiples of `multiple`."""
        return Size(-(-self.width // multiple) * multiple, -(-self.height // multiple) * multiple)

    def with_aspect(self, aspect: float | None) -> Size:
        """This size with another ratio of width to height: one side longer, none shorter. None: as it is.

        A size that differs from the ratio by rounding only stays as it is, too.
        """
        if aspect is None or abs(self.width - self.height * aspect) < max(1.0, aspect):
            return self
        if self.width < self.height * aspect:
            return Size(round(self.height * aspect), self.height)
        return Size(self.width, round(self.width / aspect))

    def fit_into(self, room: Size) -> Size:
        """The largest size of this aspect ratio inside `room`, at least 1x1."""
        ratio = min(room.width / self.width, room.height / self.height)
        return Size(max(1, round(self.width * ratio)), max(1, round(self.height * ratio)))


class Rect(NamedTuple):
    """A rectangle, of the desktop in physical pixels or of a picture in its own; x and y may be negative."""

    x: int
    y: int
    width: int
    height: int

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)

    def times(self, scale: int) -> Rect:
        """The same part of a picture that is `scale` times larger."""
        return Rect(self.x * scale, self.y * scale, self.width * scale, self.height * scale)

    def cut_from(self, pixels: Pixels) -> Pixels:
        """This part of a picture, without a copy."""
        return pixels[self.y : self.y + self.height, self.x : self.x + self.width]

    def overlaps(self, other: Rect) -> bool:
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )

    def intersect(self, other: Rect) -> Rect:
        """What lies in both; without width or height if nothing does."""
        left, top = max(self.x, other.x), max(self.y, other.y)
        right = min(self.x + self.width, other.x + other.width)
        bottom = min(self.y + self.height, other.y + other.height)
        return Rect(left, top, max(0, right - left), max(0, bottom - top))

    def lies_within(self, other: Rect) -> bool:
        return self.intersect(other) == self

    def cut_out(self, hole: Rect) -> list[Rect]:
        """What is left of it without the hole: at most four rectangles that do not overlap."""
        left, top, width, height = self.intersect(hole)
        if not width or not height:
            return [self]
        right, bottom = left + width, top + height
        around = [
            Rect(self.x, self.y, self.width, top - self.y),
            Rect(self.x, bottom, self.width, self.y + self.height - bottom),
            Rect(self.x, top, left - self.x, bottom - top),
            Rect(right, top, self.x + self.width - right, bottom - top),
        ]
        return [part for part in around if part.width and part.height]

    def __str__(self) -> str:
        return f"{self.width}x{self.height}+{self.x}+{self.y}"


@dataclass(frozen=True)
class Tile:
    """A part of a picture that is enlarged by itself.

    source: what the network reads; it may extend beyond the right and lower edge, where the edge pixels are repeated.
    kept: the part of the picture that is taken from the result.
    """

    source: Rect
    kept: Rect


def cut_out_all(whole: Rect, holes: Sequence[Rect]) -> list[Rect]:
    """What is left of a rectangle without the holes, as rectangles that do not overlap."""
    parts = [whole]
    for hole in holes:
        parts = [left for part in parts for left in part.cut_out(hole)]
    return parts


@dataclass(slots=True)
class Stamps:
    """When a frame passed each stage, in nanoseconds of `time.perf_counter_ns`; 0: not yet.

    seen: the source noticed that the game had drawn; captured: its pixels were copied; begun: the upscale thread took
    it; upscaled: the upscaled picture is complete; shown: the compositor has it (scan-out is not included).
    drawn: the share of the picture, from 0 to 1, that an engine had to enlarge; the rest had not changed.
    """

    seen: int = 0
    captured: int = 0
    begun: int = 0
    upscaled: int = 0
    shown: int = 0
    drawn: float = 1.0


@dataclass(frozen=True, slots=True)
class Revision:
    """One picture of a series in which each was made from the one before it, and what changed in the last of them.

    changes: of each picture to the one before it, newest last; rectangles in the pixels of these pictures, or None
    where the whole picture changed.
    """

    series: object
    number: int
    changes: tuple[tuple[Rect, ...] | None, ...] = ()

    def list_changes_since(self, older: Revision | None) -> list[Rect] | None:
        """The rectangles outside of which this picture equals the older one. None: nothing is known to be equal."""
        if older is None or older.series is not self.series:
            return None
        age = self.number - older.number
        if not 0 <= age <= len(self.changes):
            return None
        found: dict[Rect, None] = {}
        for changes in self.changes[len(self.changes) - age :]:
            if changes is None:
                return None
            found.update(dict.fromkeys(changes))
        return list(found)

    def make_next(self, changes: tuple[Rect, ...] | None) -> Revision:
        """The revision of the picture after this one."""
        return Revision(self.series, self.number + 1, (*self.changes[1 - KEPT_CHANGES :], changes))


KEPT_CHANGES = 8
"""A revision knows what changed in this many pictures: more than there are between the engine and the screen."""


@dataclass(slots=True)
class Frame(Generic[P]):
    """Pixels, and when they passed each stage. An upscaled frame has the stamps of the frame it was made from.

    revision: which of the pictures that one engine drew this is; None: it has nothing in common with other pictures.
    """

    pixels: P
    stamps: Stamps = field(default_factory=Stamps)
    number: int = 0
    revision: Revision | None = None

    def with_pixels(self, pixels: Q, revision: Revision | None = None) -> Frame[Q]:
        """The same frame with other pixels, which are that revision; shares its stamps."""
        return Frame(pixels, self.stamps, self.number, revision)


def get_size(pixels: Pixels) -> Size:
    return Size(pixels.shape[1], pixels.shape[0])


def copy_part(pixels: AnyPixels, source: Rect, into: AnyPixels) -> None:
    """Copies `source` out of the picture, and repeats the edge pixels where it extends beyond the right or lower edge.

    `into` has the size of `source`, whose upper left corner lies in the picture.
    """
    height = min(source.height, pixels.shape[0] - source.y)
    width = min(source.width, pixels.shape[1] - source.x)
    into[:height, :width] = pixels[source.y : source.y + height, source.x : source.x + width]
    into[:height, width:] = into[:height, width - 1 : width]
    into[height:] = into[height - 1]


def make_black(size: Size) -> Pixels:
    """A new, opaque black picture."""
    pixels = np.zeros((size.height, size.width, 4), np.uint8)
    pixels[..., 3] = 255
    return pixels


def reuse_or_allocate(into: Pixels | None, size: Size) -> Pixels:
    """`into` if it has that size, else a new black picture."""
    if into is not None and into.shape == (size.height, size.width, 4):
        return into
    return make_black(size)


def reuse_or_allocate_like(into: AnyPixels | None, size: Size, like: AnyPixels) -> AnyPixels:
    """`into` if it has that size, else a new picture of undefined content with as many bits a channel as `like`."""
    shape = (size.height, size.width, 4)
    return into if into is not None and into.shape == shape else np.empty(shape, like.dtype)
