"""What the player can switch while playing, and what comes next in each cycle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from live_sr import assembly
from live_sr.cuda.shown import Shown
from live_sr.engine.compare import Compare, View
from live_sr.engine.orders import Wish
from live_sr.engine.relay import Relay
from live_sr.errors import LiveSRError
from live_sr.frame import Pixels
from live_sr.overlay.hud import Hud
from live_sr.pictures import write_png
from live_sr.pipeline import Pipeline


def other_model(now: Wish, models: Sequence[str], step: int, scales: Callable[[str], tuple[int, ...]]) -> Wish:
    """The model `step` places on; a scale that it does not have becomes the nearest one it has."""
    at = models.index(now.model) if now.model in models else -1 if step > 0 else 0
    model = models[(at + step) % len(models)]
    if now.scale is None:
        return Wish(model, None)
    wanted = now.scale
    return Wish(model, min(scales(model), key=lambda s: (abs(s - wanted), s)))


def next_scale(now: Wish, scales: tuple[int, ...]) -> Wish:
    """The scales the model has in rising order, then "fit", then from the start."""
    cycle: list[int | None] = [*scales, None]
    at = cycle.index(now.scale) if now.scale in cycle else -1
    return replace(now, scale=cycle[(at + 1) % len(cycle)])


class Controls:
    """What each key does. Lives on the GUI thread; every action takes effect between two frames."""

    def __init__(
        self,
        wish: Wish,
        relay: Relay,
        compare: Compare,
        hud: Hud,
        pipeline: Pipeline[Shown],
        tell: Callable[[str], None],
        selected: Callable[[Wish], None],
        switch_overlay: Callable[[bool], None],
        quit_: Callable[[], None],
        screenshots: Path,
    ) -> None:
        self._wish = wish
        self._relay = relay
        self._compare = compare
        self._hud = hud
        self._pipeline = pipeline
        self._tell = tell
        self._selected = selected
        self._switch_overlay = switch_overlay
        self._screenshots = screenshots
        self._overlay_on = True
        self._paused = False
        self._pressed: dict[str, Callable[[], None]] = {
            "next_model": partial(self._other_model, 1),
            "previous_model": partial(self._other_model, -1),
            "next_scale": self._next_scale,
            "hud": self._next_hud,
            "overlay": self._toggle_overlay,
            "compare": partial(self._view, View.UNPROCESSED),
            "split": self._toggle_split,
            "divider_left": partial(self._move_divider, -1),
            "divider_right": partial(self._move_divider, 1),
            "screenshot": self._screenshot,
            "pause": self._toggle_pause,
            "quit": quit_,
        }
        self._released: dict[str, Callable[[], None]] = {"compare": partial(self._view, View.UPSCALED)}

    def press(self, action: str) -> None:
        self._pressed[action]()

    def release(self, action: str) -> None:
        if action in self._released:
            self._released[action]()

    def _select(self, wish: Wish) -> None:
        self._wish = wish
        self._relay.wish(wish)
        self._selected(wish)
        self._pipeline.redraw()
        self._tell(str(wish))

    def _other_model(self, step: int) -> None:
        enlarging = [name for name in assembly.models() if assembly.scales(name) != (1,)]
        self._select(other_model(self._wish, enlarging, step, assembly.scales))

    def _next_scale(self) -> None:
        self._select(next_scale(self._wish, assembly.scales(self._wish.model)))

    def _next_hud(self) -> None:
        self._hud.next_level()

    def _toggle_overlay(self) -> None:
        self._overlay_on = not self._overlay_on
        self._switch_overlay(self._overlay_on)
        self._pipeline.pause(self._paused or not self._overlay_on)

    def _toggle_pause(self) -> None:
        self._paused = not self._paused
        self._pipeline.pause(self._paused or not self._overlay_on)
        self._tell("paused" if self._paused else "goes on")

    def _view(self, view: View) -> None:
        self._compare.view = view
        self._pipeline.redraw()
        self._tell(view.value)

    def _toggle_split(self) -> None:
        self._view(View.UPSCALED if self._compare.view is View.SPLIT else View.SPLIT)

    def _move_divider(self, steps: int) -> None:
        self._compare.move_divider(steps)
        self._pipeline.redraw()

    def _screenshot(self) -> None:
        moment = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")

        def write(before: Pixels, after: Pixels) -> None:
            try:
                write_png(self._screenshots / f"{moment}_before.png", before)
                write_png(self._screenshots / f"{moment}_after.png", after)
            except LiveSRError as error:
                self._tell(error.message)
            else:
                self._tell(f"saved {self._screenshots / moment}_before.png and _after.png")

        def take(before: Pixels, after: Pixels) -> None:  # on the upscale thread, which must not wait for a disk
            threading.Thread(target=write, args=(before, after), name="live-sr screenshot").start()

        self._pipeline.snapshot(take)
