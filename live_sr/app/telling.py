"""What the player is told while playing: the HUD's figures, a message for a moment, notes that stay."""

from __future__ import annotations

from functools import partial
from time import monotonic

from live_sr import hardware
from live_sr.engine.compare import Compare
from live_sr.latency import Latency
from live_sr.nvml import Gauge
from live_sr.overlay.hud import Hud, HudState
from live_sr.overlay.loop import Loop
from live_sr.overlay.presenting import Surface

MESSAGE_S = 2.0
TERMINAL_S = 10.0  # between two lines about one build


class Teller:
    """Lives on the GUI thread; `say` and `note` may be called from any."""

    def __init__(self, loop: Loop, hud: Hud, surface: Surface, latency: Latency, seconds: float) -> None:
        """`seconds`: how much of the past the figures cover."""
        self._loop = loop
        self._hud = hud
        self._surface = surface
        self._latency = latency
        self._seconds = seconds
        self._notes: list[str] = []
        self._message = ""
        self.lost = ""  # why there are no frames at present
        self.building = ""  # how far a long build is; empty: there is none
        self.budget = ""  # what the governor put in the wish's place
        self.gauge: Gauge | None = None  # of the NVIDIA card, where one is looked for
        self._build_due = 0.0
        surface.set_hud(hud)
        if hud.problem:
            self.note(hud.problem)

    def say(self, message: str) -> None:
        """In the HUD for a moment: what a key press did."""
        self._loop.post(partial(self._show, message))

    def note(self, note: str, *, aloud: bool = True) -> None:
        """In the HUD from now on: a fallback taken, a warning; `aloud`: on the terminal, too."""
        self._loop.post(partial(self._write_down, note, aloud))

    def build(self, words: str) -> None:
        """In the HUD for as long as it lasts: how far a long build is; empty: it is over. From any thread."""
        self._loop.post(partial(self._built_on, words))

    def refresh(self, engine: Compare) -> None:
        """The figures as they are now, a few times a second while the window can be seen."""
        job = engine.job
        before, after = engine.sizes or (None, None)
        runtime = hardware.nvidia_runtime(job.engine)
        state = HudState(
            report=self._latency.report(self._seconds),
            model=job.model,
            scale=job.scale,
            engine=job.engine,
            precision=job.precision,
            input=before,
            output=after,
            source=self.lost,
            notes=tuple(self._notes),
            message=self._message,
            build=self.building,
            budget=self.budget,
            gpu=self.gauge.latest.card() if self.gauge is not None else None,
            runtime=runtime,
            advice=self.gauge.advice() if self.gauge is not None and runtime else "",
        )
        self._hud.update(state, self._surface.room())
        self._surface.refresh()

    def _show(self, message: str) -> None:
        self._message = message
        self._loop.after(MESSAGE_S, partial(self._forget, message))

    def _forget(self, message: str) -> None:
        if self._message == message:
            self._message = ""

    def _built_on(self, words: str) -> None:
        now = monotonic()
        if words and (not self.building or now >= self._build_due):
            print(f"live-sr: {words}", flush=True)
            self._build_due = now + TERMINAL_S
        self.building = words

    def _write_down(self, note: str, aloud: bool) -> None:
        if note not in self._notes:
            self._notes.append(note)
            if aloud:
                print(f"live-sr: {note}", flush=True)
