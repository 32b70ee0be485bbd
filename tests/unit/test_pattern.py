"""The test pattern: every frame is new, is written where the caller wants it, and is due at its own time."""

import itertools

import numpy as np
import pytest
from fakes import FakeClock

from live_sr.capture.pattern import STEP, PatternSource
from live_sr.errors import SourceClosed
from live_sr.pipeline.frame import Size, get_size, make_black

MS = 1_000_000


@pytest.mark.parametrize(
    ("width", "height", "frames"),
    [(1, 1, 70_000), (1, 40, 700), (40, 1, 700), (2, 2, 700), (96, 96, 700), (487, 273, 300)],
)
def test_no_two_frames_are_equal(width: int, height: int, frames: int) -> None:
    source = PatternSource(Size(width, height), fps=None, frames=frames)
    into = make_black(Size(width, height))
    seen = set()
    for _ in range(frames):
        frame = source.next_frame(0.1, into)
        assert frame is not None
        seen.add(hash(frame.pixels.tobytes()))
    assert len(seen) == frames


@pytest.mark.parametrize("size", [Size(1, 1), Size(1, 40), Size(40, 1), Size(97, 5), Size(487, 273)])
def test_frames_have_the_requested_size_and_are_opaque(size: Size) -> None:
    source = PatternSource(size, fps=None)
    for _ in range(40):
        frame = source.next_frame(0.1)
        assert frame is not None
        assert get_size(frame.pixels) == size == source.size
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.flags.c_contiguous
        assert (frame.pixels[..., 3] == 255).all()


def test_the_picture_moves_on_by_the_same_few_pixels_from_frame_to_frame() -> None:
    source = PatternSource(Size(480, 120), fps=None)
    before = source.next_frame(0.1)
    for _ in range(200):  # longer than the pattern's period of 160
        after = source.next_frame(0.1)
        assert before is not None
        assert after is not None
        assert (after.pixels[1:, :-STEP] == before.pixels[1:, STEP:]).all()  # the first row bears the number
        before = after


def test_a_frame_is_drawn_into_the_lent_picture_when_that_fits() -> None:
    source = PatternSource(Size(40, 30), fps=None)
    into = make_black(Size(40, 30))
    first = source.next_frame(0.1, into)
    assert first is not None
    assert first.pixels is into
    kept = into.copy()
    second = source.next_frame(0.1, into)
    assert second is not None
    assert second.pixels is into
    assert (into != kept).any()


@pytest.mark.parametrize("lent", [None, Size(30, 40), Size(40, 31), Size(80, 60), Size(1, 1)])
def test_a_lent_picture_of_another_size_is_left_alone(lent: Size | None) -> None:
    into = None if lent is None else make_black(lent)
    frame = PatternSource(Size(40, 30), fps=None).next_frame(0.1, into)
    assert frame is not None
    assert get_size(frame.pixels) == Size(40, 30)
    if into is not None:
        assert (into == make_black(get_size(into))).all()


def test_what_was_delivered_belongs_to_the_caller() -> None:
    source = PatternSource(Size(40, 30), fps=None)
    first = source.next_frame(0.1)
    assert first is not None
    kept = first.pixels.copy()
    source.next_frame(0.1)
    assert (first.pixels == kept).all()


# Each row is a call: the earliest time of the call, its timeout, the time at which its frame was seen (None: no frame)
# and the time at which the call returned; all in milliseconds since the source was opened.
Call = tuple[int, int, int | None, int]

PACES: dict[str, tuple[float, list[Call]]] = {
    "in time, each call waits for its frame": (100, [(0, 100, 0, 0), (0, 100, 10, 10), (14, 100, 20, 20)]),
    "a call just when a frame is due": (100, [(0, 100, 0, 0), (10, 100, 10, 10), (20, 100, 20, 20)]),
    "late by less than a frame: it keeps the moment it was due": (
        100,
        [(4, 100, 0, 4), (19, 100, 10, 19), (19, 100, 20, 20)],
    ),
    "late by several frames: those are left out, and no burst follows": (
        100,
        [(0, 100, 0, 0), (35, 100, 30, 35), (35, 100, 40, 40), (40, 100, 50, 50)],
    ),
    "opened long before it is used": (100, [(1234, 100, 1230, 1234), (1234, 100, 1240, 1240)]),
    "nothing due within the timeout": (
        5,
        [(0, 100, 0, 0), (0, 100, None, 100), (100, 50, None, 150), (150, 100, 200, 200), (200, 0, None, 200)],
    ),
}


