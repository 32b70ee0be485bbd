"""Reads pictures with their bit depth, transparency, colours and belongings.

Only libvips's readers for the formats below are used, chosen by the file's content and not by its name.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyvips

from live_sr.errors import UsageError
from live_sr.imaging.colour_profile import HDR_TRANSFERS, ColourSpace, find_colour_space, make_profile
from live_sr.pipeline.frame import Size
from live_sr.upscale.images.belongings import (
    is_animated_png,
    list_png_chunks,
    read_png_colours,
    read_png_resolution,
)
from live_sr.upscale.images.file import FORMAT_NAMES, PROFILE, XMP, ImageData, Levels, describe_error
from live_sr.upscale.kinds import detect_image_format

READ_NAMES = f"{FORMAT_NAMES}, or GIF"
LOADERS = {"png": "pngload", "jpeg": "jpegload", "webp": "webpload", "avif": "heifload", "tiff": "tiffload"}
LOADERS |= {"gif": "gifload", "heic": "heifload"}
INTERPRETATIONS = ("b-w", "grey16", "srgb", "rgb", "rgb16")
BIT_DEPTHS = {"uchar": 8, "ushort": 16}
KEPT_FIELDS = (PROFILE, "exif-", XMP, "iptc-data", "resolution-unit", "png-comment-", "image-description")
STALE_FIELDS = ("exif-ifd1-",)  # of the embedded thumbnail, which is that of the small picture
LOSSY = ("jpeg", "webp", "avif", "heic")


def read_image(path: Path) -> ImageData:
    """The picture in the file. Raises UsageError where it is damaged, no picture, or of an unsupported kind."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check the path and its permissions") from None
    if not data:
        raise UsageError(f"{path} is empty", "get the file again")
    kind = detect_image_format(data)
    if kind not in LOADERS:
        what = f"is a {kind.upper()} picture, which is not read here" if kind else "is no picture in a supported format"
        raise UsageError(f"{path} {what}: {READ_NAMES}", "convert it to one of them")
    notes: list[str] = []
    try:
        image = _load(path, data, kind)
        notes += _list_lost_pictures(image, data, kind)
        profile = _make_profile(path, data, kind, image, notes)
        bits = _read_bit_depth(path, image, kind)
        image = _to_grey_or_rgb(path, image.autorot(), notes)
        alpha = image.extract_band(image.bands - 1) if image.hasalpha() else None
        grey = image.bands - (alpha is not None) == 1
        pixels = _fill_low_bits(_to_bgra(image, grey).numpy(), bits)
        plane = None if alpha is None else _fill_low_bits(alpha.numpy().reshape(pixels.shape[:2]), bits)
    except pyvips.Error as error:
        raise UsageError(f"{path} is damaged: {describe_error(error)}", "get the file again") from None
    metadata = (*_read_metadata(image), *profile)
    resolution = (image.xres, image.yres) if _knows_resolution(image, data, kind) else None
    return ImageData(pixels, plane, grey, bits, metadata, kind not in LOSSY, resolution, tuple(notes))


def read_size(path: Path) -> Size | None:
    """The size of the upright picture in the file, without its pixels. None if it cannot be read."""
    try:
        data = path.read_bytes()
        image = _load(path, data, detect_image_format(data))
        turned = image.get_typeof("orientation") and image.get("orientation") in (5, 6, 7, 8)
    except (OSError, KeyError, pyvips.Error, UsageError):
        return None
    return Size(image.height, image.width) if turned else Size(image.width, image.height)


def _load(path: Path, data: bytes, kind: str) -> pyvips.Image:
    """Raises UsageError for what cannot be read here, pyvips.Error for a damaged file."""
    try:
        return getattr(pyvips.Image, f"{LOADERS[kind]}_buffer")(data, fail_on="error")
    except pyvips.Error:
        if kind != "heic":
            raise
        what = f"{path} is a HEIC picture, whose codec is not among those of libvips here"
        raise UsageError(what, "convert it to JPEG, PNG or AVIF") from None


def _list_lost_pictures(image: pyvips.Image, data: bytes, kind: str) -> list[str]:
    pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
    if pages > 1:
        name = "; name the output .mkv to enlarge the animation" if kind == "gif" else ""
        return [f"only the first of its {pages} pictures is used{name}"]
    if kind == "png" and is_animated_png(data):
        return ["only the first of its pictures is used; name the output .mkv to enlarge the animation"]
    return []


