"""Plays a recorded video as if it were a game, through PyAV."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter_ns

from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from live_sr.errors import SourceClosed, UsageError
from live_sr.imaging.container_crop import read_crop
from live_sr.imaging.video_colour import FrameReader
from live_sr.imaging.video_file import find_main_video, open_input
from live_sr.pipeline.frame import Frame, Pixels, Size, Stamps, reuse_or_allocate

SECOND_NS = 1_000_000_000
DEFAULT_FPS = 30.0  # for a file that has neither time stamps nor a frame rate


class VideoSource:
    """Frames at the file's own times or, with `paced` off, as fast as `next_frame` is called.

    When paced, `stamps.seen` is the moment the frame was due, and frames whose successor is already due are skipped. A
    truncated file ends after the frames that can be decoded. In a loop, it starts again when the last frame's time is
    over. Raises UsageError for a file that is no video.
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
        """`fps`: plays at this rate instead of the file's own times. `wait` sleeps for a number of seconds."""
        self._path = path
        self._loop = loop
        self._paced = paced
        self._fps = fps
        self._clock = clock
        self._wait = wait or threading.Event().wait
        self._container, stream = _open(path)
        self._reader = FrameReader(read_crop(path, stream.index))
        self._rate = fps or float(stream.average_rate or DEFAULT_FPS)
        self._frames = _decode(self._container, stream)
        self._start_ns: int | None = None  # when the first frame of this pass was due
        self._end_ns = 0  # when the time of the last paced frame ends
        self._index = 0  # of the upcoming frame, in this pass through the file
        self._upcoming = self._decode_next()
        if self._upcoming is None:
            self._container.close()
            raise UsageError(f"{path} has no picture that can be decoded", "choose another video file")
        self._size = self._reader.find_size(self._upcoming)

    @property
    def size(self) -> Size:
        return self._size

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        if self._upcoming is None and self._loop:
            self._rewind()
        if self._upcoming is None:
            raise SourceClosed(f"{self._path.name} has ended")
        now = self._clock()
        if not self._paced:
            return self._deliver(self._advance(), now, into)
        due = self._compute_due(now, self._upcoming)
        if due > now:
            self._wait(min(timeout_s, (due - now) / SECOND_NS))
            now = self._clock()
            if due > now:
                return None
        newest = self._advance()
        while self._upcoming is not None and (next_due := self._compute_due(now, self._upcoming)) <= now:
            newest, due = self._advance(), next_due
        self._end_ns = due + round(SECOND_NS / self._rate)
        return self._deliver(newest, due, into)

    def close(self) -> None:
        # the decoder and the converter keep their threads until they are deleted
        self._frames, self._upcoming = iter(()), None
        self._reader = FrameReader()
        self._container.close()

    def _rewind(self) -> None:
        stream = find_main_video(self._container)
        assert stream is not None
        try:
            self._container.seek(0)
        except FFmpegError:  # a raw stream has no index to seek in
            self._container.close()
            self._container, stream = _open(self._path)
        self._frames = _decode(self._container, stream)
        self._start_ns, self._index = None, 0
        self._upcoming = self._decode_next()

    def _advance(self) -> VideoFrame:
        """Returns the upcoming frame, and decodes the one after it."""
        assert self._upcoming is not None
        frame, self._upcoming = self._upcoming, self._decode_next()
        self._index += 1
        return frame

    def _deliver(self, frame: VideoFrame, seen: int, into: Pixels | None) -> Frame[Pixels]:
        self._size = self._reader.find_size(frame)
        pixels = reuse_or_allocate(into, self._size)
        self._reader.read(frame, pixels)
        return Frame(pixels, Stamps(seen=seen, captured=self._clock()))

    def _compute_due(self, now: int, frame: VideoFrame) -> int:
        """When the upcoming frame is due, in nanoseconds of the clock."""
        time = frame.time if self._fps is None else None
        at = round((self._index / self._rate if time is None else time) * SECOND_NS)
        if self._start_ns is None:
            self._start_ns = max(now, self._end_ns) - at
        return self._start_ns + at

    def _decode_next(self) -> VideoFrame | None:
        return next(self._frames, None)


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    """A file, and the video in it. Raises UsageError."""
    try:
        container = open_input(path)
    except (FFmpegError, OSError) as error:
        raise UsageError(f"{path} cannot be played: {error.strerror}", "choose a video file") from None
    stream = find_main_video(container)
    if stream is None:
        container.close()
        raise UsageError(f"{path} has no video in it", "choose a video file")
    stream.thread_type = "AUTO"
    return container, stream


def _decode(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    try:
        yield from container.decode(stream)
    except FFmpegError:
        return  # truncated or damaged: all that can be decoded was played
