"""Keeps the overlay where the game is: shown, hidden, placed, and out of what is captured."""

from __future__ import annotations

import logging

from live_sr.app.controls import Controls
from live_sr.app.free_place import centre_on, find_free_place
from live_sr.app.game_pointer import GamePointer
from live_sr.app.notifications import Notifications
from live_sr.app.stacking import Arrangement
from live_sr.app.window_tracker import Placement, WindowTracker, fills_screen
from live_sr.overlay.status_badge import StatusBadge
from live_sr.overlay.surface import Surface
from live_sr.pipeline.desktop_contracts import Desktop, Monitor
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Rect, Size
from live_sr.pipeline.latency import Latency
from live_sr.pipeline.pipeline import Pipeline

NO_GAIN = "no gain: the game fills the screen"

log = logging.getLogger(__name__)


class OverlayKeeper:
    """Belongs to the GUI thread."""

    def __init__(
        self,
        surface: Surface,
        desktop: Desktop,
        tracker: WindowTracker,
        pipeline: Pipeline[DisplayPicture],
        latency: Latency,
        notifications: Notifications,
        badge: StatusBadge,
        *,
        covering: bool,
        aspect: float | None = None,
    ) -> None:
        """badge: says why there is no picture. covering: the overlay lies over a whole monitor; otherwise it is an
        ordinary window. aspect: the ratio of width to height that the picture gets; None: the game's."""
        self._surface = surface
        self._desktop = desktop
        self._tracker = tracker
        self._pipeline = pipeline
        self._latency = latency
        self._notifications = notifications
        self._badge = badge
        self._covering = covering
        self._aspect = aspect
        self.visible = False
        self._switched_on = True
        self._game_visible = False  # whether the game's window is on the screen and not minimised
        self._wanted = False  # whether the overlay should be on the screen, with a picture that is fresh
        self._upscaled_before = 0  # the frames upscaled when it became so
        self._placed: Rect | None = None
        self._stacking = Arrangement()
        self._reported_no_gain = False
        self._output: Monitor | None = None  # that an ordinary window was placed on
        self._captured: Rect | None = None  # a part of the screen that the window must not lie over

    @property
    def window_id(self) -> int:
        return int(self._surface.winId())  # type: ignore[call-overload, no-any-return]  # a sip.voidptr

    @property
    def room(self) -> Size | None:
        """The room that the picture has on the screen."""
        if self._covering and self._placed is not None and not self._surface.places_itself:
            return self._placed.size
        return self._surface.get_room()

    def switch(self, on: bool) -> None:
        """The player's key: from the next `update` on."""
        self._switched_on = on

    def place_beside(self, output: Monitor | None) -> None:
        """Places an ordinary window on that monitor. None: where the system puts it."""
        self._output = output
        if output is not None and not self._covering:
            self._surface.place(centre_on(output))

    def keep_out_of(self, captured: Rect) -> None:
        """Places the window beside a captured part of the screen, and captures nothing while it lies over that.

        Raises UsageError where there is no room.
        """
        monitors = [self._output] if self._output is not None else self._desktop.list_monitors()
        self._surface.place(find_free_place(captured, monitors))
        self._captured = captured

    def update(self, controls: Controls, pointer: GamePointer | None) -> Placement:
        """Follows the game. The overlay appears together with a fresh picture, so it is never black."""
        where = self._tracker.update(self.window_id)
        game_visible = where.rect is not None
        if game_visible and not self._game_visible:
            self._pipeline.reopen_now()  # the window is back: try at once
        self._game_visible = game_visible
        stacking = where.stacking
        if game_visible and (where.rect != self._placed or stacking != self._stacking or not stacking.in_place):
            self._placed, self._stacking = where.rect, stacking
            self._place()
        over = self._avoid_filming_itself()
        no_gain = self._covering and self._has_no_gain(where, controls)
        in_way = stacking.hidden or no_gain
        self._show_or_hide(self._switched_on and (game_visible or not self._covering) and not in_way)
        self._pipeline.pause(stacking.hidden, "the overlay makes way")
        self._pipeline.pause(no_gain, "the game fills the screen")
        self._explain(self._find_status(over=over, no_gain=no_gain, paused=controls.paused), hidden=stacking.hidden)
        # the pointer also has to reach the game's dialogs, which are seen at their real place
        if pointer is not None and self.visible and not stacking.openings and not controls.paused:
            pointer.follow(self._tracker.window, where)
        elif pointer is not None:
            pointer.release()
        return where

    def _has_no_gain(self, where: Placement, controls: Controls) -> bool:
        """Whether the game fills the screen, so that only a model that does not enlarge is of use; says so once."""
        fills = where.rect is not None and where.game is not None and fills_screen(where.game, where.rect, self._aspect)
        no_gain = fills and 1 not in controls.selection.model.scales
        if no_gain and not self._reported_no_gain:
            log.warning("%s, so its own picture is shown; make its window smaller", NO_GAIN)
        self._reported_no_gain = no_gain
        return no_gain

    def _avoid_filming_itself(self) -> bool:
        """Nothing is captured while an ordinary window lies where the capture would see it. Returns whether it does."""
        over = False
        if self._captured is not None and self.visible:
            state = self._desktop.get_window_state(self.window_id)
            over = state is not None and state.rect.overlaps(self._captured)
        self._pipeline.pause(over, "its own window would be captured")
        return over

    def _find_status(self, *, over: bool, no_gain: bool, paused: bool) -> str:
        """Why the picture stands still, or why there is none; empty if all is well."""
        if over:
            return "PAUSED: move this window off the captured part of the screen"
        if self._tracker.window is not None and not self._game_visible:
            return "WAITING: the game is minimised"
        if no_gain:
            return NO_GAIN
        return "PAUSED" if paused else ""

    def _explain(self, status: str, *, hidden: bool) -> None:
        """On the overlay; while that is not on the screen, in a small window. hidden: another program is in use."""
        self._notifications.status = status
        lost = self._notifications.lost if self._wanted and not self.visible else ""
        text = status or (f"no picture: {lost}" if lost else "")
        needed = self._covering and self._switched_on and not self.visible and not hidden
        monitor = self._placed or next((monitor.rect for monitor in self._desktop.list_monitors()), None)
        if monitor is not None:
            self._badge.say(text if needed else "", monitor)

    def close(self) -> None:
        """Takes everything off the screen."""
        self._surface.setVisible(False)
        self._badge.hide()

    def _show_or_hide(self, wanted: bool) -> None:
        if wanted and not self._wanted:
            self._upscaled_before = self._latency.frames_upscaled
            self._pipeline.refresh()
        self._wanted = wanted
        visible = wanted and (self.visible or self._latency.frames_upscaled > self._upscaled_before)
        if visible != self.visible:
            self.visible = visible
            self._surface.setVisible(visible)
            self._place()

    def _place(self) -> None:
        if self._covering and self._placed is not None and self._surface.places_itself:
            self._surface.place(self._placed)
        elif self._covering and self._placed is not None:
            self._desktop.apply_window_styles(self.window_id)
            where = self._stacking
            self._desktop.place_overlay(self.window_id, self._placed, where.below, where.openings)
