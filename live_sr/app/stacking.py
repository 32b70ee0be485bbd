"""Decides whether the overlay is shown, and between which windows: out of the way of what the player works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from live_sr.pipeline.desktop_contracts import NO_X11_WINDOW, StackedWindow, WindowOwner
from live_sr.pipeline.frame import Rect, cut_out_all

WhenInactive = Literal["hide", "stay", "below"]


@dataclass(frozen=True)
class Arrangement:
    """`below`: the window that the overlay goes directly below; None: above all. `in_place`: it is there already.

    `openings`: where the overlay lets through what lies below it. `captured`: the game's dialogs and menus that are
    part of the picture instead, lowest first.
    """

    hidden: bool = False
    below: int | None = None
    in_place: bool = True
    openings: tuple[Rect, ...] = ()
    captured: tuple[StackedWindow, ...] = ()


class StackingPolicy:
    """Keeps the overlay above the game, shows the game's dialogs, and makes way for other programs in use.

    Dialogs and menus that all lie within the game's window are captured with it, so that they are enlarged at their
    place, and the pointer acts on them there. If one of them reaches outside, all are let through at their real size,
    where the real pointer reaches them: nothing of them is cut off, and the pointer acts in one way at a time.

    The program that is active when the first stack is seen does not hide the overlay until another window becomes
    active: it is usually the terminal that live-sr was started from.
    """

    def __init__(self, when_inactive: WhenInactive, captures_popups: Callable[[], bool] = lambda: False) -> None:
        """`captures_popups`: whether the capture has dialogs and menus in its picture."""
        self._when_inactive = when_inactive
        self._captures_popups = captures_popups
        self._first_active: int | None = None
        self._started = False

    def arrange(self, stack: Sequence[StackedWindow], area: Rect, game: Rect | None = None) -> Arrangement:
        """`stack`: topmost first. `area`: what the overlay covers. `game`: the captured part of the game's window."""
        active = next((w for w in stack if w.active), None)
        active_id = active.id if active is not None else None
        if not self._started:
            self._started, self._first_active = True, active_id
        elif active_id != self._first_active:
            self._first_active = None
        in_use = (
            active is not None
            and active.owner == "program"
            and active_id != self._first_active
            and active.rect.overlaps(area)
        )
        out_of_reach = active_id == NO_X11_WINDOW and self._when_inactive == "below"
        if in_use and (self._when_inactive == "hide" or out_of_reach):
            return Arrangement(hidden=True)
        in_use = in_use and self._when_inactive == "below"
        near = [w for w in stack if w.owner in ("game", "overlay") or w.rect.overlaps(area)]
        others = [w for w in near if w.owner != "overlay"]
        above = next((n for n, w in enumerate(others) if w.owner != "system"), len(others))
        actual = next((n for n, w in enumerate(near) if w.owner == "overlay"), None)
        popups = [w for w in _find_above_game(stack, "popup") if w.rect.overlaps(area) or w.rect.overlaps(game or area)]
        captured: tuple[StackedWindow, ...] = ()
        if game is not None and self._captures_popups() and all(w.rect.lies_within(game) for w in popups):
            popups, captured = [], tuple(reversed(popups))
        openings = tuple(w.rect for w in (*popups, *(_find_above_game(others, "program") if in_use else ())))
        if not cut_out_all(area, openings):  # the game has gone to full screen by a window over its own
            return Arrangement(hidden=True)
        below = others[above - 1].id if above else None
        return Arrangement(below=below, in_place=actual in (None, above), openings=openings, captured=captured)


def _find_above_game(stack: Sequence[StackedWindow], owner: WindowOwner) -> tuple[StackedWindow, ...]:
    """Windows above the game that are to be seen, topmost first."""
    game = next((n for n, w in enumerate(stack) if w.owner == "game"), 0)
    return tuple(w for w in stack[:game] if w.owner == owner)
