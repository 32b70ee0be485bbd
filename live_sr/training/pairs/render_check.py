"""Whether two pictures of a game are the same instant, drawn at two sizes by the game itself."""

from __future__ import annotations

import cv2
import numpy as np

from live_sr.imaging.degradation import Picture
from live_sr.training.pairs.pair_folder import FLAT_CONTRAST, measure_alignment
from live_sr.training.pairs.registration import detect_features, guess_registration

NOTICED = 8  # levels (of 255) by which a pixel must differ to count as changed
MOVED = 0.005  # share of pixels that must have changed; a blinking cursor or a pulsing "paused" changes fewer
STRETCHED_DB = 45.0  # true renders of a dozen games measured below 40; a stretched picture differs by rounding
FEWEST_FEATURES = 12  # that agree on a scale
LARGEST_ERROR = 0.05  # of that scale, as a share

STRETCHES = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}


def has_moved(one: Picture, other: Picture) -> bool:
    """Whether a picture differs from one of the same game a moment before, in more than a blinking cursor."""
    if one.shape != other.shape:
        return True
    apart = np.maximum(one, other) - np.minimum(one, other)
    return float((apart.max(2) > NOTICED).mean()) > MOVED


def find_defect(small: Picture, large: Picture) -> str:
    """Why two BGR pictures are no pair, or an empty string. `large` is a whole multiple as wide and as high."""
    times = large.shape[1] // small.shape[1]
    alignment = measure_alignment(small, large)
    if alignment.contrast < FLAT_CONTRAST:
        return "the picture is of one colour"
    for name, kind in STRETCHES.items():
        stretched = cv2.resize(small, (large.shape[1], large.shape[0]), interpolation=kind)
        if cv2.PSNR(stretched, large) >= STRETCHED_DB:
            return f"the game only stretches its picture ({name}), it does not draw a larger one"
    if any(_is_made_of_blocks(large, block) for block in range(times, 4 * times + 1)):
        return "the game only stretches its picture, which has the same number of pixels at every size of its window"
    guess = guess_registration([(detect_features(small), detect_features(large))])
    scale = (guess.registration.sx + guess.registration.sy) / 2
    certain = guess.agreeing >= max(FEWEST_FEATURES, 0.3 * guess.matches)
    if certain and abs(scale / times - 1) > LARGEST_ERROR:
        return f"things are x{scale:.2f} as large in the large picture, not x{times}: it shows more, or something else"
    return f"the large picture does not fit the small one: {alignment.defect}" if alignment.defect else ""


def _is_made_of_blocks(picture: Picture, block: int) -> bool:
    """Whether it consists of squares of one colour, `block` pixels wide, as when fewer pixels were drawn."""
    height, width = picture.shape[:2]
    if height % block or width % block:
        return False
    fewer = cv2.resize(picture, (width // block, height // block), interpolation=cv2.INTER_AREA)
    blocks = cv2.resize(fewer, (width, height), interpolation=cv2.INTER_NEAREST)
    return cv2.PSNR(blocks, picture) >= STRETCHED_DB
