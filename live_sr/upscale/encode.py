"""How videos are written: the codecs, their options, and one encoder for each segment.

An encoder's number of threads is fixed by the size of the picture and not by the machine, since it changes what some of
them write: the same segment comes out bit for bit the same again, here and elsewhere. Of hardware encoders that is only
as true as their maker keeps it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
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
from live_sr.frame import Size
from live_sr.upscale.colour import Colours, chroma
from live_sr.upscale.footage import Footage
from live_sr.upscale.options import Encoding, Work

Options = dict[str, str]


@dataclass(frozen=True)
class Codec:
    """An encoder of FFmpeg's.

    quality: what is good by its own count, in which less is better and `most` the worst. preset: the usual one of
    `presets`, quickest first. formats: its pixels, by what they keep of the colours' resolution.
    """

    name: str
    quality: float
    most: float
    preset: str
    presets: tuple[str, ...]
    options: Callable[[str, str, int], Options]  # quality, preset, threads
    formats: tuple[tuple[str, str], ...] = (("420", "yuv420p"),)
    device: str = ""  # what frames are uploaded to


X26X = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
SVT = tuple(str(number) for number in range(13, -1, -1))
NVENC = ("p1", "p2", "p3", "p4", "p5", "p6", "p7")
QSV = ("veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
AMF = ("speed", "balanced", "quality")
FULL = (("420", "yuv420p"), ("422", "yuv422p"), ("444", "yuv444p"), ("rgb", "yuv444p"))
NV12 = (("420", "nv12"),)


def _x264(quality: str, preset: str, threads: int) -> Options:
    # With mbtree, x264's AVX-512 code reads memory that it never wrote: the same pictures gave another file from run to
    # run (x264 in FFmpeg 8.1, Zen 5; its AVX2 code does not, but may round otherwise on another processor). Without,
    # crf 16 is 0.4 dB worse at 5 % more bytes, as much as 11 % more at the same PSNR.
    return {"crf": quality, "preset": preset, "x264-params": "mbtree=0"}


def _x265(quality: str, preset: str, threads: int) -> Options:
    own = f"open-gop=0:pools={threads}:frame-threads=2:lookahead-slices=1:log-level=error"
    return {"crf": quality, "preset": preset, "x265-params": own}


def _svtav1(quality: str, preset: str, threads: int) -> Options:
    return {"crf": quality, "preset": preset, "svtav1-params": f"lp={threads}"}


def _ffv1(quality: str, preset: str, threads: int) -> Options:
    return {"level": "3", "g": "1", "slices": "4", "slicecrc": "1"}


def _nvenc(quality: str, preset: str, threads: int) -> Options:
    return {"rc": "vbr", "cq": quality, "b": "0", "preset": preset, "forced-idr": "1"}


def _qsv(quality: str, preset: str, threads: int) -> Options:
    return {"global_quality": quality, "preset": preset}


def _amf(quality: str, preset: str, threads: int) -> Options:
    return {"rc": "cqp", "qp_i": quality, "qp_p": quality, "quality": preset}


def _vaapi(quality: str, preset: str, threads: int) -> Options:
    return {"rc_mode": "CQP", "qp": quality}


SOFTWARE = (
    Codec("libx264", 16, 51, "medium", X26X, _x264, FULL),
    Codec("libx265", 18, 51, "medium", X26X, _x265, FULL),
    Codec("libsvtav1", 24, 63, "8", SVT, _svtav1),
    Codec("ffv1", 0, 0, "", (), _ffv1, (*FULL[:3], ("rgb", "bgr0"))),
)
HARDWARE = (  # in the order in which "auto" tries them
    Codec("h264_nvenc", 19, 51, "p5", NVENC, _nvenc, (("420", "yuv420p"), ("444", "yuv444p"), ("rgb", "yuv444p"))),
    Codec("h264_qsv", 19, 51, "medium", QSV, _qsv, NV12),
    Codec("h264_amf", 19, 51, "quality", AMF, _amf, NV12),
    Codec("h264_vaapi", 19, 51, "", (), _vaapi, NV12, "vaapi"),
    Codec("hevc_nvenc", 21, 51, "p5", NVENC, _nvenc, (("420", "yuv420p"), ("444", "yuv444p"), ("rgb", "yuv444p"))),
    Codec("hevc_qsv", 21, 51, "medium", QSV, _qsv, NV12),
    Codec("hevc_amf", 21, 51, "quality", AMF, _amf, NV12),
    Codec("hevc_vaapi", 21, 51, "", (), _vaapi, NV12, "vaapi"),
    Codec("av1_nvenc", 27, 63, "p5", NVENC, _nvenc),
)
CODECS = {codec.name: codec for codec in (*SOFTWARE, *HARDWARE)}
AUTO = (*(codec.name for codec in HARDWARE if codec.name.startswith("h264")), "libx264")
TRIAL = Size(320, 192)  # a picture that every hardware encoder takes


@dataclass(frozen=True)
class Recipe:
    """All that the bytes of a segment depend on, beside the source: the same recipe gives the same segment.

    size: of the encoded picture, which fits the pixel format's chroma. aspect: of a pixel, 0 for not told.
    header_apart: the container keeps the encoder's header by itself, and not among the packets.
    """

    work: Work
    codec: str
    options: tuple[tuple[str, str], ...]
    threads: int
    size: Size
    pixels: str
    colours: Colours
    aspect: Fraction
    header_apart: bool = True


def recipe(footage: Footage, work: Work, encoding: Encoding, *, header_apart: bool = True) -> Recipe:
    """What to do with that video. Raises UsageError, ModelError or MissingPart for what cannot be done."""
    codec = choose(encoding.codec)
    quality = codec.quality if encoding.quality is None else encoding.quality
    if not 0 <= quality <= codec.most:
        raise UsageError(f"{codec.name} has no quality {quality:g}", f"from 0, the best, to {codec.most:g}")
    if encoding.preset and encoding.preset not in codec.presets:
        near = did_you_mean(encoding.preset, codec.presets)
        known = f"use one of {', '.join(codec.presets)}" if codec.presets else "leave --preset out"
        raise UsageError(f'{codec.name} has no preset "{encoding.preset}".{near}', known)
    pixels = dict(codec.formats).get(chroma(footage.pixels), codec.formats[0][1])
    size = whole(work.target(footage.size), pixels)
    threads = 4 if size.width * size.height <= 1280 * 720 else 8
    return Recipe(
        work=work,
        codec=codec.name,
        options=tuple(codec.options(f"{quality:g}", encoding.preset or codec.preset, threads).items()),
        threads=threads,
        size=size,
        pixels=pixels,
        colours=footage.colours.written_at(size, footage.size),
        aspect=_aspect(footage, work, size),
        header_apart=header_apart,
    )


def choose(name: str) -> Codec:
    """The codec of that name, or the first of AUTO that works here. Raises MissingPart or UsageError."""
    if name == "auto":
        return CODECS[next((one for one in AUTO if not obstacle(one)), "libx264")]
    if name not in CODECS:
        known = ["auto", *CODECS]
        raise UsageError(f'"{name}" is no codec here.{did_you_mean(name, known)}', f"use one of {', '.join(known)}")
    why = obstacle(name)
    if why:
        raise MissingPart(f"{name} does not work here: {why}", "use --codec auto for what does, or libx264")
    return CODECS[name]


def obstacle(name: str) -> str:
    """Why that codec cannot be used here, or an empty string; of a hardware encoder by trying it."""
    if name not in av.codecs_available:
        return "this build of PyAV does not have it"
    codec = CODECS[name]
    if codec not in HARDWARE:
        return ""
    options = codec.options(f"{codec.quality:g}", codec.preset, 4)
    trial = Recipe(Work(), name, tuple(options.items()), 4, TRIAL, codec.formats[0][1], Colours(), Fraction(0))
    try:
        _try(trial)
    except LiveSRError as error:
        return error.message
    return ""


def whole(size: Size, pixels: str) -> Size:
    """The nearest size below in which every chroma sample covers whole pixels; encoders take no other."""
    across, down = {"420": (2, 2), "422": (2, 1)}.get(chroma(pixels), (1, 1))
    return Size(max(across, size.width // across * across), max(down, size.height // down * down))


class Encoder:
    """Encodes one run of pictures, which nothing outside it refers to. Raises EngineError."""

    def __init__(self, made: Recipe, time_base: Fraction, rate: Fraction) -> None:
        self._made = made
        os.environ.setdefault("SVT_LOG", "1")  # it writes its settings to the standard error otherwise
        device = CODECS[made.codec].device
        context = av.CodecContext.create(made.codec, "w", hwaccel=HWAccel(device) if device else None)
        assert isinstance(context, VideoCodecContext)
        set_up(context, made, time_base, rate)
        if made.header_apart:
            context.flags |= Flags.global_header
        with _refusal(made):
            context.open(strict=False)
        self._context = context

    @property
    def extradata(self) -> bytes:
        return self._context.extradata or b""

    def encode(self, frame: VideoFrame | None) -> list[tuple[bytes, int, bool]]:
        """Packets that are ready, in the order of decoding: data, time, key frame. None: all that are left."""
        with _refusal(self._made):
            return [_plain(packet) for packet in self._context.encode(frame)]


def set_up(target: VideoCodecContext | VideoStream, made: Recipe, time_base: Fraction, rate: Fraction) -> None:
    """The settings of an encoder that is not open yet, or of a stream's."""
    context = target if isinstance(target, VideoCodecContext) else target.codec_context
    context.width, context.height = made.size
    context.pix_fmt = made.pixels
    context.time_base = time_base
    context.framerate = rate
    context.thread_count = made.threads
    context.thread_type = "SLICE" if made.codec == "ffv1" else "FRAME"
    context.color_range = 2 if made.colours.full else 1
    context.colorspace = made.colours.matrix
    context.color_primaries = made.colours.primaries
    context.color_trc = made.colours.transfer
    if made.pixels == "bgr0":
        context.colorspace, context.color_range = 0, 2
    if made.aspect:
        context.sample_aspect_ratio = made.aspect
    context.options = dict(made.options)


