"""Keeps upscaling within its time budget: a cheaper model while it takes too long, the selected one when it fits again.

Pure: clock, timings and models are arguments. It does not switch anything itself; it returns what to switch to.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from live_sr.engines.live.build_request import Selection
from live_sr.models.resolve import Model, resolve
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Size
from live_sr.pipeline.latency import LatencyReport, Percentiles

FAMILY = ("quality", "balanced", "fast", "turbo")  # networks that may replace the selected one

WINDOW_S = 1.0  # the time that one `UpscaleLoad` covers
SETTLE_S = 1.0  # the first second of an engine is ignored: clock rates rise, caches fill
FRAMES = 20  # per second: fewer do not give a meaningful 95th percentile,
BUSY_MS = 500.0  # unless they are few because upscaling itself used at least this much of the second
ROOM = 0.7  # of the budget: a more expensive model is tried when it is expected to stay below this
WAIT_S = 5.0  # how long it must be expected to fit before it is tried; doubled after every failed try
RECENT = 10  # seconds
HELD_S = 60.0  # a try that lasts this long succeeded: the wait is the first one again
BLIND_WAIT_S = 30.0  # the same from a filter, whose time does not say how long a network would take
BLIND_WAIT_LIMIT_S = 300.0
PROCESSOR_BUDGET_MS = 33.0  # 30 frames a second; not the game's own rate, which falls with the load that upscaling adds
PROCESSOR_FILTER = "bicubic"  # the cheapest level on a processor, where even the smallest network may be too slow


@dataclass(frozen=True)
class UpscaleLoad:
    """Which engine upscaled in the last second, and how long a frame took.

    building: another engine is being built. drawn: the share of the pictures that had to be enlarged.
    """

    info: EngineInfo
    p50_ms: float
    p95_ms: float
    frames: int
    size: Size | None = None  # of the game's frames
    building: bool = False
    drawn: float = 1.0

    @classmethod
    def of(
        cls, report: LatencyReport, job: EngineInfo, size: Size | None = None, *, building: bool = False
    ) -> UpscaleLoad:
        """`report`: of the last WINDOW_S."""
        upscale = report.stages.get("upscale", Percentiles(0.0, 0.0, 0.0, 0.0))
        frames = round(report.shown_fps * report.seconds)
        return cls(job, upscale.p50, upscale.p95, frames, size, building, report.drawn)

    @property
    def has_enough_frames(self) -> bool:
        """Whether there were enough frames to judge by."""
        return self.frames >= FRAMES or self.frames * self.p50_ms >= BUSY_MS


@dataclass(frozen=True)
class QualityLevel:
    """One of the models to choose from. macs: multiply-adds per pixel of the game's frame; 0 if unknown."""

    selection: Selection
    macs: int

    def matches(self, job: EngineInfo) -> bool:
        """Whether that engine runs this level, and not a substitute while it is being built."""
        return job.model == self.selection.model.title and self.selection.scale in (None, job.scale)


@dataclass(frozen=True)
class ModelChange:
    """What to switch to (None: nothing, only the message), and a sentence for the HUD."""

    selection: Selection | None
    message: str


def resolve_family(*, on_processor: bool = False) -> list[Model]:
    """The models that may take the place of the selected one. Raises ModelError."""
    return [resolve(name) for name in (*FAMILY, *([PROCESSOR_FILTER] if on_processor else []))]


