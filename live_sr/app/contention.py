"""When the game leaves nothing of the graphics card: the frame rate to cap it at. Pure: all it knows is told to it."""

from __future__ import annotations

from statistics import fmean

from live_sr.app.governor import SETTLE_S, WINDOW_S, Work
from live_sr.contracts import Job
from live_sr.frame import Size

FULL = 97  # per cent of load: the card has no time left
HOLD_S = 5.0
SLOWER = 1.5  # times what upscaling takes alone ...
SLOWER_MS = 1.0  # ... and by so much: less nobody sees
MARGIN = 0.05  # frames are not equally long, and changing between two programs costs the card time
USUAL = (72, 144)  # frame limits that players know, beside the multiples of five
LEAST = 20  # frames a second that are worth a cap


def frame_cap(game_fps: float, alone_ms: float) -> int:
    """Frames a second at which a game leaves the card the time that upscaling needs; 0: fewer than are worth it.

    A game that fills the card has g = 1/fps of it for each of its frames, and the upscaling of that frame, which takes
    u when nothing is in its way, must wait until the card turns to it. With a frame time of g + u both find room one
    after the other: cap = 1 / (g + u), less a margin, rounded down to a multiple of 5 or a usual limit. What the card
    does of our work within g is counted twice, which errs on the side of room.
    """
    cap = (1 - MARGIN) * 1000 / (1000 / game_fps + alone_ms)
    fives = int(cap // 5) * 5
    best = max([fives, *(figure for figure in USUAL if figure <= cap)])
    return best if best >= LEAST else 0


class Contention:
    """Advises once. The time that upscaling takes alone is the median of its quickest second so far, with this engine
    and size of the game: while a card is full all the time that is too high, and the advice comes later or not at all.
    """

    def __init__(self) -> None:
        self._advised = False
        self._what: tuple[Job, Size | None] | None = None
        self._since = 0.0
        self._alone_ms = 0.0
        self._full: list[tuple[float, float]] = []  # (moment, frames a second) while the card is full and we suffer

    def look(self, now_s: float, work: Work, load: int | None, game_fps: float) -> str:
        """To be told about every second or more often; the advice, or an empty string.

        load: of the card in per cent, None: not known. game_fps: new frames that came from the game in the last second.
        """
        if self._advised:
            return ""
        what = (work.job, work.size)
        if what != self._what or work.building:
            self._what, self._since, self._alone_ms = what, now_s, 0.0
        if load is None or game_fps <= 0 or not work.tells or now_s - self._since < SETTLE_S + WINDOW_S:
            self._full.clear()
            return ""
        self._alone_ms = min(work.p50_ms, self._alone_ms or work.p50_ms)
        if load < FULL or work.p95_ms < max(SLOWER * self._alone_ms, self._alone_ms + SLOWER_MS):
            self._full.clear()
            return ""
        self._full.append((now_s, game_fps))
        if now_s - self._full[0][0] < HOLD_S:
            return ""
        self._advised = True
        return self._advice(work, load)

    def _advice(self, work: Work, load: int) -> str:
        cap = frame_cap(fmean(fps for _, fps in self._full), self._alone_ms)
        todo = f"cap the game at {cap} fps" if cap else "lower the game's graphics settings or choose a cheaper model"
        took = f"upscaling takes {work.p95_ms:.1f} ms instead of {self._alone_ms:.1f}"
        return f"the graphics card is full ({load} %), so {took}: {todo}"
