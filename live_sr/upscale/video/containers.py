"""The formats of files that videos are written to."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from av.error import FFmpegError

from live_sr.errors import LiveSRError, UsageError
from live_sr.imaging.video_file import open_output
from live_sr.upscale.video.encode import choose_codec

GLOBAL_HEADER, VARIABLE_FPS = 0x0040, 0x0400  # FFmpeg's flags of a format, AVFMT_GLOBALHEADER and AVFMT_VARIABLE_FPS
FORMATS = {".m4v": "mp4"}  # for FFmpeg that suffix is one of MPEG-4 without a container
# FFmpeg also writes other codecs into a transport stream, but as bytes that no player can read
TRANSPORT_STREAM_CODECS = (
    *("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "aac", "aac_latm", "mp1", "mp2", "mp3", "ac3", "eac3"),
    *("dts", "truehd", "opus", "pcm_bluray", "dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle"),
)


@dataclass(frozen=True)
class ContainerFormat:
    """An output format, by FFmpeg's name. global_header: it keeps the encoder's header apart from the packets."""

    name: str
    global_header: bool


def choose_container(target: Path) -> ContainerFormat:
    """The format for that suffix. Raises UsageError for one that is no video format, or that keeps no times."""
    try:
        with open_output(target, FORMATS.get(target.suffix.lower())) as trial:
            name, flags, codec = trial.format.name, trial.format.flags, trial.default_video_codec
    except (ValueError, FFmpegError):
        name, flags, codec = "", 0, "none"
    if codec == "none":
        raise UsageError(
            f'"{target.suffix or target.name}" is not the suffix of a video format',
            "name the output .mkv, .mp4 or .mov",
        )
    if not flags & VARIABLE_FPS:
        raise UsageError(f"a {target.suffix} file cannot keep the times of its frames", "name the output .mkv")
    return ContainerFormat(name, bool(flags & GLOBAL_HEADER))


@cache  # because "auto" tries hardware encoders, and a folder may hold many videos
def can_hold_codec(suffix: str, codec: str) -> bool:
    """Whether files of that suffix keep all times, and can hold what that encoder makes ("auto" means the best one)."""
    try:
        container = choose_container(Path(f"name{suffix}"))
        with open_output(io.BytesIO(), container.name) as trial:
            stream = trial.add_stream(choose_codec(codec).name)
            return container.name != "mpegts" or stream.codec.canonical_name in TRANSPORT_STREAM_CODECS
    except (LiveSRError, FFmpegError, ValueError):
        return False
