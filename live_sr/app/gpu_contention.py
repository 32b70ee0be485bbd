"""Suggests a frame-rate cap when the game leaves no GPU time for upscaling. Pure: every input is an argument."""

from __future__ import annotations

from statistics import fmean

from live_sr.app.latency_governor import SETTLE_S, WINDOW_S, UpscaleLoad
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Size

FULL = 97  # per cent of load: the GPU has no time left
HOLD_S = 5.0
WHOLE = 0.95  # of the pictures: where less had to be drawn, their time says nothing about the next second
SLOWER = 1.5  # times the undisturbed upscaling time, and
SLOWER_MS = 1.0  # at least this much longer: players do not notice less
MARGIN = 0.05  # frames vary in length, and switching between two programs costs GPU time
USUAL = (72, 144)  # frame limits that players know, beside the multiples of five
LEAST = 20  # frames per second: a lower cap is not worth suggesting


def suggest_frame_cap(game_fps: float, alone_ms: float) -> int:
    """The cap, in frames per second, that leaves upscaling the GPU time it needs; 0 when it would be below LEAST.

    A game that fills the GPU uses g = 1/fps for each frame. Upscaling needs u when undisturbed. With a frame time of
    g + u both fit one after the other: cap = 1 / (g + u), less a margin, rounded down to a multiple of 5 or a usual
    limit. Upscaling work that already runs within g is counted twice, so the cap is on the safe side.
    """
    cap = (1 - MARGIN) * 1000 / (1000 / game_fps + alone_ms)
    fives = int(cap // 5) * 5
    best = max([fives, *(figure for figure in USUAL if figure <= cap)])
    return best if best >= LEAST else 0


class GpuContention:
    """Gives its advice once.

    The undisturbed upscaling time is the median of the quickest second so far, for the present engine and frame size.
    On a GPU that was full from the start this is too high; the advice then comes later, or not at all.
    """

    def __init__(self) -> None:
        self._advised = False
        self._what: tuple[EngineInfo, Size | None] | None = None
        self._since = 0.0
        self._alone_ms = 0.0
        self._full: list[tuple[float, float]] = []  # (time, fps) while the GPU is full and upscaling is slower

    def observe(self, now_s: float, load: UpscaleLoad, gpu_load: int | None, game_fps: float) -> str:
        """Call it every second or more often. Returns the advice, or an empty string.

        gpu_load: in per cent, None if unknown. game_fps: new frames from the game in the last second.
        """
        if self._advised:
            return ""
        what = (load.info, load.size)
        if what != self._what or load.building:
            self._what, self._since, self._alone_ms = what, now_s, 0.0
        is_settled = now_s - self._since >= SETTLE_S + WINDOW_S
        if gpu_load is None or game_fps <= 0 or not load.has_enough_frames or load.drawn < WHOLE or not is_settled:
            self._full.clear()
            return ""
        self._alone_ms = min(load.p50_ms, self._alone_ms or load.p50_ms)
        if gpu_load < FULL or load.p95_ms < max(SLOWER * self._alone_ms, self._alone_ms + SLOWER_MS):
            self._full.clear()
            return ""
        self._full.append((now_s, game_fps))
        if now_s - self._full[0][0] < HOLD_S:
            return ""
        self._advised = True
        return self._format_advice(load, gpu_load)

    def _format_advice(self, load: UpscaleLoad, gpu_load: int) -> str:
        cap = suggest_frame_cap(fmean(fps for _, fps in self._full), self._alone_ms)
        todo = f"cap the game at {cap} fps" if cap else "lower the game's graphics settings or choose a cheaper model"
        took = f"upscaling takes {load.p95_ms:.1f} ms instead of {self._alone_ms:.1f}"
        return f"the graphics card is full ({gpu_load} %), so {took}: {todo}"
