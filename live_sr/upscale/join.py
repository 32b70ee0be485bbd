"""Finished segments and all that is not pictures, together in one file.

Sound, subtitles, attachments and other data go over packet by packet as they are, beside chapters, names and marks.
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from live_sr.errors import EngineError, LiveSRError, UsageError
from live_sr.upscale.encode import Recipe, set_up
from live_sr.upscale.footage import Footage, opened
from live_sr.upscale.segmentfile import SegmentFile, Times

MICROSECOND = Fraction(1, 1_000_000)
# What FFmpeg knows of a format: AVFMT_GLOBALHEADER, AVFMT_VARIABLE_FPS, and AVFMT_TS_DISCONT, which is said of MPEG
# streams, whose times begin anywhere
HEADER_APART, VARIABLE_RATE, JUMPING_CLOCK = 0x0040, 0x0400, 0x0200
# FFmpeg puts anything else into a transport stream too, as bytes that nothing can read
TRANSPORT = (
    *(
        "h264",
        "hevc",
        "mpeg1video",
        "mpeg2video",
        "mpeg4",
        "aac",
        "aac_latm",
        "mp1",
        "mp2",
        "mp3",
        "ac3",
        "eac3",
        "dts",
    ),
    *("truehd", "opus", "pcm_bluray", "dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle"),
)
# What describes the source's container, or its encoding of the pictures, and would be wrong in another
NOT_OURS = ("major_brand", "minor_version", "compatible_brands", "encoder")
NOT_THE_PICTURES = ("encoder", "duration", "bps", "number_of_", "_statistics_", "vendor_id")


@dataclass(frozen=True)
class LeftOut:
    """A stream of the source that the new file cannot hold."""

    index: int
    what: str
    why: str
    told: bool = True  # not where nothing is lost with it

    def __str__(self) -> str:
        return f"stream {self.index} ({self.what}) is left out: {self.why}"


@dataclass(frozen=True)
class Container:
    """A kind of file, by FFmpeg's name; header_apart: an encoder's header is kept by itself in it."""

    name: str
    header_apart: bool


def container(target: Path) -> Container:
    """What that suffix means. Raises UsageError for no kind of video, or one that keeps no times."""
    try:
        with av.open(str(target), "w") as trial:  # nothing is written before the first packet
            name, flags, codec = trial.format.name, trial.format.flags, trial.default_video_codec
    except (ValueError, FFmpegError):
        name, flags, codec = "", 0, "none"
    if codec == "none":
        raise UsageError(
            f'no kind of video is called "{target.suffix or target.name}"', "name the output .mkv, .mp4 or .mov"
        )
    if not flags & VARIABLE_RATE:
        raise UsageError(f"a {target.suffix} file cannot keep when its pictures are shown", "name the output .mkv")
    return Container(name, bool(flags & HEADER_APART))


def survey(footage: Footage, made: Recipe, form: str) -> list[LeftOut]:
    """What a file of that format will not have. Raises UsageError where it cannot even hold the pictures."""
    with opened(footage.path) as source:
        try:
            with av.open(io.BytesIO(), "w", format=form) as trial:
                pictures = _video_stream(trial, footage, made, source.streams[footage.stream])
                trial.start_encoding()
                if not _readable(pictures, form):
                    raise ValueError
        except (FFmpegError, ValueError):
            raise UsageError(
                f"{form} files cannot hold what {made.codec} makes in {made.pixels}",
                "name the output .mkv, or choose another --codec",
            ) from None
        others = [stream for stream in source.streams if stream.index != footage.stream]
        chapters = bool(source.chapters())
        return [
            LeftOut(
                stream.index, _what(stream), f"{form} files cannot hold it", told=not (chapters and _is_titles(stream))
            )
            for stream in others
            if not _fits(stream, form)
        ]


def join(
    footage: Footage, made: Recipe, segments: Sequence[SegmentFile], target: Path, form: str, left_out: Sequence[int]
) -> None:
    """Writes `target`, of the format `form`, from complete segments in order. Raises LiveSRError for a full disk."""
    try:
        with (
            opened(footage.path) as source,
            av.open(
                str(target), "w", format=form, container_options={"fflags": "+bitexact"}, metadata_errors="replace"
            ) as output,
        ):
            _Joint(footage, made, source, output, left_out).run(segments)
    except FFmpegError as error:
        raise LiveSRError(
            f"{target.parent} cannot be written to, or not in this format: {error.strerror}",
            "free some space or choose another container, and go on with --resume",
        ) from None


class _Joint:
    def __init__(
        self,
        footage: Footage,
        made: Recipe,
        source: InputContainer,
        output: OutputContainer,
        left_out: Sequence[int],
    ) -> None:
        self._footage = footage
        self._source = source
        self._output = output
        shifts = bool(source.format.flags & JUMPING_CLOCK) and source.start_time is not None
        self._start = source.start_time * MICROSECOND if shifts else Fraction(0)
        self._copies: dict[int, Stream] = {}
        for stream in source.streams:
            if stream.index == footage.stream:
                self._pictures = _video_stream(output, footage, made, stream)
            elif stream.index not in left_out:
                self._copies[stream.index] = _copy_of(output, stream)
        output.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in NOT_OURS})
        output.set_chapters(source.chapters())

    def run(self, segments: Sequence[SegmentFile]) -> None:
        self._output.start_encoding()
        extradata = self._pictures.codec_context.extradata or b""
        if any(len(segment.rows) and segment.extradata != extradata for segment in segments):
            raise EngineError(
                "the segments were encoded with another version of the encoder than the one here",
                "begin again with --discard",
            )
        for packet in heapq.merge(self._encoded(segments), self._others(), key=_moment):
            self._output.mux(packet)

    def _encoded(self, segments: Sequence[SegmentFile]) -> Iterator[Packet[Stream]]:
        last = next((segment.last_duration for segment in reversed(segments) if len(segment.rows)), 0)
        times = np.concatenate([segment.rows[:, 0] for segment in segments])
        usual = max(1, round(1 / self._footage.rate / self._footage.time_base))
        shift = round(self._start / self._footage.time_base)
        clock = zip(decode_times(times, usual).tolist(), durations(times, last or usual).tolist(), strict=True)
        for segment in segments:
            for data, row in zip(segment.packets(), segment.rows.tolist(), strict=True):
                time, _, key = row
                dts, duration = next(clock)
                packet: Packet[Stream] = Packet(data)
                packet.stream = self._pictures
                packet.time_base = self._footage.time_base
                packet.pts, packet.dts, packet.duration = time - shift, dts - shift, duration
                packet.is_keyframe = bool(key)
                yield packet

    def _others(self) -> Iterator[Packet[Stream]]:
        wanted = [self._source.streams[index] for index in self._copies]
        if not any(stream.type != "attachment" for stream in wanted):
            return
        try:
            for packet in self._source.demux(wanted):
                if packet.dts is None and not packet.size:
                    continue  # the end of a stream
                shift = round(self._start / packet.time_base)
                if packet.pts is not None:
                    packet.pts -= shift
                if packet.dts is not None:
                    packet.dts -= shift
                packet.stream = self._copies[packet.stream.index]
                yield packet
        except FFmpegError:
            return  # the source is cut off, which has been said


def decode_times(times: Times, usual: int) -> Times:
    """When each packet is to be decoded, from when they are shown, in the order of decoding.

    The n-th packet is due when the picture is shown that comes `depth` before the n-th: the least depth with which
    nothing is shown before it is decoded. The first ones lie before the first picture, `usual` apart.
    """
    count = len(times)
    if not count:
        return times
    shown = np.sort(times)
    rank = np.empty(count, np.int64)
    rank[np.argsort(times, kind="stable")] = np.arange(count)
    depth = max(0, int((np.arange(count) - rank).max()))
    early = shown[0] - usual * np.arange(depth, 0, -1, dtype=np.int64)
    return np.asarray(np.concatenate([early, shown])[:count], np.int64)


def durations(times: Times, last: int) -> Times:
    """How long each is shown: until the next one is, and the last for `last`."""
    order = np.argsort(times, kind="stable")
    made = np.empty(len(times), np.int64)
    made[order] = np.diff(times[order], append=times[order[-1:]] + last)
    return made


def _moment(packet: Packet[Stream]) -> float:
    """Seconds; what has no time goes at once."""
    time = packet.dts if packet.dts is not None else packet.pts
    return float("-inf") if time is None else time * float(packet.time_base)


def _video_stream(output: OutputContainer, footage: Footage, made: Recipe, source: Stream) -> VideoStream:
    """The stream of the encoded pictures, told by the encoder itself, which is opened but given nothing to do."""
    stream = output.add_stream(made.codec, rate=footage.rate)
    assert isinstance(stream, VideoStream)
    set_up(stream, made, footage.time_base, footage.rate)
    stream.time_base = footage.time_base
    if output.format.name in ("mp4", "mov", "ipod") and stream.codec.canonical_name == "hevc":
        stream.codec_context.codec_tag = "hvc1"  # Apple's players know it by no other name
    if footage.rotation:
        stream.set_display_rotation(footage.rotation)
    stream.disposition = source.disposition
    for key, value in _names(source).items():
        if not key.lower().startswith(NOT_THE_PICTURES):
            stream.metadata[key] = value
    return stream


def _copy_of(output: OutputContainer, stream: Stream) -> Stream:
    copy: Stream = output.add_stream_from_template(stream, opaque=True)
    copy.metadata.update(_names(stream))
    copy.disposition = stream.disposition
    return copy


def _fits(stream: Stream, form: str) -> bool:
    """Whether a container of that format can hold a stream; found by trying."""
    if not _readable(stream, form):
        return False
    try:
        with av.open(io.BytesIO(), "w", format=form, metadata_errors="replace") as trial:
            _copy_of(trial, stream)
            trial.start_encoding()
    except (FFmpegError, ValueError):
        return False
    return True


def _readable(stream: Stream, form: str) -> bool:
    if form != "mpegts":
        return True
    return stream.codec_context is not None and stream.codec_context.codec.canonical_name in TRANSPORT


def _names(stream: Stream) -> dict[str, str]:
    """MP4 reads a track's title as "name", and writes it from "title" as all others do."""
    names = dict(stream.metadata)
    if "name" in names:
        names.setdefault("title", names.pop("name"))
    return names


def _is_titles(stream: Stream) -> bool:
    """Whether it holds the names of an MP4's chapters, which the chapters have too."""
    return stream.type == "data" and stream.name == "bin_data"


def _what(stream: Stream) -> str:
    name = stream.codec_context.name if stream.codec_context is not None else stream.name or ""
    return f"{stream.type} {name}, {stream.language}" if stream.language else f"{stream.type} {name}".rstrip()
