"""The WebGPU engine on Mesa's software driver for Vulkan, which computes what a graphics card would."""

from __future__ import annotations

import gc
import shutil
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import wgpu
from leaks import MEGABYTE, check_nothing_stays
from patience import until
from software_card import SOFTWARE, USES_DRIVER, draw, measure_deviation
from software_card import make_noise as make_noise_with

from live_sr import backends, cli
from live_sr.engines import engine_choice, graph_choice, region_factory, trial
from live_sr.engines.options import EngineOptions
from live_sr.engines.webgpu import adapters, cellnet, checksum, choice, gpu, packing, reference
from live_sr.engines.webgpu.arithmetic import FP16, FP16_STORED, FP32, Arithmetic, list_candidates
from live_sr.engines.webgpu.engine import WebGpuEngine
from live_sr.engines.webgpu.links import Part
from live_sr.engines.webgpu.network import NetworkOnGpu, SizedNetwork
from live_sr.errors import EngineError, MissingPart
from live_sr.models.cellnet_weights import CellNetWeights, Layer, read_weights
from live_sr.models.resolve import resolve
from live_sr.pipeline.display_picture import ComparablePicture, DisplayPicture
from live_sr.pipeline.engine_contracts import DeviceEngine
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, get_size, make_black
from live_sr.system import paths

pytestmark = USES_DRIVER

NETWORKS = [(name, scale) for name in ("turbo", "fast", "balanced", "quality") for scale in (2, 4)]
RNG = np.random.default_rng(5)


def weights_of(name: str, scale: int) -> CellNetWeights:
    card = resolve(name).get_card(scale)
    assert card is not None
    return read_weights(card.onnx.with_suffix(".safetensors"))


def make_engine(name: str = "turbo", scale: int = 2, precision: str = "fp32") -> WebGpuEngine:
    card = resolve(name).get_card(scale)
    assert card is not None
    return WebGpuEngine(card, precision=precision, adapter=SOFTWARE)


def make_noise(size: Size) -> Pixels:
    return make_noise_with(size, RNG)


def draw_with(on_card: NetworkOnGpu, pixels: Pixels, into: Pixels) -> None:
    with closing(on_card), closing(SizedNetwork(on_card, get_size(pixels))) as sized:
        sized.draw(pixels, into)


@pytest.mark.parametrize(("name", "scale"), NETWORKS)
def test_every_network_is_drawn_within_a_level_however_it_computes(name: str, scale: int) -> None:
    weights, card = weights_of(name, scale), gpu.open_gpu(SOFTWARE)
    pixels = make_noise(Size(27, 18))
    expected = reference.draw([weights], pixels)
    halves = [FP16] if "shader-f16" in card.adapter.features and (name, scale) == ("fast", 2) else []
    for arithmetic in (FP32, FP16_STORED, *halves):
        made = make_black(Size(27, 18).times(scale))
        draw_with(NetworkOnGpu(card, [weights], arithmetic), pixels, made)
        assert measure_deviation(made, expected) <= 1, arithmetic


@pytest.mark.parametrize("links", [1, 2], ids=["alone", "in a chain"])
@pytest.mark.parametrize("arithmetic", [FP32, FP16_STORED], ids=str)
def test_pixels_whose_numbers_are_none_are_not_opaque(arithmetic: Arithmetic, links: int) -> None:
    """Weights that fp16 holds, and features of bright pixels that it does not. In fp32 the next layer undoes it."""
    weights = weights_of("turbo", 2)
    large = [replace(weights.layers[0], weight=weights.layers[0].weight * 3e4, bias=weights.layers[0].bias * 3e4)]
    weights = replace(weights, layers=(*large, *weights.layers[1:]))
    weights.layers[1].weight[...] /= 3e4
    pixels = make_black(Size(24, 16))
    pixels[4:12, 10:20, :3] = 255
    made = make_black(Size(24, 16).times(2**links))
    chain = [weights, *[weights_of("turbo", 2)] * (links - 1)]
    draw_with(NetworkOnGpu(gpu.open_gpu(SOFTWARE), chain, arithmetic), pixels, made)
    marked = (made[..., 3] == 0).any()
    assert bool(marked) == (arithmetic is FP16_STORED)
    assert set(np.unique(made[..., 3])) <= {0, 255}


