"""The presenter: pictures that stay on the GPU or come to main memory, fitted to the room, in every view."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from fake_cuda import FakeCuda, FakeStep
from fakes import select
from patience import until, wait

from live_sr.engines.filters.engine import FilterEngine, make_resizer
from live_sr.engines.live.hot_swap import EngineSupply, HotSwapEngine
from live_sr.engines.live.presenter import Presenter, View
from live_sr.models.resolve import Model
from live_sr.nvidia.buffered_engine import BufferedEngine
from live_sr.overlay.triple_buffer import TripleBuffer
from live_sr.pipeline.contracts import Engine, EngineInfo
from live_sr.pipeline.display_picture import DisplayPicture, HostPicture
from live_sr.pipeline.engine_contracts import BuildMonitor
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size, make_black, reuse_or_allocate
from live_sr.pipeline.latency import Latency
from live_sr.pipeline.pipeline import Pipeline

SIZE = Size(8, 6)


class GpuEngine(BufferedEngine):
    """An engine on the fake GPU, through the real double buffer."""

    def __init__(self, name: str, scale: int, cuda: FakeCuda) -> None:
        super().__init__(EngineInfo(name, scale, "fake GPU"), queue=0)
        self._cuda = cuda

    def warm_up(self, size: Size) -> None:
        self._allocate(self._cuda, lambda stream: FakeStep(self._cuda, size, self.scale), size)


class FakeGpu:
    """A supply of engines on the fake GPU. Builds wait for `gate`, and a lost GPU is lost to every new engine, too."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.lost = False
        self.cudas: list[FakeCuda] = []
        self.notes: list[str] = []

    def make(self, model: Model, scale: int, watch: BuildMonitor = BuildMonitor()) -> Engine:  # noqa: B008  # immutable
        assert wait(self.gate)
        cuda = FakeCuda()
        cuda.lost = self.lost
        self.cudas.append(cuda)
        return GpuEngine(model.name, scale, cuda)

    def supply(self) -> EngineSupply:
        return EngineSupply(
            make_plain=lambda scale: FilterEngine("nearest", scale),
            make=self.make,
            notify=self.notes.append,
        )


