"""What the player is told while playing: the HUD's figures, a message for a moment, notes that stay."""

from __future__ import annotations

from functools import partial

from live_sr.engine.compare import Compare
from live_sr.latency import Latency
from live_sr.overlay.hud import Hud, HudState
from live_sr.overlay.loop import Loop
from live_sr.overlay.presenting import Surface

MESSAGE_S = 2.0


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
        surface.set_hud(hud)
        if hud.problem:
            self.note(hud.problem)

    def say(self, message: str) -> None:
        """In the HUD for a moment: what a key press did."""
        self._loop.post(partial(self._show, message))

    def note(self, note: str, *, aloud: bool = True) -> None:
        """In the HUD from now on: a fallback taken, a warning; `aloud`: on the terminal, too."""
        self._loop.post(partial(self._write_down, note, aloud))

    def refresh(self, engine: Compare) -> None:
        """The figures as they are now, a few times a second while the window can be seen."""
        job = engine.job
        before, after = engine.sizes or (None, None)
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
        )
        self._hud.update(state, self._surface.room())
        self._surface.refresh()

    def _show(self, message: str) -> None:
        self._message = message
        self._loop.after(MESSAGE_S, partial(self._forget, message))

    def _forget(self, message: str) -> None:
        if self._message == message:
            self._message = ""

    def _write_down(self, note: str, aloud: bool) -> None:
        if note not in self._notes:
            self._notes.append(note)
            if aloud:
                print(f"live-sr: {note}", flush=True)
