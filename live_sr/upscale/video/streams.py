"""Adds the streams of the result: the encoded video, and copies of all others by their role.

What a container can hold is tried out, with a stream's first packets, and read back, before the work begins.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from live_sr.errors import UsageError
from live_sr.imaging.video_file import open_output, printable
from live_sr.system.scheduling import undo_realtime
from live_sr.upscale.video import windows_sound
from live_sr.upscale.video.clock import PacketClock
from live_sr.upscale.video.containers import TRANSPORT_STREAM_CODECS
from live_sr.upscale.video.encode import SegmentSettings, configure_encoder
from live_sr.upscale.video.matroska_template import open_primed_template
from live_sr.upscale.video.source_info import VideoInfo, open_source, to_fraction

TRIAL_PACKETS = 3  # of each stream
TILT_FORMATS = ("mp4", "mov", "ipod", "matroska", "webm")  # keep a display matrix
COVER_TYPES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png"), "webp": ("webp", "image/webp")}
# Tags that describe the source's encoding of the video, and would be wrong in another file
ENCODING_TAGS = ("encoder", "duration", "bps", "number_of_", "_statistics_", "vendor_id", "alpha_mode")
TIMECODE = "timecode"


@dataclass(frozen=True)
class LeftOutStream:
    """A stream of the source that is not copied."""

    index: int
    what: str
    why: str
    reported: bool = True  # False where nothing is lost with it

    def __str__(self) -> str:
        return f"stream {self.index} ({self.what}) is left out: {self.why}"


def find_left_out(info: VideoInfo, settings: SegmentSettings, container: str) -> list[LeftOutStream]:
    """The streams that the output format cannot hold. Raises UsageError where it cannot hold the video itself."""
    with open_source(info.path) as source:
        kept_tags = _try_video(info, settings, container, source)
        others = [stream for stream in source.streams if stream.index != info.stream]
        first = _read_first_packets(info, source, others)
        chapters = bool(source.chapters())
        found = []
        for stream in others:
            if is_timecode(stream):
                holds, reported = False, TIMECODE not in kept_tags
            else:
                holds, reported = _can_hold(info.path, stream, first[stream.index], container), True
            if not holds:
                reported = reported and not (chapters and _holds_chapter_titles(stream))
                why = f"{container} files cannot hold it"
                found.append(LeftOutStream(stream.index, _describe_stream(stream), why, reported))
        return found


def is_timecode(stream: Stream) -> bool:
    """Whether it is a track of QuickTime that counts the time of a tape; muxers make one from the video's tag."""
    return stream.type == "data" and stream.codec_context is None and TIMECODE in stream.metadata


def is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def add_video_stream(
    output: OutputContainer, info: VideoInfo, settings: SegmentSettings, source: Stream
) -> VideoStream:
    """Adds the stream of the encoded video. Its encoder is opened for its parameters, but encodes nothing."""
    stream = output.add_stream(settings.codec, rate=info.rate)
    assert isinstance(stream, VideoStream)
    configure_encoder(stream, settings, info.time_base, info.rate)
    stream.time_base = info.time_base
    if output.format.name in ("mp4", "mov", "ipod") and stream.codec.canonical_name == "hevc":
        stream.codec_context.codec_tag = "hvc1"  # Apple's players accept no other tag
    if info.geometry.tilt and output.format.name in TILT_FORMATS:
        stream.set_display_matrix(info.geometry.tilt)
    stream.disposition = source.disposition
    for key, value in _read_tags(source).items():
        if not key.lower().startswith(ENCODING_TAGS):
            stream.metadata[key] = value
    return stream


