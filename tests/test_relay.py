"""The relay: never without a picture, whatever is being built, switched, resized or failing."""

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from live_sr.contracts import Engine, Job, Watch
from live_sr.engine.compare import Compare, View
from live_sr.engine.fitted import Fitted
from live_sr.engine.orders import BUCKET, RETRY_S, SETTLE_S, Orders, Wish
from live_sr.engine.relay import Relay, Workshop
from live_sr.errors import EngineError
from live_sr.frame import Frame, Pixels, Size, fitting, fresh, size_of

SMALL = Size(6, 4)


class Painter:
    """An engine that paints its level over a picture; it can be made to wait while it warms up, and to fail."""

    alive = 0

    def __init__(self, name: str, scale: int, level: int, gate: threading.Event | None = None) -> None:
        self.scale = scale
        self.job = Job(name, scale, "painter")
        self.level = level
        self.gate = gate
        self.fails = False
        self.warmed: Size | None = None
        Painter.alive += 1

    def warm_up(self, size: Size) -> None:
        if self.gate is not None:
            assert self.gate.wait(5)
        if self.fails:
            raise EngineError("it does not build", "none")
        self.warmed = size

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        if self.fails:
            raise EngineError("it broke at work", "none")
        assert self.warmed in (None, size_of(frame.pixels)), "an engine was given a size it was not built for"
        done = fitting(into, size_of(frame.pixels).times(self.scale))
        done[..., :3] = self.level
        return frame.redrawn(done)

    def close(self) -> None:
        Painter.alive -= 1


PLAIN, FAST, SLOW, QUICK = 10, 20, 30, 40


class Roomy(Painter):
    """One that also takes frames smaller than what it was warmed up for, as the quick ones must."""

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        size, most = size_of(frame.pixels), self.warmed
        assert most is not None
        assert size.width <= most.width
        assert size.height <= most.height
        self.warmed = size
        try:
            return super().upscale(frame, into)
        finally:
            self.warmed = most


