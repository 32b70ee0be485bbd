"""Pictures in files, with everything that belongs to them: bits, transparency, colour profile, EXIF.

libvips reads and writes them (docs/decisions): it is the one library here that keeps 16 bits, profiles and EXIF in all
of these formats. Only its own readers for these formats are used, whatever a file calls itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

os.environ.setdefault("VIPS_WARNING", "1")  # what it has to say otherwise comes as an error, too
import pyvips

from live_sr.engine.lane import Deep
from live_sr.errors import LiveSRError, UsageError
from live_sr.frame import Pixels, Size

pyvips.cache_set_max(0)  # it would keep the last hundred pictures

READ = "PNG, JPEG, WebP, AVIF or TIFF"
LOADERS = {"png": "pngload", "jpeg": "jpegload", "webp": "webpload", "avif": "heifload", "tiff": "tiffload"}
SUFFIXES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".avif": "avif", ".tif": "tiff"}
SUFFIXES[".tiff"] = "tiff"
LIMITS = {"jpeg": 65500, "webp": 16383, "avif": 16384, "png": 1 << 20, "tiff": 1 << 20}  # a side, in pixels
COLOURS = ("b-w", "grey16", "srgb", "rgb", "rgb16")
BITS = {"uchar": 8, "ushort": 16}
KEPT = ("icc-profile-data", "exif-", "xmp-data", "iptc-data", "resolution-unit", "png-comment-")
STALE = ("exif-ifd1-",)  # of the thumbnail, which shows the small picture
WIDE_RANGE = {16: "PQ", 18: "HLG"}  # transfer functions, as ITU-T H.273 numbers them

Levels = Pixels | Deep
Plane = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass
class Picture:
    """What a file shows, upright.

    pixels: BGRA with A at its highest level, uint8 or uint16. alpha: (height, width) of the same kind, None: opaque.
    bits: of a channel as the file has it, 8 to 16; levels always reach up to 255 or 65535. belongings: what else is in
    the file and is to be in the larger one's. notes: what is not kept, for people.
    """

    pixels: Levels
    alpha: Plane | None
    grey: bool
    bits: int
    belongings: tuple[tuple[int, str, object], ...]
    lossless: bool
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> Size:
        return Size(self.pixels.shape[1], self.pixels.shape[0])


def read(path: Path) -> Picture:
    """Raises UsageError where it is no picture, a damaged one, or of a kind that would not be kept."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check the path and its permissions") from None
    if not data:
        raise UsageError(f"{path} is empty", "get the file again")
    kind = _kind(data)
    if not kind:
        raise UsageError(f"{path} is no picture of a kind that is read here: {READ}", "convert it to one of them")
    notes = list(_notes_on_colour(path, data, kind))
    try:
        image = getattr(pyvips.Image, f"{LOADERS[kind]}_buffer")(data, fail_on="error")
        pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
        if pages > 1:
            notes.append(f"only the first of its {pages} pictures is taken")
        bits = _bits(path, image, kind)
        image = _in_colours(path, image.autorot(), notes)
        alpha = image.extract_band(image.bands - 1) if image.hasalpha() else None
        grey = image.bands - (alpha is not None) == 1
        pixels = _filled(_bgra(image, grey).numpy(), bits)
        plane = None if alpha is None else _filled(alpha.numpy().reshape(pixels.shape[:2]), bits)
    except pyvips.Error as error:
        raise UsageError(f"{path} is damaged: {_why(error)}", "get the file again") from None
    lossless = kind in ("png", "tiff")
    return Picture(pixels, plane, grey, bits, _belongings(image), lossless, tuple(notes))


def check_target(path: Path, size: Size) -> str:
    """The kind of file that `path` will be. Raises UsageError where it cannot hold a picture of that size."""
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: pictures are written as {READ}", "name the output .png, .jpg, .webp, .avif or .tif")
    if max(size) > LIMITS[kind]:
        raise UsageError(
            f"{path} would be {size}, and a {path.suffix} file holds {LIMITS[kind]} pixels a side at most",
            "name the output .png, or use a smaller size",
        )
    return kind