@pytest.mark.needs("onnxruntime")
@pytest.mark.parametrize(("name", "scale"), [("fast", 2), ("turbo", 4)])
def test_the_reference_is_what_onnx_runtime_draws(name: str, scale: int) -> None:
    import onnxruntime

    card = resolve(name).get_card(scale)
    assert card is not None
    pixels = make_noise(Size(26, 18))
    session = onnxruntime.InferenceSession(card.onnx, providers=["CPUExecutionProvider"])
    rgb = pixels[..., 2::-1].transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
    (made,) = session.run(None, {session.get_inputs()[0].name: rgb})
    expected = make_black(Size(26, 18).times(scale))
    expected[..., :3] = np.rint(np.clip(made[0] * 255, 0, 255)).astype(np.uint8)[::-1].transpose(1, 2, 0)
    assert measure_deviation(reference.draw([weights_of(name, scale)], pixels), expected) <= 1


def test_a_window_may_have_any_size_and_change_it_with_every_frame() -> None:
    weights = weights_of("turbo", 2)
    with closing(make_engine()) as engine:
        for width, height in [(1, 1), (2, 1), (1, 48), (64, 1), *RNG.integers(1, (65, 49), (60, 2)).tolist()]:
            pixels = make_noise(Size(width, height))
            assert measure_deviation(draw(engine, pixels), reference.draw([weights], pixels)) <= 1, (width, height)


@pytest.mark.parametrize(
    ("name", "scale", "precision"), [("turbo", 2, "fp32"), ("fast", 2, "fp16"), ("turbo", 4, "fp32")]
)
def test_any_parts_of_a_picture_are_drawn_as_in_the_whole_and_nothing_else(
    name: str, scale: int, precision: str
) -> None:
    size = Size(61, 45)
    whole, part = make_black(size.times(scale)), make_black(size.times(scale))
    with closing(make_engine(name, scale, precision)) as engine:
        for number in range(25):
            pixels = make_noise(size)
            draw(engine, make_noise(size))  # what is on the card is of another picture
            regions = [make_rectangle(size) for _ in range(int(RNG.integers(1, 20 if number % 5 == 0 else 4)))]
            part[...] = 7
            engine.upscale_regions(pixels, [*regions, Rect(-5, 3, 5, 9)], part)
            engine.upscale(Frame(pixels), whole)
            asked_for = np.zeros(whole.shape, np.bool_)
            for region in regions:
                region.times(scale).cut_from(asked_for)[...] = True
            assert np.array_equal(part[asked_for], whole[asked_for]), regions
            assert (part[~asked_for] == 7).all()


def make_rectangle(size: Size) -> Rect:
    """Anywhere in a picture of that size."""
    x, y = (int(RNG.integers(0, side)) for side in size)
    return Rect(x, y, int(RNG.integers(1, size.width - x + 1)), int(RNG.integers(1, size.height - y + 1)))


def test_parts_are_drawn_too_when_the_device_was_lost() -> None:
    pixels, region = make_noise(Size(40, 30)), Rect(7, 3, 11, 20)
    with closing(make_engine()) as engine:
        expected, part = draw(engine, pixels), make_black(Size(80, 60))
        gpu.open_gpu(SOFTWARE).device.destroy()
        engine.upscale_regions(pixels, [region], part)
        assert np.array_equal(region.times(2).cut_from(part), region.times(2).cut_from(expected))


