"""How the decoded pictures of a video are shown: cut, turned and mirrored, as its display matrix and its crop say.

A display matrix maps a decoded picture onto the screen; files have it as nine integers (a b u, c d v, x y w), in which
a point (x, y) becomes (a*x + c*y, b*x + d*y). Quarter turns and mirrors only exchange pixels. So they are put into the
pixels, because many containers cannot keep a matrix.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame

from live_sr.pipeline.frame import Pixels, Size

MATRIX = struct.Struct("=9i")
ONE = 1 << 16  # the matrix has 16 bits behind the point
LEAST = ONE // 1000  # below this, a number of the matrix is a rounding error


@dataclass(frozen=True)
class Geometry:
    """What is done to a decoded picture before it is shown, in this order.

    crop: pixels cut off at the left, the top, the right and the bottom. transposed: rows become columns. mirrored and
    flipped: left and right, then top and bottom, change places. tilt: a display matrix that stays in the file because
    it does more than to exchange pixels, such as a turn by 30 degrees; empty where there is none.
    """

    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False
    tilt: tuple[int, ...] = ()

    @property
    def changes_pixels(self) -> bool:
        return any(self.crop) or self.transposed or self.mirrored or self.flipped

    def compute_shown_size(self, decoded: Size) -> Size:
        left, top, right, bottom = self.crop
        width, height = decoded.width - left - right, decoded.height - top - bottom
        return Size(height, width) if self.transposed else Size(width, height)

    def compute_decoded_size(self, shown: Size) -> Size:
        left, top, right, bottom = self.crop
        width, height = reversed(shown) if self.transposed else shown
        return Size(width + left + right, height + top + bottom)

    def compute_shown_aspect(self, decoded: Fraction) -> Fraction:
        """The pixels' aspect ratio as it is shown; 0 stays 0, which means that it is not known."""
        return 1 / decoded if decoded and self.transposed else decoded

    def show(self, picture: Pixels) -> Pixels:
        """The picture (H, W, 4) as it is shown: a view of the same memory."""
        left, top, right, bottom = self.crop
        seen = picture[top : picture.shape[0] - bottom, left : picture.shape[1] - right]
        if self.transposed:
            seen = seen.transpose(1, 0, 2)
        return seen[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]


AS_DECODED = Geometry()


def read_geometry(frame: VideoFrame, crop: tuple[int, int, int, int]) -> Geometry:
    """The geometry of a video, from its first frame and the crop that its container asks for."""
    data = cast("SideData | None", frame.side_data.get("DISPLAYMATRIX"))
    width, height = frame.width - crop[0] - crop[2], frame.height - crop[1] - crop[3]
    used = crop if min(crop) >= 0 and width > 0 and height > 0 else (0, 0, 0, 0)
    return parse_matrix(MATRIX.unpack(bytes(data)[: MATRIX.size]) if data is not None else (), used)


def parse_matrix(matrix: tuple[int, ...], crop: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Geometry:
    """The geometry for nine integers, or for none."""
    if not matrix:
        return Geometry(crop)
    a, b, c, d = (value if abs(value) >= LEAST else 0 for value in np.take(matrix, (0, 1, 3, 4)).tolist())
    if a and d and not b and not c:
        return Geometry(crop, False, a < 0, d < 0)
    if b and c and not a and not d:
        return Geometry(crop, True, c < 0, b < 0)
    return Geometry(crop, tilt=matrix)
