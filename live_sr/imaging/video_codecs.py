"""The encoders that can be chosen, with their presets, their default quality and FFmpeg's options for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Options = dict[str, str]


@dataclass(frozen=True)
class VideoCodec:
    """One of FFmpeg's encoders.

    quality: the default in the codec's own scale, where 0 is the best and `worst_quality` the worst. preset: the
    default of `presets`, which are sorted from fast to slow. formats: its pixel formats by chroma subsampling.
    """

    name: str
    quality: float
    worst_quality: float
    preset: str
    presets: tuple[str, ...]
    options: Callable[[str, str, int], Options]  # quality, preset, threads
    formats: tuple[tuple[str, str], ...] = (("420", "yuv420p"),)
    device: str = ""  # the hardware device that frames are uploaded to
    odd_sizes: bool = False  # it takes odd sizes, also with subsampled chroma


X26X_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
SVTAV1_PRESETS = tuple(str(number) for number in range(13, -1, -1))
NVENC_PRESETS = ("p1", "p2", "p3", "p4", "p5", "p6", "p7")
QSV_PRESETS = ("veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
AMF_PRESETS = ("speed", "balanced", "quality")
PLANAR_FORMATS = (("420", "yuv420p"), ("422", "yuv422p"), ("444", "yuv444p"), ("rgb", "yuv444p"))
NVENC_FORMATS = (("420", "yuv420p"), ("444", "yuv444p"), ("rgb", "yuv444p"))
NV12_FORMATS = (("420", "nv12"),)


def _x264(quality: str, preset: str, threads: int) -> Options:
    # With mbtree, x264's AVX-512 code reads uninitialised memory, and the same frames gave different files from run to
    # run (x264 in FFmpeg 8.1, Zen 5; its AVX2 code does not, but may round differently on another processor). Without
    # mbtree, crf 16 is 0.4 dB worse at 5 % more bytes, which equals 11 % more bytes at the same PSNR.
    return {"crf": quality, "preset": preset, "x264-params": "mbtree=0"}


def _x265(quality: str, preset: str, threads: int) -> Options:
    x265 = f"open-gop=0:pools={threads}:frame-threads=2:lookahead-slices=1:log-level=error"
    return {"crf": quality, "preset": preset, "x265-params": x265}


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


# x264: "medium" takes three times the time of "veryfast", for 0.7 dB at 3 % fewer bytes (crf 16, a game),
# and the network would wait for it.
SOFTWARE_CODECS = (
    VideoCodec("libx264", 16, 51, "veryfast", X26X_PRESETS, _x264, PLANAR_FORMATS),
    VideoCodec("libx265", 18, 51, "medium", X26X_PRESETS, _x265, PLANAR_FORMATS),
    VideoCodec("libsvtav1", 24, 63, "8", SVTAV1_PRESETS, _svtav1, odd_sizes=True),
    VideoCodec("ffv1", 0, 0, "", (), _ffv1, (*PLANAR_FORMATS[:3], ("rgb", "bgr0")), odd_sizes=True),
)
HARDWARE_CODECS = (  # in the order in which "auto" tries them
    VideoCodec("h264_nvenc", 19, 51, "p5", NVENC_PRESETS, _nvenc, NVENC_FORMATS),
    VideoCodec("h264_qsv", 19, 51, "medium", QSV_PRESETS, _qsv, NV12_FORMATS),
    VideoCodec("h264_amf", 19, 51, "quality", AMF_PRESETS, _amf, NV12_FORMATS),
    VideoCodec("h264_vaapi", 19, 51, "", (), _vaapi, NV12_FORMATS, "vaapi"),
    VideoCodec("hevc_nvenc", 21, 51, "p5", NVENC_PRESETS, _nvenc, NVENC_FORMATS),
    VideoCodec("hevc_qsv", 21, 51, "medium", QSV_PRESETS, _qsv, NV12_FORMATS),
    VideoCodec("hevc_amf", 21, 51, "quality", AMF_PRESETS, _amf, NV12_FORMATS),
    VideoCodec("hevc_vaapi", 21, 51, "", (), _vaapi, NV12_FORMATS, "vaapi"),
    VideoCodec("av1_nvenc", 27, 63, "p5", NVENC_PRESETS, _nvenc),
)
CODECS = {codec.name: codec for codec in (*SOFTWARE_CODECS, *HARDWARE_CODECS)}
AUTO_CODECS = (*(codec.name for codec in HARDWARE_CODECS if codec.name.startswith("h264")), "libx264")
