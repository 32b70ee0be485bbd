"""The latency governor: tables of seconds and what it says to them; a simulated player's hours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fakes import select

from live_sr.app.latency_governor import (
    FAMILY,
    LatencyGovernor,
    ModelChange,
    QualityLevel,
    UpscaleLoad,
    build_ladder,
    resolve_family,
)
from live_sr.engines.live.build_request import Selection
from live_sr.models.card import ModelCard
from live_sr.models.resolve import FILTER_SCALES, Kind, Model, resolve
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Size
from live_sr.pipeline.latency import STAGES, LatencyReport, Percentiles

BUDGET = 8.0
SIZE = Size(480, 270)
RUNGS = (
    QualityLevel(select("quality", 2), 157392),
    QualityLevel(select("balanced", 2), 65232),
    QualityLevel(select("fast", 2), 12528),
    QualityLevel(select("turbo", 2), 5760),
)


def seconds(
    wish: Selection, ms: float, *, frames: int = 60, spread: float = 1.0, building: bool = False
) -> UpscaleLoad:
    """A second in which a frame typically took `ms`, and the slowest `spread` times as long."""
    job = EngineInfo(wish.model.name, wish.scale or 2, "tensorrt", "fp16")
    return UpscaleLoad(job, ms, ms * spread, frames, SIZE, building)


def fed(governor: LatencyGovernor, start: float, *works: UpscaleLoad) -> list[ModelChange]:
    """One work a second from `start` on; all that it wanted changed."""
    changes = [governor.observe(start + n, work) for n, work in enumerate(works)]
    return [change for change in changes if change is not None]


# The ladder


CARDS = [
    ModelCard(name, scale, Path(f"{name}.onnx"), macs_per_pixel=macs)
    for name, scale, macs in [
        ("quality", 2, 157392),
        ("quality", 4, 182016),
        ("balanced", 2, 65232),
        ("balanced", 4, 89856),
        ("fast", 2, 12528),
        ("fast", 4, 38304),
        ("fast-pixel", 2, 12528),
        ("fast-pixel", 4, 38304),
        ("turbo", 2, 5760),
        ("turbo", 4, 14832),
        ("own", 2, 30000),
        ("own", 3, 30000),
        ("unknown", 4, 0),
    ]
]


def choose(name: str, scale: int | None) -> Selection:
    """A selection among the models above, or a filter."""
    cards = tuple(card for card in CARDS if card.name == name)
    kind = Kind.NETWORK if cards else Kind.FILTER
    return Selection(Model(name, kind, tuple(card.scale for card in cards) or FILTER_SCALES, cards), scale)


def steps(wish: Selection, at: int | None = None) -> list[str]:
    family = [choose(name, None).model for name in FAMILY]
    return [str(rung.selection) for rung in build_ladder(wish, at, family)]


@pytest.mark.parametrize(
    ("wish", "at", "expected"),
    [
        (choose("quality", 2), None, ["quality ×2", "balanced ×2", "fast ×2", "turbo ×2"]),
        (choose("balanced", 2), None, ["balanced ×2", "fast ×2", "turbo ×2"]),
        (choose("quality", 4), None, ["quality ×4", "balanced ×4", "fast ×4", "turbo ×4", "turbo ×2"]),
        (choose("turbo", 2), None, ["turbo ×2"]),
        (choose("turbo", 4), None, ["turbo ×4", "turbo ×2"]),
        (choose("fast-pixel", 2), None, ["fast-pixel ×2", "turbo ×2"]),
        (choose("fast-pixel", 4), None, ["fast-pixel ×4", "turbo ×4", "turbo ×2"]),
        (choose("own", 2), None, ["own ×2", "fast ×2", "turbo ×2"]),
        (choose("own", 3), None, ["own ×3", "turbo ×2"]),
        (choose("unknown", 4), None, ["unknown ×4", "turbo ×4", "turbo ×2"]),
        (choose("balanced", None), 2, ["balanced fit", "fast fit", "turbo fit"]),
        (choose("balanced", None), 3, ["balanced fit", "fast fit", "turbo fit", "turbo ×2"]),  # only filters have ×3
        (choose("balanced", None), None, ["balanced fit", "fast fit", "turbo fit"]),
        (choose("balanced", None), 5, ["balanced fit", "fast fit", "turbo fit", "turbo ×2"]),
        (choose("balanced", None), 4, ["balanced fit", "fast fit", "turbo fit", "turbo ×2"]),
        (choose("bicubic", 2), None, ["bicubic ×2"]),
    ],
)
def test_the_ladder_of_a_wish(wish: Selection, at: int | None, expected: list[str]) -> None:
    assert steps(wish, at) == expected


def test_the_shipped_models_make_a_ladder() -> None:
    rungs = build_ladder(Selection(resolve("quality"), 4), family=resolve_family())
    assert [rung.selection.model.name for rung in rungs] == ["quality", "balanced", "fast", "turbo", "turbo"]
    assert [rung.macs for rung in rungs] == sorted((rung.macs for rung in rungs), reverse=True)


# Down


def test_a_second_over_budget_steps_to_the_next_cheaper_and_says_so() -> None:
    governor = LatencyGovernor(BUDGET, RUNGS[1:])
    (change,) = fed(governor, 100.0, *[seconds(select("balanced", 2), 11.2)] * 3)
    assert change == ModelChange(select("fast", 2), "upscaling a frame took 11.2 of 8 ms: fast instead of balanced")
    assert governor.status == "fast instead of balanced, to keep to 8 ms"


def test_it_is_off_without_a_budget() -> None:
    assert fed(LatencyGovernor(0.0, RUNGS), 0.0, *[seconds(RUNGS[0].selection, 500.0)] * 100) == []


@pytest.mark.parametrize(
    ("what", "work", "steps_down"),
    [
        ("a few slow frames of many", seconds(RUNGS[0].selection, 3.0, spread=2.5), False),
        ("slow frames, one in ten", seconds(RUNGS[0].selection, 3.0, spread=3.0), True),
        ("too few frames to tell: the game draws little", seconds(RUNGS[0].selection, 9.0, frames=5), False),
        ("few frames because each takes that long", seconds(RUNGS[0].selection, 300.0, frames=3), True),
        ("something else is being built", seconds(RUNGS[0].selection, 11.0, building=True), False),
        (
            "the plain engine works meanwhile",
            replace(seconds(RUNGS[0].selection, 11.0), info=EngineInfo("bicubic", 2, "f")),
            False,
        ),
    ],
)
def test_what_counts_as_over_budget(what: str, work: UpscaleLoad, steps_down: bool) -> None:
    assert bool(fed(LatencyGovernor(BUDGET, RUNGS), 0.0, *[work] * 4)) == steps_down, what


def test_the_first_seconds_of_an_engine_do_not_count() -> None:
    governor = LatencyGovernor(BUDGET, RUNGS)
    slow, good = seconds(RUNGS[0].selection, 40.0), seconds(RUNGS[0].selection, 4.0)
    assert fed(governor, 0.0, slow, slow, good, good) == []


def test_time_in_which_the_cheaper_one_is_built_does_not_count() -> None:
    governor = LatencyGovernor(BUDGET, RUNGS)
    old = seconds(RUNGS[0].selection, 11.0)
    assert len(fed(governor, 0.0, old, old, old)) == 1
    assert fed(governor, 3.0, *[old] * 300) == []  # TensorRT takes minutes
    assert fed(governor, 303.0, *[seconds(RUNGS[1].selection, 5.0)] * 10) == []


def test_rungs_that_cannot_fit_are_left_out() -> None:
    (change,) = fed(LatencyGovernor(BUDGET, RUNGS), 0.0, *[seconds(RUNGS[0].selection, 40.0)] * 3)
    assert change.selection == select("fast", 2)  # balanced: at least 40 x 65232 / 157392 = 16.6 ms


def test_below_the_cheapest_there_is_nothing_and_it_says_so_once() -> None:
    governor = LatencyGovernor(
        BUDGET, (QualityLevel(select("turbo", 4), 14832), QualityLevel(select("turbo", 2), 5760))
    )
    (down,) = fed(governor, 0.0, *[seconds(select("turbo", 4), 30.0)] * 3)
    assert down.message == "upscaling a frame took 30.0 of 8 ms: turbo ×2 instead of turbo ×4"
    (word,) = fed(governor, 3.0, *[seconds(select("turbo", 2), 12.0)] * 60)
    assert word == ModelChange(None, "upscaling a frame took 12.0 of 8 ms, and turbo ×2 is the cheapest there is")


def test_a_filter_is_left_alone() -> None:
    governor = LatencyGovernor(BUDGET, (QualityLevel(select("fsr", 2), 0),))
    assert fed(governor, 0.0, *[seconds(select("fsr", 2), 20.0)] * 10) == []


# Up


def gone_down(cheap_ms: float, dear_ms: float = 11.0) -> tuple[LatencyGovernor, list[ModelChange]]:
    """balanced took too long, fast was taken; what happens within 30 seconds of it."""
    governor = LatencyGovernor(BUDGET, RUNGS[1:])
    fed(governor, 0.0, *[seconds(select("balanced", 2), dear_ms)] * 3)
    return governor, fed(governor, 3.0, *[seconds(select("fast", 2), cheap_ms)] * 3)


@pytest.mark.parametrize(
    ("then", "up_after"),
    [  # measured at the change-over: 11 ms of balanced are 4 of fast, 2.75 times as much
        (4.0, None),
        (2.2, None),  # 6.05 ms expected, more than 70 % of 8
        (1.9, 5),  # 5.2 ms expected
    ],
)
def test_it_goes_up_when_the_dearer_model_is_expected_to_fit_for_some_seconds(then: float, up_after: int) -> None:
    governor, _ = gone_down(4.0)
    changes = [(n, governor.observe(6.0 + n, seconds(select("fast", 2), then))) for n in range(30)]
    came = [n for n, change in changes if change is not None]
    if up_after is None:
        assert came == []
    else:
        assert came[0] == up_after
        assert changes[came[0]][1] == ModelChange(
            select("balanced", 2), "upscaling a frame took 1.9 of 8 ms: balanced instead of fast"
        )
        assert governor.status == ""


def test_a_short_calm_is_not_enough() -> None:
    governor, _ = gone_down(4.0)
    calm, busy = seconds(select("fast", 2), 1.5), seconds(select("fast", 2), 4.0)
    assert fed(governor, 6.0, *([calm] * 4 + [busy]) * 20) == []


def test_it_never_goes_above_the_wish() -> None:
    governor = LatencyGovernor(BUDGET, RUNGS[2:])
    assert fed(governor, 0.0, *[seconds(select("fast", 2), 0.3)] * 600) == []


def test_a_model_of_unknown_cost_is_judged_by_what_was_measured() -> None:
    rungs = (QualityLevel(select("mine", 2), 0), QualityLevel(select("turbo", 2), 5760))
    governor = LatencyGovernor(BUDGET, rungs)
    assert len(fed(governor, 0.0, *[seconds(select("mine", 2), 12.0)] * 3)) == 1
    assert fed(governor, 3.0, *[seconds(select("turbo", 2), 2.0)] * 60) == []  # 6 times as much: 12 ms
    assert len(fed(governor, 63.0, *[seconds(select("turbo", 2), 0.5)] * 7)) == 1


def test_each_try_that_does_not_hold_doubles_the_wait_for_the_next() -> None:
    governor, _ = gone_down(4.0)
    cheap, dear = seconds(select("fast", 2), 1.0), seconds(select("balanced", 2), 11.0)
    now, tries, last = 6.0, [], 6.0
    while now < 700:
        change = governor.observe(now, cheap if governor.status else dear)
        if change and change.selection == select("balanced", 2):
            tries.append(now - last)
        elif change:
            last = now
        now += 1
    waits = [after - before for before, after in pairwise(tries)]
    assert len(tries) <= 8
    assert waits == sorted(waits)
    assert waits[-1] > 100


def test_a_try_that_held_makes_the_next_wait_short_again() -> None:
    governor, _ = gone_down(4.0)
    cheap, dear, heavy = (seconds(select(m, 2), ms) for m, ms in (("fast", 1.0), ("balanced", 3.0), ("balanced", 11.0)))
    for start in (6.0, 206.0):
        assert [c.selection for c in fed(governor, start, *[cheap] * 8)] == [select("balanced", 2)]
        assert fed(governor, start + 8, *[dear] * 100) == []
        assert [c.selection for c in fed(governor, start + 108, heavy)] == [select("fast", 2)]


# On a processor, without a setting

ON_PROCESSOR = (
    QualityLevel(select("fast", 2), 12528),
    QualityLevel(select("turbo", 2), 5760),
    QualityLevel(Selection(resolve("bicubic"), 2), 0),
)
CHEAPEST = ON_PROCESSOR[-1].selection


def govern_processor() -> LatencyGovernor:
    return LatencyGovernor("auto", ON_PROCESSOR, on_processor=True)


def test_by_default_it_keeps_thirty_frames_a_second_on_a_processor_and_nothing_on_a_graphics_card() -> None:
    slow = [seconds(select("fast", 2), 50.0, frames=20)] * 4
    (change,) = fed(govern_processor(), 0.0, *slow)
    assert change == ModelChange(select("turbo", 2), "upscaling a frame took 50.0 of 33 ms: turbo instead of fast")
    assert fed(LatencyGovernor("auto", ON_PROCESSOR), 0.0, *slow) == []


def test_by_default_a_few_slow_frames_do_not_count() -> None:
    assert fed(govern_processor(), 0.0, *[seconds(select("fast", 2), 30.0, spread=4.0)] * 60) == []


def test_on_a_processor_the_last_level_is_a_filter() -> None:
    family = resolve_family(on_processor=True)
    ladder = build_ladder(Selection(resolve("fast"), 2), family=family)
    assert [str(level.selection) for level in ladder] == ["fast ×2", "turbo ×2", "bicubic ×2"]
    chosen = build_ladder(Selection(resolve("lanczos"), 2), family=family)
    assert [str(level.selection) for level in chosen] == ["lanczos ×2"]


def test_where_no_network_is_fast_enough_the_filter_takes_over_at_once() -> None:
    governor = govern_processor()
    (change,) = fed(governor, 0.0, *[seconds(select("fast", 2), 100.0, frames=9)] * 3)
    assert change.selection == CHEAPEST
    assert governor.status == "bicubic instead of fast, to keep to 33 ms"


def test_a_network_is_tried_again_half_a_minute_after_the_filter_took_over() -> None:
    governor = govern_processor()
    fed(governor, 0.0, *[seconds(select("fast", 2), 100.0, frames=9)] * 3)
    filtering = seconds(CHEAPEST, 4.0, frames=35)
    changes = [(now, governor.observe(3.0 + now, filtering)) for now in range(60)]
    (when, change), *_ = [(now, change) for now, change in changes if change is not None]
    assert 30 <= when <= 35
    assert change.selection == select("turbo", 2)


@pytest.mark.parametrize("seed", range(3))
def test_other_programs_come_and_go_beside_a_game_on_a_processor(seed: int) -> None:
    load = np.concatenate([np.ones(120), np.full(1200, 6.0), np.ones(900)])
    times = {"fast": 20.0, "turbo": 9.0, "bicubic": 2.0}
    worked = Player(govern_processor(), times, load, np.random.default_rng(seed)).play()
    assert set(worked[:120]) == {"fast"}
    assert worked[130:1320].count("bicubic") > 1050, "the network is too slow all the time"
    assert switches(worked[130:1320]) <= 20
    assert set(worked[1800:]) == {"fast"}, "there is room again"
    assert switches(worked[1320:]) <= 4


# The player and the window


def test_the_player_s_switch_resets_it() -> None:
    governor, _ = gone_down(4.0)
    governor.start_over(RUNGS)
    assert governor.status == ""
    assert fed(governor, 10.0, *[seconds(select("quality", 2), 4.0)] * 60) == []


def test_another_size_of_the_window_is_another_measurement() -> None:
    governor, _ = gone_down(4.0)
    small = replace(seconds(select("fast", 2), 0.5), size=Size(320, 180))
    assert governor.observe(10.0, small) is None  # its engine has only just come
    assert governor.observe(11.0, small) is None
    assert [c.selection for c in fed(governor, 12.0, *[small] * 10)] == [select("balanced", 2)]


# Hours of play


@dataclass
class Player:
    """Someone plays; each second the model at work takes its time, longer while the game is heavy. Builds take 4 s."""

    governor: LatencyGovernor
    times: dict[str, float]
    load: np.ndarray  # by second: how many times as long
    noise: np.random.Generator

    def play(self) -> list[str]:
        """The model at work, by second."""
        at_work = wished = next(iter(self.times))
        ready, worked = 0, []
        for now, load in enumerate(self.load):
            if wished != at_work and now >= ready:
                at_work = wished
            worked.append(at_work)
            p50 = self.times[at_work] * load * self.noise.normal(1.0, 0.05)
            p95 = p50 * abs(self.noise.normal(1.3, 0.15))
            building = wished != at_work
            work = UpscaleLoad(EngineInfo(at_work, 2, "tensorrt"), p50, p95, 60, SIZE, building)
            change = self.governor.observe(float(now), work)
            if change and change.selection:
                assert change.selection.model.name in self.times
                wished, ready = change.selection.model.name, now + 4
        return worked


def switches(worked: list[str]) -> int:
    return sum(a != b for a, b in pairwise(worked))


HOUR = 3600
TIMES = {"balanced": 5.0, "fast": 1.8, "turbo": 1.1}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("what", "load", "most"),
    [
        ("quiet: a hiccup now and then at most", 0.8, 2),
        ("balanced is mostly within the budget", 1.0, 4),
        ("balanced is about the budget", 1.2, 4),
        ("balanced is just over the budget", 1.4, 4),
        ("balanced is far over it", 3.0, 4),
    ],
)
def test_it_does_not_oscillate_in_hours_of_noise(what: str, load: float, most: int, seed: int) -> None:
    noise = np.random.default_rng(seed)
    player = Player(LatencyGovernor(BUDGET, RUNGS[1:]), TIMES, np.full(2 * HOUR, load), noise)
    assert switches(player.play()) <= most, what


@pytest.mark.parametrize("seed", range(3))
def test_no_second_of_hours_stays_over_budget_for_long(seed: int) -> None:
    noise = np.random.default_rng(seed)
    wander = np.exp(np.cumsum(noise.normal(0, 0.02, 2 * HOUR)))
    load = np.clip(wander / wander.mean(), 0.3, 4.0)
    worked = Player(LatencyGovernor(BUDGET, RUNGS[1:]), TIMES, load, noise).play()
    over = [TIMES[model] * at * 1.3 > BUDGET * 1.25 for model, at in zip(worked, load, strict=True) if model != "turbo"]
    assert np.mean(over) < 0.01
    assert switches(worked) < 30


def test_it_recovers_when_the_game_gets_light_again() -> None:
    load = np.concatenate([np.full(300, 0.7), np.full(600, 2.0), np.full(300, 0.7)])
    worked = Player(LatencyGovernor(BUDGET, RUNGS[1:]), TIMES, load, np.random.default_rng(1)).play()
    assert set(worked[:300]) == {"balanced"}
    assert worked[320:900].count("fast") > 550  # and one try of balanced that did not hold, which measures it anew
    assert switches(worked[:900]) <= 3
    assert set(worked[1050:]) == {"balanced"}


def test_it_recovers_even_if_the_load_ended_just_as_it_went_down() -> None:
    load = np.concatenate([np.full(60, 0.7), np.full(2, 5.0), np.full(120, 0.7)])
    worked = Player(LatencyGovernor(BUDGET, RUNGS[1:]), TIMES, load, np.random.default_rng(1)).play()
    assert "fast" in worked or "turbo" in worked
    assert set(worked[120:]) == {"balanced"}


def test_it_reads_the_report_of_the_last_second() -> None:
    stages = {name: Percentiles(1.0 + i, 2.0 + i, 3.0 + i, 4.0 + i) for i, name in enumerate(STAGES)}
    report = LatencyReport(1.0, 60.0, 60.0, 58.0, 50.0, 0, 2, 12345, stages["show"], stages, np.zeros(57))
    job = EngineInfo("fast", 2, "tensorrt")
    assert UpscaleLoad.of(report, job, SIZE) == UpscaleLoad(job, p50_ms=3.0, p95_ms=4.0, frames=58, size=SIZE)
    assert UpscaleLoad.of(replace(report, stages={}, shown_fps=0.0), job).has_enough_frames is False
