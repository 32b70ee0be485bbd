"""The hot-swap engine: never without a picture, whatever is being built, switched, resized or failing."""

import threading
from dataclasses import replace

import pytest
from fakes import select
from patience import until, wait

from live_sr.engines.live.build_request import BUCKET, RETRY_S, SETTLE_S, BuildPlanner
from live_sr.engines.live.hot_swap import EngineSupply, HotSwapEngine
from live_sr.errors import EngineError
from live_sr.models.resolve import Model
from live_sr.pipeline.contracts import Engine, EngineInfo
from live_sr.pipeline.engine_contracts import BuildMonitor
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size, make_black, reuse_or_allocate

SMALL = Size(6, 4)


class Painter:
    """An engine that paints its level over a picture; it can be made to wait while it warms up, and to fail."""

    alive = 0

    def __init__(self, name: str, scale: int, level: int, gate: threading.Event | None = None) -> None:
        self.scale = scale
        self.info = EngineInfo(name, scale, "painter")
        self.level = level
        self.gate = gate
        self.fails = False
        self.warmed: Size | None = None
        Painter.alive += 1

    def warm_up(self, size: Size) -> None:
        if self.gate is not None:
            assert wait(self.gate)
        if self.fails:
            raise EngineError("it does not build", "none")
        self.warmed = size

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        if self.fails:
            raise EngineError("it broke at work", "none")
        assert self.warmed in (None, get_size(frame.pixels)), "an engine was given a size it was not built for"
        done = reuse_or_allocate(into, get_size(frame.pixels).times(self.scale))
        done[..., :3] = self.level
        return frame.with_pixels(done)

    def close(self) -> None:
        Painter.alive -= 1


PLAIN, FAST, SLOW, QUICK = 10, 20, 30, 40


class Roomy(Painter):
    """One that also takes frames smaller than what it was warmed up for, as the quick ones must."""

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        size, most = get_size(frame.pixels), self.warmed
        assert most is not None
        assert size.width <= most.width
        assert size.height <= most.height
        self.warmed = size
        try:
            return super().upscale(frame, into)
        finally:
            self.warmed = most