def write(path: Path, made: Picture, size: Size) -> list[str]:
    """Writes `made`, resized to `size` where that is another one; what could not be kept, for people.

    First to a temporary file beside it, so that `path` is whole or not there. Raises LiveSRError, UsageError.
    """
    kind = check_target(path, size)
    notes: list[str] = []
    image = _resized(_joined(made), size)
    if kind == "jpeg" and made.alpha is not None:
        notes.append("JPEG has no transparency: it is put on white")
        image = image.flatten(background=np.iinfo(made.pixels.dtype).max)
    if image.format == "ushort" and kind in ("jpeg", "webp"):
        notes.append(f"{'JPEG' if kind == 'jpeg' else 'WebP'} holds 8 bits a channel, not {made.bits}")
        image = (image / 257).rint().cast("uchar").copy(interpretation="b-w" if made.grey else "srgb")
    for gtype, name, value in made.belongings:
        image.set_type(gtype, name, value)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w+b") as file:
            _save(image, kind, made, file)
        part.replace(path)
    except OSError as error:
        raise LiveSRError(f"{path} cannot be written: {error.strerror}", "choose another place or free some") from None
    finally:
        with suppress(OSError):
            part.unlink()
    return notes


def _save(image: pyvips.Image, kind: str, made: Picture, file: BinaryIO) -> None:
    """Raises OSError."""
    troubles: list[OSError] = []

    def guarded(act: Callable[..., int | bytes], otherwise: int | bytes) -> Callable[..., int | bytes]:
        """An exception cannot pass through libvips: it is kept for afterwards."""

        def call(*arguments: int | bytes) -> int | bytes:
            try:
                return act(*arguments)
            except OSError as error:
                troubles.append(error)
                return otherwise

        return call

    target = pyvips.TargetCustom()
    target.on_write(guarded(file.write, -1))
    target.on_read(guarded(file.read, b""))
    target.on_seek(guarded(file.seek, -1))
    depth = min(max(made.bits, 8), 12) if image.format == "ushort" else 8
    options: dict[str, dict[str, object]] = {
        "png": {"compression": 6},
        "jpeg": {"Q": 95},
        "webp": {"lossless": made.lossless, "Q": 80 if made.lossless else 95},
        "avif": {"Q": 85, "compression": "av1", "bitdepth": depth, "subsample_mode": "off", "effort": 4},
        "tiff": {"compression": "deflate", "predictor": "horizontal", "bigtiff": image.width * image.height > 1 << 28},
    }
    save = {"png": "pngsave", "jpeg": "jpegsave", "webp": "webpsave", "avif": "heifsave", "tiff": "tiffsave"}[kind]
    try:
        getattr(image, f"{save}_target")(target, **options[kind])
        file.flush()
    except pyvips.Error as error:
        raise troubles[0] if troubles else OSError(0, _why(error)) from None
    if troubles:
        raise troubles[0]


def _joined(made: Picture) -> pyvips.Image:
    """Grey or RGB, and alpha where there is some: computed while it is written, so that nothing is held twice."""
    image = _of(made.pixels)
    if made.grey:
        image = ((image[0] + image[1] + image[2]) / 3).rint().cast("ushort" if made.pixels.itemsize == 2 else "uchar")
    else:
        image = image[2].bandjoin([image[1], image[0]])
    if made.alpha is not None:
        image = image.bandjoin(_of(made.alpha))
    deep = image.format == "ushort"
    return image.copy(interpretation=("grey16" if deep else "b-w") if made.grey else ("rgb16" if deep else "srgb"))


