"""Converts pictures to video frames at the least cost in processor time, and uses the memory of the frames again."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, Full, Queue

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from live_sr.imaging.video_colour import MATRIX_601, ColourTags
from live_sr.pipeline.frame import Pixels, Size

PIXEL_FORMAT = "yuv420p"
COLOURS = ColourTags(matrix=MATRIX_601)
"""What the frames store at every size, the only ones that OpenCV converts to. The file must say so."""

# OpenCV converts a picture of 320x240 or more on all cores, which then wait for more work: 0.25 ms of a 2.1 GHz core
# for each 960x540. So it is given strips that are smaller.
STRIP = 320 * 240

PooledFrame = VideoFrame
"""A frame of a pool: YUV 4:2:0 in COLOURS."""

Bytes = npt.NDArray[np.uint8]


class FramePool:
    """`convert` is for one thread, `give_back` for any.

    The frames are PyAV's own: one made around an array is copied by the encoder, and loses two rows where the height is
    not a multiple of four (findings/pyav-yuv-buffers-lose-two-rows.sh).

    0.7 ms for 960x540 on a core of 2.1 GHz, where swscale takes 1.35 ms. Luma is the same; chroma is that of one pixel
    of four instead of their average: 44 dB after converting back instead of 46 (Freedoom), before any compression.
    """

    def __init__(self, capacity: int) -> None:
        """`capacity`: how many frames are kept."""
        self._spare: Queue[PooledFrame] = Queue(capacity)
        self._strip: Bytes = np.empty(STRIP * 3 // 2, np.uint8)

    def convert(self, picture: Pixels) -> PooledFrame:
        """The picture in YUV 4:2:0, without the last column or row where their number is odd."""
        picture = _make_even(picture)
        height, width = picture.shape[:2]
        frame = self._borrow(Size(width, height))
        planes = [get_plane(frame, number) for number in range(3)]
        rows = (STRIP - 1) // width // 2 * 2  # H.264 stores at most 16384 columns
        for top in range(0, height, rows):
            self._convert_strip(picture[top : top + rows], planes, top)
        return frame

    def give_back(self, frame: PooledFrame) -> None:
        """Nobody uses the frame any more."""
        with suppress(Full):
            self._spare.put_nowait(frame)

    def _borrow(self, size: Size) -> VideoFrame:
        with suppress(Empty):
            spare = self._spare.get_nowait()
            if (spare.width, spare.height) == size:
                return spare
        return VideoFrame(*size, PIXEL_FORMAT)

    def _convert_strip(self, strip: Pixels, planes: list[Bytes], top: int) -> None:
        rows, width = strip.shape[:2]
        count = rows * width
        done = self._strip[: count * 3 // 2]
        cv2.cvtColor(strip, cv2.COLOR_BGRA2YUV_I420, dst=done.reshape(-1, width))
        luma, *chroma = np.split(done, (count, count * 5 // 4))
        planes[0][top : top + rows] = luma.reshape(rows, width)
        for plane, values in zip(planes[1:], chroma, strict=True):
            plane[top // 2 : (top + rows) // 2] = values.reshape(rows // 2, width // 2)


def get_plane(frame: VideoFrame, number: int) -> Bytes:
    """The values of a plane of 8 bits as (height, width); writing into them changes the frame."""
    plane = frame.planes[number]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]


def _make_even(picture: Pixels) -> Pixels:
    """The picture with an even number of rows and columns, as 4:2:0 needs them."""
    height, width = picture.shape[:2]
    if height < 2 or width < 2:
        picture = np.pad(picture, ((0, max(0, 2 - height)), (0, max(0, 2 - width)), (0, 0)), "edge")
        height, width = picture.shape[:2]
    return picture[: height // 2 * 2, : width // 2 * 2]
