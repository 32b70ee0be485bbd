"""Notifications to the player: the HUD's figures, short messages, and notes that stay."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic

from live_sr.engines.live.presenter import Presenter
from live_sr.nvidia.nvml import GpuMonitor
from live_sr.overlay.event_loop import EventLoop
from live_sr.overlay.hud import HudOverlay
from live_sr.overlay.hud_text import HudState
from live_sr.overlay.surface import Surface
from live_sr.pipeline.latency import Latency
from live_sr.system import hardware

log = logging.getLogger(__name__)

MESSAGE_S = 2.0  # how long a message is shown
INTRODUCE_S = 10.0  # how long the line lists some keys, after the start
TERMINAL_S = 10.0  # between two terminal lines about the same build


class Notifications:
    """Belongs to the GUI thread; `show_message`, `add_note` and `show_build` may be called from any thread."""

    def __init__(self, loop: EventLoop, hud: HudOverlay, surface: Surface, latency: Latency, seconds: float) -> None:
        """`seconds`: the period that the HUD's figures cover."""
        self._loop = loop
        self._hud = hud
        self._surface = surface
        self._latency = latency
        self._seconds = seconds
        self._notes: list[str] = []
        self._message = ""
        self.status = ""  # why the picture stands still; stays up while it does
        self.lost = ""  # why there are no frames now
        self.building = ""  # progress of a long build; empty: there is none
        self.budget = ""  # which model the latency governor runs in place of the selected one
        self.recording_s: int | None = None  # how long a video is being recorded
        self.gpu_monitor: GpuMonitor | None = None  # of the NVIDIA GPU, once it is being monitored
        self.list_keys: Callable[[], Mapping[str, str]] = dict  # the keys that are heard now, by action
        self._build_due = 0.0
        self._introduced_s: float | None = None  # when the HUD began to list the first keys
        surface.set_hud(hud)
        if hud.problem:
            self.add_note(hud.problem)

    def show_message(self, message: str) -> None:
        """Show for a moment what a key press did."""
        self._loop.post(partial(self._set_message, message))

    def add_note(self, note: str, *, in_terminal: bool = True) -> None:
        """Show a warning or a fallback from now on, as the newest; with `in_terminal` also print it the first time."""
        self._loop.post(partial(self._add_note, note, in_terminal))

    def show_build(self, progress: str) -> None:
        """Show how far a long build is; an empty text ends it."""
        self._loop.post(partial(self._update_build, progress))

    def refresh(self, presenter: Presenter) -> None:
        """Update the HUD: call it a few times a second while the window is visible."""
        info = presenter.info
        before, after = presenter.sizes or (None, None)
        now = monotonic()
        if self._introduced_s is None:
            self._introduced_s = now
        runtime = hardware.describe_nvidia_runtime(info.engine)
        state = HudState(
            report=self._latency.report(self._seconds),
            model=info.model,
            scale=info.scale,
            engine=info.engine,
            precision=info.precision,
            input=before,
            output=after,
            status=self.status,
            source=self.lost,
            notes=tuple(self._notes),
            message=self._message,
            build=self.building,
            budget=self.budget,
            gpu=self.gpu_monitor.latest.find() if self.gpu_monitor is not None else None,
            runtime=runtime,
            keys=tuple(self.list_keys().items()),
            introduce=now - self._introduced_s < INTRODUCE_S,
            advice=self.gpu_monitor.advice() if self.gpu_monitor is not None and runtime else "",
            recording_s=self.recording_s,
        )
        self._hud.update(state, self._surface.get_room(), self._surface.find_picture())
        self._surface.refresh()

    def _set_message(self, message: str) -> None:
        self._message = message
        self._loop.call_later(MESSAGE_S, partial(self._clear_message, message))

    def _clear_message(self, message: str) -> None:
        if self._message == message:
            self._message = ""

    def _update_build(self, progress: str) -> None:
        now = monotonic()
        if progress and (not self.building or now >= self._build_due):
            log.info(progress)
            self._build_due = now + TERMINAL_S
        self.building = progress

    def _add_note(self, note: str, in_terminal: bool) -> None:
        is_new = note not in self._notes
        self._notes = [*(other for other in self._notes if other != note), note]
        if is_new and in_terminal:
            log.warning(note)