def add_copy(
    output: OutputContainer, stream: Stream, first: Sequence[Packet[Stream]], wave_format: bytes = b""
) -> Stream | None:
    """Adds a stream like that one. None if its data is in the header now, and no packets may follow.

    first: its first packets; a cover has only one. wave_format: from `windows_sound`. Raises FFmpegError, or ValueError
    for what the format cannot hold.
    """
    if is_cover(stream) and output.format.name == "matroska":
        _attach_cover(output, stream, first)
        return None
    if wave_format:
        copy = windows_sound.add_stand_in(output, stream, wave_format)
    elif (
        output.format.name == "matroska"
        and isinstance(stream, AudioStream)
        and (priming := _find_priming(stream, first))
    ):
        with open_primed_template(stream, priming) as template:
            copy = output.add_stream_from_template(template.streams[0], opaque=True)
        copy.time_base = stream.time_base
    else:
        copy = output.add_stream_from_template(stream, opaque=True)
    copy.metadata.update(_read_tags(stream))
    copy.disposition = stream.disposition
    return copy


def read_heads(info: VideoInfo) -> dict[int, list[Packet[Stream]]]:
    """The first packets of covers and of sound, by the index of the stream."""
    with open_source(info.path) as source:
        return _read_first_packets(
            info, source, [one for one in source.streams if is_cover(one) or one.type == "audio"]
        )


def is_cut_off(packet: Packet[Stream]) -> bool:
    """Whether an edit list cuts the packet off. The last one before the cut stays, because decoders begin with it."""
    if not packet.is_discard or packet.pts is None:
        return packet.is_discard
    return packet.pts + 2 * (packet.duration or 0) <= 0


def _find_priming(stream: Stream, first: Sequence[Packet[Stream]]) -> int:
    """Samples of AAC that an edit list cuts off the packets, and that are no part of what is heard; 0 for others."""
    if not isinstance(stream, AudioStream) or stream.codec_context.name != "aac" or not first or not stream.rate:
        return 0
    pts = first[0].pts
    if not first[0].is_discard or pts is None or pts >= 0 or not stream.codec_context.extradata:
        return 0
    return round(-pts * first[0].time_base * stream.rate)


def _attach_cover(output: OutputContainer, stream: Stream, first: Sequence[Packet[Stream]]) -> None:
    """Matroska has covers as attachments; FFmpeg would write one as a second video."""
    codec = stream.codec_context.name if stream.codec_context is not None else ""
    if codec not in COVER_TYPES or not first:
        raise ValueError(f"no cover of {codec}")
    suffix, mime = COVER_TYPES[codec]
    tags = dict(stream.metadata)
    attachment = output.add_attachment(tags.get("filename", f"cover.{suffix}"), mime, bytes(first[0]))
    attachment.metadata.update({"filename": tags.get("filename", f"cover.{suffix}"), "mimetype": mime})


def _try_video(info: VideoInfo, settings: SegmentSettings, container: str, source: InputContainer) -> dict[str, str]:
    """The tags of the encoded video in a file of that format. Raises UsageError where it cannot hold that video."""
    file = io.BytesIO()
    try:
        with open_output(file, container) as trial:
            video = add_video_stream(trial, info, settings, source.streams[info.stream])
            with undo_realtime():
                trial.start_encoding()
            if not _is_supported(video, container):
                raise ValueError
    except (FFmpegError, ValueError):
        raise UsageError(
            f"{container} files cannot hold {settings.codec} video in {settings.pixel_format}",
            "name the output .mkv, or choose another --codec",
        ) from None
    file.seek(0)
    try:
        with av.open(file) as back:
            return {k.lower(): v for stream in back.streams for k, v in {**back.metadata, **stream.metadata}.items()}
    except FFmpegError:
        return {}


def _read_first_packets(
    info: VideoInfo, source: InputContainer, streams: Sequence[Stream]
) -> dict[int, list[Packet[Stream]]]:
    """Some packets of each stream, by its index."""
    found: dict[int, list[Packet[Stream]]] = {stream.index: [] for stream in streams}
    open_ended = {stream.index for stream in streams if stream.type != "attachment" and not is_timecode(stream)}
    clock = PacketClock(info.clock)
    try:
        for packet in source.demux([source.streams[index] for index in sorted(open_ended)]) if open_ended else ():
            clock.correct(packet)
            if packet.size and packet.stream_index in open_ended and not is_cut_off(packet):
                found[packet.stream_index].append(packet)
                full = is_cover(packet.stream) or len(found[packet.stream_index]) == TRIAL_PACKETS
                open_ended -= {packet.stream_index} if full else set()
            if not open_ended:
                break
    except FFmpegError:
        pass  # the file is cut off, which is reported elsewhere
    return found