def _plain(packet: Packet[VideoStream]) -> tuple[bytes, int, bool]:
    assert packet.pts is not None
    return bytes(packet), packet.pts, packet.is_keyframe


def _try(made: Recipe) -> None:
    """Encodes two pictures. Raises EngineError when that fails."""
    encoder = Encoder(made, Fraction(1, 25), Fraction(25))
    for time in range(2):
        frame = VideoFrame(made.size.width, made.size.height, made.pixels)
        frame.pts, frame.time_base = time, Fraction(1, 25)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        encoder.encode(frame)
    encoder.encode(None)


class _refusal:  # noqa: N801  # reads as a verb where it is used
    """What an encoder raises, as a sentence."""

    def __init__(self, made: Recipe) -> None:
        self._made = made

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FFmpegError | ValueError | OSError):
            settings = " ".join(f"{key}={value}" for key, value in self._made.options)
            why = (error.strerror if isinstance(error, OSError) else "") or str(error)
            raise EngineError(
                f"{self._made.codec} refuses pictures of {self._made.size} with {settings or 'its settings'}: {why}",
                "correct --preset and --quality, or choose another --codec",
            ) from None


def _aspect(footage: Footage, work: Work, size: Size) -> Fraction:
    """Of a pixel, so that the whole picture keeps its shape where an exact size stretches it."""
    if work.size is None:
        return footage.aspect
    squeezed = Fraction(footage.size.width * size.height, footage.size.height * size.width)
    aspect = (footage.aspect or 1) * squeezed
    near = aspect.limit_denominator(255)
    return footage.aspect if near == (footage.aspect or 1) else near
