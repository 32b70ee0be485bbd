"""Pictures in files: PNG out, two side by side."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from live_sr.errors import LiveSRError
from live_sr.pipeline.frame import Pixels, Size, get_size, make_black
from live_sr.system.atomic_file import choose_part_path

CAPTION = 28  # height in pixels of the strip that names a picture
GAP = 8


def write_png(path: Path, pixels: Pixels) -> None:
    """Writes BGRA pixels as an RGB PNG, to a temporary file first, so that no half-written file is left."""
    done, data = cv2.imencode(".png", np.ascontiguousarray(pixels[..., :3]))
    try:
        if not done:
            raise OSError(0, "the picture cannot be encoded")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = choose_part_path(path)
        part.write_bytes(data.tobytes())
        part.replace(path)
    except OSError as error:
        raise LiveSRError(f"{path} cannot be written: {error.strerror}", "choose another folder") from None


def place_side_by_side(left: tuple[str, Pixels], right: tuple[str, Pixels]) -> Pixels:
    """Two captioned pictures; the smaller one is enlarged to the other's height with nearest-neighbour."""
    height = max(left[1].shape[0], right[1].shape[0])
    pictures = [_scale_to_height(pixels, height) for _, pixels in (left, right)]
    width = sum(p.shape[1] for p in pictures) + GAP
    sheet = make_black(Size(width, height + CAPTION))
    x = 0
    for (caption, _), picture in zip((left, right), pictures, strict=True):
        sheet[CAPTION:, x : x + picture.shape[1]] = picture
        cv2.putText(
            sheet, caption, (x + 8, CAPTION - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (235, 235, 235, 255), 1, cv2.LINE_AA
        )
        x += picture.shape[1] + GAP
    return sheet


def _scale_to_height(pixels: Pixels, height: int) -> Pixels:
    size = get_size(pixels)
    if size.height == height:
        return pixels
    width = round(size.width * height / size.height)
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
