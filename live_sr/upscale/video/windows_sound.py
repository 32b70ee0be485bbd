"""Keeps the sound codecs of Windows in Matroska: WMA, ADPCM, G.711 and others.

Matroska holds any of them as "A_MS/ACM", with the structure WAVEFORMATEX of Windows as its private data. FFmpeg writes
that too, but PyAV asks FFmpeg for less than it can and refuses. So the track is written under the name of a codec that
has a name of the same length, and gets its right name at the end.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Stream

from live_sr.upscale.video.matroska_template import TRUEHD, open_template

FORMAT_TAGS = {  # of the codecs that Matroska has no name of its own for, by Windows' mmreg.h
    "wmav1": 0x160,
    "wmav2": 0x161,
    "wmapro": 0x162,
    "wmalossless": 0x163,
    "wmavoice": 0x0A,
    "adpcm_ms": 0x02,
    "adpcm_ima_wav": 0x11,
    "adpcm_yamaha": 0x20,
    "adpcm_g726": 0x45,
    "pcm_alaw": 0x06,
    "pcm_mulaw": 0x07,
    "gsm_ms": 0x31,
    "truespeech": 0x22,
}
PLAIN_TAGS = (0x06, 0x07)  # one byte for each sample; in a file their WAVEFORMATEX may lack its last field
STAND_IN, RIGHT_NAME = TRUEHD, b"A_MS/ACM"
HEADER_BYTES = 1 << 20  # of a file, in which its WAVEFORMATEX is looked for
WAVE_FORMAT = struct.Struct("<HHIIHHH")  # tag, channels, samples/s, bytes/s, bytes of a block, bits, bytes that follow
TRACKS, CRC, SEEK_ID = b"\x16\x54\xae\x6b", b"\xbf\x84", b"\x53\xab\x84"


def find_wave_format(path: Path, stream: Stream, container: str) -> bytes:
    """The WAVEFORMATEX of a stream that Matroska holds under the name of Windows; empty for any other.

    AVI, ASF and WAV have it in their headers. For codecs with one byte for each sample it is made.
    """
    if container != "matroska" or not isinstance(stream, AudioStream):
        return b""
    tag = FORMAT_TAGS.get(stream.codec_context.name)
    if tag is None:
        return b""
    channels, rate = len(stream.layout.channels), stream.rate
    if tag in PLAIN_TAGS:
        return WAVE_FORMAT.pack(tag, channels, rate, rate * channels, channels, 8, 0)
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    at = header.find(struct.pack("<HHI", tag, channels, rate))
    if at >= 0 and len(header) >= at + WAVE_FORMAT.size:
        extra = WAVE_FORMAT.unpack_from(header, at)[-1]
        return header[at : at + WAVE_FORMAT.size + extra]
    return b""


def add_stand_in(output: OutputContainer, stream: Stream, wave_format: bytes) -> Stream:
    """Adds a track for the packets of `stream`; `name_tracks` must be called on the finished file."""
    _, channels, rate, *_ = WAVE_FORMAT.unpack_from(wave_format)
    with open_template(STAND_IN, wave_format, rate, channels) as template:
        copy: Stream = output.add_stream_from_template(template.streams[0], opaque=True)
    copy.time_base = stream.time_base
    return copy


def name_tracks(file: BinaryIO, wave_formats: Sequence[bytes]) -> None:
    """Gives the tracks with these WAVEFORMATEX, in the order of the tracks, their right name, in a Matroska file."""
    if not wave_formats:
        return
    file.seek(0)
    header = bytearray(file.read(HEADER_BYTES))
    start = _find_tracks(header)
    if start < 0:
        return
    at = start
    for wave_format in wave_formats:
        private = header.find(wave_format, at)
        name = header.rfind(STAND_IN, at, max(private, 0))
        if name >= 0:
            header[name : name + len(STAND_IN)] = RIGHT_NAME
            at = private + len(wave_format)  # the next track may have an equal one
    _renew_checksum(header, start)
    file.seek(0)
    file.write(header)


def _find_tracks(header: bytearray) -> int:
    """Where the tracks begin; the list of contents before them has their id as a value."""
    at = header.find(TRACKS)
    while at >= 0 and header[:at].endswith(SEEK_ID):
        at = header.find(TRACKS, at + 1)
    return at


def _renew_checksum(header: bytearray, start: int) -> None:
    at = start + len(TRACKS)
    length = 9 - header[at].bit_length()
    size = int.from_bytes(header[at : at + length], "big") & ((1 << 7 * length) - 1)
    content = at + length
    if header[content : content + 2] == CRC:
        sum_ = zlib.crc32(header[content + 6 : content + size])
        header[content + 2 : content + 6] = struct.pack("<I", sum_)
