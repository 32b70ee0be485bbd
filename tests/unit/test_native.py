"""The native engine draws what the network describes, any part of it to the bit, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from leaks import MEGABYTE, check_nothing_stays

from live_sr.engines.native import compatibility, library
from live_sr.engines.native.engine import NativeEngine
from live_sr.engines.native.library import CellNetHandle, CellNetLibrary
from live_sr.engines.native.packing import pack, to_bf16
from live_sr.errors import EngineError, ModelError
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.cellnet_weights import CELL, CellNetWeights, Layer, read_weights
from live_sr.pipeline.engine_contracts import RegionEngine
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, Stamps, get_size, make_black
from live_sr.system import c_compiler, paths

pytestmark = pytest.mark.skipif(
    c_compiler.find_compiler() is None and library.find_library() is None, reason="no C compiler is installed"
)

Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def compiled() -> CellNetLibrary:
    return library.load_library(library.build_library())


@pytest.fixture(params=list(library.PATHS))
def path(request: pytest.FixtureRequest, compiled: CellNetLibrary) -> str:
    """Each way to compute that this processor has."""
    if request.param not in compiled.paths:
        pytest.skip(f"this processor has no {request.param}")
    return str(request.param)


def random_network(scale: int, features: int, depth: int) -> CellNetWeights:
    """Repeats pixels, and adds what random layers make of the picture: some levels."""
    rng = np.random.default_rng(scale * 100 + features)
    layers, inside = [], 3 * CELL**2
    for _ in range(depth):
        weight = rng.normal(0, (2 / (9 * inside)) ** 0.5, (features, inside, 3, 3))
        layers.append((weight, rng.normal(0, 0.05, features), rng.uniform(-0.3, 1.1, features)))
        inside = features
    side = CELL * scale
    last = rng.normal(0, 0.006, (3 * side**2, features + 3 * CELL**2, 3, 3))
    for colour in range(3):
        for y in range(side):
            for x in range(side):
                source = features + (y // scale * CELL + x // scale) * 3 + colour
                last[colour * side**2 + y * side + x, source, 1, 1] += 0.8
    return CellNetWeights(
        scale,
        tuple(Layer(*(array.astype(np.float32) for array in layer)) for layer in layers),
        last.astype(np.float32),
        rng.normal(0, 0.02, 3 * side**2).astype(np.float32),
    )


def convolve(picture: Floats, weight: npt.NDArray[np.float32]) -> Floats:
    """(channels, height, width) without padding."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, (3, 3), (1, 2))
    return np.einsum("chwij,ocij->ohw", windows, weight.astype(np.float64), optimize=True)


def expected(network: CellNetWeights, pixels: Pixels) -> Floats:
    """The network of CellNet's definition in float64: BGR levels, not rounded."""
    height, width = pixels.shape[:2]
    rgb = pixels[..., 2::-1].astype(np.float64) / 255
    framed = np.pad(rgb, ((CELL, CELL + height % 2), (CELL, CELL + width % 2), (0, 0)), "edge")
    rows, columns = framed.shape[0] // CELL, framed.shape[1] // CELL
    cells = framed.reshape(rows, CELL, columns, CELL, 3).transpose(1, 3, 4, 0, 2).reshape(-1, rows, columns)
    features = cells
    for layer in network.layers:
        padded = np.pad(features, ((0, 0), (1, 1), (1, 1)))
        features = convolve(padded, layer.weight) + layer.bias[:, None, None]
        features = np.where(features < 0, features * layer.slope[:, None, None], features)
    last = convolve(np.concatenate((features, cells)), network.weight) + network.bias[:, None, None]
    side = CELL * network.scale
    large = last.reshape(3, side, side, rows - 2, columns - 2).transpose(3, 1, 4, 2, 0)
    large = large.reshape((rows - 2) * side, (columns - 2) * side, 3)[: height * network.scale, : width * network.scale]
    return (large[..., ::-1] * 255).clip(0, 255)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_noticed(compiled: CellNetLibrary, path: str, value: float) -> None:
    """Of one channel of the last cell alone, and in the picture as a whole."""
    network = random_network(2, 16, 2)
    pixels, into = make_noise(Size(40, 22)), make_black(Size(80, 44))
    for place in (0, len(network.bias) - 1):
        bias = network.bias.copy()
        bias[place] = value
        handle = compiled.open(pack(replace(network, bias=bias)), path, threads=2)
        assert not handle.draw(pixels, into, [Rect(0, 0, 40, 22)])
        assert not handle.draw(pixels, into, [Rect(38, 20, 2, 2)])
        handle.close()
    handle = compiled.open(pack(network), path, threads=2)
    assert handle.draw(pixels, into, [Rect(0, 0, 40, 22)])
    handle.close()


