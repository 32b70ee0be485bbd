"""What happened to the frames, as numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from live_sr.pipeline.frame import Stamps
from live_sr.pipeline.latency import STAGES, Latency, Percentiles, describe_rates, format_stage_rows

MS = 1_000_000
SECOND = 1000 * MS


class Clock:
    """Stands still until told otherwise; nanoseconds."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def stamps(start: int, capture: float = 1, wait: float = 2, upscale: float = 3, show: float = 4) -> Stamps:
    """A frame seen at `start`, with the milliseconds it spent in each stage."""
    moments = [start]
    for spent in (capture, wait, upscale, show):
        moments.append(moments[-1] + round(spent * MS))
    return Stamps(*moments)


@pytest.mark.parametrize(
    ("values", "p50", "p95", "p99", "worst"),
    [
        ([], 0, 0, 0, 0),
        ([7], 7, 7, 7, 7),
        ([1, 3], 2, 2.9, 2.98, 3),
        (range(101), 50, 95, 99, 100),
        ([5, 1, 4, 2, 3], 3, 4.8, 4.96, 5),
    ],
)
def test_percentiles_lie_between_the_ranks(
    values: list[float], p50: float, p95: float, p99: float, worst: float
) -> None:
    found = Percentiles.of(np.array(values, np.float64))
    assert (found.p50, found.p95, found.p99, found.max) == pytest.approx((p50, p95, p99, worst))


def test_before_any_frame_everything_is_zero() -> None:
    report = Latency().report()
    assert (report.shown, report.dropped, report.duplicates, report.low_fps) == (0, 0, 0, 0.0)
    assert report.total == Percentiles(0, 0, 0, 0)
    assert "0 dropped" in describe_rates(report)


def test_stages_and_total_are_told_from_each_frames_own_moments() -> None:
    latency = Latency(clock=Clock())
    for number in range(5):
        latency.record_shown(stamps(number * 20 * MS, capture=1, wait=number, upscale=10, show=0.5))
    report = latency.report()
    p50 = {name: report.stages[name].p50 for name in STAGES}
    assert p50 == pytest.approx({"capture": 1, "wait": 2, "upscale": 10, "show": 0.5})
    assert (report.total.p50, report.total.max) == pytest.approx((13.5, 15.5))


def test_rates_count_what_came_through_in_the_time_since_the_reset() -> None:
    clock = Clock()
    latency = Latency(clock=clock)
    for number in range(60):
        clock.now = number * SECOND // 60
        latency.count_captured()
        if number % 2 == 0:
            latency.count_upscaled()
            latency.record_shown(stamps(clock.now - 10 * MS))
        else:
            latency.count_dropped()
    latency.count_duplicate()
    clock.now = 2 * SECOND
    report = latency.report()
    assert (report.captured_fps, report.upscaled_fps, report.shown_fps) == pytest.approx((30, 15, 15))
    assert (report.shown, report.dropped, report.duplicates, report.seconds) == (30, 30, 1, 2)


def test_the_last_seconds_leave_out_what_was_before() -> None:
    clock = Clock()
    latency = Latency(clock=clock)
    for at, upscale in ((1, 90), (2, 90), (9, 10), (10, 20)):
        clock.now = at * SECOND
        latency.count_captured()
        latency.record_shown(stamps(clock.now - round((7 + upscale) * MS), upscale=upscale))
    report = latency.report(last_s=2)
    assert report.captured_fps == report.shown_fps == pytest.approx(1)
    assert report.stages["upscale"].max == pytest.approx(20)
    assert latency.report().stages["upscale"].max == pytest.approx(90)


def test_the_last_seconds_reach_no_further_back_than_the_reset() -> None:
    clock = Clock()
    latency = Latency(clock=clock)
    clock.now = 10 * SECOND
    latency.reset()
    clock.now = 11 * SECOND
    assert latency.report(last_s=5).seconds == pytest.approx(1)


def test_a_reset_forgets_the_warm_up() -> None:
    clock = Clock()
    latency = Latency(clock=clock)
    latency.count_captured()
    latency.count_dropped()
    latency.record_shown(stamps(0, upscale=5000))
    clock.now = SECOND
    latency.reset()
    clock.now = SECOND + 20 * MS
    latency.count_captured()
    latency.record_shown(stamps(clock.now - 10 * MS))
    report = latency.report()
    assert (report.shown, report.dropped) == (1, 0)
    assert report.total.max == pytest.approx(10)


@pytest.mark.parametrize("frames", [3, 4, 5, 8, 9, 41])
def test_of_more_frames_than_are_kept_the_newest_tell_the_ages_and_all_are_counted(frames: int) -> None:
    clock = Clock()
    latency = Latency(capacity=4, clock=clock)
    for number in range(frames):
        clock.now = number * 100 * MS
        latency.record_shown(stamps(clock.now, capture=number, wait=0, upscale=0, show=0))
    report = latency.report()
    assert report.shown == frames
    kept = range(max(0, frames - 4), frames)
    assert report.total.max == pytest.approx(frames - 1)
    assert report.total.p50 == pytest.approx(np.median(kept))
    assert report.intervals_ms == pytest.approx([101.0] * (len(kept) - 1))


def test_the_one_percent_low_is_the_rate_of_the_slowest_frames() -> None:
    latency = Latency(clock=Clock())
    at = 0
    for number in range(201):
        at += 50 * MS if number % 50 == 0 else 10 * MS
        latency.record_shown(stamps(at))
    assert latency.report().low_fps == pytest.approx(20)


def test_a_log_hears_of_every_shown_frame() -> None:
    latency = Latency(capacity=2)
    heard: list[Stamps] = []
    latency.on_shown = heard.append
    rows = [stamps(n) for n in range(5)]
    for row in rows:
        latency.record_shown(row)
    assert heard == rows


def test_as_a_table_it_names_every_stage_and_what_was_lost() -> None:
    latency = Latency(clock=Clock())
    latency.record_shown(stamps(0))
    latency.count_dropped()
    latency.count_duplicate()
    header, *rows = format_stage_rows(latency.report())
    assert header == ("stage", "p50", "p95", "p99", "worst ms")
    assert [row[0] for row in rows] == [*STAGES, "total"]
    assert rows[-1][1:] == ("10.00",) * 4
    for words in ("1 dropped", "1 repeats left out"):
        assert words in describe_rates(latency.report())


def test_the_share_drawn_is_the_mean_over_the_shown_frames() -> None:
    clock = Clock()
    latency = Latency(capacity=4, clock=clock)
    assert latency.report().drawn == 1
    for second, share in enumerate((1.0, 0.9, 0.1, 0.2, 0.3, 0.4)):
        frame = stamps(second * SECOND)
        frame.drawn = share
        latency.record_shown(frame)
    clock.now = 6 * SECOND
    assert latency.report().drawn == pytest.approx(0.25), "of those that are kept"
    assert latency.report(2.5).drawn == pytest.approx(0.35)