def build_ladder(
    selection: Selection,
    at: int | None = None,
    family: Sequence[Model] = (),
) -> tuple[QualityLevel, ...]:
    """The selection, cheaper networks of its scale in falling cost, the cheapest of the next lower scale, a filter.

    family: the models that may take its place; see `resolve_family`.
    `at`: the scale in use, where the selection says "fit"; the model's next one if it does not have that. For a network
    of unknown cost only the cheapest one counts as cheaper. A filter has no cheaper level. Raises ModelError for a
    selection that does not exist.
    """
    scales = selection.model.scales
    scale = selection.scale or next((s for s in scales if s >= (at or 0)), scales[-1])
    card = selection.model.get_card(scale)
    levels = [QualityLevel(selection, card.macs_per_pixel if card else 0)]
    if card is None:
        return tuple(levels)
    known = [(model, c) for model in family for c in model.cards if c.macs_per_pixel]
    known.sort(key=lambda pair: pair[1].macs_per_pixel, reverse=True)
    cheaper = [(m, c) for m, c in known if c.scale == scale and c.macs_per_pixel < card.macs_per_pixel]
    if not card.macs_per_pixel:
        cheaper = [(m, c) for m, c in known if c.scale == scale][-1:]
    levels += [QualityLevel(Selection(m, selection.scale), c.macs_per_pixel) for m, c in cheaper]
    lower = max((c.scale for _, c in known if c.scale < scale), default=0)
    limit = levels[-1].macs or math.inf
    last = [(m, c) for m, c in known if c.scale == lower and c.macs_per_pixel < limit]
    levels += [QualityLevel(Selection(m, c.scale), c.macs_per_pixel) for m, c in last[-1:]]
    levels += [QualityLevel(Selection(m, selection.scale), 0) for m in family if m.is_filter]
    return tuple(levels)