def make_noise(size: Size, seed: int = 0) -> Pixels:
    """Alpha is noise too: it must not matter."""
    return np.random.default_rng(seed).integers(0, 256, (size.height, size.width, 4), np.uint8)


def draw(handle: CellNetHandle, scale: int, pixels: Pixels) -> Pixels:
    size = get_size(pixels)
    into = np.full((size.height * scale, size.width * scale, 4), 7, np.uint8)
    handle.draw(pixels, into, [Rect(0, 0, *size)])
    return into


SHAPES = [(2, 16, 4), (2, 32, 3), (4, 32, 8), (3, 48, 2), (2, 24, 1), (4, 64, 2), (1, 16, 1)]


@pytest.mark.parametrize(("scale", "features", "depth"), SHAPES)
def test_it_draws_what_the_network_describes(
    compiled: CellNetLibrary, path: str, scale: int, features: int, depth: int
) -> None:
    network = random_network(scale, features, depth)
    handle = compiled.open(pack(network), path, threads=2)
    largest = Size(33, 34) if path == "portable" else Size(70, 70)
    for size in (Size(1, 1), Size(1, 9), Size(8, 1), Size(37, 23), largest):
        pixels = make_noise(size)
        done, wanted = draw(handle, scale, pixels), expected(network, pixels)
        assert get_size(done) == size.times(scale)
        assert (done[..., 3] == 255).all()
        difference = done[..., :3] - wanted
        assert np.abs(difference).max() < 4, size
        assert abs(difference.mean()) < 0.25, size
    handle.close()


def test_all_ways_to_compute_agree(compiled: CellNetLibrary) -> None:
    network = random_network(2, 32, 3)
    pixels = make_noise(Size(66, 35))
    handles = [compiled.open(pack(network), path, threads=1) for path in compiled.paths]
    first, *others = (draw(handle, 2, pixels).astype(int) for handle in handles)
    assert all(np.abs(first - other).max() <= 1 for other in others)
    for handle in handles:
        handle.close()


@pytest.mark.parametrize(("scale", "features", "depth"), SHAPES[:4])
def test_any_region_equals_that_part_of_the_whole_picture(
    compiled: CellNetLibrary, path: str, scale: int, features: int, depth: int
) -> None:
    rng = np.random.default_rng(scale)
    packed = pack(random_network(scale, features, depth))
    turns, longest = (3, 40) if path == "portable" else (12, 70)
    for threads in (1, 3):
        handle = compiled.open(packed, path, threads)
        for turn in range(turns):
            size = Size(*(int(side) for side in rng.integers(1, longest + 1, 2)))
            pixels = make_noise(size, turn)
            whole = draw(handle, scale, pixels)
            into = np.full_like(whole, 9)
            wanted = into.copy()
            regions = [draw_region(rng, size) for _ in range(int(rng.integers(1, 4)))]
            for x, y, width, height in regions:
                part = np.s_[y * scale : (y + height) * scale, x * scale : (x + width) * scale]
                wanted[part] = whole[part]
            handle.draw(pixels, into, regions)
            assert (into == wanted).all(), (size, regions)
        handle.close()


def draw_region(rng: np.random.Generator, size: Size) -> Rect:
    x, y = int(rng.integers(size.width)), int(rng.integers(size.height))
    return Rect(x, y, int(rng.integers(x, size.width)) + 1 - x, int(rng.integers(y, size.height)) + 1 - y)


@pytest.mark.needs("onnx")
@pytest.mark.parametrize("card", zoo.list_cards(), ids=lambda card: card.label)
def test_the_weights_are_those_of_the_onnx_file(card: ModelCard) -> None:
    import onnx

    from live_sr.models.export.cellnet_reader import read_cellnet

    ours, theirs = read_weights(card.onnx.with_suffix(".safetensors")), read_cellnet(onnx.load(card.onnx))
    assert theirs is not None
    assert ours.scale == theirs.scale
    assert (ours.weight == theirs.weight).all() and (ours.bias == theirs.bias).all()
    for one, other in zip(ours.layers, theirs.layers, strict=True):
        assert (one.weight == other.weight).all()
        assert (one.bias == other.bias).all() and (one.slope == other.slope).all()


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}", b"no weights at all"], ids=["empty", "bare", "text"])
def test_a_file_without_a_cellnet_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="holds no network of live-sr"):
        read_weights(tmp_path / "mine.safetensors")
    with pytest.raises(ModelError, match="cannot be read"):
        read_weights(tmp_path / "none.safetensors")


