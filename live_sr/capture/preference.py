"""Which capture suits a game on Windows, and why not the others."""

from __future__ import annotations

from collections.abc import Sequence

from live_sr.capture.crop import inside
from live_sr.contracts import Monitor
from live_sr.frame import Rect


def prefer(
    window_rect: Rect,
    monitors: Sequence[Monitor],
    excluded: bool,
    duplication_works: bool,
    *,
    has_window: bool = True,
) -> tuple[str, list[tuple[str, str]]]:
    """("dxgi", "wgc" or "mss", [(what was passed over, why)]), in the order tried.

    excluded: the overlay is not in the picture: Windows agreed to hide it, or it does not lie over the game.
    duplication_works: the adapter that drives the game's screen can duplicate it.
    has_window: the picture is a window, not just a rectangle of the desktop, so that Windows.Graphics.Capture can be
    asked for it.
    """
    passed_over: list[tuple[str, str]] = []
    reason = _against_duplication(window_rect, monitors, excluded, duplication_works)
    if not reason:
        return "dxgi", passed_over
    passed_over.append(("dxgi", reason))
    if has_window:
        return "wgc", passed_over
    passed_over.append(("wgc", "it captures windows, and a part of the desktop was asked for"))
    return "mss", passed_over


def _against_duplication(rect: Rect, monitors: Sequence[Monitor], excluded: bool, works: bool) -> str:
    touched = [monitor.name for monitor in monitors if rect.overlaps(monitor.rect)]
    if len(touched) > 1:
        return f"the picture lies across {' and '.join(touched)}, and duplication sees one screen"
    if not any(inside(rect, monitor.rect) for monitor in monitors):
        return "a part of the picture is off the screen"
    if not works:
        return "the graphics adapter cannot duplicate this screen (common on laptops with two adapters)"
    if not excluded:
        return "Windows refused to hide the overlay from it, so it would capture the overlay"
    return ""
