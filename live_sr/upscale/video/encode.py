"""Chooses the settings of an encoder, and encodes segments.

The number of encoder threads depends on the frame size and not on the machine, because it changes the output of some
encoders. So software encoders produce the same segment bit for bit, on any machine. For hardware encoders that depends
on their maker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec.context import Flags
from av.codec.hwaccel import HWAccel
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from live_sr.errors import EngineError, LiveSRError, MissingPart, UsageError, did_you_mean
from live_sr.imaging.video_codecs import AUTO_CODECS, CODECS, HARDWARE_CODECS, VideoCodec
from live_sr.imaging.video_colour import ColourTags, get_chroma_subsampling, tag_encoder
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Size
from live_sr.system.scheduling import undo_realtime
from live_sr.upscale.options import SQUARE, EncodingOptions, ScalingOptions
from live_sr.upscale.video.source_info import VideoInfo

TRIAL_SIZE = Size(320, 192)  # every hardware encoder accepts it


@dataclass(frozen=True)
class SegmentSettings:
    """Everything besides the source that the bytes of a segment depend on. The same settings give the same segment.

    size: of the encoded frames, a multiple of what the chroma subsampling needs. pixel_aspect: 0 where it is not known.
    global_header: the container keeps the encoder's header apart from the packets.
    """

    scaling: ScalingOptions
    codec: str
    options: tuple[tuple[str, str], ...]
    threads: int
    size: Size
    pixel_format: str
    colours: ColourTags
    pixel_aspect: Fraction
    global_header: bool = True


def choose_settings(
    info: VideoInfo, scaling: ScalingOptions, encoding: EncodingOptions, *, global_header: bool = True
) -> SegmentSettings:
    """The settings for that video. Raises UsageError, ModelError or MissingPart for what is not possible."""
    codec = choose_codec(encoding.codec)
    quality = codec.quality if encoding.quality is None else encoding.quality
    if not 0 <= quality <= codec.worst_quality:
        raise UsageError(
            f"{codec.name} has no quality {quality:g}", f"use a number from 0, the best, to {codec.worst_quality:g}"
        )
    if encoding.preset and encoding.preset not in codec.presets:
        near = did_you_mean(encoding.preset, codec.presets)
        known = f"use one of {', '.join(codec.presets)}" if codec.presets else "leave --preset out"
        raise UsageError(f'{codec.name} has no preset "{encoding.preset}".{near}', known)
    pixel_format = dict(codec.formats).get(get_chroma_subsampling(info.pixel_format), codec.formats[0][1])
    size = scaling.compute_target_size(info.size, info.pixel_aspect or SQUARE)
    if not codec.odd_sizes:
        size = round_to_chroma(size, pixel_format)
    threads = 4 if size.width * size.height <= 1280 * 720 else 8
    return SegmentSettings(
        scaling=scaling,
        codec=codec.name,
        options=tuple(codec.options(f"{quality:g}", encoding.preset or codec.preset, threads).items()),
        threads=threads,
        size=size,
        pixel_format=pixel_format,
        colours=info.colours.tag_for_output(size, info.decoded_size),
        pixel_aspect=_compute_pixel_aspect(info, scaling, size),
        global_header=global_header,
    )


def choose_codec(name: str) -> VideoCodec:
    """The codec of that name; for "auto" the first of AUTO_CODECS that works here. Raises MissingPart or UsageError."""
    if name == "auto":
        return CODECS[next((one for one in AUTO_CODECS if not unavailable_reason(one)), "libx264")]
    if name not in CODECS:
        known = ["auto", *CODECS]
        raise UsageError(
            f'"{name}" is not a codec that can be used here.{did_you_mean(name, known)}',
            f"use one of {', '.join(known)}",
        )
    why = unavailable_reason(name)
    if why:
        raise MissingPart(
            f"{name} does not work here: {why}", "use --codec auto, which finds one that works, or libx264"
        )
    return CODECS[name]


def unavailable_reason(name: str) -> str:
    """Why that codec cannot be used here, or an empty string. A hardware encoder is tried with two frames."""
    if name not in av.codecs_available:
        return "this build of PyAV does not have it"
    codec = CODECS[name]
    if codec not in HARDWARE_CODECS:
        return ""
    options = codec.options(f"{codec.quality:g}", codec.preset, 4)
    trial = SegmentSettings(
        scaling=ScalingOptions(resolve("nearest")),
        codec=name,
        options=tuple(options.items()),
        threads=4,
        size=TRIAL_SIZE,
        pixel_format=codec.formats[0][1],
        colours=ColourTags(),
        pixel_aspect=Fraction(0),
    )
    try:
        _encode_trial(trial)
    except LiveSRError as error:
        return error.message
    return ""


def round_to_chroma(size: Size, pixel_format: str) -> Size:
    """The largest size not above `size` in which every chroma sample covers whole pixels, as encoders require."""
    across, down = {"420": (2, 2), "422": (2, 1)}.get(get_chroma_subsampling(pixel_format), (1, 1))
    return Size(max(across, size.width // across * across), max(down, size.height // down * down))


class Encoder:
    """Encodes one segment, independently of all others. Raises EngineError."""

    def __init__(self, settings: SegmentSettings, time_base: Fraction, rate: Fraction) -> None:
        self._settings = settings
        os.environ.setdefault("SVT_LOG", "1")  # by default SVT-AV1 prints its settings to stderr
        device = CODECS[settings.codec].device
        context = av.CodecContext.create(settings.codec, "w", hwaccel=HWAccel(device) if device else None)
        assert isinstance(context, VideoCodecContext)
        configure_encoder(context, settings, time_base, rate)
        if settings.global_header:
            context.flags |= Flags.global_header
        with _explain_refusal(settings), undo_realtime():
            context.open(strict=False)
        self._context = context

    @property
    def extradata(self) -> bytes:
        return self._context.extradata or b""

    def encode(self, frame: VideoFrame | None) -> list[tuple[bytes, int, bool]]:
        """The packets that are ready, in decoding order: data, time, key frame. frame None: returns all that remain."""
        with _explain_refusal(self._settings):
            return [_unpack(packet) for packet in self._context.encode(frame)]


def configure_encoder(
    target: VideoCodecContext | VideoStream, settings: SegmentSettings, time_base: Fraction, rate: Fraction
) -> None:
    """Applies the settings to an encoder that is not open yet, or to that of a stream."""
    context = target if isinstance(target, VideoCodecContext) else target.codec_context
    context.width, context.height = settings.size
    context.pix_fmt = settings.pixel_format
    context.time_base = time_base
    context.framerate = rate
    context.thread_count = settings.threads
    context.thread_type = "SLICE" if settings.codec == "ffv1" else "FRAME"
    tag_encoder(context, settings.colours)
    if settings.pixel_aspect:
        context.sample_aspect_ratio = settings.pixel_aspect
    context.options = dict(settings.options)


def _unpack(packet: Packet[VideoStream]) -> tuple[bytes, int, bool]:
    assert packet.pts is not None
    return bytes(packet), packet.pts, packet.is_keyframe


def _encode_trial(settings: SegmentSettings) -> None:
    """Encodes two frames. Raises EngineError when that fails."""
    encoder = Encoder(settings, Fraction(1, 25), Fraction(25))
    for time in range(2):
        frame = VideoFrame(settings.size.width, settings.size.height, settings.pixel_format)
        frame.pts, frame.time_base = time, Fraction(1, 25)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        encoder.encode(frame)
    encoder.encode(None)


@contextmanager
def _explain_refusal(settings: SegmentSettings) -> Iterator[None]:
    """Raises an encoder's error as EngineError, with a sentence and a remedy."""
    try:
        yield
    except (FFmpegError, ValueError, OSError) as error:
        options = " ".join(f"{key}={value}" for key, value in settings.options)
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise EngineError(
            f"{settings.codec} cannot encode frames of {settings.size} with {options or 'its default settings'}: {why}",
            "correct --preset and --quality, or choose another --codec",
        ) from None


def _compute_pixel_aspect(info: VideoInfo, scaling: ScalingOptions, size: Size) -> Fraction:
    """The pixels' aspect ratio with which the picture keeps its shape where a given size stretches it."""
    if scaling.lines is not None and info.pixel_aspect:
        return SQUARE
    if scaling.size is None:
        return info.pixel_aspect
    stretch = Fraction(info.size.width * size.height, info.size.height * size.width)
    aspect = (info.pixel_aspect or 1) * stretch
    near = aspect.limit_denominator(255)
    return info.pixel_aspect if near == (info.pixel_aspect or 1) else near