def test_bf16_rounds_half_to_even() -> None:
    halves = np.array([1.0, 1.00390625, 1.01171875, -2.0, 0.0], np.float32)  # 1 + 1/256: between 1 and 1 + 1/128
    assert to_bf16(halves).tolist() == [0x3F80, 0x3F80, 0x3F82, 0xC000, 0]


@pytest.fixture
def engine() -> Iterator[NativeEngine]:
    engine = NativeEngine(zoo.find("fast", 2), threads=2)
    yield engine
    engine.close()


@pytest.mark.parametrize("name, scale", [("fast", 2), ("fast", 4), ("turbo", 2), ("turbo", 4), ("balanced", 2)])
def test_shipped_networks_are_as_close_to_fp32_as_with_openvino(path: str, name: str, scale: int) -> None:
    from live_sr.engines.openvino.engine import OpenVINOEngine

    if path == "portable":
        pytest.skip("it is slow, and computes the same")
    card, frame = zoo.find(name, scale), Frame(make_noise(Size(97, 61)))
    frame.pixels[:30, :, :3] = np.linspace(0, 255, 97, dtype=np.uint8)[:, None]
    reference = OpenVINOEngine(card, precision="fp32", threads=1)
    native = NativeEngine(card, threads=1, path=path)
    made = [engine.upscale(frame) for engine in (reference, native)]
    exact, ours = (one.pixels.astype(int) for one in made if one is not None)
    assert np.abs(ours - exact).max() <= 2
    assert np.abs(ours - exact).mean() < 0.2
    reference.close()
    native.close()


def test_the_result_is_drawn_into_the_lent_picture_and_keeps_its_moment(engine: NativeEngine) -> None:
    engine.warm_up(Size(32, 24))
    into, stamps = make_black(Size(64, 48)), Stamps(seen=7)
    first = engine.upscale(Frame(make_noise(Size(32, 24)), stamps, 9), into)
    assert first is not None and first.pixels is into
    assert (first.stamps, first.number) == (stamps, 9)
    kept = into.copy()
    other = engine.upscale(Frame(make_noise(Size(32, 24), seed=1)))
    assert other is not None
    assert (into == kept).all() and (other.pixels != kept).any()


def test_a_frame_is_only_read_and_may_be_part_of_another(engine: NativeEngine) -> None:
    pixels = make_noise(Size(32, 24))
    before, usual = pixels.copy(), engine.upscale(Frame(pixels))
    assert usual is not None and (pixels == before).all()
    pixels.flags.writeable = False
    wide = np.zeros((24, 64, 4), np.uint8)
    wide[:, 16:48] = before
    planes = np.ascontiguousarray(before.transpose(2, 0, 1)).transpose(1, 2, 0)
    for same in (pixels, wide[:, 16:48], planes):
        done = engine.upscale(Frame(same))
        assert done is not None and (done.pixels == usual.pixels).all()


def test_an_engine_draws_regions_of_frames_of_any_size(engine: NativeEngine) -> None:
    assert isinstance(engine, RegionEngine)
    pixels = make_noise(Size(45, 31))
    into = make_black(Size(90, 62))
    engine.upscale_regions(pixels, [Rect(-5, 3, 20, 60)], into)  # what lies outside of the picture is left out
    engine.warm_up(Size(45, 31))
    whole = engine.upscale(Frame(pixels))
    assert whole is not None
    assert (into[6:, :30] == whole.pixels[6:, :30]).all()
    assert not into[:6, :, :3].any() and not into[:, 30:, :3].any()
    engine.upscale_regions(pixels, [Rect(50, 3, 20, 60)], into)
    with pytest.raises(ValueError, match="cannot be drawn into"):
        engine.upscale_regions(pixels, [Rect(0, 0, 4, 4)], make_black(Size(90, 60)))


def test_its_threads_end_with_it_and_its_memory_stays_flat(engine: NativeEngine) -> None:
    engine.warm_up(Size(320, 200))
    into = make_black(Size(640, 400))
    sizes = [Size(320, 200), Size(31, 200), Size(320, 17)]

    def play() -> None:
        for _ in range(10):
            extra = NativeEngine(zoo.find("turbo", 2), threads=4)
            extra.warm_up(Size(64, 48))
            extra.close()
            extra.close()
        for turn in range(60):
            size = sizes[turn % len(sizes)]
            engine.upscale(Frame(make_black(size)), into if size == sizes[0] else None)

    check_nothing_stays(play, 8 * MEGABYTE)


