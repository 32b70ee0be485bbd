"""Between YUV as videos carry it and the engines' BGRA, with the matrix and the range that the video was made with.

Both ways through swscale, which is told matrix and range outright: left to itself it would guess from tags that are
missing or wrong, and darken or tint the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from live_sr.errors import UsageError
from live_sr.frame import Pixels, Size

# FFmpeg's default conversion darkens a picture by about a level and halves the chroma's resolution
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP

# Code points of ITU-T H.273, which FFmpeg uses as they are
MATRIX_RGB, MATRIX_UNSPECIFIED, MATRIX_709, MATRIX_601 = 0, 2, 1, 6
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.SMPTE170M,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
TRANSFERS_HDR = {16: "PQ", 18: "HLG"}
UNSPECIFIED = 2  # of primaries and transfer
HD = Size(1280, 576)  # from this width, or above this height, players take an untagged video for BT.709


@dataclass(frozen=True)
class Colours:
    """A video's tags, as numbers of H.273; `full`: levels 0..255 and not 16..235."""

    matrix: int = MATRIX_UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    full: bool = False

    def read_at(self, size: Size) -> Colours:
        """With the matrix that a player would assume at that size where none is told. Raises UsageError."""
        if self.matrix in (MATRIX_UNSPECIFIED, MATRIX_RGB, 3):
            return replace(self, matrix=assumed(size))
        if self.matrix not in MATRICES:
            raise UsageError(
                f"its colours are stored with matrix {self.matrix} of H.273, which cannot be converted",
                "convert it to BT.709 first",
            )
        return self

    def written_at(self, size: Size, source: Size) -> Colours:
        """The tags of the enlarged video: the same, but told where a player would now assume another matrix."""
        used = self.read_at(source)
        same = self.matrix == MATRIX_UNSPECIFIED and used.matrix == assumed(size)
        return self if same else used


def assumed(size: Size) -> int:
    """The matrix that players take for granted in a video without tags."""
    return MATRIX_709 if size.width >= HD.width or size.height > HD.height else MATRIX_601


class Reader:
    """Decoded pictures as BGRA of one size. One thread's."""

    def __init__(self, colours: Colours, size: Size) -> None:
        """`colours` as `read_at` gives them."""
        self._matrix = MATRICES[colours.matrix]
        self._range = ColorRange.JPEG if colours.full else ColorRange.MPEG
        self._size = size
        self._reformatter = VideoReformatter()

    def read(self, frame: VideoFrame, into: Pixels) -> None:
        """Draws `frame` into `into`, scaled where the video changes its size on the way."""
        rgb = frame.format.is_rgb
        picture = self._reformatter.reformat(
            frame,
            width=self._size.width,
            height=self._size.height,
            format="bgra",
            interpolation=EXACT,
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=ColorRange.JPEG if rgb else self._range,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        plane = picture.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(picture.height, plane.line_size)
        np.copyto(into, rows[:, : picture.width * 4].reshape(into.shape))
        if has_alpha(frame.format.name):
            into[..., 3] = 255


class Writer:
    """BGRA pictures as an encoder wants them. One thread's."""

    def __init__(self, colours: Colours, pixels: str) -> None:
        """`colours` as `read_at` gives them; `pixels`: FFmpeg's name of a pixel format."""
        self._matrix = MATRICES[colours.matrix]
        rgb = VideoFormat(pixels).is_rgb
        self._range = ColorRange.JPEG if colours.full or rgb else ColorRange.MPEG
        self._pixels = pixels
        self._reformatter = VideoReformatter()

    def write(self, picture: Pixels) -> VideoFrame:
        """A frame of its own: `picture` is no longer needed on return."""
        frame = VideoFrame.from_numpy_buffer(picture, format="bgra")
        done = self._reformatter.reformat(
            frame,
            format=self._pixels,
            interpolation=EXACT,
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=ColorRange.JPEG,
            dst_color_range=self._range,
            threads=1,
        )
        if done is frame:  # BGRA is what the encoder takes
            done = VideoFrame.from_ndarray(picture, format="bgra")
        return done


def has_alpha(pixels: str) -> bool:
    return any(component.is_alpha for component in VideoFormat(pixels).components)


def depth(pixels: str) -> int:
    """Bits of the deepest channel of a pixel format."""
    return max(component.bits for component in VideoFormat(pixels).components)


def chroma(pixels: str) -> str:
    """420, 422, 444 or rgb: what of the colours' resolution a pixel format keeps; grey counts as 420."""
    layout = VideoFormat(pixels)
    if layout.is_rgb:
        return "rgb"
    if len([c for c in layout.components if not c.is_alpha]) < 3:
        return "420"
    across, down = 1024 // layout.chroma_width(1024), 1024 // layout.chroma_height(1024)
    return {(1, 1): "444", (2, 1): "422"}.get((across, down), "420")