class World:
    """A workshop whose engines are seen, and the notes it was told."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.notes: list[str] = []
        self.made: list[Painter] = []
        self.quicks: list[Roomy] = []
        self.watches: list[Watch] = []
        self.broken: set[str] = set()
        self.changed = threading.Event()

    def make(self, name: str, scale: int, watch: Watch = Watch()) -> Engine:  # noqa: B008  # immutable
        engine = Painter(name, scale, {"fast": FAST, "slow": SLOW}[name], self.gate)
        engine.fails = name in self.broken
        self.made.append(engine)
        self.watches.append(watch)
        return engine

    def quick(self, name: str, scale: int) -> Engine:
        self.quicks.append(Roomy("quick", scale, QUICK))
        return self.quicks[-1]

    def workshop(self, *, slow_builds: bool = False) -> Workshop:
        return Workshop(
            plain=lambda scale: Painter("plain", scale, PLAIN),
            make=self.make,
            quick=self.quick if slow_builds else None,
            patient=slow_builds,
            scales=lambda name: (2, 4),
            tell=self.notes.append,
            changed=self.changed.set,
        )


@pytest.fixture
def world() -> World:
    Painter.alive = 0
    return World()


def shown(relay: Engine, size: Size = SMALL) -> tuple[int, Size]:
    """The level and size of the picture that the relay makes of one frame."""
    done = relay.upscale(Frame(fresh(size)))
    assert done is not None
    return int(done.pixels[0, 0, 0]), size_of(done.pixels)


def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come to pass within 5 s")


def test_the_plain_engine_draws_until_the_wished_one_is_built(world: World) -> None:
    world.gate.clear()
    relay = Relay(world.workshop(), Wish("fast", 2))
    assert [shown(relay)[0] for _ in range(5)] == [PLAIN] * 5
    world.gate.set()
    until(lambda: shown(relay)[0] == FAST)
    relay.close()
    assert Painter.alive == 0


def test_a_switch_keeps_the_present_engine_at_work_until_the_next_is_built(world: World) -> None:
    relay = Relay(world.workshop(), Wish("fast", 2))
    until(lambda: shown(relay)[0] == FAST)
    world.gate.clear()
    relay.wish(Wish("slow", 4))
    assert [shown(relay) for _ in range(5)] == [(FAST, SMALL.times(2))] * 5
    world.gate.set()
    until(lambda: shown(relay) == (SLOW, SMALL.times(4)))
    relay.close()
    assert Painter.alive == 0


def test_a_resized_window_is_drawn_by_the_plain_engine_meanwhile(world: World) -> None:
    relay = Relay(world.workshop(), Wish("fast", 2))
    until(lambda: shown(relay)[0] == FAST)
    world.gate.clear()
    odd = Size(7, 3)
    assert shown(relay, odd) == (PLAIN, odd.times(2))
    world.gate.set()
    until(lambda: shown(relay, odd) == (FAST, odd.times(2)))
    relay.close()
    assert Painter.alive == 0


def test_an_engine_that_cannot_be_built_leaves_the_present_one_and_is_told(world: World) -> None:
    relay = Relay(world.workshop(), Wish("fast", 2))
    until(lambda: shown(relay)[0] == FAST)
    world.broken.add("slow")
    relay.wish(Wish("slow", 2))
    until(lambda: shown(relay)[0] == FAST and bool(world.notes))
    assert world.notes == ["slow x2 cannot be used: it does not build"]
    relay.close()
    assert Painter.alive == 0


def test_an_engine_that_fails_at_work_is_replaced_by_the_plain_one_in_the_same_frame(world: World) -> None:
    relay = Relay(world.workshop(), Wish("fast", 2))
    until(lambda: shown(relay)[0] == FAST)
    world.made[-1].fails = True
    assert shown(relay)[0] == PLAIN
    assert "fast x2" in world.notes[0]
    assert "it broke at work" in world.notes[0]
    assert shown(relay)[0] == PLAIN
    relay.close()
    assert Painter.alive == 0


def test_while_the_best_engine_is_built_a_quick_one_works(world: World) -> None:
    world.gate.clear()
    relay = Relay(world.workshop(slow_builds=True), Wish("fast", 2))
    until(lambda: shown(relay)[0] == QUICK)
    world.gate.set()
    until(lambda: shown(relay)[0] == FAST)
    relay.close()
    assert Painter.alive == 0


def test_when_the_best_engine_cannot_be_built_the_quick_one_stays(world: World) -> None:
    world.broken.add("fast")
    relay = Relay(world.workshop(slow_builds=True), Wish("fast", 2))
    until(lambda: shown(relay)[0] == QUICK and bool(world.notes))
    assert shown(relay)[0] == QUICK
    assert world.notes == ["fast x2 cannot be used: it does not build"]
    relay.close()
    assert Painter.alive == 0


def test_where_nothing_of_it_can_be_built_the_same_network_runs_on_other_hardware(world: World) -> None:
    world.broken.add("fast")
    workshop = replace(world.workshop(), spare=lambda name, scale: Painter("spare", scale, SLOW))
    relay = Relay(workshop, Wish("fast", 2))
    until(lambda: shown(relay)[0] == SLOW)
    assert world.notes == ["fast x2 cannot be used: it does not build"]
    relay.close()
    assert Painter.alive == 0


def test_a_long_build_that_is_no_longer_wanted_hears_of_it(world: World) -> None:
    world.gate.clear()
    relay = Relay(world.workshop(slow_builds=True), Wish("slow", 2))
    shown(relay)
    until(lambda: bool(world.watches))
    assert not world.watches[0].cancelled()
    relay.wish(Wish("fast", 2))
    shown(relay)
    assert world.watches[0].cancelled()
    world.gate.set()
    until(lambda: shown(relay)[0] == FAST)
    assert not world.notes, "a build that was given up is no failure"
    relay.close()
    assert Painter.alive == 0


def test_a_window_that_is_being_dragged_is_served_by_few_engines_until_it_rests(world: World) -> None:
    relay = Relay(world.workshop(slow_builds=True), Wish("fast", 2))
    until(lambda: shown(relay, Size(100, 60))[0] == FAST)
    world.made.clear()
    world.quicks.clear()
    until(lambda: shown(relay, Size(101, 60))[0] == QUICK)
    for width in range(102, 128):
        assert shown(relay, Size(width, 60)) == (QUICK, Size(width, 60).times(2))
    assert not world.made, "nothing long is built for a size that will be gone in a moment"
    assert len(world.quicks) == 1
    assert world.quicks[0].warmed == Size(128, 64)
    levels = set()

    def settled() -> bool:
        levels.add(shown(relay, Size(127, 60))[0])
        return FAST in levels

    until(settled)
    assert levels <= {QUICK, FAST}, "no gap in between"
    assert [engine.warmed for engine in world.made] == [Size(127, 60)]
    relay.close()
    assert Painter.alive == 0


def test_an_engine_lost_at_work_is_built_again_after_a_while(world: World) -> None:
    relay = Relay(world.workshop(), Wish("fast", 2))
    until(lambda: shown(relay)[0] == FAST)
    world.made[-1].fails = True
    world.broken.add("fast")
    assert shown(relay)[0] == PLAIN
    until(lambda: shown(relay)[0] == PLAIN and len(world.made) == 2)
    until(lambda: shown(relay)[0] == PLAIN and len(world.notes) == 2)  # the card is still away
    world.broken.clear()
    until(lambda: shown(relay)[0] == FAST)
    relay.close()
    assert Painter.alive == 0


class Ticking:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_only_a_window_at_rest_is_built_for_exactly() -> None:
    clock = Ticking()
    orders = Orders(lambda model: (2, 4), patient=True, clock=clock)
    wish = Wish("fast", 2)
    told = []
    for size, wait in [((480, 270), 0), ((481, 270), 9), ((490, 271), 0.1), ((490, 271), SETTLE_S), ((500, 300), 9)]:
        clock.now += wait
        order = orders.order(wish, Size(*size), None)
        assert order.serves(Size(*size))
        told.append((order.size, order.rough))
    bucket = Size(-(-490 // BUCKET) * BUCKET, -(-271 // BUCKET) * BUCKET)
    assert told == [
        (Size(480, 270), False),
        (bucket, True),
        (bucket, True),
        (Size(490, 271), False),
        (Size(512, 320), True),
    ]


def test_the_waits_before_another_try_grow_and_a_long_good_time_ends_them() -> None:
    clock = Ticking()
    orders = Orders(lambda model: (2,), clock=clock)

    def attempt() -> int:
        return orders.order(Wish("fast", 2), SMALL, None).attempt

    for number, wait in enumerate((*RETRY_S, RETRY_S[-1])):
        assert attempt() == number
        orders.failed()
        clock.now += wait - 0.01
        assert attempt() == number
        clock.now += 0.02
    clock.now += 1000
    before = attempt()
    orders.failed()
    assert attempt() == before
    clock.now += RETRY_S[0]
    assert attempt() == before + 1


def test_many_switches_in_a_row_end_at_the_last_wish_and_leave_nothing_behind(world: World) -> None:
    relay = Relay(world.workshop(), Wish("fast", 2))
    for turn in range(200):
        relay.wish(Wish(("fast", "slow")[turn % 2], (2, 4)[turn // 2 % 2]))
        shown(relay, Size(4 + turn % 5, 4))
    relay.wish(Wish("slow", 4))
    until(lambda: shown(relay) == (SLOW, SMALL.times(4)))
    before = threading.active_count()
    relay.close()
    assert threading.active_count() == before - 1
    assert Painter.alive == 0


@pytest.mark.parametrize(
    ("size", "room", "scale"),
    [
        ((480, 270), (960, 540), 2),
        ((480, 270), (961, 541), 4),
        ((480, 270), (1920, 1080), 4),
        ((480, 270), (3840, 2160), 4),  # nothing larger: the display's resizing does the rest
        ((640, 400), (1280, 1080), 2),  # the width decides
        ((1920, 1080), (960, 540), 2),
    ],
)
def test_fit_takes_the_smallest_scale_that_fills_the_room(
    size: tuple[int, int], room: tuple[int, int], scale: int
) -> None:
    assert Wish("fast", None).at(Size(*size), Size(*room), (2, 4)) == scale


def nearest(pixels: Pixels, size: Size, into: Pixels | None) -> Pixels:
    done = fitting(into, size)
    rows = np.arange(size.height) * pixels.shape[0] // size.height
    columns = np.arange(size.width) * pixels.shape[1] // size.width
    done[:] = pixels[rows[:, None], columns]
    return done


@pytest.mark.parametrize("room", [(12, 8), (30, 8), (24, 16), (3, 2), (60, 60)])
def test_the_picture_is_fitted_to_the_room_whatever_the_scale(room: tuple[int, int]) -> None:
    fitted = Fitted(Painter("fast", 2, FAST), nearest)
    fitted.room = Size(*room)
    assert shown(fitted) == (FAST, SMALL.fitted(Size(*room)))


def test_a_fitted_picture_is_drawn_into_the_buffer_that_was_lent(world: World) -> None:
    fitted = Fitted(Painter("fast", 2, FAST), nearest)
    for room in (Size(12, 8), Size(24, 16)):
        fitted.room = room
        lent = fresh(room)
        done = fitted.upscale(Frame(fresh(SMALL)), lent)
        assert done is not None
        assert done.pixels is lent


def test_comparing_shows_the_unprocessed_picture_and_the_split_both() -> None:
    compare = Compare(Painter("fast", 2, FAST), nearest)
    frame = Frame(fresh(Size(20, 4)))
    frame.pixels[..., :3] = 90
    levels = {}
    for view in View:
        compare.view = view
        done = compare.upscale(frame)
        assert done is not None
        levels[view] = (int(done.pixels[0, 0, 0]), int(done.pixels[0, -1, 0]))
    assert levels == {View.UPSCALED: (FAST, FAST), View.UNPROCESSED: (90, 90), View.SPLIT: (90, FAST)}
    compare.move_divider(-100)
    assert compare.divider == 0
