"""Pictures of 8 bits a colour in files, as training and measuring read them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from live_sr.errors import UsageError
from live_sr.imaging.degradation import Picture

READABLE = (".png", ".webp", ".bmp", ".jpg", ".jpeg")


def is_picture(path: Path) -> bool:
    """Whether its suffix is that of a picture. Folders also hold files of the system, and what a kill has left."""
    return path.suffix.lower() in READABLE


def read_picture(path: Path, remedy: str = "leave it out") -> Picture:
    """BGR uint8 (H, W, 3), without transparency. Raises UsageError, with that remedy."""
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open every name on Windows
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", remedy) from None
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if picture is None:
        raise UsageError(f"{path} is not a readable picture", remedy)
    return np.asarray(picture, np.uint8)
