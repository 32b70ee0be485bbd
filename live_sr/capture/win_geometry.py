"""Locates a game's picture in a Windows capture: pure functions that the two Windows back-ends share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from live_sr.errors import SourceLost
from live_sr.pipeline.frame import Pixels, Rect, Size, get_size, reuse_or_allocate

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels of a captured surface; right and bottom are exclusive."""

ALPHA = np.uint32(0xFF000000)  # the fourth byte of a little-endian BGRA word
STALE_NS = 1_000_000_000  # an older stamp says when a still picture was drawn, not how late this frame is


class Output(NamedTuple):
    """A monitor on a graphics adapter. `device` and `number` are dxcam's indices of the adapter and its output."""

    device: int
    number: int
    name: str
    rect: Rect


def contains(outer: Rect, inner: Rect) -> bool:
    """Whether `outer` contains the whole of `inner`."""
    return (
        inner.x >= outer.x
        and inner.y >= outer.y
        and inner.x + inner.width <= outer.x + outer.width
        and inner.y + inner.height <= outer.y + outer.height
    )


def find_output(rect: Rect, outputs: Sequence[Output]) -> Output:
    """The output that shows the whole of `rect`, in desktop coordinates. Raises SourceLost with why there is none."""
    for output in outputs:
        if contains(output.rect, rect):
            return output
    touched = [output.name for output in outputs if rect.overlaps(output.rect)]
    remedy = 'move the whole game onto one screen, or set backend = "wgc" in [capture] of config.toml'
    if len(touched) > 1:
        names = " and ".join(touched)
        raise SourceLost(
            f"the game's picture {rect} lies across {names}, and desktop duplication captures one screen", remedy
        )
    if touched:
        raise SourceLost(f"the game's picture {rect} lies partly outside the screen {touched[0]}", remedy)
    raise SourceLost(
        f"no screen that can be duplicated shows {rect}",
        "restart live-sr if the screen was plugged in after it started",
    )


def to_output_box(rect: Rect, output: Output) -> Box:
    """Converts desktop coordinates to those of one output, whose upper left corner is 0, 0."""
    left, top = rect.x - output.rect.x, rect.y - output.rect.y
    return left, top, left + rect.width, top + rect.height


def compute_client_box(client: Rect, bounds: Rect, window: Rect, frame: Size) -> Box | None:
    """The box of the client area in a captured frame of a window; None when the frame shows no part of it.

    client, bounds, window: the client area, DWM's extended frame bounds and GetWindowRect's rectangle, all in desktop
    coordinates. The frame's upper left corner is that of `bounds` on Windows 10 and from Windows 11 24H2 on. On the
    Windows 11 before, a maximised window's frame begins at the corner of `window` (read in Magpie's source). The size
    of the frame says which it is. While the window is being resized, neither size matches: then the box is clipped to
    the frame, and is right again with the next frame.
    """
    origin = window if frame == window.size and frame != bounds.size else bounds
    left, top = max(0, client.x - origin.x), max(0, client.y - origin.y)
    right = min(frame.width, client.x - origin.x + client.width)
    bottom = min(frame.height, client.y - origin.y + client.height)
    return (left, top, right, bottom) if left < right and top < bottom else None


def copy_opaque(source: Pixels, into: Pixels | None) -> Pixels:
    """Copies BGRA pixels, into `into` when the size fits, and sets alpha to 255.

    `source` may have gaps between its rows. Neither library defines the alpha: both pass on what the compositor left
    there. Setting it during the copy costs no extra time.
    """
    pixels = reuse_or_allocate(into, get_size(source))
    np.bitwise_or(source.view(np.uint32), ALPHA, out=pixels.view(np.uint32))
    return pixels


def choose_seen_ns(stamp_ns: int, now_ns: int) -> int:
    """The system's time stamp of a frame if it is plausible, else now; both of `perf_counter_ns`'s clock (QPC)."""
    return stamp_ns if 0 <= now_ns - stamp_ns < STALE_NS else now_ns
