"""What people type on the command line, as values. Each raises argparse.ArgumentTypeError with a sentence."""

from __future__ import annotations

import argparse

from live_sr.frame import Rect, Size

LARGEST = 16384  # pixels a side, of what can be benchmarked


def size(text: str) -> Size:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) > 0 and int(height) > 0):
        raise argparse.ArgumentTypeError(f'"{text}" is not a size; write it like 480x270')
    if max(int(width), int(height)) > LARGEST:
        raise argparse.ArgumentTypeError(f'"{text}" is too large; at most {LARGEST} pixels a side')
    return Size(int(width), int(height))


def region(text: str) -> Rect:
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is not a region; write it as X,Y,WIDTH,HEIGHT') from None
    if width < 1 or height < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is empty; width and height must be at least 1')
    return Rect(x, y, width, height)


def seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f'"{text}" is not a time; give seconds, more than 0')
    return seconds


def number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of frames; give 1 or more')
    return int(text)


def scale(text: str) -> int | str:
    if text == "fit":
        return "fit"
    if text.lstrip("x") not in ("2", "3", "4"):
        raise argparse.ArgumentTypeError(f'"{text}" is not a scale; one of 2, 3, 4, fit')
    return int(text.lstrip("x"))


def scales(text: str) -> tuple[int, ...]:
    parts = [part.strip().lstrip("x") for part in text.split(",")]
    if any(part not in ("2", "3", "4") for part in parts):
        raise argparse.ArgumentTypeError(f'"{text}" is not a list of scales; write it like 2,4')
    return tuple(int(part) for part in parts)


def names(text: str) -> tuple[str, ...]:
    """What is between the commas, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def tile(text: str) -> int:
    """Pixels a side; 0 for auto, -1 for off."""
    if text in ("auto", "off"):
        return 0 if text == "auto" else -1
    if not (text.isascii() and text.isdigit() and 16 <= int(text) <= LARGEST):
        raise argparse.ArgumentTypeError(f'"{text}" is not a tile; auto, off, or 16 pixels and more')
    return int(text)