class World:
    """A supply whose engines can be inspected, and the notes it was given."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.notes: list[str] = []
        self.made: list[Painter] = []
        self.quicks: list[Roomy] = []
        self.watches: list[BuildMonitor] = []
        self.broken: set[str] = set()
        self.changed = threading.Event()

    def make(self, model: Model, scale: int, watch: BuildMonitor = BuildMonitor()) -> Engine:  # noqa: B008  # immutable
        engine = Painter(model.name, scale, {"fast": FAST, "slow": SLOW}[model.name], self.gate)
        engine.fails = model.name in self.broken
        self.made.append(engine)
        self.watches.append(watch)
        return engine

    def quick(self, model: Model, scale: int) -> Engine:
        self.quicks.append(Roomy("quick", scale, QUICK))
        return self.quicks[-1]

    def supply(self, *, slow_builds: bool = False) -> EngineSupply:
        return EngineSupply(
            make_plain=lambda scale: Painter("plain", scale, PLAIN),
            make=self.make,
            make_quick=self.quick if slow_builds else None,
            builds_slowly=slow_builds,
            notify=self.notes.append,
            on_change=self.changed.set,
        )


@pytest.fixture
def world() -> World:
    Painter.alive = 0
    return World()


def shown(engine: HotSwapEngine, size: Size = SMALL) -> tuple[int, Size]:
    """The level and size of the picture that the engine makes of one frame."""
    done = engine.upscale(Frame(make_black(size)))
    assert done is not None
    return int(done.pixels.to_host()[0, 0, 0]), done.pixels.size


def test_the_plain_engine_draws_until_the_wished_one_is_built(world: World) -> None:
    world.gate.clear()
    engine = HotSwapEngine(world.supply(), select("fast", 2))
    assert [shown(engine)[0] for _ in range(5)] == [PLAIN] * 5
    world.gate.set()
    until(lambda: shown(engine)[0] == FAST)
    engine.close()
    assert Painter.alive == 0


def test_a_switch_keeps_the_present_engine_at_work_until_the_next_is_built(world: World) -> None:
    engine = HotSwapEngine(world.supply(), select("fast", 2))
    until(lambda: shown(engine)[0] == FAST)
    world.gate.clear()
    engine.select(select("slow", 4))
    assert [shown(engine) for _ in range(5)] == [(FAST, SMALL.times(2))] * 5
    world.gate.set()
    until(lambda: shown(engine) == (SLOW, SMALL.times(4)))
    engine.close()
    assert Painter.alive == 0


def test_a_resized_window_is_drawn_by_the_plain_engine_meanwhile(world: World) -> None:
    engine = HotSwapEngine(world.supply(), select("fast", 2))
    until(lambda: shown(engine)[0] == FAST)
    world.gate.clear()
    odd = Size(7, 3)
    assert shown(engine, odd) == (PLAIN, odd.times(2))
    world.gate.set()
    until(lambda: shown(engine, odd) == (FAST, odd.times(2)))
    engine.close()
    assert Painter.alive == 0


def test_an_engine_that_cannot_be_built_leaves_the_present_one_and_is_told(world: World) -> None:
    engine = HotSwapEngine(world.supply(), select("fast", 2))
    until(lambda: shown(engine)[0] == FAST)
    world.broken.add("slow")
    engine.select(select("slow", 2))
    until(lambda: shown(engine)[0] == FAST and bool(world.notes))
    assert world.notes == ["slow x2 cannot be used: it does not build (none)"]
    engine.close()
    assert Painter.alive == 0


def test_an_engine_that_fails_at_work_is_replaced_by_the_plain_one_in_the_same_frame(world: World) -> None:
    engine = HotSwapEngine(world.supply(), select("fast", 2))
    until(lambda: shown(engine)[0] == FAST)
    world.made[-1].fails = True
    assert shown(engine)[0] == PLAIN
    assert "fast x2" in world.notes[0]
    assert "it broke at work" in world.notes[0]
    assert shown(engine)[0] == PLAIN
    engine.close()
    assert Painter.alive == 0


def test_while_the_best_engine_is_built_a_quick_one_works(world: World) -> None:
    world.gate.clear()
    engine = HotSwapEngine(world.supply(slow_builds=True), select("fast", 2))
    until(lambda: shown(engine)[0] == QUICK)
    assert engine.is_building, "the quick one may be slow meanwhile, and nobody should blame it"
    world.gate.set()
    until(lambda: shown(engine)[0] == FAST)
    until(lambda: not engine.is_building)
    engine.close()
    assert Painter.alive == 0


def test_an_engine_that_was_built_before_needs_no_quick_one_but_a_new_size_does(world: World) -> None:
    supply = replace(world.supply(slow_builds=True), is_built=lambda model, scale, size: size == SMALL)
    engine = HotSwapEngine(supply, select("fast", 2))
    until(lambda: shown(engine)[0] == FAST)
    assert not world.quicks
    world.gate.clear()
    until(lambda: shown(engine, Size(40, 30))[0] == QUICK)
    world.gate.set()
    until(lambda: shown(engine, Size(40, 30))[0] == FAST)
    engine.close()
    assert Painter.alive == 0


def test_an_engine_of_which_a_broken_driver_does_not_tell_whether_it_is_built_is_built(world: World) -> None:
    def fail(*_: object) -> bool:
        raise RuntimeError("CL_OUT_OF_RESOURCES")

    engine = HotSwapEngine(replace(world.supply(slow_builds=True), is_built=fail), select("fast", 2))
    until(lambda: shown(engine)[0] == FAST)
    engine.select(select("slow", 2))
    until(lambda: shown(engine)[0] == SLOW)
    engine.close()
    assert Painter.alive == 0


def test_when_the_best_engine_cannot_be_built_the_quick_one_stays(world: World) -> None:
    world.broken.add("fast")
    engine = HotSwapEngine(world.supply(slow_builds=True), select("fast", 2))
    until(lambda: shown(engine)[0] == QUICK and bool(world.notes))
    assert shown(engine)[0] == QUICK
    assert world.notes == ["fast x2 cannot be used: it does not build (none)"]
    engine.close()
    assert Painter.alive == 0


def test_where_nothing_of_it_can_be_built_the_same_network_runs_on_other_hardware(world: World) -> None:
    world.broken.add("fast")
    supply = replace(world.supply(), make_spare=lambda name, scale: Painter("spare", scale, SLOW))
    engine = HotSwapEngine(supply, select("fast", 2))
    until(lambda: shown(engine)[0] == SLOW)
    assert world.notes == ["fast x2 cannot be used: it does not build (none)"]
    engine.close()
    assert Painter.alive == 0


def test_a_long_build_that_is_no_longer_wanted_hears_of_it(world: World) -> None:
    world.gate.clear()
    engine = HotSwapEngine(world.supply(slow_builds=True), select("slow", 2))
    shown(engine)
    until(lambda: bool(world.watches))
    assert not world.watches[0].cancelled()
    engine.select(select("fast", 2))
    shown(engine)
    assert world.watches[0].cancelled()
    world.gate.set()
    until(lambda: shown(engine)[0] == FAST)
    assert not world.notes, "a build that was given up is no failure"
    engine.close()
    assert Painter.alive == 0


def test_a_window_that_is_being_dragged_is_served_by_few_engines_until_it_rests(world: World) -> None:
    engine = HotSwapEngine(world.supply(slow_builds=True), select("fast", 2))
    until(lambda: shown(engine, Size(100, 60))[0] == FAST)
    world.made.clear()
    world.quicks.clear()
    until(lambda: shown(engine, Size(101, 60))[0] == QUICK)
    for width in range(102, 128):
        assert shown(engine, Size(width, 60)) == (QUICK, Size(width, 60).times(2))
    assert not world.made, "nothing long is built for a size that will be gone in a moment"
    assert len(world.quicks) == 1
    assert world.quicks[0].warmed == Size(128, 64)
    levels = set()

    def settled() -> bool:
        levels.add(shown(engine, Size(127, 60))[0])
        return FAST in levels

    until(settled)
    assert levels <= {QUICK, FAST}, "no gap in between"
    assert [engine.warmed for engine in world.made] == [Size(127, 60)]
    engine.close()
    assert Painter.alive == 0


def test_an_engine_lost_at_work_is_built_again_after_a_while(world: World) -> None:
    engine = HotSwapEngine(world.supply(), select("fast", 2))
    until(lambda: shown(engine)[0] == FAST)
    world.made[-1].fails = True
    world.broken.add("fast")
    assert shown(engine)[0] == PLAIN
    until(lambda: shown(engine)[0] == PLAIN and len(world.made) == 2)
    until(lambda: shown(engine)[0] == PLAIN and len(world.notes) == 2)  # the GPU is still away
    world.broken.clear()
    until(lambda: shown(engine)[0] == FAST)
    engine.close()
    assert Painter.alive == 0


class Ticking:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_only_a_window_at_rest_is_built_for_exactly() -> None:
    clock = Ticking()
    planner = BuildPlanner(builds_slowly=True, clock=clock)
    selection = select("fast", 2)
    told = []
    for size, pause in [((480, 270), 0), ((481, 270), 9), ((490, 271), 0.1), ((490, 271), SETTLE_S), ((500, 300), 9)]:
        clock.now += pause
        request = planner.plan(selection, Size(*size), None)
        assert request.fits(Size(*size))
        told.append((request.size, request.provisional))
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
    planner = BuildPlanner(clock=clock)

    def attempt() -> int:
        return planner.plan(select("fast", 2), SMALL, None).attempt

    for number, pause in enumerate((*RETRY_S, RETRY_S[-1])):
        assert attempt() == number
        planner.record_failure()
        clock.now += pause - 0.01
        assert attempt() == number
        clock.now += 0.02
    clock.now += 1000
    before = attempt()
    planner.record_failure()
    assert attempt() == before
    clock.now += RETRY_S[0]
    assert attempt() == before + 1


def test_many_switches_in_a_row_end_at_the_last_wish_and_leave_nothing_behind(world: World) -> None:
    engine = HotSwapEngine(world.supply(), select("fast", 2))
    for turn in range(200):
        engine.select(select(("fast", "slow")[turn % 2], (2, 4)[turn // 2 % 2]))
        shown(engine, Size(4 + turn % 5, 4))
    engine.select(select("slow", 4))
    until(lambda: shown(engine) == (SLOW, SMALL.times(4)))
    before = threading.active_count()
    engine.close()
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
    assert select("fast", None).choose_scale(Size(*size), Size(*room)) == scale


def test_fit_fills_the_room_with_the_aspect_of_the_settings() -> None:
    wide, old = Size(320, 200), Size(640, 480)  # 2 times as wide, 2.4 times as high: the display does the rest
    assert select("fast", None).choose_scale(wide, old, 4 / 3) == 2
    assert select("fast", None).choose_scale(wide, Size(1280, 720), 4 / 3) == 4
