"""The frame's journey: newest wins, losses are mended, nothing is left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from fakes import FakeDisplay, FakeEngine, FakeSource, Step
from patience import until, wait

from live_sr.errors import EngineError, SourceClosed, SourceLost, UsageError
from live_sr.pipeline.contracts import FrameSource
from live_sr.pipeline.frame import Pixels, Size
from live_sr.pipeline.latency import Latency
from live_sr.pipeline.pipeline import Pipeline, PipelineEvents, SourceState


class Rig:
    """A pipeline over fakes, and what it told."""

    def __init__(self, open_source: Callable[[], FrameSource], **options: bool) -> None:
        self.latency = Latency()
        self.engine = FakeEngine()
        self.display = FakeDisplay(self.latency)
        self.states: list[tuple[SourceState, str]] = []
        self.ended = threading.Event()
        self.cause: BaseException | None = None
        events = PipelineEvents(source=lambda state, why: self.states.append((state, why)), ended=self._ended)
        self.pipeline = Pipeline(open_source, self.engine, self.display, self.latency, events=events, **options)

    def _ended(self, cause: BaseException | None) -> None:
        self.cause = cause
        self.ended.set()


@pytest.fixture
def rig() -> Iterator[Callable[..., Rig]]:
    """Makes running rigs; stops them, and sees that no thread is left."""
    before = threading.active_count()
    rigs: list[Rig] = []

    def make(*scripts: list[Step], **options: bool) -> Rig:
        sources = iter([FakeSource(script) for script in scripts])
        rig = Rig(lambda: next(sources), **options)
        rigs.append(rig)
        rig.pipeline.start()
        return rig

    yield make
    for made in rigs:
        made.pipeline.stop()
    assert threading.active_count() == before


def test_frames_reach_the_display_upscaled_and_in_order(rig: Callable[..., Rig]) -> None:
    r = rig([1, 2, 3, 4], every_frame=True)
    assert r.display.until(4) == [1, 2, 3, 4]
    report = r.latency.report()
    assert (report.shown, report.dropped) == (4, 0)
    assert report.total.max >= report.stages["upscale"].max >= 0


def test_a_slow_engine_gets_the_newest_frame_and_the_drops_are_counted(rig: Callable[..., Rig]) -> None:
    r = rig([1, None, None, None, None, 2, 3, 4, 5])
    r.engine.gate.clear()
    assert wait(r.engine.entered)
    while r.latency.report().dropped < 3:
        threading.Event().wait(0.005)
    r.engine.gate.set()
    assert r.display.until(2) == [1, 5]


def test_a_repeated_picture_is_not_upscaled_again(rig: Callable[..., Rig]) -> None:
    r = rig([1, 1, 1, 2, 2, 1], every_frame=True)
    assert r.display.until(3) == [1, 2, 1]
    assert r.engine.levels == [1, 2, 1]
    assert r.latency.report().duplicates == 3


def test_a_lost_source_is_reopened_and_the_reason_told(rig: Callable[..., Rig]) -> None:
    r = rig([1, SourceLost("the window is minimised")], [2, RuntimeError("the driver hiccuped")], [3], every_frame=True)
    assert r.display.until(3) == [1, 2, 3]
    lost = [why for state, why in r.states if state is SourceState.LOST]
    assert lost == ["the window is minimised", "RuntimeError: the driver hiccuped"]
    assert r.states[-1][0] is SourceState.RUNNING


def test_a_closed_source_ends_the_run_without_an_error(rig: Callable[..., Rig]) -> None:
    r = rig([1, SourceClosed("the game's window was closed")])
    assert wait(r.ended)
    assert isinstance(r.cause, SourceClosed)
    until(lambda: r.pipeline.wait(0.1), "the end of its threads", pause_s=0)
    assert r.display.levels == [1]


def test_a_patient_pipeline_waits_for_a_closed_source_to_come_back(rig: Callable[..., Rig]) -> None:
    r = rig([1, SourceClosed("the game's window was closed")], [2], patient=True, every_frame=True)
    assert r.display.until(2) == [1, 2]


def test_without_reopening_a_failing_source_ends_the_run_with_its_error(rig: Callable[..., Rig]) -> None:
    r = rig([1, SourceLost("gone")], reopen=False)
    assert wait(r.ended)
    with pytest.raises(SourceLost, match="gone"):
        until(lambda: r.pipeline.wait(0.1), "the end of its threads", pause_s=0)


def test_an_engine_that_raises_ends_the_run_with_its_error(rig: Callable[..., Rig]) -> None:
    r = rig([None, None, 1, 2, 3])
    r.engine.error = EngineError("it broke", "none")
    assert wait(r.ended)
    with pytest.raises(EngineError, match="it broke"):
        until(lambda: r.pipeline.wait(0.1), "the end of its threads", pause_s=0)


def test_a_source_that_can_never_be_opened_ends_the_run(rig: Callable[..., Rig]) -> None:
    r = rig([UsageError("the region is not on the screen", "move it")], [1])
    assert wait(r.ended)
    with pytest.raises(UsageError, match="not on the screen"):
        until(lambda: r.pipeline.wait(0.1), "the end of its threads", pause_s=0)


def test_a_stop_is_heard_while_waiting_to_reopen(rig: Callable[..., Rig]) -> None:
    """The waits grow to seconds; the fixture sees that the threads are gone after the stop."""
    r = rig(*[[SourceLost("still gone")] for _ in range(4)])
    while sum(state is SourceState.LOST for state, _ in r.states) < 3:
        threading.Event().wait(0.005)
    r.pipeline.stop()
    assert r.cause is None


def test_a_retry_cuts_the_wait_short(rig: Callable[..., Rig]) -> None:
    r = rig(*[[SourceLost("gone")] for _ in range(20)], [7])
    while not r.display.levels:
        r.pipeline.reopen_now()
        threading.Event().wait(0.005)
        assert len(r.states) < 200
    assert r.display.until(1) == [7]


def test_while_paused_nothing_is_captured_and_the_picture_stays(rig: Callable[..., Rig]) -> None:
    r = rig([1, *[n % 200 + 2 for n in range(100_000)]])
    r.display.until(1)

    def still() -> int | None:
        before = r.latency.report().shown
        threading.Event().wait(0.1)
        return before if r.latency.report().shown == before else None

    r.pipeline.pause(True)
    held = until(still, "the picture stays")
    threading.Event().wait(0.1)
    assert r.latency.report().shown == held
    r.pipeline.pause(False)
    assert len(r.display.until(held + 1)) > held


def test_a_redraw_upscales_the_last_frame_again_though_the_game_stands_still(rig: Callable[..., Rig]) -> None:
    r = rig([9])
    r.display.until(1)
    r.pipeline.redraw()
    assert r.display.until(2) == [9, 9]


def test_a_snapshot_is_the_frame_before_and_after(rig: Callable[..., Rig]) -> None:
    r = rig([40])
    r.display.until(1)
    taken: list[tuple[Pixels, Pixels]] = []
    r.pipeline.request_snapshot(lambda before, after: taken.append((before, after)))
    r.display.until(2)
    before, after = taken[0]
    assert (before.shape, after.shape) == ((6, 8, 4), (12, 16, 4))
    assert int(before[0, 0, 0]) == int(after[0, 0, 0]) == 40


def test_in_the_steady_state_the_same_few_pictures_go_round() -> None:
    source = FakeSource([n % 200 for n in range(500)])
    r = Rig(lambda: source, every_frame=True)
    r.pipeline.start()
    r.display.until(500)
    r.pipeline.stop()
    assert source.allocated <= 4
    assert len(r.display.addresses) <= 2
    assert source.closed


def test_a_window_that_changes_size_keeps_its_picture_coming() -> None:
    sizes = [Size(8, 6), Size(1, 1), Size(487, 273), Size(1, 9), Size(8, 6)]
    sources = iter([FakeSource([n + 1, SourceLost("resized")], size) for n, size in enumerate(sizes)])
    r = Rig(lambda: next(sources), every_frame=True)
    r.pipeline.start()
    assert r.display.until(5) == [1, 2, 3, 4, 5]
    r.pipeline.stop()