def _knows_resolution(image: pyvips.Image, data: bytes, kind: str) -> bool:
    """Whether the file says its resolution; libvips makes one up otherwise."""
    return read_png_resolution(data) if kind == "png" else bool(image.get_typeof("resolution-unit"))


def _make_profile(
    path: Path, data: bytes, kind: str, image: pyvips.Image, notes: list[str]
) -> list[tuple[int, str, object]]:
    """A profile for colours that the file tells in another way, which libvips does not keep. Raises UsageError."""
    space = _read_colour_space(path, data, kind, notes)
    if space is None or space.is_srgb or image.get_typeof(PROFILE):
        return []
    try:
        profile = make_profile(space, grey=image.bands < 3)
    except ValueError:
        notes.append("what it says about its colours is not possible, and is left out")
        return []
    return [(pyvips.GValue.blob_type, PROFILE, profile)]


def _read_colour_space(path: Path, data: bytes, kind: str, notes: list[str]) -> ColourSpace | None:
    """What the file says about its colours besides a profile. Raises UsageError for HDR."""
    codes = _read_colour_codes(data, kind)
    if codes is None:
        return read_png_colours(data) if kind == "png" else None
    curve = HDR_TRANSFERS.get(codes[1])
    if curve:
        raise UsageError(
            f"{path} is HDR ({curve}), which the networks were not trained for", "convert it to standard dynamic range"
        )
    space = find_colour_space(*codes)
    if space is None:
        notes.append("it has colour primaries without a profile; they are treated as those of sRGB")
    return space


def _read_colour_codes(data: bytes, kind: str) -> tuple[int, int] | None:
    """The primaries and the transfer function, by their numbers in H.273."""
    if kind == "png":
        content = dict(list_png_chunks(data)).get(b"cICP", b"")
        return (content[0], content[1]) if len(content) >= 2 else None
    at = data[:65536].find(b"colrnclx") if kind == "avif" else -1
    return (
        (int.from_bytes(data[at + 8 : at + 10], "big"), int.from_bytes(data[at + 10 : at + 12], "big"))
        if at >= 0
        else None
    )


def _read_bit_depth(path: Path, image: pyvips.Image, kind: str) -> int:
    bits = BIT_DEPTHS.get(image.format)
    if bits is None:
        raise UsageError(f"{path} has pixels of the type {image.format}", "convert it to 8 or 16 bits a channel")
    bits_in_file = image.get("bits-per-sample") if kind == "avif" and image.get_typeof("bits-per-sample") else bits
    return int(bits_in_file)


def _to_grey_or_rgb(path: Path, image: pyvips.Image, notes: list[str]) -> pyvips.Image:
    """Grey or RGB, with or without alpha. CMYK is converted to sRGB, with its own profile if it has one."""
    if image.interpretation == "cmyk":
        notes.append("CMYK becomes sRGB")
        return image.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True)
    if image.interpretation not in INTERPRETATIONS or image.bands > 4:
        raise UsageError(f"{path} has the colour space {image.interpretation}", "convert it to RGB or grey")
    return image


def _to_bgra(image: pyvips.Image, grey: bool) -> pyvips.Image:
    top = 65535 if image.format == "ushort" else 255
    bands = [image[0]] * 3 if grey else [image[2], image[1], image[0]]
    return bands[0].bandjoin([bands[1], bands[2], top]).cast(image.format)


def _fill_low_bits(levels: Levels, bits: int) -> Levels:
    """Repeats levels of 10 or 12 bits, which are the upper of 16 bits, in the lower bits, so that white is 65535."""
    if bits in (8, 16):
        return levels
    np.bitwise_or(levels, levels >> bits, out=levels)
    return levels


def _read_metadata(image: pyvips.Image) -> tuple[tuple[int, str, object], ...]:
    names = [name for name in image.get_fields() if name.startswith(KEPT_FIELDS) and not name.startswith(STALE_FIELDS)]
    found = [(image.get_typeof(name), name, image.get(name)) for name in names]
    if image.get_typeof("orientation") or any(name.startswith("exif-") for name in names):
        found.append((pyvips.GValue.gint_type, "orientation", 1))  # upright now, but EXIF has the old orientation
    return tuple(found)
