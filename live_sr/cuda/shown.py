"""What a display is given: a picture in main memory, or one that stayed on the graphics card."""

from __future__ import annotations

import numpy as np

from live_sr.cuda.slots import Picture
from live_sr.frame import Pixels

Shown = Pixels | Picture


def in_main_memory(picture: Shown) -> Pixels:
    """The picture itself, or a copy of one on the card, which takes a millisecond or more."""
    return picture if isinstance(picture, np.ndarray) else picture.on_host()


def copied(picture: Shown) -> Pixels:
    """A copy that nobody else writes into."""
    return picture.copy() if isinstance(picture, np.ndarray) else picture.on_host()
