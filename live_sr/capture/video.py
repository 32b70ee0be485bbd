"""A recorded video played as if it were a game, through PyAV."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter_ns

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from live_sr.errors import SourceClosed, UsageError
from live_sr.frame import Frame, Pixels, Size, Stamps, fitting

SECOND_NS = 1_000_000_000
USUAL_RATE = 30.0  # frames per second, for a file that tells neither times nor a rate
# FFmpeg's default conversion from YUV darkens a picture by about a level
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


class VideoSource:
    """Frames at the file's own times, or as fast as they are asked for (`paced` off). Raises UsageError for no video.

    Paced frames are seen at the moment they were due; those whose successor is due already are left out. A file that is
    cut off ends after the frames that are there. Played in a loop, it starts again when its last frame's time is over.
    """

    def __init__(
        self,
        path: Path,
        *,
        loop: bool = False,
        paced: bool = True,
        fps: float | None = None,
        clock: Callable[[], int] = perf_counter_ns,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """`fps`: at this rate instead of the file's own times. `wait` sleeps for some seconds."""
        self._path = path
        self._loop = loop
        self._paced = paced
        self._fps = fps
        self._clock = clock
        self._wait = wait or threading.Event().wait
        self._reformatter = VideoReformatter()
        self._container = _opened(path)
        stream = self._container.streams.video[0]
        self._size = Size(stream.width, stream.height)
        self._rate = fps or float(stream.average_rate or USUAL_RATE)
        self._frames = _decoded(self._container)
        self._begun: int | None = None  # the clock at the first frame of this round
        self._over = 0  # when the time of the last paced frame is over
        self._turn = 0  # frames taken in this round
        self._ahead = self._next()
        if self._ahead is None:
            self._container.close()
            raise UsageError(f"{path} has no picture that can be decoded", "choose another video file")

    @property
    def size(self) -> Size:
        return self._size

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        if self._ahead is None and self._loop:
            self._rewind()
        if self._ahead is None:
            raise SourceClosed(f"{self._path.name} is at its end")
        now = self._clock()
        if not self._paced:
            return self._deliver(self._take(), now, into)
        due = self._due(now, self._ahead)
        if due > now:
            self._wait(min(timeout_s, (due - now) / SECOND_NS))
            now = self._clock()
            if due > now:
                return None
        newest = self._take()
        while self._ahead is not None and (next_due := self._due(now, self._ahead)) <= now:
            newest, due = self._take(), next_due
        self._over = due + round(SECOND_NS / self._rate)
        return self._deliver(newest, due, into)

    def close(self) -> None:
        self._frames, self._ahead = iter(()), None  # the decoder and the converter keep threads as long as they live
        self._reformatter = VideoReformatter()
        self._container.close()

    def _rewind(self) -> None:
        try:
            self._container.seek(0)
        except FFmpegError:  # a bare stream has no index to seek in
            self._container.close()
            self._container = _opened(self._path)
        self._frames = _decoded(self._container)
        self._begun, self._turn = None, 0
        self._ahead = self._next()

    def _take(self) -> VideoFrame:
        """The frame ahead; the one after it is then ahead."""
        assert self._ahead is not None
        frame, self._ahead = self._ahead, self._next()
        self._turn += 1
        return frame

    def _deliver(self, frame: VideoFrame, seen: int, into: Pixels | None) -> Frame[Pixels]:
        picture = self._reformatter.reformat(frame, format="bgra", interpolation=EXACT)
        self._size = Size(picture.width, picture.height)
        pixels = fitting(into, self._size)
        plane = picture.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(picture.height, plane.line_size)
        np.copyto(pixels, rows[:, : picture.width * 4].reshape(pixels.shape))
        if any(component.is_alpha for component in frame.format.components):
            pixels[..., 3] = 255
        return Frame(pixels, Stamps(seen=seen, captured=self._clock()))

    def _due(self, now: int, frame: VideoFrame) -> int:
        """The moment for the frame ahead."""
        time = frame.time if self._fps is None else None
        at = round((self._turn / self._rate if time is None else time) * SECOND_NS)
        if self._begun is None:
            self._begun = max(now, self._over) - at
        return self._begun + at

    def _next(self) -> VideoFrame | None:
        return next(self._frames, None)


def _opened(path: Path) -> InputContainer:
    """A file with video in it. Raises UsageError."""
    try:
        container = av.open(str(path), metadata_errors="replace")  # titles are in any encoding
    except (FFmpegError, OSError) as error:
        raise UsageError(f"{path} cannot be played: {error.strerror}", "choose a video file") from None
    if not container.streams.video or container.format.name == "tty":  # which draws any text in a terminal's font
        container.close()
        raise UsageError(f"{path} has no video in it", "choose a video file")
    container.streams.video[0].thread_type = "AUTO"
    return container


def _decoded(container: InputContainer) -> Iterator[VideoFrame]:
    try:
        yield from container.decode(container.streams.video[0])
    except FFmpegError:
        return  # cut off or damaged: what was there has been shown