def _can_hold(path: Path, stream: Stream, first: Sequence[Packet[Stream]], container: str) -> bool:
    """Whether a file of that format can hold the stream."""
    if not _is_supported(stream, container):
        return False
    file = io.BytesIO()
    timer = CopyTimer()
    wave_format = windows_sound.find_wave_format(path, stream, container)
    try:
        with open_output(file, container) as trial:
            copy = add_copy(trial, stream, first, wave_format)
            trial.start_encoding()
            for packet in first:
                if copy is not None:
                    timer.prepare(packet, copy)
                    trial.mux(packet)
        if copy is None or not first or container == "mpegts":  # FFmpeg guesses what so short a stream is
            return True
        windows_sound.name_tracks(file, [wave_format] if wave_format else [])
        file.seek(0)
        with av.open(file) as back:
            return any(_is_alike(stream, other) for other in back.streams)
    except (FFmpegError, ValueError):
        return False


def _is_supported(stream: Stream, container: str) -> bool:
    if container != "mpegts":
        return True
    return stream.codec_context is not None and stream.codec_context.codec.canonical_name in TRANSPORT_STREAM_CODECS


def _is_alike(stream: Stream, copy: Stream) -> bool:
    if stream.codec_context is None or copy.codec_context is None:
        return stream.type == copy.type
    names = {one.codec_context.codec.canonical_name for one in (stream, copy)}
    return len(names) == 1 and is_cover(stream) == is_cover(copy)


class CopyTimer:
    """Gives copied packets times that every muxer accepts: none is missing, and none goes back."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}  # decode time of the last packet of each new stream, in its time base

    def prepare(self, packet: Packet[Stream], copy: Stream) -> None:
        """Makes it a packet of the stream `copy`, whose container has begun."""
        _rescale(packet, to_fraction(copy.time_base) or packet.time_base)
        packet.stream = copy
        last = self._last.get(copy.index)
        dts = packet.dts if packet.dts is not None else packet.pts
        if dts is None:
            dts = 0 if last is None else last + 1
        elif last is not None:
            dts = max(dts, last + 1) if copy.type in ("audio", "video") else max(dts, last)
        packet.dts = self._last[copy.index] = dts
        packet.pts = dts if packet.pts is None else max(packet.pts, dts)


def _rescale(packet: Packet[Stream], time_base: Fraction) -> None:
    """Changes the unit of the packet's times."""
    ratio = packet.time_base / time_base
    pts, dts, duration = packet.pts, packet.dts, packet.duration
    packet.time_base = time_base
    packet.pts = None if pts is None else round(pts * ratio)
    packet.dts = None if dts is None else round(dts * ratio)
    packet.duration = round((duration or 0) * ratio)


def _read_tags(stream: Stream) -> dict[str, str]:
    """The stream's tags. FFmpeg reads the title of an MP4 track as "name", but writes it from "title"."""
    tags = dict(stream.metadata)
    if "name" in tags:
        tags.setdefault("title", tags.pop("name"))
    return tags


def _holds_chapter_titles(stream: Stream) -> bool:
    """Whether it contains the titles of an MP4's chapters, which the chapters have as well."""
    return stream.type == "data" and stream.name == "bin_data"


def _describe_stream(stream: Stream) -> str:
    name = stream.codec_context.name if stream.codec_context is not None else stream.name or ""
    kind = "cover" if is_cover(stream) else "timecode" if is_timecode(stream) else stream.type
    words = f"{kind} {name}".rstrip()
    return f"{words}, {printable(stream.language)}" if stream.language else words
