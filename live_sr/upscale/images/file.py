"""Writes pictures with their bit depth, transparency, colour profile and EXIF data.

This uses libvips (docs/decisions), which keeps 16 bits, profiles and EXIF in all of these formats.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

os.environ.setdefault("VIPS_WARNING", "1")  # its warnings also come as errors, so nothing is lost
import pyvips

from live_sr.errors import LiveSRError, UsageError
from live_sr.pipeline.frame import Pixels, Pixels16, Size
from live_sr.system.atomic_file import choose_part_path
from live_sr.upscale.images.belongings import (
    correct_xmp,
    forget_resolution,
)

pyvips.cache_set_max(0)  # the default keeps the last hundred pictures

FORMAT_NAMES = "PNG, JPEG, WebP, AVIF or TIFF"
FORMAT_BY_SUFFIX = {".png": "png", ".webp": "webp", ".avif": "avif", ".tif": "tiff", ".tiff": "tiff"}
FORMAT_BY_SUFFIX |= dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "jpeg")
MAX_SIDE = {"jpeg": 65500, "webp": 16383, "avif": 16384, "png": 1 << 20, "tiff": 1 << 20}  # width or height, in pixels
KEEP_ALL, KEEP_EXIF = 63, 1  # of libvips's VipsForeignKeep
XMP, PROFILE = "xmp-data", "icc-profile-data"

Levels = Pixels | Pixels16
Plane = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass
class ImageData:
    """The upright picture of a file.

    pixels: BGRA with A at its highest level, uint8 or uint16. alpha: (height, width) of the same type, None where the
    picture is opaque. bits: per channel in the file, 8 to 16; white is always 255 or 65535. metadata: what else is
    copied from the small file to the large one. resolution: pixels per mm across and down, None if not known. notes:
    for the user, what is not kept.
    """

    pixels: Levels
    alpha: Plane | None
    grey: bool
    bits: int
    metadata: tuple[tuple[int, str, object], ...]
    lossless: bool
    resolution: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> Size:
        return Size(self.pixels.shape[1], self.pixels.shape[0])


def check_target(path: Path, size: Size) -> str:
    """The format of `path`, by its suffix. Raises UsageError where that cannot hold a picture of that size."""
    kind = FORMAT_BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        raise UsageError(
            f"{path}: pictures are written as {FORMAT_NAMES}", "name the output .png, .jpg, .webp, .avif or .tif"
        )
    if max(size) > MAX_SIDE[kind]:
        raise UsageError(
            f"{path} would be {size}, and a {path.suffix} file holds at most {MAX_SIDE[kind]} pixels a side",
            "name the output .png, or use a smaller size",
        )
    return kind


def write_image(path: Path, made: ImageData, size: Size) -> list[str]:
    """Writes a picture, resized to `size` if it has another one. Returns notes for the user about what is not kept.

    It writes a temporary file beside `path` first, so that `path` is either complete or unchanged. Raises LiveSRError
    or UsageError.
    """
    kind = check_target(path, size)
    notes: list[str] = []
    image = _resize(_join_bands(made), size)
    if kind == "jpeg" and made.alpha is not None:
        notes.append("JPEG has no transparency: the background becomes white")
        image = image.flatten(background=np.iinfo(made.pixels.dtype).max)
    if image.format == "ushort" and kind in ("jpeg", "webp"):
        notes.append(f"{'JPEG' if kind == 'jpeg' else 'WebP'} holds 8 bits a channel, not {made.bits}")
        image = (image / 257).rint().cast("uchar").copy(interpretation="b-w" if made.grey else "srgb")
    if made.resolution is not None:
        image = image.copy(xres=made.resolution[0], yres=made.resolution[1])
    for gtype, name, value in made.metadata:
        image.set_type(gtype, name, correct_xmp(cast(bytes, value), size) if name == XMP else value)
    part = choose_part_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w+b") as file:
            _save(image, kind, made, file)
            if made.resolution is None:
                forget_resolution(file, kind)
        part.replace(path)
    except OSError as error:
        raise LiveSRError(
            f"{path} cannot be written: {error.strerror}", "choose another folder, or free some space"
        ) from None
    finally:
        with suppress(OSError):
            part.unlink()
    return notes


def _save(image: pyvips.Image, kind: str, made: ImageData, file: BinaryIO) -> None:
    """Raises OSError."""
    troubles: list[OSError] = []

    def guarded(act: Callable[..., int | bytes], otherwise: int | bytes) -> Callable[..., int | bytes]:
        """Keeps an exception for later, because none can pass through libvips."""

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
        getattr(image, f"{save}_target")(target, keep=_choose_kept(made), **options[kind])
        file.flush()
    except pyvips.Error as error:
        raise troubles[0] if troubles else OSError(0, describe_error(error)) from None
    if troubles:
        raise troubles[0]


def _choose_kept(made: ImageData) -> int:
    """libvips's flags of what is written; it would make up EXIF data for a picture that has none.

    JPEG and WebP keep the resolution there.
    """
    has_exif = made.resolution is not None or any(
        name == "orientation" or name.startswith("exif-") for _, name, _ in made.metadata
    )
    return KEEP_ALL if has_exif else KEEP_ALL & ~KEEP_EXIF


def _join_bands(made: ImageData) -> pyvips.Image:
    """Grey or RGB, with alpha where there is some. libvips computes it while writing, so nothing is held twice."""
    image = to_vips(made.pixels)
    if made.grey:
        image = ((image[0] + image[1] + image[2]) / 3).rint().cast("ushort" if made.pixels.itemsize == 2 else "uchar")
    else:
        image = image[2].bandjoin([image[1], image[0]])
    if made.alpha is not None:
        image = image.bandjoin(to_vips(made.alpha))
    is_16bit = image.format == "ushort"
    return image.copy(
        interpretation=("grey16" if is_16bit else "b-w") if made.grey else ("rgb16" if is_16bit else "srgb")
    )


def to_vips(levels: Levels | Plane) -> pyvips.Image:
    height, width = levels.shape[:2]
    kind = "ushort" if levels.itemsize == 2 else "uchar"
    bands = levels.shape[2] if levels.ndim == 3 else 1
    return pyvips.Image.new_from_memory(np.ascontiguousarray(levels).data, width, height, bands, kind)


def _resize(image: pyvips.Image, size: Size) -> pyvips.Image:
    """Resizes with Lanczos, which averages where it shrinks. Colours are already extended into transparent areas."""
    if (image.width, image.height) == size:
        return image
    made = image.resize(size.width / image.width, vscale=size.height / image.height, kernel="lanczos3")
    if (made.width, made.height) != size:  # where the rounded ratio gives a pixel more or less
        made = made.gravity("north-west", size.width, size.height, extend="copy")
    return made


def describe_error(error: pyvips.Error) -> str:
    """The last line of libvips's error message."""
    lines = [line.strip() for line in str(error.detail or error.message).splitlines() if line.strip()]
    return lines[-1] if lines else "libvips gives no reason"