def _of(levels: Levels | Plane) -> pyvips.Image:
    height, width = levels.shape[:2]
    kind = "ushort" if levels.itemsize == 2 else "uchar"
    bands = levels.shape[2] if levels.ndim == 3 else 1
    return pyvips.Image.new_from_memory(np.ascontiguousarray(levels).data, width, height, bands, kind)


def _resized(image: pyvips.Image, size: Size) -> pyvips.Image:
    """Lanczos, which averages where it shrinks. Colours under transparency have been made to fit, so that they may be
    averaged as they are."""
    if (image.width, image.height) == size:
        return image
    made = image.resize(size.width / image.width, vscale=size.height / image.height, kernel="lanczos3")
    if (made.width, made.height) != size:  # where the ratio rounds to a pixel more or less
        made = made.gravity("north-west", size.width, size.height, extend="copy")
    return made


def _kind(data: bytes) -> str:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp" and (b"avif" in data[8:64] or b"avis" in data[8:64]):
        return "avif"
    return "tiff" if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") else ""


def _notes_on_colour(path: Path, data: bytes, kind: str) -> list[str]:
    """libvips does not keep the code points of H.273: a picture that needs them is refused or told of."""
    head = data[:65536]
    at = head.find({"png": b"cICP", "avif": b"colrnclx"}.get(kind, b"\0no such mark"))
    if at < 0:
        return []
    if kind == "png":
        primaries, transfer = head[at + 4 : at + 5], head[at + 5 : at + 6]
    else:
        primaries, transfer = head[at + 8 : at + 10], head[at + 10 : at + 12]
    curve = WIDE_RANGE.get(int.from_bytes(transfer, "big"))
    if curve:
        raise UsageError(f"{path} is HDR ({curve}), which the networks do not know", "convert it to standard range")
    known = int.from_bytes(primaries, "big") in (1, 2)
    return [] if known else ["its primaries are told by code points alone, and taken for those of sRGB"]


def _bits(path: Path, image: pyvips.Image, kind: str) -> int:
    bits = BITS.get(image.format)
    if bits is None:
        raise UsageError(f"{path} holds pixels of the kind {image.format}", "convert it to 8 or 16 bits a channel")
    told = image.get("bits-per-sample") if kind == "avif" and image.get_typeof("bits-per-sample") else bits
    return int(told)


def _in_colours(path: Path, image: pyvips.Image, notes: list[str]) -> pyvips.Image:
    """Grey or RGB, with or without alpha. CMYK becomes sRGB, through its own profile where it has one."""
    if image.interpretation == "cmyk":
        notes.append("CMYK becomes sRGB")
        return image.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True)
    if image.interpretation not in COLOURS or image.bands > 4:
        raise UsageError(f"{path} has colours of the kind {image.interpretation}", "convert it to RGB or grey")
    return image


def _bgra(image: pyvips.Image, grey: bool) -> pyvips.Image:
    top = 65535 if image.format == "ushort" else 255
    bands = [image[0]] * 3 if grey else [image[2], image[1], image[0]]
    return bands[0].bandjoin([bands[1], bands[2], top]).cast(image.format)


def _filled(levels: Levels, bits: int) -> Levels:
    """Levels of 10 or 12 bits lie in the upper bits of 16: the lower ones repeat them, so that white is 65535."""
    if bits in (8, 16):
        return levels
    np.bitwise_or(levels, levels >> bits, out=levels)
    return levels


def _belongings(image: pyvips.Image) -> tuple[tuple[int, str, object], ...]:
    names = [name for name in image.get_fields() if name.startswith(KEPT) and not name.startswith(STALE)]
    found = [(image.get_typeof(name), name, image.get(name)) for name in names]
    return (*found, (pyvips.GValue.gint_type, "orientation", 1))  # the pixels are upright; EXIF still says how they lay


def _why(error: pyvips.Error) -> str:
    """The last thing that libvips says."""
    lines = [line.strip() for line in str(error.detail or error.message).splitlines() if line.strip()]
    return lines[-1] if lines else "libvips does not say why"
