"""An engine that draws only what has changed draws the same pictures as one that draws all, to the bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from fakes import FakeEngine, fake_model
from picture_changes import blur, change, compare_engines, make_scene
from software_card import SOFTWARE

from live_sr.backends import find_engine
from live_sr.engines import region_factory
from live_sr.engines.filters.engine import FilterEngine, make_resizer
from live_sr.engines.live.build_request import Selection
from live_sr.engines.live.hot_swap import EngineSupply, HotSwapEngine
from live_sr.engines.live.presenter import Presenter, View
from live_sr.engines.openvino.engine import OpenVINOEngine
from live_sr.engines.options import EngineOptions
from live_sr.engines.regions import rectangles, windows
from live_sr.engines.regions.compare import ChangeFinder, choose_tile_side
from live_sr.engines.regions.engine import ChangedRegionsEngine
from live_sr.engines.regions.on_device import DeviceRegionsEngine, DeviceWindowsEngine
from live_sr.engines.regions.plan import RejectedPlans, TileBox, plan_boxes
from live_sr.engines.regions.windows import EngineWindows
from live_sr.engines.tiling.layout import TileRequirements
from live_sr.engines.tiling.requirements import read_requirements
from live_sr.models.resolve import resolve
from live_sr.pipeline.contracts import Engine, EngineInfo
from live_sr.pipeline.display_picture import ComparablePicture, DisplayPicture
from live_sr.pipeline.engine_contracts import BuildMonitor, DeviceRegionEngine
from live_sr.pipeline.frame import Frame, Pixels, Rect, Revision, Size, Tile, get_size, make_black, reuse_or_allocate

Make = Callable[[], Engine]

BLUR = TileRequirements(radius=1)


class BlurEngine(FakeEngine):
    """Averages each pixel with its neighbours and repeats it. In windows narrower than `wrong_below`, one too dark."""

    def __init__(self, scale: int = 2, wrong_below: int = 0) -> None:
        super().__init__(scale)
        self.calls: list[Size] = []
        self.closed = False
        self._wrong_below = wrong_below

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        size = get_size(frame.pixels)
        self.calls.append(size)
        done = reuse_or_allocate(into, size.times(self.scale))
        done[...] = np.repeat(np.repeat(blur(frame.pixels), self.scale, 0), self.scale, 1)
        if size.width < self._wrong_below:
            done[::7, ::5, 0] ^= 1
        return frame.with_pixels(done)

    def close(self) -> None:
        self.closed = True


class BlurRegionEngine(BlurEngine):
    """Also draws any rectangle."""

    def __init__(self, wrong: bool = False) -> None:
        super().__init__()
        self.rectangles: list[Rect] = []
        self._wrong = wrong

    def upscale_regions(self, pixels: Pixels, regions: Sequence[Rect], into: Pixels) -> None:
        whole = Rect(0, 0, *get_size(pixels))
        for region in regions:
            self.rectangles.append(region)
            around = Rect(region.x - 1, region.y - 1, region.width + 2, region.height + 2).intersect(whole)
            within = Rect(region.x - around.x, region.y - around.y, region.width, region.height)
            part = within.cut_from(blur(around.cut_from(pixels)))
            part = np.repeat(np.repeat(part, self.scale, 0), self.scale, 1)
            region.times(self.scale).cut_from(into)[...] = part
            if self._wrong and region.width < 60:
                into[region.y * self.scale, region.x * self.scale, 0] ^= 1


def wrap(make: Make, requirements: TileRequirements) -> ChangedRegionsEngine:
    return ChangedRegionsEngine(make(), EngineWindows(make), requirements, least_ms=0)


def make_network(name: str, scale: int, precision: str, folded: bool = False) -> tuple[Make, TileRequirements]:
    card = resolve(name, scale).get_card(scale)
    assert card is not None
    requirements = read_requirements(card)
    assert requirements is not None
    return lambda: OpenVINOEngine(card, precision=precision, folded=folded), requirements


def make_native(name: str, scale: int) -> tuple[Make, TileRequirements]:
    backend = find_engine("native")
    assert backend is not None
    why = backend.unavailable_reason()
    if why:
        pytest.skip(f"the native engine cannot be used: {why}")
    card = resolve(name, scale).get_card(scale)
    assert card is not None
    requirements = read_requirements(card)
    assert requirements is not None
    return lambda: backend.load()(card), requirements


def make_webgpu(name: str, scale: int, precision: str) -> tuple[Make, TileRequirements]:
    backend = find_engine("webgpu")
    assert backend is not None
    why = backend.unavailable_reason(SOFTWARE)
    if why:
        pytest.skip(f"the webgpu engine cannot be used: {why}")
    card = resolve(name, scale).get_card(scale)
    assert card is not None
    requirements = read_requirements(card)
    assert requirements is not None
    return lambda: backend.load()(card, precision=precision, adapter=SOFTWARE), requirements


def make_eager() -> tuple[Make, TileRequirements]:
    from live_sr.engines.other_formats.torch_eager import EagerEngine

    card = resolve("turbo", 2).get_card(2)
    assert card is not None
    requirements = read_requirements(card)
    assert requirements is not None
    weights = replace(card, onnx=card.onnx.with_suffix(".safetensors"))
    return lambda: EagerEngine(weights, precision="fp32"), requirements


def make_filter(name: str, scale: int, radius: int) -> tuple[Make, TileRequirements]:
    return lambda: FilterEngine(name, scale), TileRequirements(radius)


ENGINES: dict[str, tuple[Callable[[], tuple[Make, TileRequirements]], int]] = {
    "any rectangle": (lambda: (BlurRegionEngine, BLUR), 500),
    "windows": (lambda: (BlurEngine, BLUR), 500),
    "nearest x2": (lambda: make_filter("nearest", 2, 1), 50),
    "bicubic x4": (lambda: make_filter("bicubic", 4, 3), 50),
    "lanczos x3": (lambda: make_filter("lanczos", 3, 5), 50),
    "fsr x2": (lambda: make_filter("fsr", 2, 6), 30),
    "eager turbo x2": (make_eager, 10),
    "openvino turbo x2 fp32": (lambda: make_network("turbo", 2, "fp32"), 100),
    "openvino fast x4": (lambda: make_network("fast", 4, "auto"), 50),
    "openvino turbo x2 fp32 folded": (lambda: make_network("turbo", 2, "fp32", folded=True), 50),
    "openvino turbo x2 int8": (lambda: make_network("turbo", 2, "int8"), 50),
    "openvino fast x4 folded": (lambda: make_network("fast", 4, "auto", folded=True), 50),
    "openvino fast x2 folded": (lambda: make_network("fast", 2, "auto", folded=True), 200),
    "native fast x2": (lambda: make_native("fast", 2), 500),
    "native fast x4": (lambda: make_native("fast", 4), 100),
    "webgpu turbo x2 fp32": (lambda: make_webgpu("turbo", 2, "fp32"), 60),
    "webgpu fast x2 fp16": (lambda: make_webgpu("fast", 2, "fp16"), 30),
    "webgpu turbo x4 fp32": (lambda: make_webgpu("turbo", 4, "fp32"), 20),
    "openvino fast x2": (lambda: make_network("fast", 2, "auto"), 2000),
}
"""By name: what makes the engine and its requirements, and how many pictures to compare."""
LEAST = 0.5
"""The share of the pictures of which only a part must have been drawn, so that this proves something."""
MAY_DIFFER = ("eager",)  # PyTorch may compute every window otherwise than the whole
SIZES = [Size(192, 128), Size(121, 75), Size(48, 33)]
SLOW = ("eager", "fsr", "webgpu")
SMALL = [Size(90, 64), Size(61, 75), Size(48, 33)]  # for these


def compare_all(name: str, count: int, seed: int = 0) -> float:
    """Compares that engine with itself over pictures of all sizes; returns the share that was drawn in part."""
    make, requirements = ENGINES[name][0]()
    sizes = SMALL if name.startswith(SLOW) else SIZES
    results = [
        compare_engines(wrap(make, requirements), make(), size, count * share // 100, seed + number)
        for number, (size, share) in enumerate(zip(sizes, (70, 20, 10), strict=True))
    ]
    assert [result.differing for result in results] == [[], [], []]
    return results[0].partly_drawn


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.torch) if "eager" in n else n for n in ENGINES])
def test_every_picture_is_that_of_the_whole_frame_to_the_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("live_sr.engines.regions.engine.ADVANTAGE", 1e9)  # whatever this machine says that regions cost
    if name.startswith(SLOW):
        for module in (windows, rectangles):
            monkeypatch.setattr(module, "TRIED_VALUES", 100_000)
    assert compare_all(name, ENGINES[name][1]) >= (0 if name.startswith(MAY_DIFFER) else LEAST)


@pytest.mark.many_changes
@pytest.mark.timeout(3600)  # one engine takes minutes, on a machine with other work several times as long
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.torch) if "eager" in n else n for n in ENGINES])
def test_so_are_thousands_of_others(name: str) -> None:
    compare_all(name, 2000 if name.startswith(("fsr", "webgpu")) else 5000, seed=100)


def test_an_unchanged_frame_costs_no_drawing() -> None:
    inner = BlurRegionEngine()
    engine = wrap(lambda: inner, BLUR)
    size = Size(160, 96)
    engine.warm_up(size)
    picture = make_scene(np.random.default_rng(1), size)
    first = engine.upscale(Frame(picture))
    assert first is not None
    inner.calls.clear()
    inner.rectangles.clear()
    again = Frame(picture.copy())
    done = engine.upscale(again, make_black(size.times(2)))
    assert done is not None
    assert np.array_equal(done.pixels, first.pixels)
    assert (inner.calls, inner.rectangles, again.stamps.drawn) == ([], [], 0.0)


def test_a_small_change_draws_a_small_part_and_says_which() -> None:
    engine = wrap(BlurRegionEngine, BLUR)
    size = Size(320, 192)
    engine.warm_up(size)
    picture = make_black(size)
    before = engine.upscale(Frame(picture))
    picture[100:103, 50:60, :3] = 200
    frame = Frame(picture)
    after = engine.upscale(frame)
    assert before is not None and after is not None and after.revision is not None
    (changed,) = after.revision.list_changes_since(before.revision) or []
    assert changed.width * changed.height <= 100 * 60
    different = np.argwhere((before.pixels != after.pixels).any(2))
    assert different.size
    for y, x in different:
        assert changed.x <= x < changed.x + changed.width and changed.y <= y < changed.y + changed.height
    assert frame.stamps.drawn == changed.width * changed.height / 4 / (320 * 192)


def test_windows_that_differ_by_one_level_are_not_used() -> None:
    made: list[BlurEngine] = []

    def make() -> Engine:
        made.append(BlurEngine(wrong_below=100))
        return made[-1]

    engine = wrap(make, BLUR)
    engine.warm_up(Size(320, 200))
    used, unused = ({one.calls[0].width for one in made[1:] if one.closed is closed} for closed in (False, True))
    assert used
    assert unused
    assert max(unused) < 100 <= min(used)


@pytest.mark.parametrize("make", [BlurEngine, lambda: BlurRegionEngine(wrong=True)])
def test_an_engine_whose_parts_differ_draws_whole_frames(make: Make) -> None:
    engine = ChangedRegionsEngine(make(), EngineWindows(lambda: BlurEngine(wrong_below=1000)), BLUR, least_ms=0)
    engine.warm_up(Size(320, 200))
    assert not engine.draws_regions
    frame = Frame(make_black(Size(320, 200)))
    assert engine.upscale(frame) is not None
    assert frame.stamps.drawn == 1


def test_a_fast_engine_is_left_alone() -> None:
    engine = ChangedRegionsEngine(BlurRegionEngine(), None, BLUR, least_ms=1e9)
    engine.warm_up(Size(64, 64))
    assert not engine.draws_regions


def test_a_failure_in_the_middle_of_a_picture_leaves_no_half_drawn_one_behind() -> None:
    inner = BlurRegionEngine()
    engine = wrap(lambda: inner, BLUR)
    size = Size(160, 96)
    random = np.random.default_rng(2)
    engine.warm_up(size)
    picture = make_scene(random, size)
    shown = engine.upscale(Frame(picture))
    assert shown is not None
    picture[:10, :10] = 0
    draw, inner.upscale_regions = inner.upscale_regions, _fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        engine.upscale(Frame(picture))
    inner.upscale_regions = draw  # type: ignore[method-assign]
    frame = Frame(picture)
    done = engine.upscale(frame, shown.pixels)
    expected = BlurEngine().upscale(Frame(picture))
    assert done is not None and expected is not None
    assert np.array_equal(done.pixels, expected.pixels)
    assert frame.stamps.drawn == 1


def test_regions_that_cost_more_than_was_measured_give_way_to_whole_frames() -> None:
    now, slowness = [0.0], [1]

    class TimedEngine(BlurRegionEngine):
        def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
            now[0] += 1e7
            return super().upscale(frame, into)

        def upscale_regions(self, pixels: Pixels, regions: Sequence[Rect], into: Pixels) -> None:
            super().upscale_regions(pixels, regions, into)
            now[0] += slowness[0] * sum(1e5 + 150 * region.width * region.height for region in regions)

    engine = ChangedRegionsEngine(TimedEngine(), None, BLUR, read_ns=lambda: int(now[0]), least_ms=0)
    size = Size(320, 192)
    random = np.random.default_rng(5)
    picture = make_scene(random, size)
    engine.warm_up(size)
    slowness[0] = 100
    shares = []
    for _ in range(60):
        picture[:80, :200, :3] = random.integers(0, 256, 3)
        frame = Frame(picture)
        engine.upscale(frame)
        shares.append(frame.stamps.drawn)
    assert shares[1] < 1
    assert shares[-20:].count(1) > 10, "but for a try now and then"


def test_costs_are_told_apart_by_call_rectangle_and_area() -> None:
    """A call to a graphics card takes its time, however many rectangles it draws."""
    now = [0.0]

    class CardEngine(BlurRegionEngine):
        def upscale_regions(self, pixels: Pixels, regions: Sequence[Rect], into: Pixels) -> None:
            super().upscale_regions(pixels, regions, into)
            now[0] += 2e6
            for region in regions:
                around = Rect(region.x - 1, region.y - 1, region.width + 2, region.height + 2)
                read = around.intersect(Rect(0, 0, *get_size(pixels))).size
                now[0] += 3e5 + 1000 * read.width * read.height

    size, tile = Size(320, 192), choose_tile_side(1)
    drawer = rectangles.RectangleDrawer(CardEngine(), BLUR, tile, size, lambda: int(now[0]))
    picture = make_scene(np.random.default_rng(6), size)
    expected = BlurEngine().upscale(Frame(picture))
    assert expected is not None
    assert drawer.measure(picture, expected.pixels, 2)
    assert drawer.call_ms == pytest.approx(2)
    assert drawer.tile_ms == pytest.approx(tile**2 / 1000)
    assert drawer.estimate(Rect(50, 60, 10, 20)) == pytest.approx(0.3 + 12 * 22 / 1000)


def test_pictures_that_stay_on_the_card_are_those_of_the_whole_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where some of them go to main memory in between, and the card is lost once."""
    monkeypatch.setattr("live_sr.engines.regions.engine.ADVANTAGE", 1e9)
    monkeypatch.setattr(rectangles, "TRIED_VALUES", 100_000)
    make, requirements = make_webgpu("turbo", 2, "fp32")
    inner, reference = make(), make()
    assert isinstance(inner, DeviceRegionEngine)
    engine = DeviceRegionsEngine(inner, inner, requirements, read_ns=time.perf_counter_ns, least_ms=0)
    random = np.random.default_rng(9)
    shares = []
    for size, count in ((Size(90, 64), 60), (Size(61, 75), 15)):
        engine.warm_up(size)
        picture = make_scene(random, size)
        for number in range(count):
            change(random, picture)
            if number == 25:
                inner.close()  # as after a lost card, nothing is on it
            frame = Frame(picture.copy())
            stays = random.random() < 0.85
            done = engine.upscale_on_device(frame) if stays else engine.upscale(frame)
            expected = reference.upscale(Frame(picture))
            assert done is not None and expected is not None
            assert isinstance(done.pixels, ComparablePicture) is stays
            if not isinstance(done.pixels, ComparablePicture):
                assert np.array_equal(done.pixels, expected.pixels), number
                continue
            assert np.array_equal(done.pixels.to_host(), expected.pixels), number
            done.pixels.compare(1.0)
            nearest = np.repeat(np.repeat(picture, 2, 0), 2, 1)
            assert np.array_equal(done.pixels.to_host(), nearest), "it holds the whole picture before, too"
            done.pixels.release()
            shares.append(frame.stamps.drawn)
    engine.close()
    reference.close()
    assert sum(share < 1 for share in shares) > LEAST * len(shares)


