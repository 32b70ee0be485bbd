"""One run of the desktop app: the parts wired, and the overlay kept where the game is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic

from live_sr import assembly, hardware, screen
from live_sr.app.contention import Contention
from live_sr.app.controls import Controls
from live_sr.app.follow import Follower
from live_sr.app.framelog import FrameLog
from live_sr.app.governor import WINDOW_S, Governor, Work, ladder
from live_sr.app.telling import Teller
from live_sr.config import Config
from live_sr.contracts import Desktop, FrameSource, Hotkeys
from live_sr.cuda.shown import Shown, copied
from live_sr.engine.compare import Compare
from live_sr.engine.direct import Direct
from live_sr.engine.fitted import Fitted
from live_sr.engine.orders import Wish
from live_sr.engine.relay import Relay, Workshop
from live_sr.errors import SourceClosed
from live_sr.frame import Rect
from live_sr.latency import Latency
from live_sr.nvml import Gauge
from live_sr.overlay.hud import Hud
from live_sr.overlay.loop import Loop
from live_sr.overlay.window import QtDisplay, make_window
from live_sr.pipeline import Events, Pipeline, SourceState

FOLLOW_S = 0.05
HUD_S = 0.25
LOOK_AFTER_S = 1.0


class Session:
    """Lives on the GUI thread. `teller` takes notes from anywhere."""

    def __init__(
        self,
        loop: Loop,
        desktop: Desktop,
        config: Config,
        open_source: Callable[[], FrameSource],
        follower: Follower,
        *,
        patient: bool = False,
        log: FrameLog | None = None,
    ) -> None:
        self._loop = loop
        self._desktop = desktop
        self._config = config
        self._follower = follower
        self._patient = patient
        self._log = log
        self._covering = config.overlay.mode == "cover"
        self._end = ""
        self._failure: BaseException | None = None
        self._switched_on = True
        self._there = False  # the game can be seen
        self._visible = False
        self._placed: Rect | None = None
        self._keys: Hotkeys | None = None

        wish = Wish(config.model.name, None if config.model.scale == "fit" else config.model.scale)
        assembly.check_model(wish.model, wish.scale)  # a wrong one ends the start, not the first frame
        self.latency = Latency()
        self._surface, why = make_window(config.overlay.mode, config.overlay.present, config.overlay.vsync)
        hud = Hud(config.hud.level, config.hud.corner)
        self.teller = Teller(loop, hud, self._surface, self.latency, config.hud.seconds)
        self.teller.note(why, aloud=False)
        self._governor = Governor(config.engine.budget_ms, ladder(wish))
        self._contention = Contention()
        self._gauge: Gauge | None = None
        self._relay = Relay(self._workshop(), wish)
        self._fitted = Fitted(self._relay, assembly.resizer("auto"))
        self._engine = Compare(self._fitted, assembly.resizer("nearest"))
        self._direct = Direct(self._engine, self._relay)
        self._direct.allowed = self._surface.takes_cards
        self._surface.on_trouble(self._not_from_the_card)
        self._pipeline: Pipeline[Shown] = Pipeline(
            open_source,
            self._direct,
            QtDisplay(self._surface, self.latency),
            self.latency,
            events=self._events(),
            patient=patient,
            copied=copied,
        )
        if log is not None:
            log.engine = lambda: self._engine.job
            self.latency.on_shown = log.row
        self.controls = Controls(
            wish,
            self._relay,
            self._engine,
            hud,
            self._pipeline,
            tell=self.teller.say,
            selected=lambda wished: self._governor.wished(ladder(wished, at=self._relay.scale)),
            switch_overlay=self._switch_overlay,
            quit_=partial(self.finish, "the quit key was pressed"),
            screenshots=Path(config.overlay.screenshots),
        )

    def run(self) -> str:
        """Until the player quits or the game ends; the sentence that says which. Raises what went wrong otherwise."""
        self._surface.resized.connect(self._make_room)
        self._surface.closed.connect(partial(self.finish, "its window was closed"))
        try:
            self._bind()
            self._tick()
            self._loop.every(FOLLOW_S, self._tick)
            self._loop.every(HUD_S, self._refresh)
            self._gauge = self.teller.gauge = Gauge()
            self._loop.every(LOOK_AFTER_S, self._look_after)
            self._pipeline.start()
            self._loop.run()
        finally:
            self._close()
        if self._failure is not None:
            raise self._failure
        return self._end or "it was asked to end"

    def finish(self, why: str) -> None:
        self._end = self._end or why
        self._loop.quit()

    def hide_from_capture(self) -> bool:
        """Whether the system keeps the overlay out of what it captures of the screen."""
        hide = self._config.overlay.hide_from_recorders
        return self._desktop.exclude_from_capture(self._window_id(), hide) and hide

    # Wiring

    def _workshop(self) -> Workshop:
        options = assembly.engine_options(self._config)
        return Workshop(
            plain=partial(assembly.plain_engine, self._config.engine.plain),
            make=lambda model, scale, watch: assembly.make_engine(model, scale, options, watch),
            quick=assembly.quick_engine(options),
            spare=assembly.spare_engine(options),
            patient=assembly.builds_long(options),
            scales=assembly.scales,
            tell=self.teller.note,
            progress=self.teller.build,
            changed=lambda: self._pipeline.redraw(),
        )

    def _events(self) -> Events:
        return Events(
            source=lambda state, why: self._loop.post(partial(self._source_changed, state, why)),
            ended=lambda cause: self._loop.post(partial(self._ended, cause)),
        )

    def _not_from_the_card(self, why: str) -> None:
        """From now on every picture goes through main memory."""
        self._direct.allowed = False
        self.teller.note(f"pictures go through main memory: {why}")

    def _bind(self) -> None:
        self._keys, problem = screen.hotkeys()
        if self._keys is None:
            self.teller.note(problem)
            return
        wanted = {action: key for action, key in self._config.hotkeys.model_dump().items() if key}
        for problem in self._keys.bind(
            wanted,
            lambda action: self._loop.post(partial(self.controls.press, action)),
            lambda action: self._loop.post(partial(self.controls.release, action)),
        ):
            self.teller.note(problem)

    def _close(self) -> None:
        """In the other order of the start."""
        if self._keys is not None:
            self._keys.close()
        if self._gauge is not None:
            self._gauge.close()
        self._pipeline.stop()
        self._direct.close()
        self._surface.setVisible(False)
        if self._log is not None:
            self._log.close()

    # The overlay

    def _tick(self) -> None:
        """Follow the game. The overlay appears with its first picture, never as a black window."""
        where = self._follower.look()
        if where.gone and not self._patient:
            self.finish("the game's window was closed")
        there = where.rect is not None
        if there and not self._there:
            self._pipeline.retry()  # it is back: do not sit out the wait
        self._there = there
        if there and where.rect != self._placed:
            self._placed = where.rect
            self._place()
        visible = self._switched_on and (there or not self._covering) and self.latency.frames_upscaled > 0
        if visible != self._visible:
            self._visible = visible
            self._surface.setVisible(visible)
            self._place()

    def _place(self) -> None:
        if self._covering and self._placed is not None:
            self._desktop.dress(self._window_id())
            self._desktop.place(self._window_id(), self._placed)
        self._make_room()

    def _make_room(self) -> None:
        room = self._placed.size if self._covering and self._placed is not None else self._surface.room()
        if room != self._fitted.room:
            self._fitted.room = room
            self._relay.room(room)
            self._pipeline.redraw()

    def _window_id(self) -> int:
        return int(self._surface.winId())  # type: ignore[call-overload, no-any-return]  # a sip.voidptr

    def _switch_overlay(self, on: bool) -> None:
        self._switched_on = on
        self._tick()

    def _refresh(self) -> None:
        if self._visible:
            self.teller.refresh(self._engine)

    def _look_after(self) -> None:
        """Once a second: keep to the budget, and see whether the game leaves us a share of the card."""
        report, sizes, job = self.latency.report(WINDOW_S), self._engine.sizes, self._engine.job
        work = Work.of(report, job, sizes[0] if sizes else None, building=bool(self.teller.building))
        change = self._governor.look(monotonic(), work)
        if change is not None:
            if change.wish is not None:
                self._relay.wish(change.wish)
                self._pipeline.redraw()
            self.teller.say(change.says)
        self.teller.budget = self._governor.standing
        card = self._gauge.latest.card() if self._gauge is not None and hardware.nvidia_runtime(job.engine) else None
        advice = self._contention.look(monotonic(), work, card.load if card else None, report.captured_fps)
        if advice:
            self.teller.note(advice)

    # From the pipeline, by way of the loop

    def _source_changed(self, state: SourceState, why: str) -> None:
        if state is SourceState.LOST:
            self.teller.lost = f"reopening: {why}"
        elif state is SourceState.RUNNING:
            self.teller.lost = ""

    def _ended(self, cause: BaseException | None) -> None:
        if isinstance(cause, SourceClosed):
            self.finish(cause.message)
        else:
            self._failure = cause
            self.finish("")