class LatencyGovernor:
    """Goes to a cheaper level when the time of a frame exceeds the budget, and back when it should fit.

    The time is the 95th percentile of a second; with the budget "auto" it is the median, because on a processor that
    the game and other programs also use, a few frames are always slow.

    The expected time of the more expensive model is the present time multiplied by the ratio of the two models'
    times at the last change between them, and at most the ratio of their multiply-adds (an upper bound, since part of
    a frame's time is not spent in the network). Medians of several seconds enter that ratio, so one stutter of the
    game does not block the way back for long. If the game itself became heavier, one try fails and measures anew; the
    wait before a try doubles with each failure, which bounds the cost of tries. From a filter, a network is tried
    without an expectation, after a longer wait. Used by one thread.
    """

    def __init__(
        self,
        budget_ms: float | Literal["auto"],
        levels: tuple[QualityLevel, ...] = (),
        *,
        on_processor: bool = False,
    ) -> None:
        """`budget_ms` 0: off; "auto": PROCESSOR_BUDGET_MS on a processor, off on a graphics card."""
        self._auto = budget_ms == "auto"
        if budget_ms == "auto":
            budget_ms = PROCESSOR_BUDGET_MS if on_processor else 0.0
        self._budget = budget_ms
        self._job: EngineInfo | None = None  # the engine at the last call, and since when it runs
        self._since = 0.0
        self._size: Size | None = None
        self._fits_since: float | None = None
        self._recent: deque[float] = deque(maxlen=RECENT)  # medians of the last seconds at this level
        self._from: tuple[int, float] | None = None  # the previous level and its time, until the new level is measured
        self._ratios: dict[tuple[int, int], float] = {}  # of medians at a change, by (more expensive, cheaper)
        self._waits: dict[int, float] = {}  # before a level is tried, where it is not WAIT_S
        self.start_over(levels)

    def start_over(self, levels: tuple[QualityLevel, ...]) -> None:
        """The player selected a model: begin again at the first of these levels."""
        self._levels = levels
        self._at = 0
        self._ratios = {}
        self._enter_level()
        self._forget_timings(None)

    @property
    def status(self) -> str:
        """Says that another model than the selected one runs because of the budget; empty otherwise."""
        if self._at == 0:
            return ""
        return f"{self._describe_change(0, self._at)}, to keep to {self._budget:g} ms"

    @property
    def is_automatic(self) -> bool:
        """Whether the budget is the default, which the player may not know of."""
        return self._auto

    def observe(self, now_s: float, load: UpscaleLoad) -> ModelChange | None:
        """Call it once a second. Returns the change to make, if any."""
        if not self._budget or not self._levels:
            return None
        if load.size != self._size:
            self._forget_timings(load.size)
        if load.building or load.info != self._job or not self._levels[self._at].matches(load.info):
            self._job, self._since, self._fits_since = load.info, now_s, None
            return None
        if now_s - self._since < SETTLE_S + WINDOW_S or not load.has_enough_frames:
            self._fits_since = None
            return None
        self._learn(now_s, load)
        return self._go_cheaper(load) if self._measure(load) > self._budget else self._go_dearer(now_s, load)

    def _measure(self, load: UpscaleLoad) -> float:
        return load.p50_ms if self._auto else load.p95_ms

    def _enter_level(self) -> None:
        """Reset what is known of the present level: a new one was chosen and is not running yet."""
        self._job = self._fits_since = self._from = None
        self._recent.clear()
        self._trying = False  # whether the present, more expensive level is still on trial
        self._reported = False  # whether the player knows that nothing is cheaper

    def _forget_timings(self, size: Size | None) -> None:
        """The frame size changed, so earlier timings are void."""
        self._size = size
        self._recent.clear()
        self._waits = {}

    def _learn(self, now_s: float, load: UpscaleLoad) -> None:
        here = max(load.p50_ms, 1e-3)
        self._recent.append(here)
        if self._from is not None:
            before, there = self._from
            pair = (min(before, self._at), max(before, self._at))
            self._ratios[pair] = there / here if before < self._at else here / there
            self._from = None
        if self._trying and now_s - self._since >= HELD_S:
            self._trying = False
            self._waits.pop(self._at, None)

    def _go_cheaper(self, load: UpscaleLoad) -> ModelChange | None:
        self._fits_since = None
        if self._trying:
            self._waits[self._at] = 2 * self._get_wait(self._at)
        below = range(self._at + 1, len(self._levels))
        if not below:
            if self._reported or len(self._levels) == 1:
                return None
            self._reported = True
            name = str(self._levels[-1].selection)
            return ModelChange(None, f"{self._describe_time(load)}, and {name} is the cheapest there is")
        to = next((level for level in below if self._estimate_ms(level, load) <= self._budget), below[-1])
        return self._change_level(to, f"{self._describe_time(load)}: {self._describe_change(self._at, to)}")

    def _go_dearer(self, now_s: float, load: UpscaleLoad) -> ModelChange | None:
        to = self._at - 1
        if to < 0 or self._measure(load) * self._estimate_ratio(to) > ROOM * self._budget:
            self._fits_since = None
            return None
        self._fits_since = now_s if self._fits_since is None else self._fits_since
        if now_s - self._fits_since < self._get_wait(to):
            return None
        change = self._change_level(to, f"{self._describe_time(load)}: {self._describe_change(self._at, to)}")
        self._trying = True
        return change

    def _get_wait(self, to: int) -> float:
        """How long the level below must have fitted before this one is tried."""
        if self._is_filter(to + 1):
            return min(self._waits.get(to, BLIND_WAIT_S), BLIND_WAIT_LIMIT_S)
        return self._waits.get(to, WAIT_S)

    def _is_filter(self, level: int) -> bool:
        return level < len(self._levels) and self._levels[level].selection.model.is_filter

    def _change_level(self, to: int, message: str) -> ModelChange:
        before = (self._at, median(self._recent))
        self._at = to
        self._enter_level()
        self._from = before
        return ModelChange(self._levels[to].selection, message)

    def _estimate_ms(self, level: int, load: UpscaleLoad) -> float:
        """The expected median time of a cheaper level, scaled by its multiply-adds; 0 if unknown."""
        here = self._levels[self._at].macs
        return load.p50_ms * self._levels[level].macs / here if here else 0.0

    def _estimate_ratio(self, level: int) -> float:
        """The expected time of that level as a multiple of the present one; 1 from a filter, where nothing is known."""
        if self._is_filter(self._at):
            return 1.0
        here, there = self._levels[self._at].macs, self._levels[level].macs
        known = [there / here] if here and there else []
        if (level, self._at) in self._ratios:
            known.append(self._ratios[level, self._at])
        return max(1.0, min(known, default=1.0))

    def _describe_time(self, load: UpscaleLoad) -> str:
        return f"upscaling a frame took {self._measure(load):.1f} of {self._budget:g} ms"

    def _describe_change(self, before: int, after: int) -> str:
        """ "fast instead of balanced", "turbo ×2 instead of turbo ×4"."""
        old, new = self._levels[before].selection, self._levels[after].selection
        if old.scale == new.scale:
            return f"{new.model.title} instead of {old.model.title}"
        return f"{new} instead of {old}"
