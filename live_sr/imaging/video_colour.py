"""Converts between the pixel formats of videos and the engines' BGRA, with the video's own matrix and range.

Both directions use swscale with explicit matrix and range. Otherwise it would guess them from tags that may be missing
or wrong, and darken or tint the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from live_sr.errors import UsageError
from live_sr.imaging.video_geometry import AS_DECODED, Geometry, read_geometry
from live_sr.pipeline.frame import Pixels, Size

# FFmpeg's default conversion darkens a picture by about a level and halves the chroma's resolution
EXACT_CONVERSION = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)

# For what an encoder takes. Luma is the same as with EXACT_CONVERSION, and chroma is the mean of its pixels
AVERAGE_CONVERSION = Interpolation.BILINEAR | Interpolation.ACCURATE_RND
# For 4:2:0 of limited range, in two thirds of that time: luma is the same, and chroma 0.06 of a level lower on average
QUICK_CONVERSION = Interpolation.BILINEAR
# swscale puts chroma between two pixels of a row, and players expect it on the left one: a quarter of its own distance
LEFT_SITING = np.array([[0.25, 0.75, 0]], np.float32)

GREY_LEVELS = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
"""Grey of limited range, which swscale takes for full range whatever it is told."""

# Code points of ITU-T H.273, which FFmpeg uses too
MATRIX_RGB, MATRIX_UNSPECIFIED, MATRIX_709, MATRIX_601 = 0, 2, 1, 6
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.SMPTE170M,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
UNSPECIFIED = 2  # of primaries and transfer
HD_SIZE = Size(1280, 576)  # players treat an untagged video of this width or more, or above this height, as BT.709


@dataclass(frozen=True)
class ColourTags:
    """A video's colour tags, as code points of H.273. full: levels are 0..255 instead of 16..235."""

    matrix: int = MATRIX_UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    full: bool = False

    def resolve_matrix(self, size: Size) -> ColourTags:
        """The tags, with the matrix that players assume at that size if none is given. Raises UsageError."""
        if self.matrix in (MATRIX_UNSPECIFIED, MATRIX_RGB, 3):
            return replace(self, matrix=get_default_matrix(size))
        if self.matrix not in MATRICES:
            raise UsageError(
                f"its colours are stored with matrix {self.matrix} of H.273, which cannot be converted",
                "convert it to BT.709 first",
            )
        return self

    def tag_for_output(self, size: Size, source: Size) -> ColourTags:
        """The enlarged video's tags: the same, but explicit where players would assume another matrix at its size."""
        used = self.resolve_matrix(source)
        same = self.matrix == MATRIX_UNSPECIFIED and used.matrix == get_default_matrix(size)
        return self if same else used


def tag_encoder(context: VideoCodecContext, colours: ColourTags) -> None:
    """Applies the tags to an encoder that is not open yet and whose pixel format is set."""
    context.color_range = 2 if colours.full else 1
    context.colorspace = colours.matrix
    context.color_primaries = colours.primaries
    context.color_trc = colours.transfer
    if context.pix_fmt == "bgr0":
        context.colorspace, context.color_range = MATRIX_RGB, 2


def get_default_matrix(size: Size) -> int:
    """The matrix that players assume for a video without tags."""
    return MATRIX_709 if size.width >= HD_SIZE.width or size.height > HD_SIZE.height else MATRIX_601


