"""What each hotkey does, and the cycles of models and scales that the keys step through."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from live_sr.app.screenshots import ScreenshotWriter
from live_sr.engines.live.build_request import Selection
from live_sr.engines.live.hot_swap import HotSwapEngine
from live_sr.engines.live.presenter import Presenter, View
from live_sr.errors import reason
from live_sr.models.resolve import Model, list_models
from live_sr.overlay.hud import HudOverlay
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.pipeline import Pipeline

log = logging.getLogger(__name__)


def step_model(now: Selection, models: Sequence[Model], step: int) -> Selection:
    """The model `step` places further; if it lacks the present scale, its nearest scale."""
    names = [model.name for model in models]
    at = names.index(now.model.name) if now.model.name in names else -1 if step > 0 else 0
    model = models[(at + step) % len(models)]
    if now.scale is None:
        return Selection(model, None)
    wanted = now.scale
    return Selection(model, min(model.scales, key=lambda s: (abs(s - wanted), s)))


def step_scale(now: Selection) -> Selection:
    """The next of the model's scales in rising order, then "fit", then the first again."""
    cycle: list[int | None] = [*now.model.scales, None]
    at = cycle.index(now.scale) if now.scale in cycle else -1
    return replace(now, scale=cycle[(at + 1) % len(cycle)])


class Controls:
    """The actions of the hotkeys. Belongs to the GUI thread; every action takes effect between two frames.

    An action that fails becomes a message: no key ends the session.
    """

    def __init__(
        self,
        selection: Selection,
        engine: HotSwapEngine,
        presenter: Presenter,
        hud: HudOverlay,
        pipeline: Pipeline[DisplayPicture],
        notify: Callable[[str], None],
        selected: Callable[[Selection], None],
        switch_overlay: Callable[[bool], None],
        quit_: Callable[[], None],
        screenshots: ScreenshotWriter,
        toggle_recording: Callable[[], None],
    ) -> None:
        self._selection = selection
        self._engine = engine
        self._presenter = presenter
        self._hud = hud
        self._pipeline = pipeline
        self._notify = notify
        self._selected = selected
        self._switch_overlay = switch_overlay
        self._overlay_on = True
        self._paused = False
        self._pressed: dict[str, Callable[[], None]] = {
            "next_model": partial(self._step_model, 1),
            "previous_model": partial(self._step_model, -1),
            "next_scale": self._step_scale,
            "hud": self._step_hud,
            "overlay": self._toggle_overlay,
            "compare": partial(self._show_view, View.UNPROCESSED),
            "split": self._toggle_split,
            "divider_left": partial(self._move_divider, -1),
            "divider_right": partial(self._move_divider, 1),
            "screenshot": partial(pipeline.request_snapshot, screenshots.save, screenshots.report_failure),
            "record": toggle_recording,
            "pause": self._toggle_pause,
            "quit": quit_,
        }
        self._released: dict[str, Callable[[], None]] = {"compare": partial(self._show_view, View.UPSCALED)}

    @property
    def actions(self) -> Collection[str]:
        """The names of the actions."""
        return self._pressed.keys()

    @property
    def selection(self) -> Selection:
        """What the player wants now."""
        return self._selection

    @property
    def paused(self) -> bool:
        """Whether the picture stands still because the player wants it to."""
        return self._paused

    def press(self, action: str) -> None:
        self._carry_out(action, self._pressed)

    def release(self, action: str) -> None:
        self._carry_out(action, self._released)

    def _carry_out(self, action: str, actions: Mapping[str, Callable[[], None]]) -> None:
        try:
            actions.get(action, lambda: None)()
        except Exception as error:
            log.debug("the action %s failed", action, exc_info=True)
            self._notify(f"{action} failed: {reason(error)}")

    def _select(self, selection: Selection) -> None:
        self._selection = selection
        self._engine.select(selection)
        self._selected(selection)
        self._pipeline.redraw()
        self._notify(str(selection))

    def _step_model(self, step: int) -> None:
        enlarging = [model for model in list_models() if model.scales != (1,)]
        self._select(step_model(self._selection, enlarging, step))

    def _step_scale(self) -> None:
        self._select(step_scale(self._selection))

    def _step_hud(self) -> None:
        self._hud.select_next_level()

    def _toggle_overlay(self) -> None:
        self._overlay_on = not self._overlay_on
        self._switch_overlay(self._overlay_on)
        self._pipeline.pause(not self._overlay_on, "the overlay is off")

    def _toggle_pause(self) -> None:
        self._paused = not self._paused
        self._pipeline.pause(self._paused, "the player paused")
        if not self._paused:
            self._notify("resumed")  # while it is paused, the HUD says that all the time

    def _show_view(self, view: View) -> None:
        self._presenter.view = view
        self._pipeline.redraw()
        self._notify(view.value)

    def _toggle_split(self) -> None:
        self._show_view(View.UPSCALED if self._presenter.view is View.SPLIT else View.SPLIT)

    def _move_divider(self, steps: int) -> None:
        self._presenter.move_divider(steps)
        self._pipeline.redraw()
