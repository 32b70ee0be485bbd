"""A tiny Matroska file with one track of sound, from which PyAV takes what it cannot be told otherwise."""

from __future__ import annotations

import io
import struct

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

TRUEHD, AAC = b"A_TRUEHD", b"A_AAC"
SECOND_NS = 1_000_000_000


def open_template(codec: bytes, private: bytes, rate: int, channels: int, priming: int = 0) -> InputContainer:
    """codec: Matroska's name. private: the codec's own header. priming: samples at the start that are not heard."""
    audio = _pack(0xB5, struct.pack(">d", rate)) + _pack(0x9F, bytes([channels]))
    track = _pack(0xD7, b"\1") + _pack(0x73C5, b"\1") + _pack(0x83, b"\2") + _pack(0x86, codec)
    track += _pack(0x63A2, private) + _pack(0xE1, audio)
    if priming:
        track += _pack(0x56AA, round(priming * SECOND_NS / rate).to_bytes(8, "big"))
    info = _pack(0x1549A966, _pack(0x2AD7B1, (1_000_000).to_bytes(3, "big")))
    cluster = _pack(0x1F43B675, _pack(0xE7, b"\0") + _pack(0xA3, b"\x81\0\0\x80\0"))  # FFmpeg wants a packet
    segment = info + _pack(0x1654AE6B, _pack(0xAE, track)) + cluster
    file = io.BytesIO(_pack(0x1A45DFA3, _pack(0x4282, b"matroska")) + _pack(0x18538067, segment))
    container: InputContainer = av.open(file, "r", format="matroska")
    return container


def open_primed_template(stream: AudioStream, priming: int) -> InputContainer:
    """For AAC like that of `stream`."""
    private = stream.codec_context.extradata or b""
    return open_template(AAC, private, stream.rate, len(stream.layout.channels), priming)


def _pack(kind: int, content: bytes) -> bytes:
    """An element of Matroska."""
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + (len(content) | 1 << 56).to_bytes(8, "big") + content
