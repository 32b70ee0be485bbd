"""Where a video is cut: into runs of frames that are decoded, upscaled and encoded each by itself.

A cut lies at a key frame that nothing crosses: all that is decoded before it is shown before it, and all after it
after. Then a segment is exactly the packets from its key frame to the next one's, and it comes out the same whether or
not anything else was decoded before it, which is what lets an interrupted job go on and several machines share one.
Where no such key frame comes for long, cuts lie between two frames, and decoding starts at the last good key frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from live_sr.upscale.footage import Footage, opened, packets

SHORT_S = 0.5  # by which a file's length may be told wrong
LONG = 4  # segments' lengths without a good key frame, after which one is cut elsewhere

Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """A run of frames; times are in the stream's time base, None: from its first packet, or to its last.

    Decoding starts at the key frame `key` and ends before the key frame `stop`; of what comes out the frames from
    `begin` until before `end` are this segment's, about `frames` of them.
    """

    number: int
    key: int | None
    stop: int | None
    begin: int | None
    end: int | None
    frames: int


@dataclass(frozen=True)
class Plan:
    """All segments of a video. `ends_early`: a sentence where the file is cut off, or an empty string."""

    segments: tuple[Segment, ...]
    ends_early: str = ""

    @property
    def frames(self) -> int:
        return sum(segment.frames for segment in self.segments)


def plan(footage: Footage, segment_s: float) -> Plan:
    """Reads every packet's time, decodes next to nothing. Raises UsageError when the file cannot be read."""
    times, keys, known, ends_early = _packets(footage)
    whole = Plan((Segment(0, None, None, None, None, max(known, 1)),), ends_early)
    if times is None or not len(times):
        return whole
    length = max(1, round(segment_s / footage.time_base))
    good = good_keys(times, keys)
    if len(good) > 1 and not _opens_at(footage, good[1]):
        good = good[:1]  # key frames that are none (intra refresh), or a file that cannot be searched
    return Plan(tuple(cut(np.sort(times), good, length)), ends_early)


def _packets(footage: Footage) -> tuple[Times | None, npt.NDArray[np.bool_], int, str]:
    """Times and key frames of all packets in the file's order (None: some have no time), their number, and a note."""
    times: list[int] = []
    keys: list[bool] = []
    count, last, why = 0, 0.0, ""
    with opened(footage.path) as container:
        promised = container.streams[footage.stream].frames
        ends = ((container.start_time or 0) + (container.duration or 0)) / 1e6
        try:
            for packet in container.demux():
                if packet.pts is not None:
                    last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream_index != footage.stream or not packet.size or packet.is_discard:
                    continue
                count += 1
                if packet.pts is not None:
                    times.append(packet.pts)
                    keys.append(packet.is_keyframe)
        except FFmpegError as error:
            why = f"it cannot be read to its end ({error.strerror})"
    if not why and promised > count:
        why = f"it ends early: {count} of {promised} pictures are there"
    elif not why and last < ends - SHORT_S:
        why = f"it ends early: {last:.1f} of {ends:.1f} s are there"
    return np.array(times, np.int64) if len(times) == count else None, np.array(keys, np.bool_), count, why


def good_keys(times: Times, keys: npt.NDArray[np.bool_]) -> list[int]:
    """The times of the first packet and of the key frames that nothing crosses."""
    before = np.maximum.accumulate(times)
    after = np.minimum.accumulate(times[::-1])[::-1]
    good = keys[1:] & (before[:-1] < times[1:]) & (after[1:] >= times[1:])
    good[:-1] &= after[2:] > times[1:-1]
    return [int(times.min()), *(int(time) for time in times[1:][good])]


def cut(times: Times, good: list[int], length: int) -> Iterator[Segment]:
    """Segments of at least `length`, from sorted times and the good key frames among them."""
    starts = [good[0]]
    for time in good[1:]:
        if time - starts[-1] >= length:
            starts.append(time)
    number = 0
    for at, start in enumerate(starts):
        key = start if at else None
        stop = starts[at + 1] if at + 1 < len(starts) else None
        here = times[np.searchsorted(times, start) : None if stop is None else np.searchsorted(times, stop)]
        cuts = _inner_cuts(here, length)
        for begin, end in zip([key, *cuts], [*cuts, stop], strict=True):
            first = 0 if begin is None else int(np.searchsorted(here, begin))
            behind = len(here) if end is None else int(np.searchsorted(here, end))
            yield Segment(number, key, stop, begin, end, behind - first)
            number += 1


def _inner_cuts(times: Times, length: int) -> list[int]:
    """Times of frames at which a run without good key frames is cut, if it is long."""
    if times[-1] - times[0] < LONG * length:
        return []
    cuts: list[int] = []
    last = int(times[0])
    for time in times.tolist():
        if time - last >= length:
            cuts.append(time)
            last = time
    return cuts


def _opens_at(footage: Footage, key: int) -> bool:
    """Whether decoding can start at that key frame, and its picture comes out first and whole."""
    with suppress(FFmpegError):
        for stream, packet in packets(footage, key):
            for frame in stream.decode(packet):
                return frame.pts == key and not frame.is_corrupt
    return False
