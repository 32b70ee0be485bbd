"""Finding a game's picture in what Windows captured: pure functions that the two Windows captures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from live_sr.errors import SourceLost
from live_sr.frame import Pixels, Rect, Size, fitting, size_of

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels of a captured surface; right and bottom are outside."""

ALPHA = np.uint32(0xFF000000)  # the fourth byte of a little-endian BGRA word
STALE_NS = 1_000_000_000  # an older stamp tells when a still picture was drawn, not how late this frame is


class Output(NamedTuple):
    """A monitor as one graphics adapter drives it; `device` and `number` are dxcam's for adapter and output."""

    device: int
    number: int
    name: str
    rect: Rect


def inside(rect: Rect, room: Rect) -> bool:
    """Whether the whole of `rect` lies in `room`."""
    return (
        rect.x >= room.x
        and rect.y >= room.y
        and rect.x + rect.width <= room.x + room.width
        and rect.y + rect.height <= room.y + room.height
    )


def output_of(rect: Rect, outputs: Sequence[Output]) -> Output:
    """The output that shows the whole of `rect`, in desktop coordinates. Raises SourceLost that says why none does."""
    for output in outputs:
        if inside(rect, output.rect):
            return output
    touched = [output.name for output in outputs if rect.overlaps(output.rect)]
    remedy = 'move the game wholly onto one screen, or set backend = "wgc" in [capture] of config.toml'
    if len(touched) > 1:
        names = " and ".join(touched)
        raise SourceLost(f"the game's picture {rect} lies across {names}, and duplication sees one screen", remedy)
    if touched:
        raise SourceLost(f"the game's picture {rect} lies partly outside the screen {touched[0]}", remedy)
    raise SourceLost(
        f"no screen that can be duplicated shows {rect}", "a screen plugged in since the start is seen after a restart"
    )


def on_output(rect: Rect, output: Output) -> Box:
    """Desktop coordinates to those of one output, whose left upper corner is 0, 0 wherever it lies on the desktop."""
    left, top = rect.x - output.rect.x, rect.y - output.rect.y
    return left, top, left + rect.width, top + rect.height


def client_box(client: Rect, bounds: Rect, window: Rect, frame: Size) -> Box | None:
    """Where a captured window shows its client area; None when the frame shows nothing of it.

    client, bounds, window: the client area, DWM's extended frame bounds and GetWindowRect's rectangle, all on the
    desktop. The frame begins at the corner of the bounds on Windows 10 and from Windows 11 24H2, and at that of the
    window when maximised on the Windows 11 before it (read in Magpie's source): its size tells which. While the window
    is being resized no size agrees; then the box is cut to the frame, and the next frame puts it right.
    """
    origin = window if frame == window.size and frame != bounds.size else bounds
    left, top = max(0, client.x - origin.x), max(0, client.y - origin.y)
    right = min(frame.width, client.x - origin.x + client.width)
    bottom = min(frame.height, client.y - origin.y + client.height)
    return (left, top, right, bottom) if left < right and top < bottom else None


def opaque(source: Pixels, into: Pixels | None) -> Pixels:
    """A copy of BGRA pixels, drawn into `into` when that fits, with alpha 255.

    `source` may have gaps between its rows. Neither library promises an alpha: both pass on what the compositor left
    there. Setting it while copying costs nothing more than the copy.
    """
    pixels = fitting(into, size_of(source))
    np.bitwise_or(source.view(np.uint32), ALPHA, out=pixels.view(np.uint32))
    return pixels


def seen_ns(stamp_ns: int, now_ns: int) -> int:
    """The system's stamp of a frame where it can be believed, else now; both of `perf_counter_ns`'s clock (QPC)."""
    return stamp_ns if 0 <= now_ns - stamp_ns < STALE_NS else now_ns
