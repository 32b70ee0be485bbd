"""One run of the desktop app: connects its parts, starts them and ends them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic

from live_sr.app.control_socket import ControlSocket, open_control_socket
from live_sr.app.controls import Controls
from live_sr.app.frame_log import FrameLog
from live_sr.app.game_pointer import GamePointer
from live_sr.app.gpu_contention import GpuContention
from live_sr.app.latency_governor import WINDOW_S, LatencyGovernor, UpscaleLoad, build_ladder, resolve_family
from live_sr.app.notifications import Notifications
from live_sr.app.output_monitor import find_output_monitor
from live_sr.app.overlay_keeper import OverlayKeeper
from live_sr.app.screenshots import ScreenshotWriter
from live_sr.app.session_hotkeys import SessionHotkeys
from live_sr.app.start_check import resolve_selection
from live_sr.app.video_recorder import RecordedDisplay, VideoRecorder
from live_sr.app.window_tracker import WindowTracker
from live_sr.capture.select import open_sound
from live_sr.config import Settings
from live_sr.engines import engine_choice, factory, loading, region_factory
from live_sr.engines.live.build_request import Selection
from live_sr.engines.live.hot_swap import EngineSupply, HotSwapEngine
from live_sr.engines.live.presenter import Presenter
from live_sr.engines.options import EngineOptions
from live_sr.errors import SourceClosed
from live_sr.nvidia.nvml import GpuMonitor
from live_sr.overlay.display import QtDisplay
from live_sr.overlay.event_loop import EventLoop
from live_sr.overlay.hud import HudOverlay
from live_sr.overlay.status_badge import StatusBadge
from live_sr.overlay.window_factory import make_window
from live_sr.pipeline.contracts import FrameSource
from live_sr.pipeline.desktop_contracts import Desktop
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Rect
from live_sr.pipeline.latency import Latency
from live_sr.pipeline.pipeline import Pipeline, PipelineEvents, SourceState
from live_sr.system import hardware

FOLLOW_S = 0.05
HUD_S = 0.25
CHECK_LOAD_S = 1.0
KEEP_MODEL = " (to keep the chosen model however slow it is: budget_ms = 0 in [engine])"

log = logging.getLogger(__name__)


class Session:
    """Belongs to the GUI thread. `notifications` takes notes from any thread."""

    def __init__(
        self,
        loop: EventLoop,
        desktop: Desktop,
        config: Settings,
        open_source: Callable[[], FrameSource],
        tracker: WindowTracker,
        *,
        patient: bool = False,
        log: FrameLog | None = None,
    ) -> None:
        self._loop = loop
        self._desktop = desktop
        self._config = config
        self._tracker = tracker
        self._patient = patient
        self._log = log
        self._end = ""
        self._failure: BaseException | None = None
        self._reported_loss = ""  # why there is no picture, as printed on the terminal
        self._keys: SessionHotkeys | None = None
        self._control_socket: ControlSocket | None = None
        self._pointer: GamePointer | None = None

        self._options = EngineOptions.from_settings(config, live=True)
        selection = resolve_selection(config)
        self.latency = Latency()
        overlay = config.overlay
        open_canvas = factory.find_canvas_opener(self._options, software=overlay.present == "gpu")
        self._surface, why = make_window(
            overlay.mode, overlay.present, overlay.vsync, overlay.aspect_ratio, open_canvas
        )
        hud = HudOverlay(config.hud.level, config.hud.corner)
        self.notifications = Notifications(loop, hud, self._surface, self.latency, config.hud.seconds)
        self.notifications.add_note(why, in_terminal=False)
        on_processor = not engine_choice.choose_engine(self._options)[0].on_gpu
        self._family = resolve_family(on_processor=on_processor)
        ladder = build_ladder(selection, family=self._family)
        self._governor = LatencyGovernor(config.engine.budget_ms, ladder, on_processor=on_processor)
        self._contention = GpuContention()
        self._gpu_monitor: GpuMonitor | None = None
        self._hot_swap = HotSwapEngine(self._make_engine_supply(), selection, aspect=config.overlay.aspect_ratio)
        self._presenter = Presenter(
            self._hot_swap,
            factory.make_resizer("auto"),
            factory.make_resizer("nearest"),
            aspect=config.overlay.aspect_ratio,
        )
        self._presenter.keep_on_device = self._surface.shows_device_pictures
        self._presenter.compare_on_device = self._surface.compares_device_pictures
        self._surface.on_device_failure(self._keep_on_device_unless)
        self.recorder = VideoRecorder(
            Path(config.recording.folder),
            self.notifications.show_message,
            rate=config.recording.fps,
            redraw=lambda: self._pipeline.redraw(),
            open_sound=partial(open_sound, self._find_game) if config.recording.sound == "auto" else None,
            fastest=config.recording.preset == "fastest",
        )
        self._pipeline: Pipeline[DisplayPicture] = Pipeline(
            open_source,
            self._presenter,
            RecordedDisplay(QtDisplay(self._surface, self.latency), self.recorder),
            self.latency,
            events=self._make_events(),
            patient=True,  # the tracker knows when the game has ended: it may open another window
        )
        self._overlay = OverlayKeeper(
            self._surface,
            desktop,
            tracker,
            self._pipeline,
            self.latency,
            self.notifications,
            StatusBadge(hud),
            covering=config.overlay.mode == "cover",
            aspect=config.overlay.aspect_ratio,
        )
        self._overlay.place_beside(find_output_monitor(config.overlay.monitor, desktop.list_monitors()))
        if log is not None:
            log.engine = lambda: self._presenter.info
            log.on_lost = partial(self.notifications.add_note, in_terminal=False)
            self.latency.on_shown = log.write_row
        self.controls = Controls(
            selection,
            self._hot_swap,
            self._presenter,
            hud,
            self._pipeline,
            notify=self.notifications.show_message,
            selected=self._make_new_ladder,
            switch_overlay=self._switch_overlay,
            quit_=partial(self.finish, "the quit key was pressed"),
            screenshots=ScreenshotWriter(Path(config.overlay.screenshots), self.notifications.show_message),
            toggle_recording=self.recorder.toggle,
        )

    def run(self) -> str:
        """Runs until the player quits or the game ends, and returns which as a clause. Raises any other cause."""
        self._surface.resized.connect(self._update_room)
        self._surface.closed.connect(partial(self.finish, "its window was closed"))
        self._loop.on_hangup = partial(self.notifications.add_note, "the terminal was closed; the picture goes on")
        try:
            self._keys = SessionHotkeys(
                self._loop,
                self.controls,
                self._config.hotkeys.model_dump(),
                self._config.overlay.hotkeys,
                self.notifications.add_note,
            )
            self.notifications.list_keys = self._keys.get_keys
            self._control_socket = open_control_socket(self._loop, self.controls)
            self._pointer = GamePointer(
                self._loop, self._surface, self._desktop, self._config.overlay, self.notifications.add_note
            )
            self._tick()
            self._loop.call_every(FOLLOW_S, self._tick)
            self._loop.call_every(HUD_S, self._refresh)
            self._gpu_monitor = self.notifications.gpu_monitor = GpuMonitor()
            self._loop.call_every(CHECK_LOAD_S, self._check_load)
            self._pipeline.start()
            self._loop.run()
        finally:
            self._close()
        if self._failure is not None:
            raise self._failure
        return self._end or "it received a signal to end"

    def finish(self, why: str) -> None:
        self._end = self._end or why
        self._loop.quit()

    def hide_from_capture(self) -> bool:
        """Asks the system to keep the overlay out of screen captures; returns whether it does."""
        hide = self._config.overlay.hide_from_recorders
        return self._desktop.exclude_from_capture(self._overlay.window_id, hide) and hide

    def keep_out_of(self, captured: Rect) -> None:
        """Places the window beside a captured part of the screen, and captures nothing while it lies over that.

        Raises UsageError where there is no room.
        """
        self._overlay.keep_out_of(captured)

    # Wiring

    def _make_engine_supply(self) -> EngineSupply:
        options = self._options
        return EngineSupply(
            make_plain=partial(loading.make_filter, self._config.engine.plain),
            make=lambda model, scale, watch: region_factory.make_engine(model, scale, options, watch),
            make_quick=region_factory.find_quick_maker(options),
            is_built=partial(factory.is_built, options=options),
            make_spare=factory.find_spare_maker(options),
            builds_slowly=factory.builds_slowly(options),
            notify=self.notifications.add_note,
            report_progress=self.notifications.show_build,
            on_change=lambda: self._pipeline.redraw(),
        )

    def _find_game(self) -> int:
        """The process of the game; 0 while it has no window. Called on any thread."""
        window = self._tracker.window
        return window.pid if window is not None else 0

    def _make_new_ladder(self, wanted: Selection) -> None:
        self._governor.start_over(build_ladder(wanted, self._hot_swap.choose_scale(wanted), self._family))

    def _make_events(self) -> PipelineEvents:
        return PipelineEvents(
            source=lambda state, why: self._loop.post(partial(self._source_changed, state, why)),
            ended=lambda cause: self._loop.post(partial(self._ended, cause)),
        )

    def _keep_on_device_unless(self, why: str) -> None:
        """From now on every picture is copied through main memory for this reason, or none for an empty one."""
        self._presenter.keep_on_device = not why
        note = f"pictures go through main memory: {why}" if why else "pictures stay on the graphics card again"
        self.notifications.add_note(note)
        self._pipeline.redraw()  # what was on the card is lost with it

    def _close(self) -> None:
        """Takes the picture off the screen at once, then closes everything in the reverse order of the start."""
        with ExitStack() as last_first:  # each is closed, also where another one fails
            if self._log is not None:
                last_first.callback(self._log.close)
            last_first.callback(self._presenter.close)
            last_first.callback(self.recorder.close)
            last_first.callback(self._pipeline.stop)
            for part in (self._gpu_monitor, self._control_socket, self._keys, self._pointer, self._overlay):
                if part is not None:
                    last_first.callback(part.close)

    # The overlay

    def _tick(self) -> None:
        where = self._overlay.update(self.controls, self._pointer)
        if where.gone and not self._patient:
            self.finish(self._tracker.end)
        self._update_room()

    def _update_room(self) -> None:
        room = self._overlay.room
        if room != self._presenter.room:
            self._presenter.room = room
            self._hot_swap.set_room(room)
            self._pipeline.redraw()

    def _switch_overlay(self, on: bool) -> None:
        self._overlay.switch(on)
        self._tick()

    def _refresh(self) -> None:
        if self._overlay.visible:
            self.notifications.recording_s = self.recorder.seconds
            self.notifications.refresh(self._presenter)

    def _check_load(self) -> None:
        """Once a second: keep to the latency budget, and check whether the game leaves GPU time for upscaling."""
        report, sizes, job = self.latency.report(WINDOW_S), self._presenter.sizes, self._presenter.info
        load = UpscaleLoad.of(report, job, sizes[0] if sizes else None, building=self._hot_swap.is_building)
        change = self._governor.observe(monotonic(), load)
        if change is not None:
            self.notifications.show_message(change.message)
            remedy = KEEP_MODEL if self._governor.is_automatic and change.selection is not None else ""
            log.info("%s%s", change.message, remedy)
            if change.selection is not None:
                self._hot_swap.select(change.selection)
                self._pipeline.redraw()
        self.notifications.budget = self._governor.status
        card = (
            self._gpu_monitor.latest.find()
            if self._gpu_monitor is not None and hardware.describe_nvidia_runtime(job.engine)
            else None
        )
        advice = self._contention.observe(monotonic(), load, card.load if card else None, report.captured_fps)
        if advice:
            self.notifications.add_note(advice)

    # From the pipeline, through the event loop

    def _source_changed(self, state: SourceState, why: str) -> None:
        if state is SourceState.LOST:
            self.notifications.lost = f"reopening: {why}"
            if not self._overlay.visible and self._tracker.window is not None and why != self._reported_loss:
                self._reported_loss = why
                log.warning("no picture: %s", why)  # there is no HUD to say it
        elif state is SourceState.RUNNING:
            self.notifications.lost = ""

    def _ended(self, cause: BaseException | None) -> None:
        if isinstance(cause, SourceClosed):
            self.finish(cause.message)
        else:
            self._failure = cause
            self.finish("")
