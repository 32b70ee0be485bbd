"""The latency governor: a cheaper model while upscaling takes longer than its budget, the wished one when it fits.

Pure: the clock, the times and the models are arguments. It does not switch anything, it says what to switch to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from live_sr import assembly
from live_sr.contracts import Job
from live_sr.engine.orders import Wish
from live_sr.frame import Size
from live_sr.latency import Percentiles, Report
from live_sr.models.card import ModelCard

FAMILY = ("quality", "balanced", "fast", "turbo")  # what may stand in for a wished network

WINDOW_S = 1.0  # what `Work` covers
SETTLE_S = 1.0  # an engine's first second does not count: clocks rise, caches fill
FRAMES = 20  # in a second, for a 95th percentile to mean something
BUSY_MS = 500.0  # or so few because upscaling itself took up the second
ROOM = 0.7  # of the budget: a dearer model must be expected to stay below that
WAIT_S = 5.0  # for so long before it is tried; twice as long after each time that it did not hold
RECENT = 10  # seconds
HELD_S = 60.0  # it held: from then on the wait is the first one again


@dataclass(frozen=True)
class Work:
    """What upscaled in the last second and how long a frame took. building: something else is about to take over."""

    job: Job
    p50_ms: float
    p95_ms: float
    frames: int
    size: Size | None = None  # of the game's frames
    building: bool = False

    @classmethod
    def of(cls, report: Report, job: Job, size: Size | None = None, *, building: bool = False) -> Work:
        """`report`: of the last WINDOW_S."""
        upscale = report.stages.get("upscale", Percentiles(0.0, 0.0, 0.0, 0.0))
        return cls(job, upscale.p50, upscale.p95, round(report.shown_fps * report.seconds), size, building)

    @property
    def tells(self) -> bool:
        """Whether there were frames enough to judge by."""
        return self.frames >= FRAMES or self.frames * self.p50_ms >= BUSY_MS


@dataclass(frozen=True)
class Rung:
    """A step of the ladder. macs: multiply-adds per pixel of the game's frame; 0: not known."""

    wish: Wish
    macs: int

    def does(self, job: Job) -> bool:
        """Whether that is this at work, and not what stands in while it is built."""
        return job.model == self.wish.model and self.wish.scale in (None, job.scale)


@dataclass(frozen=True)
class Change:
    """What to switch to (None: nothing, only a word to the player), and a sentence for the HUD."""

    wish: Wish | None
    says: str


def ladder(
    wish: Wish,
    at: int | None = None,
    scales: Callable[[str], tuple[int, ...]] = assembly.scales,
    about: Callable[[str, int], ModelCard | None] = assembly.about,
) -> tuple[Rung, ...]:
    """The wish, then ever cheaper networks of that scale, and last the cheapest of the next smaller scale.

    `at`: the scale in use where the wish leaves it open. Of a network whose cost is not known only the cheapest is
    surely cheaper. A filter has nothing below it. Raises ModelError for a wish that cannot be had.
    """
    scale = wish.scale or at or scales(wish.model)[0]
    card = about(wish.model, scale)
    rungs = [Rung(wish, card.macs_per_pixel if card else 0)]
    if card is None:
        return tuple(rungs)
    family = [c for name in FAMILY for s in scales(name) if (c := about(name, s)) is not None and c.macs_per_pixel]
    family.sort(key=lambda c: c.macs_per_pixel, reverse=True)
    cheaper = [c for c in family if c.scale == scale and c.macs_per_pixel < card.macs_per_pixel]
    if not card.macs_per_pixel:
        cheaper = [c for c in family if c.scale == scale][-1:]
    rungs += [Rung(Wish(c.name, wish.scale), c.macs_per_pixel) for c in cheaper]
    next_scale = max((c.scale for c in family if c.scale < scale), default=0)
    last = [c for c in family if c.scale == next_scale and c.macs_per_pixel < (rungs[-1].macs or c.macs_per_pixel + 1)]
    rungs += [Rung(Wish(c.name, c.scale), c.macs_per_pixel) for c in last[-1:]]
    return tuple(rungs)


