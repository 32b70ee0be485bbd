"""Decodes the frames of a video segment by segment, and skips what is damaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from av.error import FFmpegError
from av.video.frame import VideoFrame

from live_sr.upscale.video.segments import Segment
from live_sr.upscale.video.source_info import VideoInfo, demux_packets


@dataclass(frozen=True)
class DecodedFrame:
    """A frame of a segment. time and duration: in the stream's time base; duration 0: not known."""

    segment: Segment
    frame: VideoFrame
    time: int
    duration: int


@dataclass(frozen=True)
class EndOfSegment:
    """Follows a segment's last frame.

    broken: packets or frames that could not be used. mended: damaged frames that the decoder repaired from their
    neighbours.
    """

    segment: Segment
    broken: int
    mended: int


def decode_segments(info: VideoInfo, segments: Sequence[Segment]) -> Iterator[DecodedFrame | EndOfSegment]:
    """The frames in presentation order. After the frames of each segment comes its EndOfSegment."""
    for _, group in groupby(segments, lambda segment: segment.key):
        yield from _decode_run(info, list(group))


def _decode_run(info: VideoInfo, segments: Sequence[Segment]) -> Iterator[DecodedFrame | EndOfSegment]:
    """Decodes consecutive segments that begin at the same key frame, with one decoder."""
    remaining = list(segments)
    reader = _FrameReader(info)
    for frame, time in reader.read_frames(segments[0].key, segments[-1].stop):
        while remaining and remaining[0].end is not None and time >= remaining[0].end:
            yield reader.end_segment(remaining.pop(0))
        if not remaining:
            break
        if remaining[0].begin is None or time >= remaining[0].begin:
            yield DecodedFrame(remaining[0], frame, time, max(frame.duration, 0))
    for segment in remaining:
        yield reader.end_segment(segment)


class _FrameReader:
    """Reads the frames of a file, and counts what was damaged since the end of the last segment."""

    def __init__(self, info: VideoInfo) -> None:
        self._info = info
        self._frame_duration = max(1, round(1 / info.rate / info.time_base))
        self._last: int | None = None
        self._broken = self._mended = 0

    def end_segment(self, segment: Segment) -> EndOfSegment:
        broken, mended = self._broken, self._mended
        self._broken = self._mended = 0
        return EndOfSegment(segment, broken, mended)

    def read_frames(self, key: int | None, stop: int | None) -> Iterator[tuple[VideoFrame, int]]:
        try:
            for stream, packet in demux_packets(self._info, key):
                at_end = stop is not None and packet.pts == stop and packet.is_keyframe
                try:
                    frames = stream.decode(None if at_end else packet)
                except FFmpegError:
                    self._broken += 1
                    frames = []
                for frame in frames:
                    yield self._add_time(frame)
                if at_end:
                    return
        except FFmpegError:  # the file is cut off or unreadable from here; all frames before have been returned
            self._broken += 1

    def _add_time(self, frame: VideoFrame) -> tuple[VideoFrame, int]:
        """The frame and its time, which is estimated where it is missing, and always later than the one before."""
        time = frame.pts
        if time is None:
            time = 0 if self._last is None else self._last + self._frame_duration
        elif self._last is not None:
            time = max(time, self._last + 1)  # a clock that stands still or goes back a little costs no frame
        self._last = time
        self._mended += frame.is_corrupt
        return frame, time