class InputConverter:
    """Converts decoded frames to BGRA of one size, as they are shown. For one thread."""

    def __init__(self, colours: ColourTags, size: Size, geometry: Geometry = AS_DECODED) -> None:
        """`colours`: from `resolve_matrix`. `size`: of the shown picture."""
        self._matrix = MATRICES[colours.matrix]
        self._range = ColorRange.JPEG if colours.full else ColorRange.MPEG
        self._geometry = geometry
        self._size = geometry.compute_decoded_size(size)
        self._reformatter = VideoReformatter()

    def convert(self, frame: VideoFrame, into: Pixels) -> None:
        """Draws `frame` into `into`, and rescales it where the video changes its size midway."""
        rgb = frame.format.is_rgb
        picture = self._reformatter.reformat(
            frame,
            width=self._size.width,
            height=self._size.height,
            format="bgra",
            interpolation=EXACT_CONVERSION,
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=ColorRange.JPEG if rgb else self._range,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        plane = picture.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(picture.height, plane.line_size)
        decoded = rows[:, : picture.width * 4].reshape(picture.height, picture.width, 4)
        np.copyto(into, self._geometry.show(decoded))
        if is_limited_grey(frame):
            cv2.LUT(into, GREY_LEVELS, dst=into)
            into[..., 3] = 255
        if has_alpha(frame.format.name):
            into[..., 3] = 255


class OutputConverter:
    """Converts BGRA pictures to an encoder's pixel format. For one thread."""

    def __init__(self, colours: ColourTags, pixel_format: str) -> None:
        """`colours`: from `resolve_matrix`; `pixel_format`: FFmpeg's name of a pixel format."""
        is_usual = pixel_format in ("yuv420p", "nv12") and not colours.full
        self._interpolation = QUICK_CONVERSION if is_usual else AVERAGE_CONVERSION
        self._matrix = MATRICES[colours.matrix]
        rgb = VideoFormat(pixel_format).is_rgb
        self._range = ColorRange.JPEG if colours.full or rgb else ColorRange.MPEG
        self._pixel_format = pixel_format
        self._is_subsampled = get_chroma_subsampling(pixel_format) in ("420", "422")
        self._reformatter = VideoReformatter()

    def convert(self, picture: Pixels) -> VideoFrame:
        """A new frame; `picture` is no longer needed when this returns."""
        frame = VideoFrame.from_numpy_buffer(picture, format="bgra")
        done = self._reformatter.reformat(
            frame,
            format=self._pixel_format,
            interpolation=self._interpolation,
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=ColorRange.JPEG,
            dst_color_range=self._range,
            threads=1,
        )
        if done is frame:  # the encoder takes BGRA
            done = VideoFrame.from_ndarray(picture, format="bgra")
        if self._is_subsampled:
            _move_chroma_left(done)
        return done


def _move_chroma_left(frame: VideoFrame) -> None:
    """Moves chroma from between two pixels to the left one, where MPEG-2, H.264, H.265 and AV1 have it by default."""
    planes = frame.planes[1:]
    for plane in planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height]
        channels = 3 - len(planes)  # NV12 has both in one plane
        values = rows[:, : plane.width * channels].reshape(plane.height, plane.width, channels)
        rows[:, : plane.width * channels] = cv2.filter2D(
            values, -1, LEFT_SITING, borderType=cv2.BORDER_REPLICATE
        ).reshape(plane.height, -1)


def is_limited_grey(frame: VideoFrame) -> bool:
    """Whether the frame has no colour, and says that black is 16 and white is 235."""
    colours = [component for component in frame.format.components if not component.is_alpha]
    return len(colours) == 1 and frame.color_range == ColorRange.MPEG and not frame.format.is_rgb


def read_colour_tags(frame: VideoFrame) -> ColourTags:
    """What a decoded frame says about its colours; RGB becomes YUV of limited range."""
    full = not frame.format.is_rgb and (frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj"))
    return ColourTags(frame.colorspace, frame.color_primaries, frame.color_trc, full)


class FrameReader:
    """Converts the frames of a video to BGRA as they are shown, whatever they say about themselves. For one thread.

    An untagged video is read as players do, by its size.
    """

    def __init__(self, crop: tuple[int, int, int, int] = (0, 0, 0, 0)) -> None:
        """`crop`: what the container cuts off at the left, the top, the right and the bottom."""
        self._crop = crop
        self._converters: dict[tuple[ColourTags, Size, Geometry], InputConverter] = {}

    def find_size(self, frame: VideoFrame) -> Size:
        """The size of the picture as it is shown."""
        return read_geometry(frame, self._crop).compute_shown_size(Size(frame.width, frame.height))

    def read(self, frame: VideoFrame, into: Pixels) -> None:
        """Draws `frame` into `into`, which has the size of `find_size`. Raises UsageError for an unknown matrix."""
        geometry, decoded = read_geometry(frame, self._crop), Size(frame.width, frame.height)
        key = read_colour_tags(frame).resolve_matrix(decoded), decoded, geometry
        if key not in self._converters:
            self._converters[key] = InputConverter(key[0], geometry.compute_shown_size(decoded), geometry)
        self._converters[key].convert(frame, into)


def has_alpha(pixel_format: str) -> bool:
    return any(component.is_alpha for component in VideoFormat(pixel_format).components)


def get_bit_depth(pixel_format: str) -> int:
    """Bits of a pixel format's deepest channel."""
    return max(component.bits for component in VideoFormat(pixel_format).components)


def get_chroma_subsampling(pixel_format: str) -> str:
    """420, 422, 444 or rgb: how much of the chroma's resolution a pixel format keeps. Grey counts as 420."""
    layout = VideoFormat(pixel_format)
    if layout.is_rgb:
        return "rgb"
    if len([c for c in layout.components if not c.is_alpha]) < 3:
        return "420"
    across, down = 1024 // layout.chroma_width(1024), 1024 // layout.chroma_height(1024)
    return {(1, 1): "444", (2, 1): "422"}.get((across, down), "420")
