"""Decides where a video is cut into segments, which are decoded, upscaled and encoded independently.

A cut lies at the start of a closed GOP: a key frame where everything decoded before it is also shown before it, and
everything decoded after it is shown after it. A segment is then exactly the packets from its key frame to the next
one's. It comes out the same whether or not anything was decoded before it, so interrupted jobs can be resumed and
several machines can share a job. Where no closed GOP starts for a long time, cuts lie between two frames, and decoding
starts at the last closed GOP.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from live_sr.upscale.video.clock import STEADY, Clock, ClockReader
from live_sr.upscale.video.source_info import VideoInfo, demux_packets, open_source

DURATION_TOLERANCE_S = 0.5  # how far the duration in the file's header may be off
CUT_FRAMES = 8  # at the end of a file that was cut without encoding
MAX_GOP_SEGMENTS = 4  # a closed GOP longer than this many segments is cut inside

Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """A run of frames. Times are in the stream's time base; None means from the first packet, or to the last.

    Decoding starts at the key frame at time `key` and ends before the one at `stop`. Of the decoded frames, those from
    `begin` until before `end` belong to this segment; there are about `frames` of them.
    """

    number: int
    key: int | None
    stop: int | None
    begin: int | None
    end: int | None
    frames: int


@dataclass(frozen=True)
class SegmentPlan:
    """All segments of a video.

    ends_early: a sentence if the file is cut off, or an empty string. missing: frames that are missing at an even rate.
    clock: corrects the times of the file's packets, to which the times of the segments belong.
    """

    segments: tuple[Segment, ...]
    ends_early: str = ""
    missing: int = 0
    clock: Clock = STEADY

    @property
    def frames(self) -> int:
        return sum(segment.frames for segment in self.segments)


def plan_segments(info: VideoInfo, segment_s: float) -> SegmentPlan:
    """Reads the times of all packets and decodes only one frame. Raises UsageError when the file cannot be read."""
    scan = _scan_packets(info)
    times = scan.times
    if times is None or not len(times):
        return SegmentPlan((Segment(0, None, None, None, None, max(scan.count, 1)),), scan.ends_early, 0, scan.clock)
    length = max(1, round(segment_s / info.time_base))
    gop_starts = find_closed_gops(times, scan.keys)
    if len(gop_starts) > 1 and not _can_decode_from(replace(info, clock=scan.clock), gop_starts[1]):
        gop_starts = gop_starts[:1]  # no true key frames (intra refresh), or a file that cannot be seeked
    times = np.sort(times)
    segments = tuple(cut_into_segments(times, gop_starts, length))
    return SegmentPlan(segments, scan.ends_early, count_missing_frames(times), scan.clock)


@dataclass(frozen=True)
class _PacketScan:
    """The times and key-frame marks of all packets of the video in file order.

    times: None where a packet has none. count: the number of packets. ends_early: where the file is cut off, or empty.
    """

    times: Times | None
    keys: npt.NDArray[np.bool_]
    count: int
    ends_early: str
    clock: Clock


def _scan_packets(info: VideoInfo) -> _PacketScan:
    times: list[int] = []
    keys: list[bool] = []
    count = hidden = 0  # hidden: an edit list keeps them from being shown
    last, why = 0.0, ""
    with open_source(info.path) as container:
        stream = container.streams[info.stream]
        declared = min(stream.frames, len(stream.index_entries) or stream.frames)  # an edit list may hide whole GOPs
        ends = ((container.start_time or 0) + (container.duration or 0)) / 1e6
        reader = ClockReader(container)
        try:
            for packet in container.demux():
                reader.add(packet)
                if packet.pts is not None:
                    last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream_index != info.stream or not packet.size:
                    continue
                hidden += packet.is_discard
                if packet.is_discard:
                    continue
                count += 1
                if packet.pts is not None:
                    times.append(packet.pts)
                    keys.append(packet.is_keyframe)
        except FFmpegError as error:
            why = f"it cannot be read to its end ({error.strerror})"
    clock = reader.clock
    if not why and declared > count + hidden:
        why = f"it ends early: {count + hidden} of {declared} pictures are there"
    elif not why and last < ends - DURATION_TOLERANCE_S and not clock.jumps:  # or FFmpeg has computed nonsense
        why = f"it ends early: {last:.1f} of {ends:.1f} s are there"
    known = np.array(times, np.int64) if len(times) == count else None
    return _PacketScan(known, np.array(keys, np.bool_), count, why, clock)


def count_missing_frames(times: Times) -> int:
    """How many frames are missing between sorted times that otherwise have an even rate.

    A damaged container loses whole packets, and FFmpeg does not report them. 0 where the rate is uneven, as in a screen
    recording. The last frames are not looked at: a cut without encoding leaves out some of those that others depend on.
    """
    steps = np.diff(times)
    if len(steps) < 10 or np.median(steps) <= 0:
        return 0
    even = np.abs(steps - np.median(steps)) <= max(1.0, 0.02 * float(np.median(steps)))  # 1: rounded to the time base
    if even.mean() < 0.9:
        return 0
    step = steps[even].mean()
    lost = np.maximum(np.round(steps / step) - 1, 0)
    return int(lost[~even & (np.arange(len(steps)) < len(steps) - CUT_FRAMES)].sum())


def find_closed_gops(times: Times, keys: npt.NDArray[np.bool_]) -> list[int]:
    """The times of the first frame, and of all key frames that start a closed GOP."""
    before = np.maximum.accumulate(times)
    after = np.minimum.accumulate(times[::-1])[::-1]
    closed = keys[1:] & (before[:-1] < times[1:]) & (after[1:] >= times[1:])
    closed[:-1] &= after[2:] > times[1:-1]
    return [int(times.min()), *(int(time) for time in times[1:][closed])]


def cut_into_segments(times: Times, gop_starts: list[int], length: int) -> Iterator[Segment]:
    """Segments of at least `length`, from sorted times and the starts of closed GOPs among them."""
    starts = [gop_starts[0]]
    for time in gop_starts[1:]:
        if time - starts[-1] >= length:
            starts.append(time)
    number = 0
    for at, start in enumerate(starts):
        key = start if at else None
        stop = starts[at + 1] if at + 1 < len(starts) else None
        inside = times[np.searchsorted(times, start) : None if stop is None else np.searchsorted(times, stop)]
        cuts = _find_inner_cuts(inside, length)
        for begin, end in zip([key, *cuts], [*cuts, stop], strict=True):
            first = 0 if begin is None else int(np.searchsorted(inside, begin))
            last = len(inside) if end is None else int(np.searchsorted(inside, end))
            yield Segment(number, key, stop, begin, end, last - first)
            number += 1


def _find_inner_cuts(times: Times, length: int) -> list[int]:
    """Times of frames at which a long closed GOP is cut."""
    if times[-1] - times[0] < MAX_GOP_SEGMENTS * length:
        return []
    cuts: list[int] = []
    last = int(times[0])
    for time in times.tolist():
        if time - last >= length:
            cuts.append(time)
            last = time
    return cuts


def _can_decode_from(info: VideoInfo, key: int) -> bool:
    """Whether decoding can start at that key frame, so that its frame comes first and undamaged."""
    with suppress(FFmpegError):
        for stream, packet in demux_packets(info, key):
            for frame in stream.decode(packet):
                return frame.pts == key and not frame.is_corrupt
    return False