class Chain:
    """Hot-swap engine and presenter, as the session wires them."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.engine = HotSwapEngine(gpu.supply(), select("fast", 2))
        self.presenter = Presenter(self.engine, make_resizer("nearest"), make_resizer("nearest"))
        self.presenter.keep_on_device = True
        self.presenter.warm_up(SIZE)


@pytest.fixture
def gpu() -> FakeGpu:
    return FakeGpu()


def level(value: int) -> Frame[Pixels]:
    frame = Frame(make_black(SIZE))
    frame.pixels[..., :3] = value
    return frame


def read(picture: DisplayPicture) -> tuple[int, bool]:
    """The level of a flat picture, and whether it is on the GPU. The picture is released."""
    pixels = picture.copy()
    assert (pixels[..., :3] == pixels[0, 0, 0]).all(), "two frames in one picture"
    picture.release()
    return int(pixels[0, 0, 0]), picture.on_device


def upscaled(chain: Chain, value: int) -> tuple[int, bool]:
    done = chain.presenter.upscale(level(value))
    assert done is not None, "a frame without a picture"
    return read(done.pixels)


def test_pictures_stay_on_the_card_until_something_needs_them_in_main_memory(gpu: FakeGpu) -> None:
    chain = Chain(gpu)
    assert upscaled(chain, 50) == (50, True)
    assert chain.presenter.sizes == (SIZE, SIZE.times(2))
    chain.presenter.view = View.UNPROCESSED
    assert upscaled(chain, 60) == (60, False)
    chain.presenter.view = View.UPSCALED
    assert upscaled(chain, 70) == (70, True)
    chain.presenter.keep_on_device = False
    assert upscaled(chain, 80) == (80, False)
    chain.presenter.close()
    assert not gpu.cudas[0].live - set(gpu.cudas[0].gl.fences)


def test_a_switch_leaves_no_frame_without_its_picture(gpu: FakeGpu) -> None:
    chain = Chain(gpu)
    made = []
    for value in range(20, 220):
        if value % 10 == 0:
            chain.engine.select(select("fast" if value % 20 else "other", 2 + value // 10 % 2))
        if value % 10 == 5:
            threading.Event().wait(0.02)  # let a build come to its end in between
        made.append(upscaled(chain, value)[0])
    assert made == list(range(20, 220)), "a black, stale or missing picture"
    until(lambda: len(gpu.cudas) > 5)
    chain.presenter.close()


def test_while_a_switch_is_built_the_engine_before_goes_on_on_the_card(gpu: FakeGpu) -> None:
    chain = Chain(gpu)
    gpu.gate.clear()
    chain.engine.select(select("other", 3))
    assert [upscaled(chain, value) for value in range(30, 40)] == [(value, True) for value in range(30, 40)]
    assert chain.presenter.info.model == "fast"
    gpu.gate.set()
    until(lambda: upscaled(chain, 99) == (99, True) and chain.presenter.info.model == "other")
    chain.presenter.close()


def test_a_card_lost_at_work_costs_no_picture_and_is_used_again_when_it_is_back(gpu: FakeGpu) -> None:
    chain = Chain(gpu)
    assert upscaled(chain, 40) == (40, True)
    gpu.lost = gpu.cudas[-1].lost = True
    assert upscaled(chain, 41) == (41, False), "the plain engine makes the same frame's picture"
    assert "the GPU was lost" in gpu.notes[0]
    until(lambda: upscaled(chain, 42) == (42, False) and len(gpu.cudas) > 1)
    gpu.lost = False
    until(lambda: upscaled(chain, 43) == (43, True))
    chain.presenter.close()


class Screen:
    """Fulfils `contracts.Display` as the overlay does: a thread takes the newest picture when it comes to it."""

    def __init__(self, latency: Latency) -> None:
        self._buffer: TripleBuffer[DisplayPicture] = TripleBuffer(latency)
        self.shown: list[tuple[int, bool]] = []

    def show(self, frame: Frame[DisplayPicture]) -> Frame[DisplayPicture] | None:
        given_back, _ = self._buffer.put(frame)
        return given_back

    def paint(self) -> None:
        frame = self._buffer.take()
        if frame is not None:
            self.shown.append(read(frame.pixels))


class Levels:
    """A source of flat frames, rising by one each time; it stands still at the last."""

    def __init__(self, last: int) -> None:
        self.size = SIZE
        self._next, self._last = 1, last

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        if self._next > self._last:
            threading.Event().wait(timeout_s / 20)
            return None
        frame = level(self._next)
        self._next += 1
        return frame

    def close(self) -> None: ...


def test_a_display_that_is_slow_drops_pictures_and_still_ends_at_the_newest(gpu: FakeGpu) -> None:
    chain = Chain(gpu)
    latency = Latency()
    display = Screen(latency)
    pipeline = Pipeline(lambda: Levels(120), chain.presenter, display, latency)
    pipeline.start()

    def newest() -> bool:
        display.paint()
        return bool(display.shown) and display.shown[-1][0] == 120

    until(newest)
    pipeline.stop()
    levels = [value for value, _ in display.shown]
    assert levels == sorted(levels)
    assert all(on_device for _, on_device in display.shown)
    assert latency.report().dropped > 0
    chain.presenter.close()


def test_a_screenshot_of_a_picture_on_the_card_is_that_picture(gpu: FakeGpu) -> None:
    chain = Chain(gpu)
    latency = Latency()
    display = Screen(latency)
    pipeline = Pipeline(lambda: Levels(7), chain.presenter, display, latency)
    taken: list[tuple[Pixels, Pixels]] = []
    pipeline.start()
    until(lambda: display.paint() or (bool(display.shown) and display.shown[-1][0] == 7))  # type: ignore[func-returns-value]
    pipeline.request_snapshot(lambda before, after: taken.append((before, after)))
    until(lambda: bool(taken))
    pipeline.stop()
    chain.presenter.close()
    before, after = taken[0]
    assert get_size(after) == SIZE.times(2)
    assert np.array_equal(after[::2, ::2], before)


# Pictures in main memory: fitted, compared, and always the same few


class LevelEngine:
    """Ready at once; paints one level over the picture."""

    def __init__(self, scale: int) -> None:
        self.scale = scale
        self.info = EngineInfo("level", scale, "numpy")

    def warm_up(self, size: Size) -> None: ...

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        done = reuse_or_allocate(into, get_size(frame.pixels).times(self.scale))
        done[..., :3] = LEVEL
        return frame.with_pixels(done)

    def close(self) -> None: ...


LEVEL = 20
SMALL = Size(6, 4)


def nearest(pixels: Pixels, size: Size, into: Pixels | None) -> Pixels:
    done = reuse_or_allocate(into, size)
    rows = np.arange(size.height) * pixels.shape[0] // size.height
    columns = np.arange(size.width) * pixels.shape[1] // size.width
    done[:] = pixels[rows[:, None], columns]
    return done


@pytest.fixture
def presenter() -> Iterator[Presenter]:
    supply = EngineSupply(make_plain=LevelEngine, make=lambda name, scale, watch: LevelEngine(scale))
    presenter = Presenter(HotSwapEngine(supply, select("fast", 2)), nearest, nearest)
    yield presenter
    presenter.close()


@pytest.mark.parametrize("room", [(12, 8), (30, 8), (24, 16), (3, 2), (60, 60)])
def test_the_picture_is_fitted_to_the_room_whatever_the_scale(presenter: Presenter, room: tuple[int, int]) -> None:
    presenter.room = Size(*room)
    done = presenter.upscale(Frame(make_black(SMALL)))
    assert done is not None
    assert done.pixels.size == SMALL.fit_into(Size(*room))
    assert (done.pixels.to_host()[..., :3] == LEVEL).all()
    assert presenter.sizes == (SMALL, done.pixels.size)


@pytest.mark.parametrize("view", View)
def test_a_picture_gets_the_aspect_of_the_settings(view: View) -> None:
    supply = EngineSupply(make_plain=LevelEngine, make=lambda name, scale, watch: LevelEngine(scale))
    presenter = Presenter(HotSwapEngine(supply, select("fast", 2)), nearest, nearest, aspect=4 / 3)
    presenter.room, presenter.view = Size(100, 60), view
    done = presenter.upscale(Frame(make_black(Size(32, 20))))
    assert done is not None
    assert done.pixels.size == (80, 60)
    presenter.close()


def test_a_fitted_picture_is_drawn_into_the_buffer_that_was_lent(presenter: Presenter) -> None:
    for room in (Size(12, 8), Size(24, 16)):
        presenter.room = room
        lent = make_black(room)
        done = presenter.upscale(Frame(make_black(SMALL)), HostPicture(lent))
        assert done is not None
        assert done.pixels.to_host() is lent


def test_comparing_shows_the_unprocessed_picture_and_the_split_both(presenter: Presenter) -> None:
    frame = Frame(make_black(Size(20, 4)))
    frame.pixels[..., :3] = 90
    levels = {}
    for view in View:
        presenter.view = view
        done = presenter.upscale(frame)
        assert done is not None
        pixels = done.pixels.to_host()
        levels[view] = (int(pixels[0, 0, 0]), int(pixels[0, -1, 0]))
    assert levels == {View.UPSCALED: (LEVEL, LEVEL), View.UNPROCESSED: (90, 90), View.SPLIT: (90, LEVEL)}
    for step, level in ((-1, LEVEL), (1, 90)):
        for _ in range(20):
            presenter.move_divider(step)
        done = presenter.upscale(frame)
        assert done is not None
        assert (done.pixels.to_host()[..., :3] == level).all(), "one picture alone has no line at its edge"


@pytest.mark.parametrize("view", View)
@pytest.mark.parametrize("room", [None, Size(12, 8), Size(30, 20)])
def test_in_the_steady_state_no_picture_is_allocated(presenter: Presenter, view: View, room: Size | None) -> None:
    presenter.room, presenter.view = room, view
    shown: list[Frame[DisplayPicture]] = []
    drawn_into: list[Pixels] = []
    for number in range(12):
        spare = shown.pop(0).pixels if len(shown) == 2 else None  # the display keeps two
        done = presenter.upscale(Frame(make_black(SMALL), number=number), spare)
        assert done is not None
        assert spare is None or done.pixels.to_host() is spare.to_host()
        drawn_into.append(done.pixels.to_host())
        shown.append(done)
    assert len({id(pixels) for pixels in drawn_into}) == 2


def test_no_picture_that_the_display_still_has_is_drawn_into_when_scale_and_room_change() -> None:
    supply = EngineSupply(LevelEngine, lambda name, scale, watch: LevelEngine(scale))
    engine = HotSwapEngine(supply, select("fast", 2))
    presenter = Presenter(engine, nearest, nearest)
    kept: list[Pixels] = []
    for turn in range(60):
        engine.select(select("fast", 2 + turn % 2))
        presenter.room = (Size(12, 8), Size(18, 12))[turn // 3 % 2]
        done = presenter.upscale(Frame(make_black(SMALL)))
        assert done is not None
        assert done.pixels.size == presenter.room
        kept.append(done.pixels.to_host())
    assert len({pixels.ctypes.data for pixels in kept}) == 60
    presenter.close()


class Comparable(HostPicture):
    """A picture on a card that also holds the one it was made from."""

    on_device = True
    divider: float | None = None

    def compare(self, divider: float) -> None:
        self.divider = divider


class ComparingEngine(LevelEngine):
    """Leaves such pictures on its card."""

    def upscale_on_device(self, frame: Frame[Pixels]) -> Frame[DisplayPicture] | None:
        done = self.upscale(frame)
        assert done is not None
        return done.with_pixels(Comparable(done.pixels))


def test_a_display_that_compares_by_itself_gets_every_view_from_the_card() -> None:
    supply = EngineSupply(make_plain=ComparingEngine, make=lambda name, scale, watch: ComparingEngine(scale))
    presenter = Presenter(HotSwapEngine(supply, select("fast", 2)), nearest, nearest)
    presenter.room = Size(30, 20)
    presenter.divider = 0.25
    for keeps, compares, view, divider in [
        (True, True, View.UPSCALED, 0.0),
        (True, True, View.UNPROCESSED, 1.0),
        (True, True, View.SPLIT, 0.25),
        (True, False, View.UPSCALED, 0.0),
        (True, False, View.SPLIT, None),
        (False, True, View.UPSCALED, None),
        (False, True, View.SPLIT, None),
    ]:
        presenter.keep_on_device, presenter.compare_on_device, presenter.view = keeps, compares, view
        done = presenter.upscale(Frame(make_black(SMALL)))
        assert done is not None
        on_device = divider is not None
        assert done.pixels.on_device == on_device
        assert getattr(done.pixels, "divider", None) == divider
        assert done.pixels.size == (SMALL.times(2) if on_device else Size(30, 20))
    presenter.close()
