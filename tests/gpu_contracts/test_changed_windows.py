"""Only what has changed is drawn on an NVIDIA GPU, and every picture is that of the whole frame, to the bit.

The GPU is the simulated one (`fake_cuda`), and the network a blur. What the real engines add is in the tests of each.
"""

from __future__ import annotations

import numpy as np
import pytest
from fake_cuda import FakeCuda
from picture_changes import blur, change, make_scene

from live_sr.engines.regions import windows
from live_sr.engines.regions.on_device import DeviceWindowsEngine
from live_sr.engines.tiling.layout import TileRequirements
from live_sr.errors import EngineError
from live_sr.nvidia.cuda_api import DevicePlace
from live_sr.nvidia.inference_step import InferenceStep
from live_sr.nvidia.windowed_engine import WindowedEngine
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.engine_contracts import DeviceEngine, DeviceWindowEngine
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, Tile, make_black

SCALE = 2
SIZE = Size(192, 160)
BLUR = TileRequirements(radius=1)
LEAST = 0.5  # of the pictures must have been drawn in part, so that this proves something


def enlarge(pixels: Pixels) -> Pixels:
    return blur(pixels).repeat(SCALE, 0).repeat(SCALE, 1)


class BlurStep:
    """The windows narrower than `wrong_below` are off by a level. Each run takes milliseconds of the engine's clock."""

    def __init__(self, engine: SimulatedEngine, size: Size) -> None:
        self._engine, self._size = engine, size
        self.input, self.output = engine.cuda.allocate(size), engine.cuda.allocate(size.times(SCALE))

    def enqueue(self, stream: int) -> None:
        engine, cuda = self._engine, self._engine.cuda

        def work() -> None:
            cuda.at(self.output)[...] = enlarge(cuda.at(self.input))
            if self._size != engine.whole and self._size.width < engine.wrong_below:
                cuda.at(self.output)[::7, ::5, 0] ^= 1

        cuda.enqueue_work("network", stream, cuda.at(self.input), cuda.at(self.output), work)
        engine.spend(self._size)

    def close(self) -> None:
        for address in (self.input, self.output):
            self._engine.cuda.free(address)


class SimulatedEngine(WindowedEngine):
    """`clock` counts nanoseconds: 4 ms for a whole picture, `window_ms` for a window."""

    def __init__(self, wrong_below: int = 0, least_side: int = 0, window_ms: float = 1.0) -> None:
        super().__init__(EngineInfo("blur", SCALE, "simulated"), queue=0)
        self.cuda = FakeCuda()
        self.before = set(self.cuda.live)
        self.wrong_below = wrong_below
        self.window_ms = window_ms
        self.clock = 0.0
        self.ran: list[Size] = []
        self._least_side = least_side
        self.whole = SIZE

    def warm_up(self, size: Size) -> None:
        self.close()
        self.whole = size
        self._allocate(self.cuda, lambda stream: BlurStep(self, size), size)

    def fit_window(self, size: Size) -> Size | None:
        return Size(max(size.width, self._least_side), max(size.height, self._least_side))

    def _make_window(self, size: Size, stream: int) -> InferenceStep:
        return BlurStep(self, size)

    def spend(self, size: Size) -> None:
        self.ran.append(size)
        self.clock += 4e6 if size == self.whole else 1e6 * self.window_ms


def wrap(inner: SimulatedEngine, requirements: TileRequirements = BLUR) -> DeviceWindowsEngine:
    return DeviceWindowsEngine(inner, inner, requirements, read_ns=lambda: int(inner.clock))


@pytest.fixture(autouse=True)
def quick_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "TRIED_VALUES", 60_000)


def upscale_on_device(engine: DeviceEngine, pixels: Pixels) -> tuple[Pixels, float]:
    """The picture, and the share of it that was drawn."""
    frame = Frame(pixels)
    done = engine.upscale_on_device(frame)
    assert done is not None
    picture = done.pixels.to_host()
    done.pixels.release()
    return picture, frame.stamps.drawn


