"""Selects the back-ends that capture a window or a region of the desktop, and the sound of a game."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from live_sr import backends
from live_sr.backends import Backend, Choice
from live_sr.errors import UsageError
from live_sr.pipeline.contracts import FrameSource, SoundSource
from live_sr.pipeline.desktop_contracts import Monitor, Popups, WindowInfo
from live_sr.pipeline.frame import Rect


@dataclass
class SelectedCapture:
    """The back-end that captures the game, and why it was chosen. `warnings` are shown in the HUD."""

    backend: Backend
    choice: Choice
    warnings: list[str]
    fixed: bool = False  # the player named the back-end, so it stays

    def recheck(self, rect: Rect, monitors: list[Monitor], *, excluded: bool, has_window: bool) -> None:
        """Replaces desktop duplication (Windows) if it cannot capture this rectangle.

        Call it once the overlay is open. excluded: the overlay stays out of the captured picture. has_window: the
        target is a window, not a region of the desktop.
        """
        if not self.backend.needs_recheck or self.fixed:
            return
        from live_sr.capture import dxgi, win_selection

        works = not dxgi.unavailable_reason(rect)
        name, passed_over = win_selection.choose_backend(rect, monitors, excluded, works, has_window=has_window)
        self.backend = next(b for b in backends.CAPTURE if b.name == name)
        self.choice = Choice("capture", name, "the best that can capture this window", passed_over)
        self.warnings += [f"capture: {name}, not {other}: {why}" for other, why in passed_over]

    @property
    def captures_popups(self) -> bool:
        """Whether the picture has the game's dialogs and menus in it, where they lie over the game."""
        return self.backend.draws_popups or self.backend.sees_overlay

    def open_window(self, window: WindowInfo, list_popups: Callable[[], Popups] = Popups) -> FrameSource:
        """Opens a source of the window, on the thread that will use it. Raises SourceLost or SourceClosed.

        `list_popups`: what a back-end that captures single windows captures besides; called on that thread.
        """
        if not self.backend.follows_window:
            return self.open_region(window.rect)
        if self.backend.draws_popups:
            return cast(FrameSource, self.backend.load()(window.id, list_popups=list_popups))
        return cast(FrameSource, self.backend.load()(window.id))

    def open_region(self, region: Rect) -> FrameSource:
        """Opens a source of whatever a region of the desktop shows, on the thread that will use it."""
        return cast(FrameSource, self.backend.load()(region=region))


def select_shared(*, is_window: bool) -> SelectedCapture:
    """The back-end of what the player has shared in a dialog of the desktop. Its sources are opened by that sharing.

    is_window: off for a whole monitor, of which the back-end sees the overlay too. Raises MissingPart.
    """
    wanted = next(b for b in backends.CAPTURE if b.sees_wayland).name
    backend, choice = backends.choose("capture", backends.CAPTURE, wanted)
    choice.why = "for what the desktop shares"
    if not is_window:
        backend = replace(backend, sees_overlay=True, overlay_can_hide=False)
    return SelectedCapture(backend, choice, [], fixed=True)


def select_capture(wanted: str, *, whole_window: bool) -> SelectedCapture:
    """Selects the back-end for a window or, with `whole_window` off, for a region of the desktop.

    `wanted`: a back-end's name, or "auto" for the best. Raises MissingPart with the reason against each back-end, and
    UsageError if the wanted one cannot capture regions.
    """
    table: tuple[Backend, ...] = backends.CAPTURE
    if not whole_window and wanted == "auto":
        table = tuple(b for b in table if b.takes_region)  # the others capture windows only
    backend, choice = backends.choose("capture", table, wanted)
    if not whole_window and not backend.takes_region:
        remedy = f"use --window, or one of {', '.join(b.name for b in backends.CAPTURE if b.takes_region)}"
        raise UsageError(f"{backend.name} captures windows only, not a region of the desktop", remedy)
    warnings = []
    if not backend.follows_window and whole_window:
        warnings.append(
            f"{backend.name} captures a fixed region of the screen, where the window was: it does not follow the window"
        )
    return SelectedCapture(backend, choice, warnings, fixed=wanted != "auto")


def open_sound(find_pid: Callable[[], int]) -> SoundSource:
    """Opens the sound of a game, on the thread that will use it. `find_pid`: its process now; 0: not known.

    Raises MissingPart where there is no sound system.
    """
    backend, _ = backends.choose("sound", backends.SOUNDS)
    return cast(SoundSource, backend.load()(find_pid))
