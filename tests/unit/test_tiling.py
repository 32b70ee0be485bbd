"""Tiles give the same picture as one piece, within the available memory."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeEngine
from onnx import TensorProto, helper, numpy_helper, save

from live_sr.engines.openvino.engine import OpenVINO16BitEngine, OpenVINOEngine
from live_sr.engines.tiling import radius_probe
from live_sr.engines.tiling.engine import TiledEngine
from live_sr.engines.tiling.layout import TileRequirements, limit_tile_size, plan_tiles
from live_sr.errors import EngineError
from live_sr.models import receptive_field, zoo
from live_sr.models.card import ModelCard
from live_sr.pipeline.frame import AnyPixels, Frame, Pixels, Pixels16, Size, get_size, make_black
from live_sr.system import memory

SHIPPED = [("turbo", 2), ("fast", 2), ("fast", 4), ("balanced", 2), ("quality", 2)]


def noise(size: Size) -> Pixels:
    """A third noise, a third stripes, a third flat."""
    pixels = make_black(size)
    third = size.width // 3
    pixels[:, :third, :3] = np.random.default_rng(1).integers(0, 256, (size.height, third, 3))
    pixels[:, third : 2 * third : 3, :3] = 255
    pixels[: size.height // 2, 2 * third :, :3] = 90
    return pixels


def drawn(engine: TiledEngine[AnyPixels] | OpenVINOEngine | OpenVINO16BitEngine, pixels: AnyPixels) -> AnyPixels:
    done = engine.upscale(Frame(pixels))  # type: ignore[arg-type]
    assert done is not None
    return done.pixels  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("size", "most", "requirements"),
    [
        (Size(1920, 1080), Size(512, 512), TileRequirements(10, 2, 2)),
        (Size(333, 217), Size(96, 128), TileRequirements(16, 2, 2)),
        (Size(16384, 64), Size(1024, 64), TileRequirements(36, 2)),
        (Size(1001, 7), Size(64, 64), TileRequirements(5)),
        (Size(641, 483), Size(64, 64), TileRequirements(13, 8)),
        (Size(200, 100), Size(1, 1), TileRequirements(16, 2, 2)),
        (Size(203, 99), Size(90, 90), TileRequirements(7, 6, 3)),
        (Size(200, 100), Size(500, 500), TileRequirements(16, 2, fixed_size=Size(96, 64))),
        (Size(20, 100), Size(500, 500), TileRequirements(16, 2, fixed_size=Size(96, 64))),
    ],
    ids=str,
)
def test_tiles_cover_every_pixel_once_with_its_whole_receptive_field(
    size: Size, most: Size, requirements: TileRequirements
) -> None:
    made = plan_tiles(size, most, requirements)
    drawn_times = np.zeros((size.height, size.width), int)
    for tile in made.tiles:
        kept, source = tile.kept, tile.source
        drawn_times[kept.y : kept.y + kept.height, kept.x : kept.x + kept.width] += 1
        assert source.size == made.tile_size, "one size, so that one graph is compiled"
        assert source.x % requirements.step == source.y % requirements.step == 0
        for cut, begin, kept_end, end, whole in (
            (source.x, kept.x, kept.x + kept.width, source.x + source.width, size.width),
            (source.y, kept.y, kept.y + kept.height, source.y + source.height, size.height),
        ):
            assert begin == cut == 0 or begin - cut >= requirements.radius
            if kept_end != whole:
                assert end - kept_end >= requirements.radius
            elif not requirements.fixed_size:
                assert end == whole or (end == -(-whole // requirements.multiple) * requirements.multiple)
    assert (drawn_times == 1).all()
    assert made.tile_size == requirements.fixed_size or max(made.tile_size) <= max(
        *most, requirements.smallest_side, *size
    )


def test_a_picture_that_fits_is_one_tile_of_its_own_size() -> None:
    made = plan_tiles(Size(101, 51), Size(128, 128), TileRequirements(10, 2))
    assert [tile.kept for tile in made.tiles] == [(0, 0, 101, 51)]
    assert made.tile_size == Size(101, 51)
    assert limit_tile_size(Size(16384, 100), 1 << 20, TileRequirements(10, 2)) == Size(10485, 100), (
        "a panorama is cut across only"
    )


@pytest.mark.torch
@pytest.mark.parametrize("name", ["turbo", "fast", "balanced", "quality"])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_radius_of_a_shipped_network_follows_from_its_depth(name: str, scale: int) -> None:
    from live_sr.models.architectures.cellnet import CELL, FAMILY

    known = receptive_field.compute_receptive_field(zoo.find(name, scale).onnx)
    assert known is not None
    assert (known.radius, known.step) == (CELL * (FAMILY[name, scale].depth + 2), CELL)


@pytest.mark.parametrize("precision", ["auto", "fp32"])
@pytest.mark.parametrize(("name", "scale"), SHIPPED)
def test_a_picture_in_tiles_equals_the_one_in_one_piece_to_the_bit(name: str, scale: int, precision: str) -> None:
    card = zoo.find(name, scale)
    known = receptive_field.compute_receptive_field(card.onnx)
    assert known is not None
    pixels = noise(Size(333, 217))

    def make(threads: int) -> OpenVINOEngine:
        return OpenVINOEngine(card, precision=precision, threads=threads)

    whole = drawn(make(1), pixels)
    for side, workers in ((128, 1), (160, 2)):
        tiled: TiledEngine[Pixels] = TiledEngine(
            make, TileRequirements(known.radius, known.step, card.multiple), side=side, workers=workers, threads=1
        )
        assert np.array_equal(drawn(tiled, pixels), whole)
        tiled.close()


def test_an_overlap_one_cell_too_small_changes_the_result() -> None:
    card = zoo.find("fast", 2)
    pixels = noise(Size(333, 217))
    tiled: TiledEngine[Pixels] = TiledEngine(
        lambda threads: OpenVINOEngine(card, precision="fp32"), TileRequirements(8, 2, 2), side=96
    )
    assert not np.array_equal(drawn(tiled, pixels), drawn(OpenVINOEngine(card, precision="fp32"), pixels))


def test_pictures_of_16_bits_are_tiled_too() -> None:
    card = zoo.find("fast", 2)
    pixels: Pixels16 = noise(Size(203, 131)).astype(np.uint16) * 257
    pixels[..., :3] += np.random.default_rng(2).integers(0, 200, pixels[..., :3].shape, np.uint16) % 100
    tiled: TiledEngine[Pixels16] = TiledEngine(
        lambda threads: OpenVINO16BitEngine(card, threads=1), TileRequirements(10, 2, 2), side=96, workers=2
    )
    assert np.array_equal(drawn(tiled, pixels), drawn(OpenVINO16BitEngine(card), pixels))


def test_the_next_picture_reuses_the_compiled_tile_size() -> None:
    sizes: list[Size] = []

    class Noted(FakeEngine):
        def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
            sizes.append(get_size(frame.pixels))
            return super().upscale(frame, into)

    tiled: TiledEngine[Pixels] = TiledEngine(lambda threads: Noted(), TileRequirements(4, 2, 2), side=64)
    for size in (Size(150, 150), Size(149, 140), Size(151, 133)):
        assert np.array_equal(drawn(tiled, noise(size)), drawn(FakeEngine(), noise(size)))  # type: ignore[arg-type]
    assert len(set(sizes)) == 1


class Small(FakeEngine):
    """Has memory for a limited number of pixels, and raises the given error beyond it."""

    def __init__(self, room: int, error: Exception) -> None:
        super().__init__()
        self._room = room
        self._error = error

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        if frame.pixels.shape[0] * frame.pixels.shape[1] > self._room:
            raise self._error
        return super().upscale(frame, into)


OUT = [MemoryError(), EngineError("PyTorch failed on x: CUDA out of memory."), EngineError("std::bad_alloc")]


@pytest.mark.parametrize("error", OUT, ids=str)
@pytest.mark.parametrize("side", [0, 300])
def test_tiles_are_halved_until_there_is_memory(error: Exception, side: int) -> None:
    tiled: TiledEngine[Pixels] = TiledEngine(lambda threads: Small(100 * 100, error), TileRequirements(4, 2), side=side)
    pixels = noise(Size(500, 400))
    tiled.warm_up(get_size(pixels))
    assert np.array_equal(drawn(tiled, pixels), drawn(FakeEngine(), pixels))  # type: ignore[arg-type]


def test_too_little_memory_for_the_smallest_tile_is_one_sentence() -> None:
    tiled: TiledEngine[Pixels] = TiledEngine(lambda threads: Small(10, MemoryError()), TileRequirements(16, 2, 2))
    with pytest.raises(EngineError, match="not enough memory for fake x2, numpy, even in tiles of 66x66") as on_tile:
        drawn(tiled, noise(Size(500, 400)))
    assert on_tile.value.remedy


@pytest.mark.parametrize("workers", [1, 3])
def test_another_failure_of_a_tile_is_raised_and_leaves_no_thread(workers: int) -> None:
    before = threading.active_count()
    broken = EngineError("the GPU fell off the bus")
    tiled: TiledEngine[Pixels] = TiledEngine(
        lambda threads: Small(10, broken), TileRequirements(4, 2), side=64, workers=workers
    )
    with pytest.raises(EngineError, match="fell off the bus"):
        drawn(tiled, noise(Size(500, 400)))
    assert threading.active_count() == before


def test_tiles_fit_into_the_free_memory_and_progress_is_reported() -> None:
    on_tile: list[tuple[int, int]] = []
    engines: list[Small] = []

    def make(threads: int) -> Small:
        engines.append(Small(16 << 20, MemoryError()))
        return engines[-1]

    requirements = TileRequirements(4, 2, memory=1000)
    tiled: TiledEngine[Pixels] = TiledEngine(
        make, requirements, workers=2, threads=1, free=lambda: 64 << 20, on_tile=lambda *far: on_tile.append(far)
    )
    drawn(tiled, noise(Size(400, 300)))
    assert on_tile[-1] == (len(on_tile), len(on_tile)) and len(on_tile) > 8
    assert len(engines) == 3, "one that would draw whole pictures, and one for each worker"


def test_a_network_of_a_fixed_size_gets_tiles_of_that_size_even_for_smaller_pictures() -> None:
    sizes = set()

    class Fixed(FakeEngine):
        def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
            sizes.add(get_size(frame.pixels))
            return super().upscale(frame, into)

    requirements = TileRequirements(4, 2, fixed_size=Size(48, 32))
    for size in (Size(20, 10), Size(48, 32), Size(100, 31), Size(111, 97)):
        tiled: TiledEngine[Pixels] = TiledEngine(lambda threads: Fixed(), requirements)
        assert np.array_equal(drawn(tiled, noise(size)), drawn(FakeEngine(), noise(size)))  # type: ignore[arg-type]
    assert sizes == {Size(48, 32)}


@pytest.mark.parametrize("fixed", [Size(33, 41), Size(7, 5), Size(17, 64), Size(1, 3)], ids=str)
@pytest.mark.parametrize("step", [1, 8])
def test_a_network_of_any_fixed_size_draws_every_pixel(fixed: Size, step: int) -> None:
    """Also where its size leaves no room for the border that is guessed for it."""
    requirements = TileRequirements(32, step, exact=False, fixed_size=fixed)
    for size in (Size(33, 41), Size(34, 42), Size(52, 39), Size(5, 5)):
        tiled: TiledEngine[Pixels] = TiledEngine(lambda threads: FakeEngine(), requirements)
        assert np.array_equal(drawn(tiled, noise(size)), drawn(FakeEngine(), noise(size)))  # type: ignore[arg-type]


class Tinted(FakeEngine):
    """Draws each tile in a grey of its own: the worst that a network which sees the whole picture could do."""

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        self.levels.append(0)
        return frame.with_pixels(
            np.full_like(make_black(get_size(frame.pixels).times(2)), 100 + 20 * (len(self.levels) % 3))
        )


def test_tiles_of_a_network_with_a_large_radius_are_cross_faded() -> None:
    tinted = Tinted()
    tiled: TiledEngine[Pixels] = TiledEngine(
        lambda threads: tinted, TileRequirements(16, 2, exact=False), side=96, workers=4
    )
    done = drawn(tiled, noise(Size(300, 200))).astype(int)
    assert np.unique(done).size > 10
    steps = max(np.abs(np.diff(done, axis=0)).max(), np.abs(np.diff(done, axis=1)).max())
    assert steps <= 4, "no edge where tiles meet"


def conv(name: str, source: str, target: str, kernel: int, inside: int, out: int, **attributes: object) -> tuple:
    weights = np.random.default_rng(len(name)).normal(0, 0.3, (out, inside, kernel, kernel)).astype(np.float32)
    op = "ConvTranspose" if name.startswith("up") else "Conv"
    shape = weights.transpose(1, 0, 2, 3).copy() if op == "ConvTranspose" else weights
    node = helper.make_node(op, [source, name], [target], kernel_shape=[kernel, kernel], **attributes)
    return node, numpy_helper.from_array(shape, name)


def network(path: Path, *parts: object) -> ModelCard:
    """From "rgb" to "enlarged", x2."""
    nodes, tensors = [], []
    for part in parts:
        node, *held = part if isinstance(part, tuple) else (part,)
        nodes.append(node)
        tensors += held
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, high, wide])
        for name, high, wide in (("rgb", "h", "w"), ("enlarged", "H", "W"))
    ]
    graph = helper.make_graph(nodes, "net", [ends[0]], [ends[1]], tensors)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return ModelCard("made", 2, path, multiple=4)


def resize(source: str, target: str, mode: str, **words: str) -> tuple:
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), f"{target}.scales")
    return helper.make_node("Resize", [source, "", scales.name], [target], mode=mode, **words), scales


def hourglass(path: Path) -> ModelCard:
    """Halves twice, comes back, and adds what it had."""
    return network(
        path,
        conv("a", "rgb", "half", 3, 3, 4, strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["half"], ["half.on"]),
        conv("b", "half.on", "quarter", 4, 4, 6, strides=[2, 2], pads=[1, 1, 1, 1]),
        conv("up1", "quarter", "half.again", 4, 6, 4, strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["half.again", "half.on"], ["sum"]),
        conv("up2", "sum", "full", 2, 4, 4, strides=[2, 2]),
        resize("full", "double", "nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        conv("c", "double", "enlarged", 3, 4, 3, pads=[1, 1, 1, 1]),
    )


def dilated(path: Path) -> ModelCard:
    """Convolutions with holes, a pooled branch, and interpolation of two kinds."""
    return network(
        path,
        conv("a", "rgb", "wide", 3, 3, 4, dilations=[3, 3], pads=[3, 3, 3, 3]),
        helper.make_node("AveragePool", ["wide"], ["mean"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Concat", ["mean", "rgb"], ["both"], axis=1),
        conv("b", "both", "shuffled", 5, 7, 12, pads=[2, 2, 2, 2]),
        helper.make_node("DepthToSpace", ["shuffled"], ["drawn"], blocksize=2, mode="CRD"),
        resize("rgb", "linear", "linear", coordinate_transformation_mode="half_pixel"),
        resize("rgb", "cubic", "cubic", coordinate_transformation_mode="half_pixel"),
        helper.make_node("Add", ["linear", "cubic"], ["plain"]),
        helper.make_node("Add", ["drawn", "plain"], ["enlarged"]),
    )


@pytest.mark.parametrize(("make", "radius", "step"), [(hourglass, 7, 4), (dilated, 6, 1)])
def test_the_radius_of_foreign_networks_is_read_from_their_graph(tmp_path: Path, make, radius: int, step: int) -> None:  # type: ignore[no-untyped-def]
    card = make(tmp_path / "net.onnx")
    known = receptive_field.compute_receptive_field(card.onnx)
    assert known is not None
    assert (known.radius, known.step) == (radius, step)
    engine = OpenVINOEngine(card, precision="fp32", threads=1)
    measured = radius_probe.measure_radius(engine, card.multiple)
    assert measured is not None and measured <= known.radius + known.step
    pixels = noise(Size(201, 119))
    requirements = TileRequirements(known.radius, max(step, card.multiple), card.multiple)
    tiled: TiledEngine[Pixels] = TiledEngine(
        lambda threads: OpenVINOEngine(card, precision="fp32"), requirements, side=64
    )
    apart = drawn(tiled, pixels).astype(int) - drawn(engine, pixels)
    assert np.abs(apart).max() == 0


def test_a_network_that_sees_the_whole_picture_has_no_radius(tmp_path: Path) -> None:
    card = network(
        tmp_path / "net.onnx",
        helper.make_node("GlobalAveragePool", ["rgb"], ["mean"]),
        (helper.make_node("Mul", ["mean", "much"], ["haze"]), numpy_helper.from_array(np.float32(50), "much")),
        helper.make_node("Add", ["rgb", "haze"], ["rest"]),
        resize("rest", "enlarged", "nearest"),
    )
    assert receptive_field.compute_receptive_field(card.onnx) is None
    assert radius_probe.measure_radius(OpenVINOEngine(card, precision="fp32")) is None


def test_damaged_model_files_have_no_radius(tmp_path: Path) -> None:
    whole = zoo.find("turbo", 2).onnx.read_bytes()
    path = tmp_path / "broken.onnx"
    rng = random.Random(0)
    for _ in range(300):
        data = bytearray(whole[: rng.choice([len(whole), rng.randrange(4000)])])
        for _ in range(rng.randrange(8)):
            data[rng.randrange(min(len(data), 6000))] = rng.randrange(256) if data else 0
        path.write_bytes(data)
        receptive_field.compute_receptive_field(path)  # raises nothing
    path.write_bytes(b"")
    assert receptive_field.compute_receptive_field(path) is None


@pytest.mark.parametrize(("name", "scale"), [("fast", 2), ("turbo", 4)])
def test_the_probe_measures_the_radius_of_the_graph(name: str, scale: int) -> None:
    card = zoo.find(name, scale)
    known = receptive_field.compute_receptive_field(card.onnx)
    assert known is not None
    assert radius_probe.measure_radius(OpenVINOEngine(card, precision="fp32"), known.step) == known.radius


def test_the_free_memory_is_that_of_the_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable:    2048 kB\n")
    assert memory.get_free_memory(meminfo, tmp_path / "none") == 2 << 20
    for name, text in (("memory.max", "1048576"), ("memory.current", "900000"), ("memory.stat", "inactive_file 50000")):
        (tmp_path / name).write_text(text)
    assert memory.get_free_memory(meminfo, tmp_path) == 1048576 - 900000 + 50000
    (tmp_path / "memory.max").write_text("max")
    assert memory.get_free_memory(meminfo, tmp_path) == 2 << 20
    assert memory.get_free_memory() > 1 << 20


def test_needs_are_values() -> None:
    assert replace(TileRequirements(15, 4), step=8).border == 16