@pytest.mark.parametrize(("size", "count"), [(SIZE, 250), (Size(121, 75), 60), (Size(48, 33), 30)], ids=str)
def test_every_picture_is_that_of_the_whole_frame_to_the_bit(
    size: Size, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some go to main memory, some are not shown at all, some are on screen while the next ones are drawn."""
    monkeypatch.setattr("live_sr.engines.regions.engine.ADVANTAGE", 1e9)
    chance = np.random.default_rng(size.width)
    engine = wrap(SimulatedEngine())
    engine.warm_up(size)
    scene = make_scene(chance, size)
    on_screen: list[tuple[DisplayPicture, Pixels]] = []
    into: Pixels | None = None
    shares = []
    for number in range(count):
        for _ in range(int(chance.choice([0, 1, 2], p=[0.1, 0.8, 0.1]))):
            change(chance, scene)
        frame = Frame(scene.copy())
        expected = enlarge(scene)
        if chance.random() < 0.15:
            host = engine.upscale(frame, into)
            assert host is not None or len(on_screen) == 2, "only a frame that finds no slot is dropped"
            if host is not None:
                assert np.array_equal(host.pixels, expected), number
                into = host.pixels
        else:
            done = engine.upscale_on_device(frame)
            assert done is not None or len(on_screen) == 2
            if done is not None:
                assert np.array_equal(done.pixels.to_host(), expected), number
                on_screen.append((done.pixels, expected))
        shares.append(frame.stamps.drawn)
        for picture, shown in on_screen:
            assert np.array_equal(picture.to_host(), shown), "a picture that somebody holds is not drawn over"
        while len(on_screen) > (2 if chance.random() < 0.03 else 1) or (on_screen and chance.random() < 0.1):
            on_screen.pop(0)[0].release()
    engine.close()
    if size == SIZE:
        assert sum(share < 1 for share in shares) > LEAST * count


def test_of_a_small_change_only_a_window_is_computed() -> None:
    inner = SimulatedEngine()
    engine = wrap(inner)
    engine.warm_up(SIZE)
    scene = make_scene(np.random.default_rng(1), SIZE)
    upscale_on_device(engine, scene)
    inner.ran.clear()
    scene[50:53, 60:70, :3] = 7
    picture, share = upscale_on_device(engine, scene)
    assert np.array_equal(picture, enlarge(scene))
    (ran,) = inner.ran
    assert ran.width * ran.height < 0.1 * SIZE.width * SIZE.height
    assert share < 0.1
    inner.ran.clear()
    picture, share = upscale_on_device(engine, scene)
    assert np.array_equal(picture, enlarge(scene))
    assert (inner.ran, share) == ([], 0), "nothing has changed"


def test_where_windows_cost_more_the_whole_picture_is_drawn() -> None:
    inner = SimulatedEngine(window_ms=1.5)
    engine = wrap(inner)
    engine.warm_up(SIZE)
    chance = np.random.default_rng(2)
    scene = make_scene(chance, SIZE)
    upscale_on_device(engine, scene)
    scene[::16, ::16, :3] ^= 1  # it would take four windows
    assert upscale_on_device(engine, scene)[1] == 1
    scene[20, 20, :3] ^= 1
    assert upscale_on_device(engine, scene)[1] < 1
    inner.window_ms = 9  # slower than they were at the start
    shares = []
    for _ in range(60):
        scene[20, 20, :3] ^= 1
        shares.append(upscale_on_device(engine, scene)[1])
    assert shares[-20:].count(1) > 10, "but for a try now and then"


def test_windows_that_differ_by_one_level_are_not_used_and_take_no_memory() -> None:
    sizes: dict[int, set[Size]] = {}
    held = {}
    for wrong_below in (0, 100, 1000):
        inner = SimulatedEngine(wrong_below)
        engine = wrap(inner)
        engine.warm_up(SIZE)
        assert engine.draws_regions is (wrong_below != 1000)
        held[wrong_below] = len(inner.cuda.live)
        chance = np.random.default_rng(3)
        scene = make_scene(chance, SIZE)
        inner.ran.clear()
        for _ in range(40):
            change(chance, scene)
            assert np.array_equal(upscale_on_device(engine, scene)[0], enlarge(scene))
        sizes[wrong_below] = set(inner.ran) - {SIZE}
    assert min(size.width for size in sizes[0]) < 100
    assert sizes[100] and min(size.width for size in sizes[100]) >= 100
    assert not sizes[1000]
    assert held[0] > held[100] > held[1000]


def test_windows_are_as_large_as_the_engine_must_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("live_sr.engines.regions.engine.ADVANTAGE", 1e9)
    inner = SimulatedEngine(least_side=64)
    engine = wrap(inner)
    engine.warm_up(SIZE)
    chance = np.random.default_rng(4)
    scene = make_scene(chance, SIZE)
    for _ in range(40):
        change(chance, scene)
        assert np.array_equal(upscale_on_device(engine, scene)[0], enlarge(scene))
    assert min(min(size) for size in inner.ran) == 64


def test_a_window_that_cannot_be_made_leaves_an_engine_that_works() -> None:
    class FullCardEngine(SimulatedEngine):
        def _make_window(self, size: Size, stream: int) -> InferenceStep:
            raise EngineError("the GPU has no memory left")

    engine = wrap(FullCardEngine())
    engine.warm_up(SIZE)
    assert not engine.draws_regions
    scene = make_scene(np.random.default_rng(5), SIZE)
    assert np.array_equal(upscale_on_device(engine, scene)[0], enlarge(scene))


def test_a_gpu_that_puts_parts_in_wrong_places_draws_whole_pictures(caplog: pytest.LogCaptureFixture) -> None:
    inner = SimulatedEngine()
    copy = inner.cuda.copy

    def copy_wrongly(target: DevicePlace, source: DevicePlace, size: Size, stream: int) -> None:
        copy(target, source.go_to(Rect(0, 0, *size)), size, stream)

    inner.cuda.copy = copy_wrongly  # type: ignore[method-assign]
    engine = wrap(inner)
    engine.warm_up(SIZE)
    assert not engine.draws_regions
    assert "whole ones are drawn" in caplog.text
    scene = make_scene(np.random.default_rng(11), SIZE)
    assert np.array_equal(upscale_on_device(engine, scene)[0], enlarge(scene))


def test_a_failure_on_the_gpu_is_told_and_closing_harms_nothing() -> None:
    inner = SimulatedEngine()
    engine = wrap(inner)
    engine.warm_up(SIZE)
    scene = make_scene(np.random.default_rng(6), SIZE)
    upscale_on_device(engine, scene)
    inner.cuda.lost = True
    scene[0, 0] = 0
    for work in (engine.upscale_on_device, engine.upscale):
        with pytest.raises(EngineError):
            work(Frame(scene))
    engine.close()


def test_closing_and_another_size_leave_no_window_behind() -> None:
    inner = SimulatedEngine()
    engine = wrap(inner)
    engine.warm_up(SIZE)
    held = len(inner.cuda.live)
    for size in (Size(150, 130), SIZE):
        scene = make_scene(np.random.default_rng(7), size)
        assert np.array_equal(upscale_on_device(engine, scene)[0], enlarge(scene))
    assert len(inner.cuda.live) == held
    engine.close()
    assert inner.cuda.live == inner.before


# The contract of the engine itself


def whole_tile(rect: Rect) -> Tile:
    return Tile(rect, rect)


@pytest.fixture
def warm() -> SimulatedEngine:
    engine = SimulatedEngine()
    assert isinstance(engine, DeviceWindowEngine)
    engine.warm_up(SIZE)
    engine.add_window(Size(32, 32))
    return engine


def test_tiles_are_drawn_where_they_belong_and_nothing_else_is(warm: SimulatedEngine) -> None:
    scene = make_scene(np.random.default_rng(8), SIZE)
    tiles = [Tile(Rect(0, 0, 32, 32), Rect(0, 0, 31, 31)), Tile(Rect(40, 60, 32, 32), Rect(50, 61, 7, 30))]
    into = make_black(SIZE.times(SCALE))
    warm.upscale_tiles(scene, tiles, into)
    expected = make_black(SIZE.times(SCALE))
    for tile in tiles:
        kept = tile.kept.times(SCALE)
        kept.cut_from(expected)[...] = kept.cut_from(enlarge(scene))
    assert np.array_equal(into, expected)


@pytest.mark.parametrize("before", ["nothing", "another size", "main memory", "more tiles than a picture has room for"])
def test_where_no_picture_can_be_continued_the_whole_one_is_drawn(warm: SimulatedEngine, before: str) -> None:
    scene = make_scene(np.random.default_rng(9), SIZE)
    count = 1
    if before != "nothing":
        upscale_on_device(warm, scene)
    if before == "another size":
        upscale_on_device(warm, scene[:100, :100].copy())
    elif before == "main memory":
        assert warm.upscale(Frame(scene)) is not None
    elif before.startswith("more"):
        count = 100
    scene = ~scene  # other than what tiles would draw
    done = warm.upscale_tiles_on_device(Frame(scene), [whole_tile(Rect(0, 0, 32, 32))] * count)
    assert done is not None
    assert np.array_equal(done.pixels.to_host(), enlarge(scene))


def test_tiles_in_main_memory_leave_the_picture_on_the_gpu_as_it_is(warm: SimulatedEngine) -> None:
    scene = make_scene(np.random.default_rng(10), SIZE)
    upscale_on_device(warm, scene)
    tile = Tile(Rect(0, 0, 32, 32), Rect(0, 0, 31, 31))
    warm.upscale_tiles(~scene, [tile], make_black(SIZE.times(SCALE)))
    scene[5, 5] = 3
    done = warm.upscale_tiles_on_device(Frame(scene), [tile])
    assert done is not None
    assert np.array_equal(done.pixels.to_host(), enlarge(scene))