@pytest.mark.parametrize(("fps", "calls"), PACES.values(), ids=PACES)
def test_paced_frames_are_seen_at_the_moment_they_were_due(fps: float, calls: list[Call]) -> None:
    clock = FakeClock()
    source = PatternSource(Size(8, 6), fps=fps, clock=clock.read, wait=clock.wait)
    for at, timeout, seen, returned in calls:
        clock.now = max(clock.now, at * MS)
        frame = source.next_frame(timeout / 1000)
        assert (None if frame is None else frame.stamps.seen) == (None if seen is None else seen * MS)
        assert clock.now == returned * MS
        if frame is not None:
            assert frame.stamps.captured == clock.now


@pytest.mark.parametrize("fps", [24, 60, 143.9, 1000])
def test_however_the_calls_come_the_pace_is_never_exceeded_and_never_drifts(fps: float) -> None:
    clock = FakeClock()
    source = PatternSource(Size(1, 1), fps=fps, clock=clock.read, wait=clock.wait)
    interval = round(1e9 / fps)
    delays = np.random.default_rng(3).exponential(interval, 2000)
    before = -interval
    for delay in delays:
        clock.now += int(delay)
        frame = source.next_frame(0.1)
        assert frame is not None
        assert frame.stamps.seen % interval == 0
        assert frame.stamps.seen > before
        assert clock.now - interval < frame.stamps.seen <= clock.now  # always the newest
        before = frame.stamps.seen


def test_a_wait_that_is_cut_short_gives_no_frame_before_its_time() -> None:
    clock = FakeClock()
    source = PatternSource(Size(1, 1), fps=100, clock=clock.read, wait=lambda seconds: clock.wait(seconds / 2))
    assert source.next_frame(0.1) is not None
    assert source.next_frame(0.1) is None


def test_without_a_pace_each_call_returns_a_frame_at_once() -> None:
    clock = FakeClock()
    source = PatternSource(Size(8, 6), fps=None, clock=clock.read, wait=clock.wait)
    for now in (0, 0, 1, 500 * MS):
        clock.now = now
        frame = source.next_frame(0.1)
        assert frame is not None
        assert frame.stamps.seen == clock.now == now


@pytest.mark.parametrize("frames", [0, 1, 5])
@pytest.mark.parametrize("fps", [None, 100.0])
def test_a_pattern_of_some_frames_ends_after_them(fps: float | None, frames: int) -> None:
    clock = FakeClock()
    source = PatternSource(Size(8, 6), fps=fps, frames=frames, clock=clock.read, wait=clock.wait)
    for _ in range(frames):
        assert source.next_frame(0.1) is not None
    for _ in range(2):
        with pytest.raises(SourceClosed, match="has ended"):
            source.next_frame(0.1)
    source.close()


def test_a_timeout_uses_up_no_frame() -> None:
    clock = FakeClock()
    source = PatternSource(Size(8, 6), fps=1, frames=2, clock=clock.read, wait=clock.wait)
    delivered = [source.next_frame(0.1) for _ in range(11)]
    assert [n for n, frame in enumerate(delivered) if frame is not None] == [0, 10]
    with pytest.raises(SourceClosed):
        source.next_frame(0.1)


def test_it_keeps_its_pace_with_the_real_clock_too() -> None:
    source = PatternSource(Size(8, 6), fps=200, frames=20)
    seen: list[int] = []
    while len(seen) < 2 or seen[-1] < seen[0] + 15 * 5 * MS:  # 15 intervals; late calls leave frames out
        frame = source.next_frame(0.1)
        if frame is not None:
            assert frame.stamps.captured >= frame.stamps.seen
            seen.append(frame.stamps.seen)
    assert all((b - a) % (5 * MS) == 0 for a, b in itertools.pairwise(seen))
