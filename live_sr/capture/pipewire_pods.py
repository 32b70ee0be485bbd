"""Writes and reads SPA pods, the messages in which PipeWire's programs agree on formats and buffers.

A pod is a header (the size of its body and its type, each 4 bytes), the body, and padding to a multiple of 8 bytes. The
numbers are those of PipeWire's headers: spa/utils/type.h, spa/param/*.h, spa/buffer/*.h.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from live_sr.pipeline.frame import Size

# Types of pods
_ID, _INT, _RECTANGLE, _FRACTION, _OBJECT, _CHOICE = 3, 4, 10, 11, 15, 19
_RANGE, _ENUM, _FLAGS = 1, 3, 4  # kinds of choices
# Objects, and which parameters of a stream they are
_FORMAT_OBJECT, _BUFFERS_OBJECT, _META_OBJECT = 0x40003, 0x40004, 0x40005
_ENUM_FORMAT, PARAM_FORMAT, _PARAM_BUFFERS, _PARAM_META = 3, 4, 5, 6
# Keys of a format, and their values for video that is not compressed
_MEDIA_TYPE, _MEDIA_SUBTYPE, _VIDEO_FORMAT, _VIDEO_SIZE = 1, 2, 0x20001, 0x20003
_VIDEO_RATE, _VIDEO_HIGHEST_RATE = 0x20004, 0x20005
_VIDEO, _RAW = 2, 1
RGBX, BGRX, RGBA, BGRA = 7, 8, 11, 12
_BUFFER_COUNT, _BUFFER_MEMORY = 1, 6  # keys of the buffers
MEM_PTR, MEM_FD = 1, 2  # kinds of memory that can be mapped; DMA buffers of a GPU are not asked for
_META_TYPE, _META_SIZE = 1, 2  # keys of a meta object
META_HEADER, META_CROP = 1, 2
HEADER_BYTES, CROP_BYTES = 32, 16

MOST_BUFFERS = 8
LARGEST = (16384, 16384)
USUAL_RATE, HIGHEST_RATE = (240, 1), (1000, 1)


class VideoFormat(NamedTuple):
    """What the pictures of a stream are. `pixels`: BGRX, BGRA, RGBX or RGBA."""

    pixels: int
    size: Size


def make_format_offer() -> bytes:
    """The formats that live-sr takes: four orders of the colours, any size, and pictures whenever there is a new one.

    It says nothing of DMA buffers, so that the other side gives memory that can be mapped.
    """
    pixels = [struct.pack("<I", pixels) for pixels in (BGRX, BGRX, BGRA, RGBX, RGBA)]
    sizes = [struct.pack("<II", *size) for size in ((1280, 720), (1, 1), LARGEST)]
    rates = [struct.pack("<II", *rate) for rate in ((0, 1), (0, 1), HIGHEST_RATE)]
    highest = [struct.pack("<II", *rate) for rate in (USUAL_RATE, (1, 1), HIGHEST_RATE)]
    values = {
        _MEDIA_TYPE: _make_id(_VIDEO),
        _MEDIA_SUBTYPE: _make_id(_RAW),
        _VIDEO_FORMAT: _make_choice(_ENUM, _ID, pixels),
        _VIDEO_SIZE: _make_choice(_RANGE, _RECTANGLE, sizes),
        _VIDEO_RATE: _make_choice(_RANGE, _FRACTION, rates),
        _VIDEO_HIGHEST_RATE: _make_choice(_RANGE, _FRACTION, highest),
    }
    return _make_object(_FORMAT_OBJECT, _ENUM_FORMAT, values)


def make_buffer_requirements() -> list[bytes]:
    """What live-sr wants of the buffers of an agreed format: mappable memory, with the picture's time and its crop."""
    counts = [struct.pack("<i", count) for count in (4, 2, MOST_BUFFERS)]
    memory = struct.pack("<i", 1 << MEM_PTR | 1 << MEM_FD)
    buffers = {_BUFFER_COUNT: _make_choice(_RANGE, _INT, counts), _BUFFER_MEMORY: _make_choice(_FLAGS, _INT, [memory])}
    return [
        _make_object(_BUFFERS_OBJECT, _PARAM_BUFFERS, buffers),
        _make_meta_requirement(META_HEADER, HEADER_BYTES),
        _make_meta_requirement(META_CROP, CROP_BYTES),
    ]


def parse_format(pod: bytes) -> VideoFormat:
    """The agreed format. Raises ValueError if it is not one of those that were offered."""
    values = _parse_object(pod)
    try:
        (pixels,) = struct.unpack_from("<I", values[_VIDEO_FORMAT])
        size = Size(*struct.unpack_from("<II", values[_VIDEO_SIZE]))
    except (KeyError, struct.error):
        raise ValueError("the stream's format is no video format") from None
    if pixels not in (BGRX, BGRA, RGBX, RGBA) or not 0 < size.width <= LARGEST[0] or not 0 < size.height <= LARGEST[1]:
        raise ValueError(f"the stream has pictures of format {pixels} and {size}")
    return VideoFormat(pixels, size)


def _make_pod(kind: int, body: bytes) -> bytes:
    return struct.pack("<II", len(body), kind) + body + bytes(-len(body) % 8)


def _make_id(value: int) -> bytes:
    return _make_pod(_ID, struct.pack("<I", value))


def _make_choice(how: int, kind: int, values: Sequence[bytes]) -> bytes:
    """A choice among values of one type; the first is the default."""
    return _make_pod(_CHOICE, struct.pack("<IIII", how, 0, len(values[0]), kind) + b"".join(values))


def _make_object(kind: int, parameter: int, values: Mapping[int, bytes]) -> bytes:
    body = b"".join(struct.pack("<II", key, 0) + value for key, value in values.items())
    return _make_pod(_OBJECT, struct.pack("<II", kind, parameter) + body)


def _make_meta_requirement(kind: int, size: int) -> bytes:
    values = {_META_TYPE: _make_id(kind), _META_SIZE: _make_pod(_INT, struct.pack("<i", size))}
    return _make_object(_META_OBJECT, _PARAM_META, values)


def _parse_object(pod: bytes) -> dict[int, bytes]:
    """The bytes of an object's values, by key; of a choice, those of its first value."""
    values: dict[int, bytes] = {}
    at = 16
    while at + 16 <= len(pod):
        key, _, size, kind = struct.unpack_from("<IIII", pod, at)
        body = pod[at + 16 : at + 16 + size]
        values[key] = body[16:] if kind == _CHOICE else body
        at += 16 + size + -size % 8
    return values
