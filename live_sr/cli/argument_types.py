"""Parses the values of flags. Each function raises argparse.ArgumentTypeError with a sentence."""

from __future__ import annotations

import argparse

from live_sr.pipeline.frame import Rect, Size

MAX_SIDE = 16384  # pixels


def parse_size(text: str) -> Size:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) > 0 and int(height) > 0):
        raise argparse.ArgumentTypeError(f'"{text}" is not a size; write it like 480x270')
    if max(int(width), int(height)) > MAX_SIDE:
        raise argparse.ArgumentTypeError(f'"{text}" is too large; at most {MAX_SIDE} pixels a side')
    return Size(int(width), int(height))


def parse_sizes(text: str) -> tuple[Size, ...]:
    """Sizes in a list with commas."""
    return tuple(parse_size(part.strip()) for part in text.split(","))


def parse_capabilities(text: str) -> tuple[str, ...]:
    """Compute capabilities in a list with commas, such as "sm75,8.6", as ("7.5", "8.6")."""
    from live_sr.engines.tensorrt.rtx_compatibility import parse_capability

    try:
        return tuple(parse_capability(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_region(text: str) -> Rect:
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is not a region; write it as X,Y,WIDTH,HEIGHT') from None
    if width < 1 or height < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is empty; width and height must be at least 1')
    return Rect(x, y, width, height)


def parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f'"{text}" is not a time; give seconds, more than 0')
    return seconds


def parse_amount(text: str) -> float:
    """A number of days or megabytes, which may be 0."""
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < 1e9:
        raise argparse.ArgumentTypeError(f'"{text}" is not an amount; give a number, 0 or more')
    return amount


def parse_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of frames; give 1 or more')
    return int(text)


def parse_scale(text: str) -> int | str:
    if text == "fit":
        return "fit"
    if text.lstrip("x") not in ("2", "3", "4"):
        raise argparse.ArgumentTypeError(f'"{text}" is not a scale; give 2, 3, 4 or fit')
    return int(text.lstrip("x"))


def parse_scales(text: str) -> tuple[int, ...]:
    parts = [part.strip().lstrip("x") for part in text.split(",")]
    if any(part not in ("2", "3", "4") for part in parts):
        raise argparse.ArgumentTypeError(f'"{text}" is not a list of scales; write it like 2,4')
    return tuple(int(part) for part in parts)


def parse_names(text: str) -> tuple[str, ...]:
    """The words between commas, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def parse_tile(text: str) -> int:
    """The side of a tile in pixels; 0 for auto, -1 for off."""
    if text in ("auto", "off"):
        return 0 if text == "auto" else -1
    if not (text.isascii() and text.isdigit() and 16 <= int(text) <= MAX_SIDE):
        raise argparse.ArgumentTypeError(f'"{text}" is not a tile; give auto, off, or at least 16 pixels')
    return int(text)


def parse_positive_integer(text: str) -> int:
    """An integer of at least 1."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f'"{text}" is not a whole number of at least 1')
    return int(text)


def parse_integer(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f'"{text}" is not a whole number of at least 0')
    return int(text)


def parse_positive(text: str) -> float:
    value = _parse_number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f'"{text}" is not a number above 0')
    return value


def parse_weight(text: str) -> float:
    value = _parse_number(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f'"{text}" is not a weight; give 0 or more')
    return value


def parse_share(text: str) -> float:
    value = _parse_number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'"{text}" is not a share; give a number from 0 to 1')
    return value


def _parse_number(text: str) -> float:
    """The number, or NaN for other text: every comparison with NaN fails."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