def test_another_precision_and_another_network_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="computes in bf16, not in fp32"):
        NativeEngine(zoo.find("fast", 2), precision="fp32")
    shipped = zoo.find("fast", 2)
    shutil.copy(shipped.onnx, tmp_path / "mine.onnx")
    (tmp_path / "mine.safetensors").write_bytes(b"{}")
    with pytest.raises(ModelError, match="holds no network of live-sr"):
        NativeEngine(ModelCard("mine", 2, tmp_path / "mine.onnx")).warm_up(Size(8, 8))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a library would be compiled into, in little time; there is none, neither here nor beside the source."""
    source = tmp_path / "source" / "cellnet.c"
    source.parent.mkdir()
    shutil.copy(library.SOURCE, source)
    monkeypatch.setattr(library, "SOURCE", source)
    monkeypatch.setattr(c_compiler, "OPTIONS", ("-O0", "-std=gnu11", "-shared"))
    monkeypatch.setattr(paths, "get_native_folder", lambda: tmp_path / "native")
    return tmp_path / "native"


needs_compiler = pytest.mark.skipif(c_compiler.find_compiler() is None, reason="no C compiler is installed")


@needs_compiler
def test_the_library_is_compiled_once_and_only_for_this_user(folder: Path) -> None:
    engine = NativeEngine(zoo.find("fast", 2))
    assert not engine.is_built(Size(8, 8))
    file = library.build_library()
    assert engine.is_built(Size(8, 8))
    assert sorted(folder.iterdir()) == [file, Path(f"{file}.sha256")]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    state = file.stat()
    assert library.build_library() == file and file.stat().st_mtime_ns == state.st_mtime_ns
    assert library.build_beside_source().parent == library.SOURCE.parent == library.build_library().parent


@needs_compiler
@pytest.mark.skipif(not hasattr(os, "getuid"), reason="permissions of Linux")
def test_the_library_is_used_where_new_files_belong_to_a_group(folder: Path) -> None:
    before = os.umask(0o002)
    try:
        file = library.build_library()
    finally:
        os.umask(before)
    assert library.find_library() == file


@needs_compiler
@pytest.mark.skipif(not hasattr(os, "getuid"), reason="permissions of Linux")
def test_a_library_that_other_users_can_change_is_not_loaded(folder: Path) -> None:
    file = library.build_library()
    file.chmod(0o777)
    assert library.find_library() is None
    assert library.build_library() == file  # compiled again, in its place
    folder.chmod(0o777)
    with pytest.raises(EngineError, match="other users can change"):
        library.build_library()


@needs_compiler
def test_a_flipped_bit_in_the_library_is_told_and_it_is_compiled_again(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = library.build_library()
    compiled = file.read_bytes()
    file.write_bytes(compiled[:5000] + bytes([compiled[5000] ^ 1]) + compiled[5001:])
    assert library.find_library() is None and library.find_library() is None
    said = f"{file} is not used: it was changed or damaged; it is compiled again"
    assert [record.message for record in caplog.records] == [said]
    assert library.build_library() == file and file.read_bytes() == compiled


@needs_compiler
def test_a_library_whose_checksum_was_not_written_is_compiled_again(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The process that compiled it was ended."""
    file = library.build_library()
    Path(f"{file}.sha256").unlink()
    assert library.find_library() is None
    assert library.build_library() == library.find_library() == file
    assert not caplog.records


@needs_compiler
def test_what_does_not_compile_is_one_sentence_and_leaves_nothing(folder: Path) -> None:
    library.SOURCE.write_text("int broken(")
    with pytest.raises(EngineError, match=r"cannot compile cellnet\.c: .*error") as caught:
        library.build_library()
    assert "gcc 11" in caught.value.remedy
    assert [*folder.iterdir()] == []


def test_without_compiler_home_or_instructions_it_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has = ["AVX2", "AVX-512 BF16"]
    monkeypatch.setattr(compatibility.hardware, "list_processor_features", lambda: has)
    monkeypatch.setattr(c_compiler, "find_compiler", lambda: "/usr/bin/cc")
    assert compatibility.unavailable_reason() == ""
    monkeypatch.setattr(c_compiler, "find_compiler", lambda: None)
    assert "no C compiler is installed (install gcc" in compatibility.unavailable_reason()
    with pytest.raises(EngineError, match="no C compiler"):
        library.build_library()
    monkeypatch.setattr(paths, "get_native_folder", lambda: None)
    assert "HOME" in compatibility.unavailable_reason()
    has.remove("AVX-512 BF16")
    assert "neither AMX nor AVX-512 BF16" in compatibility.unavailable_reason()


def test_a_damaged_library_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "cellnet.so").write_bytes(b"\x7fELF and no more")
    with pytest.raises(EngineError, match="cannot be loaded"):
        CellNetLibrary(tmp_path / "cellnet.so")
