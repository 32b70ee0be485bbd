"""What belongs to a picture besides its pixels: resolution, XMP, and what it says about its colours.

libvips keeps profiles and EXIF. The rest is done here, on the bytes of the file.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from live_sr.imaging.colour_profile import SRGB, Chromaticities, ColourSpace, find_colour_space
from live_sr.pipeline.frame import Size

PNG_START = 8  # bytes of the signature
METRE = 1  # pHYs: the unit is pixels per metre
RESOLUTION_UNIT, NO_UNIT = 296, 1  # TIFF
SIZES_IN_XMP = ("tiff:ImageWidth", "exif:PixelXDimension", "tiff:ImageLength", "exif:PixelYDimension")


def list_png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG file up to the pixels, each with its name and its content."""
    at = PNG_START
    while at + 8 <= len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        if name == b"IDAT":
            return
        yield name, data[at + 8 : at + 8 + length]
        at += 12 + length


def read_png_resolution(data: bytes) -> bool:
    """Whether the file says how many pixels a metre has."""
    return any(name == b"pHYs" and content[8:9] == bytes([METRE]) for name, content in list_png_chunks(data))


def read_png_colours(data: bytes) -> ColourSpace | None:
    """The colour space of a PNG without a profile. None if it says nothing, or something unknown.

    Of several statements the most exact one counts, as the standard says: cICP, iCCP, sRGB, and then gAMA and cHRM.
    """
    chunks = dict(list_png_chunks(data))
    if b"cICP" in chunks and len(chunks[b"cICP"]) >= 2:
        return find_colour_space(chunks[b"cICP"][0], chunks[b"cICP"][1])
    if b"iCCP" in chunks or b"sRGB" in chunks or not {b"gAMA", b"cHRM"} & chunks.keys():
        return None
    try:
        gamma = 100_000 / struct.unpack(">I", chunks.get(b"gAMA", b"\0\0\xb1\x8f"))[0]
        return ColourSpace(_read_chromaticities(chunks.get(b"cHRM")), 0.0 if abs(gamma - 2.2) < 0.005 else gamma)
    except (struct.error, ZeroDivisionError):
        return None


def _read_chromaticities(content: bytes | None) -> Chromaticities:
    if content is None:
        return SRGB
    x1, y1, x2, y2, x3, y3, x4, y4 = (value / 100_000 for value in struct.unpack(">8I", content))
    return (x1, y1), (x2, y2), (x3, y3), (x4, y4)


def is_animated_png(data: bytes) -> bool:
    return any(name == b"acTL" for name, _ in list_png_chunks(data))


def correct_xmp(xmp: bytes, size: Size) -> bytes:
    """The XMP of an upright picture of that size: nothing in it asks to turn the picture, and no old size is left."""
    values = {"tiff:Orientation": 1}
    for name in SIZES_IN_XMP:
        values[name] = size.width if name.endswith(("Width", "XDimension")) else size.height
    for name, value in values.items():
        here = re.escape(name.encode())
        number = str(value).encode()
        xmp = re.sub(here + rb"(\s*=\s*[\"'])\d+([\"'])", rb"%s\g<1>%s\g<2>" % (name.encode(), number), xmp)
        xmp = re.sub(rb"<" + here + rb"(\s*>\s*)\d+(\s*</)", rb"<%s\g<1>%s\g<2>" % (name.encode(), number), xmp)
    return xmp


def forget_resolution(file: BinaryIO, kind: str) -> None:
    """Takes the resolution out of a file that libvips has written, for a picture that has none."""
    if kind == "png":
        _forget_in_png(file)
    elif kind == "tiff":
        _forget_in_tiff(file)


def _forget_in_png(file: BinaryIO) -> None:
    file.seek(PNG_START)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"IDAT":
            return
        if name == b"pHYs":
            content = name + struct.pack(">IIB", 1, 1, 0)  # square pixels, of no known size
            file.seek(-4, 1)
            file.write(content + struct.pack(">I", zlib.crc32(content)))
            return
        file.seek(length + 4, 1)


def _forget_in_tiff(file: BinaryIO) -> None:
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack(order + "H", head[2:4])[0] == 43
    (start,) = struct.unpack(order + ("Q" if big else "I"), head[8:16] if big else head[4:8])
    file.seek(start)
    (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
    length = 20 if big else 12
    for number in range(count):
        at = start + (8 if big else 2) + number * length
        file.seek(at)
        if struct.unpack(order + "H", file.read(2))[0] == RESOLUTION_UNIT:
            file.seek(at + length - (8 if big else 4))
            file.write(struct.pack(order + "H", NO_UNIT))
            return
