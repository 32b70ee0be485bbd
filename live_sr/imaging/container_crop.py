"""Reads how much of a picture a container says to cut off: the crop of Matroska and WebM, the clean aperture of MP4.

FFmpeg reads both, but PyAV does not hand them on. Matroska is a tree of elements, each an id, a length and its content
(RFC 8794 and RFC 9559). MP4 and MOV are trees of boxes, each a length, a name and its content (ISO/IEC 14496-12).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

Crop = tuple[int, int, int, int]  # left, top, right, bottom in pixels

EBML = b"\x1a\x45\xdf\xa3"  # the first bytes of such a file
SEGMENT, TRACKS, TRACK, VIDEO, CLUSTER = 0x18538067, 0x1654AE6B, 0xAE, 0xE0, 0x1F43B675
LEFT, TOP, RIGHT, BOTTOM = 0x54CC, 0x54BB, 0x54DD, 0x54AA
NONE: Crop = (0, 0, 0, 0)

FIRST_BOXES = (
    b"ftyp",
    b"moov",
    b"mdat",
    b"wide",
    b"free",
    b"skip",
)  # of MP4 and MOV, also of old files
SAMPLE_TABLE = (b"mdia", b"minf", b"stbl", b"stsd")
BEFORE_ENTRIES = 8  # bytes of stsd: its version, and the number of entries
SAMPLE_ENTRY = struct.Struct(">24x2H50x")  # of a video: width, height; boxes follow
CLEAN_APERTURE = struct.Struct(">8i")  # four fractions: width, height, how far its centre lies right and below


def read_crop(path: Path, track: int) -> Crop:
    """The crop of the track with that number in the file, counted from 0. No crop for other formats, or damage."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(0)
            head = file.read(8)
            file.seek(0)
            if head[:4] == EBML:
                tracks, read_track = _find(file, end, (SEGMENT, TRACKS, TRACK)), _read_track
            elif head[4:] in FIRST_BOXES:
                tracks, read_track = _find_boxes(file, end, (b"moov", b"trak")), _read_mp4_track
            else:
                return NONE
            for number, track_end in enumerate(tracks):
                if number == track:
                    return read_track(file, track_end)
    except (OSError, ValueError, struct.error):
        pass
    return NONE


def _read_mp4_track(file: BinaryIO, end: int) -> Crop:
    for table_end in _find_boxes(file, end, SAMPLE_TABLE):
        file.seek(BEFORE_ENTRIES, 1)
        for _, entry_end in _read_boxes(file, table_end):
            width, height = SAMPLE_ENTRY.unpack(file.read(SAMPLE_ENTRY.size))
            for _ in _find_boxes(file, entry_end, (b"clap",)):
                return compute_aperture_crop(width, height, CLEAN_APERTURE.unpack(file.read(CLEAN_APERTURE.size)))
    return NONE


def compute_aperture_crop(width: int, height: int, aperture: tuple[int, ...]) -> Crop:
    """What a clean aperture leaves of a picture of that size, in whole pixels. No crop for impossible numbers."""
    if not all(aperture[1::2]):
        return NONE
    wide, high, right, down = (Fraction(*pair) for pair in zip(aperture[::2], aperture[1::2], strict=True))
    left, top = round((width - wide) / 2 + right), round((height - high) / 2 + down)
    crop = left, top, width - left - round(wide), height - top - round(high)
    return crop if min(crop) >= 0 and wide >= 1 and high >= 1 else NONE


def _find_boxes(file: BinaryIO, end: int, path: tuple[bytes, ...]) -> Iterator[int]:
    """The ends of the boxes that a path of names leads to."""
    for name, box_end in _read_boxes(file, end):
        if name == path[0] and len(path) == 1:
            yield box_end
        elif name == path[0]:
            yield from _find_boxes(file, box_end, path[1:])


def _read_boxes(file: BinaryIO, end: int) -> Iterator[tuple[bytes, int]]:
    """The name and the end of each box up to `end`; the file is at the box's content meanwhile."""
    while file.tell() + 8 <= end:
        start = file.tell()
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:  # it is in the next 8 bytes
            (length,) = struct.unpack(">Q", file.read(8))
        stop = min(end, start + length) if length else end
        if stop < file.tell():
            raise ValueError("damaged")
        yield name, stop
        file.seek(stop)


def _read_track(file: BinaryIO, end: int) -> Crop:
    sides = dict.fromkeys((LEFT, TOP, RIGHT, BOTTOM), 0)
    for video_end in _find(file, end, (VIDEO,)):
        for kind, value_end in _read_elements(file, video_end):
            if kind in sides:
                sides[kind] = int.from_bytes(file.read(min(8, value_end - file.tell())), "big")
    return sides[LEFT], sides[TOP], sides[RIGHT], sides[BOTTOM]


def _find(file: BinaryIO, end: int, path: tuple[int, ...]) -> Iterator[int]:
    """The ends of the elements that a path of ids leads to."""
    for kind, element_end in _read_elements(file, end):
        if kind == path[0] and len(path) == 1:
            yield element_end
        elif kind == path[0]:
            yield from _find(file, element_end, path[1:])


def _read_elements(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """The id and the end of each element up to `end`, or to the first cluster, behind which no header comes."""
    while file.tell() < end:
        kind = _read_number(file, keep_marker=True)
        size = _read_number(file, keep_marker=False)
        start = file.tell()
        stop = end if size < 0 else min(end, start + size)
        if kind == CLUSTER:
            return
        yield kind, stop
        file.seek(stop)


def _read_number(file: BinaryIO, *, keep_marker: bool) -> int:
    """A number of 1 to 8 bytes, whose first set bit says how many; -1 for a length that is not known."""
    first = file.read(1)
    if not first or not first[0]:
        raise ValueError("damaged")
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big")
    if keep_marker:
        return value
    value &= (1 << 7 * length) - 1
    return -1 if value == (1 << 7 * length) - 1 else value
