"""Pictures in tiles become what they would have become whole, in the memory there is."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeEngine
from onnx import TensorProto, helper, numpy_helper, save

from live_sr.engine import memory, probe
from live_sr.engine.lane import Deep, L
from live_sr.engine.openvino import DeepOpenVINOEngine, OpenVINOEngine
from live_sr.engine.tiled import Tiled
from live_sr.engine.tiling import Needs, at_most, plan
from live_sr.errors import EngineError
from live_sr.frame import Frame, Pixels, Size, fresh, size_of
from live_sr.models import field, zoo
from live_sr.models.card import ModelCard
from live_sr.models.nets import CELL, FAMILY

SHIPPED = [("turbo", 2), ("fast", 2), ("fast", 4), ("balanced", 2), ("quality", 2)]


def noise(size: Size) -> Pixels:
    """A third noise, a third stripes, a third flat."""
    pixels = fresh(size)
    third = size.width // 3
    pixels[:, :third, :3] = np.random.default_rng(1).integers(0, 256, (size.height, third, 3))
    pixels[:, third : 2 * third : 3, :3] = 255
    pixels[: size.height // 2, 2 * third :, :3] = 90
    return pixels


def drawn(engine: Tiled[L] | OpenVINOEngine | DeepOpenVINOEngine, pixels: L) -> L:
    done = engine.upscale(Frame(pixels))  # type: ignore[arg-type]
    assert done is not None
    return done.pixels  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("size", "most", "needs"),
    [
        (Size(1920, 1080), Size(512, 512), Needs(10, 2, 2)),
        (Size(333, 217), Size(96, 128), Needs(16, 2, 2)),
        (Size(16384, 64), Size(1024, 64), Needs(36, 2)),
        (Size(1001, 7), Size(64, 64), Needs(5)),
        (Size(641, 483), Size(64, 64), Needs(13, 8)),
        (Size(200, 100), Size(1, 1), Needs(16, 2, 2)),
        (Size(203, 99), Size(90, 90), Needs(7, 6, 3)),
        (Size(200, 100), Size(500, 500), Needs(16, 2, fixed=Size(96, 64))),
        (Size(20, 100), Size(500, 500), Needs(16, 2, fixed=Size(96, 64))),
    ],
    ids=str,
)
def test_tiles_draw_every_pixel_once_and_see_around_it_what_the_network_needs(
    size: Size, most: Size, needs: Needs
) -> None:
    made = plan(size, most, needs)
    drawn_times = np.zeros((size.height, size.width), int)
    for tile in made.tiles:
        kept, source = tile.kept, tile.source
        drawn_times[kept.y : kept.y + kept.height, kept.x : kept.x + kept.width] += 1
        assert source.size == made.tile, "one size, so that one graph is compiled"
        assert source.x % needs.step == source.y % needs.step == 0
        for cut, begin, kept_end, end, whole in (
            (source.x, kept.x, kept.x + kept.width, source.x + source.width, size.width),
            (source.y, kept.y, kept.y + kept.height, source.y + source.height, size.height),
        ):
            assert begin == cut == 0 or begin - cut >= needs.reach
            if kept_end != whole:
                assert end - kept_end >= needs.reach
            elif not needs.fixed:
                assert end == whole or (end == -(-whole // needs.multiple) * needs.multiple)
    assert (drawn_times == 1).all()
    assert made.tile == needs.fixed or max(made.tile) <= max(*most, needs.smallest, *size)


def test_a_picture_that_fits_is_one_tile_of_its_own_size() -> None:
    made = plan(Size(101, 51), Size(128, 128), Needs(10, 2))
    assert [tile.kept for tile in made.tiles] == [(0, 0, 101, 51)]
    assert made.tile == Size(101, 51)
    assert at_most(Size(16384, 100), 1 << 20, Needs(10, 2)) == Size(10485, 100), "a panorama is cut across only"


@pytest.mark.parametrize(("name", "scale"), FAMILY)
def test_the_reach_of_a_shipped_network_is_told_by_its_depth(name: str, scale: int) -> None:
    known = field.of(zoo.find(name, scale).onnx)
    assert known is not None
    assert (known.reach, known.step) == (CELL * (FAMILY[name, scale].depth + 2), CELL)


@pytest.mark.parametrize("precision", ["auto", "fp32"])
@pytest.mark.parametrize(("name", "scale"), SHIPPED)
def test_a_picture_in_tiles_is_the_picture_whole_to_the_bit(name: str, scale: int, precision: str) -> None:
    card = zoo.find(name, scale)
    known = field.of(card.onnx)
    assert known is not None
    pixels = noise(Size(333, 217))

    def make(threads: int) -> OpenVINOEngine:
        return OpenVINOEngine(card, precision=precision, threads=threads)

    whole = drawn(make(1), pixels)
    for side, lanes in ((128, 1), (160, 2)):
        tiled: Tiled[Pixels] = Tiled(make, Needs(known.reach, known.step, CELL), side=side, lanes=lanes, threads=1)
        assert np.array_equal(drawn(tiled, pixels), whole)
        tiled.close()


def test_one_cell_less_of_overlap_shows() -> None:
    card = zoo.find("fast", 2)
    pixels = noise(Size(333, 217))
    tiled: Tiled[Pixels] = Tiled(lambda threads: OpenVINOEngine(card, precision="fp32"), Needs(8, 2, 2), side=96)
    assert not np.array_equal(drawn(tiled, pixels), drawn(OpenVINOEngine(card, precision="fp32"), pixels))


def test_pictures_of_16_bits_go_in_tiles_too() -> None:
    card = zoo.find("fast", 2)
    pixels: Deep = noise(Size(203, 131)).astype(np.uint16) * 257
    pixels[..., :3] += np.random.default_rng(2).integers(0, 200, pixels[..., :3].shape, np.uint16) % 100
    tiled: Tiled[Deep] = Tiled(lambda threads: DeepOpenVINOEngine(card, threads=1), Needs(10, 2, 2), side=96, lanes=2)
    assert np.array_equal(drawn(tiled, pixels), drawn(DeepOpenVINOEngine(card), pixels))


def test_tiles_keep_the_size_that_is_compiled_for_the_next_picture() -> None:
    sizes: list[Size] = []

    class Noted(FakeEngine):
        def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
            sizes.append(size_of(frame.pixels))
            return super().upscale(frame, into)

    tiled: Tiled[Pixels] = Tiled(lambda threads: Noted(), Needs(4, 2, 2), side=64)
    for size in (Size(150, 150), Size(149, 140), Size(151, 133)):
        assert np.array_equal(drawn(tiled, noise(size)), drawn(FakeEngine(), noise(size)))  # type: ignore[arg-type]
    assert len(set(sizes)) == 1


class Small(FakeEngine):
    """Has memory for so many pixels, and says so in a way of its own."""

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
    tiled: Tiled[Pixels] = Tiled(lambda threads: Small(100 * 100, error), Needs(4, 2), side=side)
    pixels = noise(Size(500, 400))
    tiled.warm_up(size_of(pixels))
    assert np.array_equal(drawn(tiled, pixels), drawn(FakeEngine(), pixels))  # type: ignore[arg-type]


def test_where_not_even_the_smallest_tile_fits_it_is_said_in_a_sentence() -> None:
    tiled: Tiled[Pixels] = Tiled(lambda threads: Small(10, MemoryError()), Needs(16, 2, 2))
    with pytest.raises(EngineError, match="not enough memory for fake x2, numpy, even in tiles of 66x66") as told:
        drawn(tiled, noise(Size(500, 400)))
    assert told.value.remedy


@pytest.mark.parametrize("lanes", [1, 3])
def test_another_failure_of_a_tile_is_passed_on_and_leaves_no_thread(lanes: int) -> None:
    before = threading.active_count()
    broken = EngineError("the card fell off the bus")
    tiled: Tiled[Pixels] = Tiled(lambda threads: Small(10, broken), Needs(4, 2), side=64, lanes=lanes)
    with pytest.raises(EngineError, match="fell off the bus"):
        drawn(tiled, noise(Size(500, 400)))
    assert threading.active_count() == before


def test_tiles_fit_into_the_free_memory_and_their_number_is_told() -> None:
    told: list[tuple[int, int]] = []
    engines: list[Small] = []

    def make(threads: int) -> Small:
        engines.append(Small(16 << 20, MemoryError()))
        return engines[-1]

    needs = Needs(4, 2, memory=1000)
    tiled: Tiled[Pixels] = Tiled(
        make, needs, lanes=2, threads=1, free=lambda: 64 << 20, told=lambda *far: told.append(far)
    )
    drawn(tiled, noise(Size(400, 300)))
    assert told[-1] == (len(told), len(told)) and len(told) > 8
    assert len(engines) == 3, "one that would draw whole pictures, and one for each lane"


def test_a_network_of_one_size_gets_tiles_of_that_size_also_of_smaller_pictures() -> None:
    sizes = set()

    class Fixed(FakeEngine):
        def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
            sizes.add(size_of(frame.pixels))
            return super().upscale(frame, into)

    needs = Needs(4, 2, fixed=Size(48, 32))
    for size in (Size(20, 10), Size(48, 32), Size(100, 31), Size(111, 97)):
        tiled: Tiled[Pixels] = Tiled(lambda threads: Fixed(), needs)
        assert np.array_equal(drawn(tiled, noise(size)), drawn(FakeEngine(), noise(size)))  # type: ignore[arg-type]
    assert sizes == {Size(48, 32)}


class Tinted(FakeEngine):
    """Draws each tile in a grey of its own: the worst that a network which sees the whole picture could do."""

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        self.levels.append(0)
        return frame.redrawn(np.full_like(fresh(size_of(frame.pixels).times(2)), 100 + 20 * (len(self.levels) % 3)))


def test_tiles_of_a_network_that_sees_too_far_fade_into_one_another() -> None:
    tinted = Tinted()
    tiled: Tiled[Pixels] = Tiled(lambda threads: tinted, Needs(16, 2, exact=False), side=96, lanes=4)
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


@pytest.mark.parametrize(("make", "reach", "step"), [(hourglass, 7, 4), (dilated, 6, 1)])
def test_the_reach_of_foreign_networks_is_read_from_their_graph(tmp_path: Path, make, reach: int, step: int) -> None:  # type: ignore[no-untyped-def]
    card = make(tmp_path / "net.onnx")
    known = field.of(card.onnx)
    assert known is not None
    assert (known.reach, known.step) == (reach, step)
    engine = OpenVINOEngine(card, precision="fp32", threads=1)
    measured = probe.reach(engine, card.multiple)
    assert measured is not None and measured <= known.reach + known.step
    pixels = noise(Size(201, 119))
    needs = Needs(known.reach, max(step, card.multiple), card.multiple)
    tiled: Tiled[Pixels] = Tiled(lambda threads: OpenVINOEngine(card, precision="fp32"), needs, side=64)
    apart = drawn(tiled, pixels).astype(int) - drawn(engine, pixels)
    assert np.abs(apart).max() == 0


def test_a_network_that_looks_at_the_whole_picture_is_not_told_to_be_local(tmp_path: Path) -> None:
    card = network(
        tmp_path / "net.onnx",
        helper.make_node("GlobalAveragePool", ["rgb"], ["mean"]),
        (helper.make_node("Mul", ["mean", "much"], ["haze"]), numpy_helper.from_array(np.float32(50), "much")),
        helper.make_node("Add", ["rgb", "haze"], ["rest"]),
        resize("rest", "enlarged", "nearest"),
    )
    assert field.of(card.onnx) is None
    assert probe.reach(OpenVINOEngine(card, precision="fp32")) is None


def test_damaged_files_of_networks_have_no_reach(tmp_path: Path) -> None:
    whole = zoo.find("turbo", 2).onnx.read_bytes()
    path = tmp_path / "broken.onnx"
    dice = random.Random(0)
    for _ in range(300):
        data = bytearray(whole[: dice.choice([len(whole), dice.randrange(4000)])])
        for _ in range(dice.randrange(8)):
            data[dice.randrange(min(len(data), 6000))] = dice.randrange(256) if data else 0
        path.write_bytes(data)
        field.of(path)  # raises nothing
    path.write_bytes(b"")
    assert field.of(path) is None


@pytest.mark.parametrize(("name", "scale"), [("fast", 2), ("turbo", 4)])
def test_a_probe_measures_what_the_graph_tells(name: str, scale: int) -> None:
    card = zoo.find(name, scale)
    known = field.of(card.onnx)
    assert known is not None
    assert probe.reach(OpenVINOEngine(card, precision="fp32"), known.step) == known.reach


def test_the_free_memory_is_that_of_the_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable:    2048 kB\n")
    assert memory.free(meminfo, tmp_path / "none") == 2 << 20
    for name, text in (("memory.max", "1048576"), ("memory.current", "900000"), ("memory.stat", "inactive_file 50000")):
        (tmp_path / name).write_text(text)
    assert memory.free(meminfo, tmp_path) == 1048576 - 900000 + 50000
    (tmp_path / "memory.max").write_text("max")
    assert memory.free(meminfo, tmp_path) == 2 << 20
    assert memory.free() > 1 << 20


def test_needs_are_values() -> None:
    assert replace(Needs(15, 4), step=8).border == 16