class Governor:
    """Goes down when the 95th percentile of a second exceeds the budget, up when the dearer model should fit.

    Expected is the present 95th percentile times what the dearer model takes longer: the ratio of both at their last
    change-over, at most that of their multiply-adds (which is too high: much of a frame's way is not multiplied). The
    dearer one's part in it is the median of some seconds, so that a hiccup of the game does not keep it away for ever;
    if the game has got heavier instead, it is tried once in vain, which measures anew. What tries can cost is bounded
    by the wait, which doubles with each that did not hold. Lives on one thread.
    """

    def __init__(self, budget_ms: float, rungs: tuple[Rung, ...] = ()) -> None:
        """`budget_ms` 0: off."""
        self._budget = budget_ms
        self._job: Job | None = None  # what was at work at the last look, and since when
        self._since = 0.0
        self._size: Size | None = None
        self._fits_since: float | None = None
        self._recent: deque[float] = deque(maxlen=RECENT)  # medians of the last seconds at this rung
        self._from: tuple[int, float] | None = None  # the rung before and its time, until the new one has one
        self._ratios: dict[tuple[int, int], float] = {}  # of medians at a change-over, by (dearer, cheaper)
        self._waits: dict[int, float] = {}  # before a rung is tried, where that is not WAIT_S
        self.wished(rungs)

    def wished(self, rungs: tuple[Rung, ...]) -> None:
        """The player chose: all starts anew, from the top of that wish's ladder."""
        self._rungs = rungs
        self._at = 0
        self._ratios = {}
        self._arrived()
        self._resized(None)

    @property
    def standing(self) -> str:
        """For as long as the wish is not at work because of the budget, a phrase that says so."""
        if self._at == 0:
            return ""
        return f"{self._instead(0, self._at)}, to keep to {self._budget:g} ms"

    def look(self, now_s: float, work: Work) -> Change | None:
        """To be told of every second, once; what is to be done about it."""
        if not self._budget or not self._rungs:
            return None
        if work.size != self._size:
            self._resized(work.size)
        if work.building or work.job != self._job or not self._rungs[self._at].does(work.job):
            self._job, self._since, self._fits_since = work.job, now_s, None
            return None
        if now_s - self._since < SETTLE_S + WINDOW_S or not work.tells:
            self._fits_since = None
            return None
        self._learn(now_s, work)
        return self._down(work) if work.p95_ms > self._budget else self._up(now_s, work)

    def _arrived(self) -> None:
        """At another rung, which is not at work yet."""
        self._job = self._fits_since = self._from = None
        self._recent.clear()
        self._trying = False  # the rung was gone up to and has not held yet
        self._told = False  # that nothing is cheaper

    def _resized(self, size: Size | None) -> None:
        """The game's frames take another time from now on; what is measured of them does not hold any more."""
        self._size = size
        self._recent.clear()
        self._waits = {}

    def _learn(self, now_s: float, work: Work) -> None:
        here = max(work.p50_ms, 1e-3)
        self._recent.append(here)
        if self._from is not None:
            before, there = self._from
            pair = (min(before, self._at), max(before, self._at))
            self._ratios[pair] = there / here if before < self._at else here / there
            self._from = None
        if self._trying and now_s - self._since >= HELD_S:
            self._trying = False
            self._waits.pop(self._at, None)

    def _down(self, work: Work) -> Change | None:
        self._fits_since = None
        if self._trying:
            self._waits[self._at] = 2 * self._waits.get(self._at, WAIT_S)
        below = range(self._at + 1, len(self._rungs))
        if not below:
            if self._told or len(self._rungs) == 1:
                return None
            self._told = True
            name = str(self._rungs[-1].wish)
            return Change(None, f"{self._took(work)}, and {name} is the cheapest there is")
        to = next((rung for rung in below if self._at_best(rung, work) <= self._budget), below[-1])
        return self._go(to, f"{self._took(work)}: {self._instead(self._at, to)}")

    def _up(self, now_s: float, work: Work) -> Change | None:
        to = self._at - 1
        if to < 0 or work.p95_ms * self._dearer(to) > ROOM * self._budget:
            self._fits_since = None
            return None
        self._fits_since = now_s if self._fits_since is None else self._fits_since
        if now_s - self._fits_since < self._waits.get(to, WAIT_S):
            return None
        change = self._go(to, f"{self._took(work)}: {self._instead(self._at, to)}")
        self._trying = True
        return change

    def _go(self, to: int, says: str) -> Change:
        before = (self._at, median(self._recent))
        self._at = to
        self._arrived()
        self._from = before
        return Change(self._rungs[to].wish, says)

    def _at_best(self, rung: int, work: Work) -> float:
        """The typical time of a cheaper rung, if all of it fell with the multiply-adds; 0: not known."""
        here = self._rungs[self._at].macs
        return work.p50_ms * self._rungs[rung].macs / here if here else 0.0

    def _dearer(self, rung: int) -> float:
        """How many times the present time that rung is expected to take."""
        here, there = self._rungs[self._at].macs, self._rungs[rung].macs
        known = [there / here] if here and there else []
        if (rung, self._at) in self._ratios:
            known.append(self._ratios[rung, self._at])
        return max(1.0, min(known, default=1.0))

    def _took(self, work: Work) -> str:
        return f"upscaling took {work.p95_ms:.1f} ms of {self._budget:g}"

    def _instead(self, before: int, after: int) -> str:
        """ "fast instead of balanced", "turbo ×2 instead of turbo ×4"."""
        old, new = self._rungs[before].wish, self._rungs[after].wish
        if old.scale == new.scale:
            return f"{new.model} instead of {old.model}"
        return f"{new} instead of {old}"
