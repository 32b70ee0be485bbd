"""Chooses the capture back-end for a game on Windows, with the reasons against the others."""

from __future__ import annotations

from collections.abc import Sequence

from live_sr.capture.win_geometry import contains
from live_sr.pipeline.desktop_contracts import Monitor
from live_sr.pipeline.frame import Rect


def choose_backend(
    window_rect: Rect,
    monitors: Sequence[Monitor],
    excluded: bool,
    duplication_works: bool,
    *,
    has_window: bool = True,
) -> tuple[str, list[tuple[str, str]]]:
    """Returns "dxgi", "wgc" or "mss", and [(back-end passed over, reason)] in the order tried.

    excluded: the overlay is not in the captured picture: Windows agreed to hide it, or it does not lie over the game.
    duplication_works: the graphics adapter that drives the game's screen can duplicate it.
    has_window: the target is a window. Windows.Graphics.Capture cannot capture a mere rectangle of the desktop.
    """
    passed_over: list[tuple[str, str]] = []
    reason = _find_reason_against_duplication(window_rect, monitors, excluded, duplication_works)
    if not reason:
        return "dxgi", passed_over
    passed_over.append(("dxgi", reason))
    if has_window:
        return "wgc", passed_over
    passed_over.append(("wgc", "it captures windows only, and this is a region of the desktop"))
    return "mss", passed_over


def _find_reason_against_duplication(rect: Rect, monitors: Sequence[Monitor], excluded: bool, works: bool) -> str:
    touched = [monitor.name for monitor in monitors if rect.overlaps(monitor.rect)]
    if len(touched) > 1:
        return f"the picture lies across {' and '.join(touched)}, and duplication captures one screen"
    if not any(contains(monitor.rect, rect) for monitor in monitors):
        return "a part of the picture lies outside the screen"
    if not works:
        return "the graphics adapter cannot duplicate this screen (common on laptops with two adapters)"
    if not excluded:
        return "Windows refused to hide the overlay from it, so the overlay would be captured too"
    return ""
