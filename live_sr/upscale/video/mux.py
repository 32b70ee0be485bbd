"""Muxes the finished segments and the source's other streams into one file.

Audio, subtitles, attachments and other data are copied packet by packet, together with chapters, tags and dispositions.
"""

from __future__ import annotations

import errno
import heapq
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream

from live_sr.errors import EngineError, LiveSRError
from live_sr.imaging.video_file import open_output
from live_sr.system.scheduling import undo_realtime
from live_sr.upscale.video import windows_sound
from live_sr.upscale.video.clock import TS_DISCONT, PacketClock
from live_sr.upscale.video.encode import SegmentSettings
from live_sr.upscale.video.segment_file import SegmentFile, Times
from live_sr.upscale.video.source_info import VideoInfo, open_source
from live_sr.upscale.video.streams import CopyTimer, add_copy, add_video_stream, is_cut_off, read_heads

MICROSECOND = Fraction(1, 1_000_000)
DISK_TROUBLES = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EFBIG)
# Tags that describe the source's container, and would be wrong in another file
CONTAINER_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder")


def mux_segments(
    info: VideoInfo,
    settings: SegmentSettings,
    segments: Sequence[SegmentFile],
    target: Path,
    container: str,
    left_out: Sequence[int],
) -> None:
    """Writes `target`, in FFmpeg's format `container`, from complete segments. Raises LiveSRError for a full disk."""
    try:
        with (
            open_source(info.path) as source,
            open_output(target, container, {"fflags": "+bitexact"}) as output,
        ):
            muxer = _Muxer(info, settings, source, output, left_out)
            muxer.run(segments)
        with target.open("r+b") as file:
            windows_sound.name_tracks(file, muxer.wave_formats)
    except (FFmpegError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        if isinstance(error, OSError) and error.errno in DISK_TROUBLES:
            raise LiveSRError(
                f"{target.parent} cannot be written to: {why}", "free some space, and continue with --resume"
            ) from None
        raise LiveSRError(
            f"the streams cannot be joined in a {container} file: {why}",
            "the finished segments are kept; name an output .mkv, or choose another --codec",
        ) from None


class _Muxer:
    def __init__(
        self,
        info: VideoInfo,
        settings: SegmentSettings,
        source: InputContainer,
        output: OutputContainer,
        left_out: Sequence[int],
    ) -> None:
        self._info = info
        self._source = source
        self._output = output
        shifts = bool(source.format.flags & TS_DISCONT) and source.start_time is not None
        self._start = source.start_time * MICROSECOND if shifts else Fraction(0)
        self._copies: dict[int, Stream] = {}
        self.wave_formats: list[bytes] = []
        self._timer = CopyTimer()
        heads = read_heads(info)
        for stream in source.streams:
            if stream.index == info.stream:
                self._video = add_video_stream(output, info, settings, stream)
            elif stream.index not in left_out:
                wave_format = windows_sound.find_wave_format(info.path, stream, output.format.name)
                self.wave_formats += [wave_format] if wave_format else []
                copy = add_copy(output, stream, heads.get(stream.index, ()), wave_format)
                if copy is not None:
                    self._copies[stream.index] = copy
        output.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in CONTAINER_TAGS})
        output.set_chapters(source.chapters())

    def run(self, segments: Sequence[SegmentFile]) -> None:
        with undo_realtime():
            self._output.start_encoding()
        extradata = self._video.codec_context.extradata or b""
        if any(len(segment.index) and segment.extradata != extradata for segment in segments):
            raise EngineError(
                "the segments were encoded with another version of the encoder",
                "start again with --discard",
            )
        for packet in heapq.merge(self._encoded(segments), self._others(), key=_get_mux_time):
            self._output.mux(packet)

    def _encoded(self, segments: Sequence[SegmentFile]) -> Iterator[Packet[Stream]]:
        last = next((segment.last_duration for segment in reversed(segments) if len(segment.index)), 0)
        times = np.concatenate([segment.index[:, 0] for segment in segments])
        frame_duration = max(1, round(1 / self._info.rate / self._info.time_base))
        shift = round(self._start / self._info.time_base)
        clock = zip(
            compute_decode_times(times, frame_duration).tolist(),
            compute_durations(times, last or frame_duration).tolist(),
            strict=True,
        )
        for segment in segments:
            for data, row in zip(segment.read_packets(), segment.index.tolist(), strict=True):
                time, _, key = row
                dts, duration = next(clock)
                packet: Packet[Stream] = Packet(data)
                packet.stream = self._video
                packet.time_base = self._info.time_base
                packet.pts, packet.dts, packet.duration = time - shift, dts - shift, duration
                packet.is_keyframe = bool(key)
                yield packet

    def _others(self) -> Iterator[Packet[Stream]]:
        streams = [self._source.streams[index] for index in self._copies]
        if not any(stream.type != "attachment" for stream in streams):
            return
        try:
            clock = PacketClock(self._info.clock)
            for packet in self._source.demux(streams):
                if not packet.size or is_cut_off(packet):
                    continue  # an empty one marks the end of a stream
                clock.correct(packet)
                shift = round(self._start / packet.time_base)
                if packet.pts is not None:
                    packet.pts -= shift
                if packet.dts is not None:
                    packet.dts -= shift
                self._timer.prepare(packet, self._copies[packet.stream_index])
                yield packet
        except FFmpegError:
            return  # the source is cut off, which was reported before


def compute_decode_times(times: Times, frame_duration: int) -> Times:
    """The decode time of each packet, from the presentation times in decoding order.

    The n-th packet is decoded at the presentation time of the frame that is shown `depth` frames before the n-th. The
    depth is the smallest with which no frame is shown before it is decoded. The first decode times lie before the first
    frame, `frame_duration` apart.
    """
    count = len(times)
    if not count:
        return times
    shown = np.sort(times)
    rank = np.empty(count, np.int64)
    rank[np.argsort(times, kind="stable")] = np.arange(count)
    depth = max(0, int((np.arange(count) - rank).max()))
    early = shown[0] - frame_duration * np.arange(depth, 0, -1, dtype=np.int64)
    return np.asarray(np.concatenate([early, shown])[:count], np.int64)


def compute_durations(times: Times, last: int) -> Times:
    """How long each frame is shown: until the next one, and the last one for `last`."""
    order = np.argsort(times, kind="stable")
    result = np.empty(len(times), np.int64)
    result[order] = np.diff(times[order], append=times[order[-1:]] + last)
    return result


def _get_mux_time(packet: Packet[Stream]) -> float:
    """Seconds. A packet without a time is muxed first."""
    time = packet.dts if packet.dts is not None else packet.pts
    return float("-inf") if time is None else time * float(packet.time_base)
