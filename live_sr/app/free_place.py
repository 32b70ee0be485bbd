"""Where the picture's window goes: on a monitor, and where the capture of a part of the screen does not see it."""

from __future__ import annotations

from collections.abc import Sequence

from live_sr.errors import UsageError
from live_sr.pipeline.desktop_contracts import Monitor
from live_sr.pipeline.frame import Rect

SMALLEST = (240, 160)  # pixels; less is no picture
DECORATION = Rect(8, 40, 16, 48)  # around a window: left, top, both sides, and above and below


def find_free_place(captured: Rect, monitors: Sequence[Monitor]) -> Rect:
    """The largest place for a window's content beside a captured part of the screen. Raises UsageError."""
    free = [part for monitor in monitors for part in monitor.rect.cut_out(captured)]
    # a part above or below takes the whole width; one at the side may take the whole height too
    free += [part for m in monitors for part in m.rect.cut_out(Rect(captured.x, m.rect.y, captured.width, 1 << 20))]
    inside = [_leave_decoration(part) for part in free if not part.overlaps(captured)]
    usable = [part for part in inside if part.width >= SMALLEST[0] and part.height >= SMALLEST[1]]
    if not usable:
        raise UsageError(
            "the captured part of the screen leaves no room for a window that is not captured with it",
            "capture the game's window (--window), or a smaller region, or connect a second monitor",
        )
    return max(usable, key=lambda part: part.width * part.height)


def centre_on(monitor: Monitor) -> Rect:
    """A place for a window's content in the middle of a monitor, half as large."""
    whole = monitor.rect
    return Rect(whole.x + whole.width // 4, whole.y + whole.height // 4, whole.width // 2, whole.height // 2)


def _leave_decoration(part: Rect) -> Rect:
    """Room for the border and the title bar of a window manager."""
    return Rect(
        part.x + DECORATION.x, part.y + DECORATION.y, part.width - DECORATION.width, part.height - DECORATION.height
    )