@pytest.mark.parametrize("changed", [True, False])
def test_the_live_window_has_it_on_a_graphics_card_too(changed: bool) -> None:
    make_webgpu("turbo", 2, "fp32")  # skips
    options = EngineOptions(backend="webgpu", adapter=SOFTWARE, changed_regions=changed)
    engine = region_factory.make_engine(resolve("turbo"), 2, options)
    assert isinstance(engine, DeviceRegionsEngine) is changed
    engine.close()


class WindowedCardEngine(BlurEngine):
    """Fulfils `DeviceWindowEngine` as far as it matters here, as an engine that is on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.info = EngineInfo("fast", 2, "rtx")

    def upscale_on_device(self, frame: Frame[Pixels]) -> None: ...

    def fit_window(self, size: Size) -> None: ...

    def add_window(self, size: Size) -> None: ...

    def remove_window(self, size: Size) -> None: ...

    def upscale_tiles(self, pixels: Pixels, tiles: Sequence[Tile], into: Pixels) -> None: ...

    def upscale_tiles_on_device(self, frame: Frame[Pixels], tiles: Sequence[Tile]) -> None: ...


@pytest.mark.parametrize(
    ("options", "wrapped"),
    [
        (EngineOptions(changed_regions=True), True),
        (EngineOptions(changed_regions=False), False),
        (EngineOptions(changed_regions=True, queue=1), False),
    ],
)
def test_the_live_window_has_it_with_windows_on_a_gpu(
    options: EngineOptions, wrapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("live_sr.engines.factory.make_engine", lambda *arguments: WindowedCardEngine())
    engine = region_factory.make_engine(resolve("fast"), 2, options)
    assert isinstance(engine, DeviceWindowsEngine) is wrapped


def test_an_engine_on_a_gpu_without_windows_draws_whole_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = BlurEngine()
    plain.info = EngineInfo("fast", 2, "tensorrt")
    monkeypatch.setattr("live_sr.engines.factory.make_engine", lambda *arguments: plain)
    assert region_factory.make_engine(resolve("fast"), 2, EngineOptions(changed_regions=True)) is plain


def _fail(pixels: Pixels, regions: Sequence[Rect], into: Pixels) -> None:
    raise RuntimeError("no more")


def test_closing_ends_every_window() -> None:
    made: list[BlurEngine] = []

    def make() -> Engine:
        made.append(BlurEngine())
        return made[-1]

    engine = wrap(make, BLUR)
    engine.warm_up(Size(320, 200))
    engine.close()
    assert len(made) > 4
    assert all(one.closed for one in made)


def test_a_cancelled_warm_up_makes_no_more_windows() -> None:
    made: list[BlurEngine] = []

    def make() -> Engine:
        made.append(BlurEngine())
        return made[-1]

    watch = BuildMonitor(cancelled=lambda: len(made) > 2)
    engine = ChangedRegionsEngine(make(), EngineWindows(make), BLUR, watch=watch, least_ms=0)
    engine.warm_up(Size(320, 200))
    assert len(made) == 3
    assert engine.upscale(Frame(make_black(Size(320, 200)))) is not None


def test_every_view_and_size_on_the_screen_leaves_the_upscaled_picture_right() -> None:
    """Views are drawn over pictures that the engine has drawn, and pictures are fitted into them."""
    size = Size(96, 64)
    model = fake_model("blur", 2)
    supply = EngineSupply(
        make_plain=lambda scale: FilterEngine("nearest", scale),
        make=lambda model, scale, watch: wrap(BlurRegionEngine, BLUR),
    )
    engine = HotSwapEngine(supply, Selection(model, 2))
    presenter = Presenter(engine, make_resizer("auto"), make_resizer("nearest"))
    presenter.warm_up(size)
    random = np.random.default_rng(4)
    picture = make_scene(random, size)
    whole = BlurEngine()
    shown: list[DisplayPicture] = []
    drawn, revisions = [], []
    for _ in range(400):
        change(random, picture)
        presenter.view = list(View)[int(random.choice(3, p=[0.8, 0.1, 0.1]))]
        presenter.room = (None, size.times(2), size.times(2), size.times(3))[int(random.integers(4))]
        into = shown.pop(0) if len(shown) == 3 else None
        frame = Frame(picture.copy())
        done = presenter.upscale(frame, into)
        expected = whole.upscale(Frame(picture))
        assert done is not None and expected is not None
        shown.append(done.pixels)
        if presenter.view is View.UPSCALED and presenter.room != size.times(3):
            assert np.array_equal(done.pixels.to_host(), expected.pixels)
            revisions.append(done.revision)
        else:
            assert done.revision is None, "it has been drawn over or resized"
        drawn.append(frame.stamps.drawn)
    presenter.close()
    assert min(drawn) < 0.5
    assert any(revision.list_changes_since(before) for before, revision in pairwise(revisions) if revision)


# The comparison


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 16, 24])
def test_tiles_begin_where_a_network_treats_places_alike(step: int) -> None:
    side = choose_tile_side(step)
    assert side % step == 0
    assert side % 8 == 0
    assert 16 <= side <= 16 * step


@pytest.mark.parametrize("size", [Size(640, 480), Size(50, 37), Size(16, 16), Size(1, 1), Size(33, 7)])
@pytest.mark.parametrize("tile", [16, 24])
def test_exactly_the_changed_tiles_are_found(size: Size, tile: int) -> None:
    random = np.random.default_rng(size.width)
    finder = ChangeFinder(size, tile)
    before = make_scene(random, size) if min(size) > 3 else make_black(size)
    assert finder.compare(before).all(), "everything is new at first"
    for _ in range(40):
        after = before.copy()
        for _ in range(int(random.integers(0, 3))):
            if min(size) > 3:
                change(random, after)
            else:
                after[0, 0, 0] ^= 1
        different = (after != before).any(2)
        found = finder.compare(after)
        for row in range(found.shape[0]):
            for column in range(found.shape[1]):
                part = different[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile]
                assert found[row, column] == part.any()
        before = after


# The plan


def estimate_area(box: TileBox) -> float:
    """As with windows: what a box affects, and what that depends on, is drawn too."""
    return 10 + (box.height + 2.5) * (box.width + 2.5)


def draw_map(*rows: str) -> np.ndarray:
    return np.array([[tile == "#" for tile in row] for row in rows])


@pytest.mark.parametrize(
    ("rows", "boxes"),
    [
        (("....", "...."), []),
        (("....", ".#.."), [(1, 2, 1, 2)]),
        (("####", "####"), [(0, 2, 0, 4)]),
        (("#.#", "..."), [(0, 1, 0, 3)]),  # close together: one box costs less
        (("#" + 30 * "." + "#",), [(0, 1, 0, 1), (0, 1, 31, 32)]),
        ((*["#" + 30 * "."] * 20, "#" * 31), [(0, 20, 0, 1), (20, 21, 0, 31)]),  # an L
    ],
)
def test_the_plan_has_the_boxes_one_would_draw(rows: tuple[str, ...], boxes: list[tuple[int, ...]]) -> None:
    planned, cost = plan_boxes(draw_map(*rows), estimate_area, 2.5)
    assert sorted(planned) == boxes
    assert cost == sum(estimate_area(TileBox(*box)) for box in boxes)


@pytest.mark.parametrize("share", [0.005, 0.02, 0.1, 0.5, 1.0])
def test_a_plan_holds_every_changed_tile_and_never_costs_more_than_one_box(share: float) -> None:
    random = np.random.default_rng(3)
    for _ in range(60):
        changed = random.random((int(random.integers(1, 40)), int(random.integers(1, 40)))) < share
        planned, cost = plan_boxes(changed, estimate_area, 2.5)
        covered = np.zeros_like(changed)
        for box in planned:
            covered[box.top : box.bottom, box.left : box.right] = True
        assert covered[changed].all()
        assert cost == pytest.approx(sum(map(estimate_area, planned)))
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        if rows.size:
            one = TileBox(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
            assert cost <= estimate_area(one)


def test_after_rejected_plans_a_few_frames_that_change_as_much_need_none() -> None:
    rejected = RejectedPlans()
    assert not rejected.skips_plan(100)
    skipped = []
    for _ in range(5):
        rejected.record(100, rejected=True)
        skipped.append(next(n for n in range(99) if not rejected.skips_plan(100)))
    assert skipped[0] == 1
    assert skipped == sorted(skipped)
    assert 1 < skipped[-1] < 10, "a plan is tried again soon"
    rejected.record(100, rejected=True)
    assert not rejected.skips_plan(40), "much less changes"
    assert rejected.skips_plan(100)
    rejected.record(100, rejected=False)
    assert not rejected.skips_plan(100)


# Revisions

PART, OTHER = Rect(0, 0, 4, 4), Rect(8, 8, 2, 2)


def test_a_revision_knows_what_changed_since_each_of_the_last_pictures() -> None:
    first = Revision(object(), 0)
    second = first.make_next((PART,))
    third = second.make_next((PART, OTHER))
    fourth = third.make_next(None)
    assert second.list_changes_since(second) == []
    assert second.list_changes_since(first) == [PART]
    assert third.list_changes_since(first) == [PART, OTHER]
    assert third.list_changes_since(second) == [PART, OTHER]
    assert fourth.list_changes_since(third) is None, "everything changed"
    assert fourth.make_next((OTHER,)).list_changes_since(fourth) == [OTHER]
    assert first.list_changes_since(second) is None, "the other is newer"
    assert second.list_changes_since(Revision(object(), 0)) is None, "the other is of another series"
    assert second.list_changes_since(None) is None


def test_a_revision_forgets_what_is_long_ago() -> None:
    first = now = Revision(object(), 0)
    while now.list_changes_since(first) is not None:
        now = now.make_next((PART,))
    assert 3 < now.number < 20
    assert len(now.changes) < 20