@pytest.mark.parametrize("scale", [1, 3])
def test_a_network_of_any_scale_is_drawn(scale: int) -> None:
    """Also of scales and widths that do not ship."""

    def make(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return RNG.normal(0, 0.15, shape).astype(np.float32)

    layers = tuple(Layer(make(12, inside, 3, 3), make(12), make(12)) for inside in (12, 12))
    weights = CellNetWeights(scale, layers, make(12 * scale**2, 24, 3, 3), make(12 * scale**2) + np.float32(0.5))
    pixels = make_noise(Size(19, 14))
    made = make_black(Size(19, 14).times(scale))
    draw_with(NetworkOnGpu(gpu.open_gpu(SOFTWARE), [weights], FP32), pixels, made)
    assert measure_deviation(made, reference.draw([weights], pixels)) <= 1


def test_a_lost_device_is_opened_anew_and_the_frame_drawn(caplog: pytest.LogCaptureFixture) -> None:
    pixels = make_noise(Size(40, 30))
    with closing(make_engine()) as engine, closing(make_engine()) as other:
        expected = draw(engine, pixels)
        assert np.array_equal(draw(other, pixels), expected)
        lost = gpu.open_gpu(SOFTWARE)
        lost.device.destroy()
        assert np.array_equal(draw(engine, pixels), expected)
        assert f"{lost.adapter} failed (" in caplog.text, "the card's name, not what the settings call it"
        assert gpu.open_gpu(SOFTWARE) is not lost
        assert np.array_equal(draw(other, pixels), expected), "an engine that shared the lost device"


def test_a_device_that_is_lost_during_the_self_test_is_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = make_noise(Size(20, 15))
    right, lost = reference.draw, []

    def draw_and_lose(parts: Sequence[Part], picture: Pixels, multiple: int) -> Pixels:
        if not lost:
            lost.append(gpu.open_gpu(SOFTWARE))
            lost[0].device.destroy()
        return right(parts, picture, multiple)

    gpu.open_gpu(SOFTWARE).device.destroy()  # so that nothing is known of a network yet
    monkeypatch.setattr(choice.reference, "draw", draw_and_lose)
    with closing(make_engine()) as engine:
        assert measure_deviation(draw(engine, pixels), right([weights_of("turbo", 2)], pixels)) <= 1
    assert lost and lost[0].is_lost and not gpu.open_gpu(SOFTWARE).is_lost


def test_a_device_that_stays_lost_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = make_noise(Size(40, 30))
    with closing(make_engine()) as engine:
        expected = draw(engine, pixels)
        gpu.open_gpu(SOFTWARE).device.destroy()
        with monkeypatch.context() as patch:
            patch.setattr(adapters, "find_adapter", refuse)
            with pytest.raises(MissingPart, match="pulled out"):
                engine.upscale(Frame(pixels))
        assert np.array_equal(draw(engine, pixels), expected), "once it is back"


def refuse(wanted: str) -> adapters.Adapter:
    raise MissingPart("the graphics card was pulled out", "put it back")


def test_at_work_a_lost_device_is_an_error_where_another_engine_goes_on_meanwhile() -> None:
    """Opening it anew takes long enough to see the picture stand still, so it is left to who builds the next engine."""
    card, frame = resolve("turbo").get_card(2), Frame(make_noise(Size(40, 30)))
    assert card is not None
    with closing(WebGpuEngine(card, precision="fp32", adapter=SOFTWARE, redraws_lost=False)) as engine:
        for draw_frame in (engine.upscale, engine.upscale_on_device):
            engine.warm_up(Size(40, 30))
            lost = gpu.open_gpu(SOFTWARE)
            lost.device.destroy()
            with pytest.raises(EngineError, match="failed"):
                draw_frame(frame)
            assert lost.is_lost
        engine.warm_up(Size(40, 30))
        assert engine.upscale(frame) is not None


def test_a_picture_on_the_card_is_the_one_in_main_memory() -> None:
    for size in (Size(40, 30), Size(33, 17), Size(1, 1)):
        frame = Frame(make_noise(size), number=7)
        with closing(make_engine()) as engine:
            expected = draw(engine, frame.pixels)
            done = engine.upscale_on_device(frame)
            assert done is not None and done.number == 7
            assert done.pixels.on_device and done.pixels.size == size.times(2)
            assert np.array_equal(done.pixels.to_host(), expected)
        assert np.array_equal(done.pixels.copy(), expected), "it outlives its engine"
        assert done.pixels.release() is None
        with pytest.raises(EngineError, match="empty"):
            done.pixels.to_host()


def test_a_picture_that_no_texture_holds_comes_to_main_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = Frame(make_noise(Size(40, 30)))
    with closing(make_engine()) as engine:
        expected = draw(engine, frame.pixels)
        device = gpu.open_gpu(SOFTWARE).device
        monkeypatch.setitem(device.limits, "max-texture-dimension-2d", 79)
        done = engine.upscale_on_device(frame)
    assert done is not None and not done.pixels.on_device
    assert np.array_equal(done.pixels.to_host(), expected)


def test_a_picture_on_the_card_holds_the_one_that_it_was_made_from() -> None:
    frame = Frame(make_noise(Size(40, 30)))
    with closing(make_engine()) as engine:
        done = engine.upscale_on_device(frame)
        assert done is not None and isinstance(done.pixels, ComparablePicture)
        upscaled = done.pixels.to_host()
        nearest = frame.pixels.repeat(2, 0).repeat(2, 1)
        done.pixels.compare(1.0)
        assert np.array_equal(done.pixels.to_host(), nearest)
        done.pixels.compare(0.25)
        split = done.pixels.to_host()
    assert np.array_equal(split[:, :19], nearest[:, :19])
    assert (split[:, 19:21] == 255).all()
    assert np.array_equal(split[:, 21:], upscaled[:, 21:])


def test_pictures_on_the_card_go_round_and_none_changes_before_it_is_released() -> None:
    gc.collect()  # textures of the tests before would be counted until some time
    with closing(make_engine()) as engine:
        frames = [Frame(make_noise(Size(24, 16))) for _ in range(9)]
        expected = [draw(engine, frame.pixels) for frame in frames]
        kept: list[tuple[DisplayPicture, Pixels]] = []
        counts = []
        for frame, large in zip(frames, expected, strict=True):
            if len(kept) == 3:
                oldest, was = kept.pop(0)
                assert np.array_equal(oldest.to_host(), was)
                oldest.release()
            done = engine.upscale_on_device(frame)
            assert done is not None
            kept.append((done.pixels, large))
            counts.append(wgpu.diagnostics.wgpu_native_counts.get_dict()["Texture"]["count"])
    assert counts[3:] == [counts[3]] * 6


def test_a_picture_of_a_lost_device_is_one_sentence() -> None:
    with closing(make_engine()) as engine:
        done = engine.upscale_on_device(Frame(make_noise(Size(24, 16))))
        assert done is not None
        gpu.open_gpu(SOFTWARE).device.destroy()
        with pytest.raises(EngineError, match="lost with its graphics card"):
            done.pixels.to_host()
        done.pixels.release()


def test_a_device_that_is_lost_while_a_picture_is_read_is_the_same_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """wgpu's thread for results has ended then, and wgpu raises an AttributeError of its own code."""
    with closing(make_engine()) as engine:
        done = engine.upscale_on_device(Frame(make_noise(Size(24, 16))))
        assert done is not None
        device = gpu.open_gpu(SOFTWARE).device
        submit = device.queue.submit

        def submit_and_lose(work: Sequence[object]) -> None:
            submit(work)
            device.destroy()

        monkeypatch.setattr(device.queue, "submit", submit_and_lose)
        with pytest.raises(EngineError) as trouble:
            done.pixels.to_host()
        assert trouble.value.message == "the picture is lost with its graphics card (Parent device is lost)"
        done.pixels.release()


def test_a_trial_is_held_again_when_the_shaders_have_changed(tmp_path: Path) -> None:
    with closing(make_engine()) as engine:
        assert engine.build.endswith(f", code {checksum.compute_checksum():08x}")
    folder = tmp_path / "webgpu"
    shutil.copytree(checksum.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    assert checksum.compute_checksum(folder) == checksum.compute_checksum()
    checksum.compute_checksum.cache_clear()
    (folder / "shaders.py").write_bytes((folder / "shaders.py").read_bytes() + b" ")
    assert checksum.compute_checksum(folder) != checksum.compute_checksum()


def test_engines_share_the_device_and_its_shaders() -> None:
    with closing(make_engine()) as engine:
        engine.warm_up(Size(16, 12))
        shared = gpu.open_gpu(SOFTWARE)
        compiled = shared.shader_count
        for size in (Size(20, 12), Size(33, 21)):
            with closing(make_engine()) as resized:
                resized.warm_up(size)
        assert shared.shader_count == compiled
        assert gpu.open_gpu(SOFTWARE) is shared


def test_two_threads_may_use_two_engines() -> None:
    """One upscales while the other one is built."""
    pixels = make_noise(Size(32, 24))
    with closing(make_engine()) as engine:
        expected = draw(engine, pixels)
        wrong: list[str] = []

        def build() -> None:
            for width in range(20, 28):
                with closing(make_engine("fast", 2)) as other:
                    other.warm_up(Size(width, 20))

        builder = threading.Thread(target=build)
        builder.start()
        drawn = 0
        while builder.is_alive() or drawn < 5:
            drawn += 1
            if not np.array_equal(draw(engine, pixels), expected):
                wrong.append(f"frame {drawn}")
        builder.join()
        assert wrong == []


def test_many_frames_and_sizes_leave_nothing_behind() -> None:
    pixels = [make_noise(Size(24, 16)), make_noise(Size(23, 17))]
    with closing(make_engine()) as engine:
        into = make_black(Size(48, 32))
        objects: list[dict[str, int]] = []  # how many of each kind wgpu has, after each round

        def play() -> None:
            for number in range(300):
                engine.upscale(Frame(pixels[number // 50 % 2]), into)
            gc.collect()
            counts = wgpu.diagnostics.wgpu_native_counts.get_dict()
            objects.append({kind: one["count"] for kind, one in counts.items()})

        check_nothing_stays(play, 4 * MEGABYTE)
    assert objects[-1] == objects[-2]


def test_the_card_is_chosen_by_name_and_a_software_one_only_if_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    only = tuple(adapter for adapter in adapters.list_adapters() if adapter.is_software)
    monkeypatch.setattr(adapters, "list_adapters", lambda: only)
    assert adapters.find_adapter("LLVMpipe").is_software
    with pytest.raises(MissingPart, match="no graphics card, only llvmpipe") as trouble:
        adapters.find_adapter("auto")
    assert "[engine] adapter" in trouble.value.remedy
    with pytest.raises(MissingPart, match='no graphics adapter is called "GeForce"'):
        adapters.find_adapter("GeForce")
    webgpu = backends.find_engine("webgpu")
    assert webgpu is not None
    assert webgpu.unavailable_reason(SOFTWARE) == ""
    assert webgpu.unavailable_reason()
    assert engine_choice.choose_engine(EngineOptions(adapter=SOFTWARE))[0] is webgpu
    assert engine_choice.choose_engine(EngineOptions())[0] is not webgpu


def test_with_a_wgpu_that_cannot_be_imported_another_engine_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "live_sr.engines.webgpu.adapters", None)
    backend, choice_made = engine_choice.choose_engine(EngineOptions(adapter=SOFTWARE))
    assert backend.name != "webgpu"
    assert dict(choice_made.passed_over)["webgpu"].startswith("wgpu does not work here (")


def test_only_precisions_that_it_has_are_taken() -> None:
    assert list_candidates("fp32", frozenset(["shader-f16"])) == [FP32]
    assert list_candidates("fp16", frozenset(["shader-f16"])) == [FP16_STORED, FP16]
    assert list_candidates("auto", frozenset()) == [FP32, FP16_STORED]
    for precision in ("bf16", "int8", "fp8"):
        with pytest.raises(EngineError, match=f"not in {precision}"):
            make_engine(precision=precision)
    with closing(make_engine(precision="fp16")) as engine:
        engine.warm_up(Size(16, 12))
        assert str(engine.info) == "turbo x2, webgpu fp16"


def test_a_way_to_compute_that_draws_wrongly_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, card = weights_of("turbo", 2), gpu.open_gpu(SOFTWARE)
    right = packing.pack

    def pack(network_: CellNetWeights, arithmetic: Arithmetic, slices: int) -> list[bytes]:
        packed = right(network_, arithmetic, slices)
        if not arithmetic.stores_half:
            return packed
        return [packed[0][::-1], *packed[1:]]

    monkeypatch.setattr(cellnet.packing, "pack", pack)
    with closing(choice.choose_network(card, [weights], [FP32, FP16_STORED])) as chosen:
        assert chosen.arithmetic is FP32
    with pytest.raises(EngineError, match=r"fails its self-test.*levels wrong"):
        choice.choose_network(card, [weights], [FP16_STORED])


def test_a_picture_that_no_buffer_holds_is_told_so_that_tiles_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = gpu.open_gpu(SOFTWARE)
    monkeypatch.setattr(opened, "adapter", replace(opened.adapter, buffer_bytes=1 << 20))
    with closing(make_engine()) as engine, pytest.raises(EngineError, match="memory") as trouble:
        engine.warm_up(Size(400, 300))
    assert "tile" in trouble.value.remedy


def test_it_must_win_its_trial_by_the_time_that_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Here it has no graphics card, and computes on the processor what others compute there faster."""
    monkeypatch.setattr(paths, "get_native_folder", lambda: tmp_path)
    graph_choice.open_trial_memory.cache_clear()
    monkeypatch.setattr(trial, "SIZE", Size(64, 48))
    says = engine_choice.describe_trial(resolve("turbo"), 2, EngineOptions(adapter=SOFTWARE))
    graph_choice.open_trial_memory.cache_clear()
    assert says.startswith("webgpu is not used for turbo x2: it is 0."), says
    assert "of the processor" not in says.splitlines()[0]


@pytest.mark.parametrize("changed_regions", [True, False])
def test_pictures_can_stay_on_the_card_in_the_live_window(changed_regions: bool) -> None:
    options = EngineOptions("webgpu", "fp32", adapter=SOFTWARE, changed_regions=changed_regions)
    with closing(region_factory.make_engine(resolve("turbo"), 2, options)) as engine:
        assert isinstance(engine, DeviceEngine)


def test_files_are_upscaled_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(f'[engine]\nadapter = "{SOFTWARE}"\nprecision = "fp32"\n', encoding="utf-8")
    pixels = make_noise(Size(45, 33))
    cv2.imwrite("small.png", pixels[..., :3])
    for tile in ("off", "16"):
        words = f"upscale small.png -o large.png --overwrite --model turbo --scale 2 --engine webgpu --tile {tile}"
        assert cli.main(words.split()) == 0
        made = cv2.imread("large.png")
        expected = reference.draw([weights_of("turbo", 2)], pixels)[..., :3]
        assert measure_deviation(made, expected) <= 1


def test_doctor_lists_the_adapters(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'[engine]\nadapter = "{SOFTWARE}"\nbackend = "webgpu"\n', encoding="utf-8")
    assert cli.main(["doctor", "--config", str(file)]) == 0
    said = capsys.readouterr().out
    assert "engine: webgpu, as asked for" in said
    assert "(Vulkan, software)" in said
    assert "used only if [engine] adapter names it" in said


def test_waiting_for_the_card_lets_other_threads_run() -> None:
    turns, stop = [0], threading.Event()

    def count() -> None:
        while not stop.is_set():
            turns[0] += 1
            stop.wait(0.0001)

    with closing(make_engine("fast", 2)) as engine:
        pixels = make_noise(Size(64, 48))
        draw(engine, pixels)
        other = threading.Thread(target=count)
        other.start()
        until(lambda: turns[0] > 0, "the other thread runs")
        before = turns[0]
        for _ in range(5):
            draw(engine, pixels)
        after = turns[0]
        stop.set()
        other.join()
    assert after - before > 5
