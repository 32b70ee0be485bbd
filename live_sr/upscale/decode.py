"""Pictures of a video, segment after segment, whatever is broken in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from av.error import FFmpegError
from av.video.frame import VideoFrame

from live_sr.upscale.footage import Footage, packets
from live_sr.upscale.segments import Segment


@dataclass(frozen=True)
class Shown:
    """A segment's picture, when it is shown and for how long (0: not told), in the stream's time base."""

    segment: Segment
    frame: VideoFrame
    time: int
    duration: int


@dataclass(frozen=True)
class Over:
    """A segment's last picture has come. `broken`: packets or pictures that could not be used; `mended`: damaged ones
    that the decoder made up from their neighbours."""

    segment: Segment
    broken: int
    mended: int


def decoded(footage: Footage, segments: Sequence[Segment]) -> Iterator[Shown | Over]:
    """Pictures in the order they are shown, each segment's followed by its Over; every segment gets one."""
    for _, group in groupby(segments, lambda segment: segment.key):
        yield from _run(footage, list(group))


def _run(footage: Footage, segments: Sequence[Segment]) -> Iterator[Shown | Over]:
    """Segments, in order, that one decoder serves: they begin at the same key frame."""
    ahead = list(segments)
    reading = _Reading(footage)
    for frame, time in reading.pictures(segments[0].key, segments[-1].stop):
        while ahead and ahead[0].end is not None and time >= ahead[0].end:
            yield reading.over(ahead.pop(0))
        if not ahead:
            break
        if ahead[0].begin is None or time >= ahead[0].begin:
            yield Shown(ahead[0], frame, time, max(frame.duration, 0))
    for segment in ahead:
        yield reading.over(segment)


class _Reading:
    """One decoder's way through a file, and what it met on it since the last segment was over."""

    def __init__(self, footage: Footage) -> None:
        self._footage = footage
        self._usual = max(1, round(1 / footage.rate / footage.time_base))
        self._last: int | None = None
        self._broken = self._mended = 0

    def over(self, segment: Segment) -> Over:
        broken, mended = self._broken, self._mended
        self._broken = self._mended = 0
        return Over(segment, broken, mended)

    def pictures(self, key: int | None, stop: int | None) -> Iterator[tuple[VideoFrame, int]]:
        try:
            for stream, packet in packets(self._footage, key):
                at_end = stop is not None and packet.pts == stop and packet.is_keyframe
                try:
                    frames = stream.decode(None if at_end else packet)
                except FFmpegError:
                    self._broken += 1
                    frames = []
                for frame in frames:
                    yield from self._timed(frame)
                if at_end:
                    return
        except FFmpegError:  # the file is cut off or cannot be read on: what was there has come
            self._broken += 1

    def _timed(self, frame: VideoFrame) -> Iterator[tuple[VideoFrame, int]]:
        """With the time that the file tells, else the one after the last; none where time does not go on."""
        time = frame.pts
        if time is None:
            time = 0 if self._last is None else self._last + self._usual
        if self._last is not None and time <= self._last:
            self._broken += 1
            return
        self._last = time
        self._mended += frame.is_corrupt
        yield frame, time
