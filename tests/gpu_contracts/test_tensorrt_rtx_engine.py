"""The rtx engine, with stand-ins for TensorRT-RTX's runtime and for the card (`fake_tensorrt`); ours is the real code.

What compiles is a real process of its own. The real compiler is in test_rtx_compiler.py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from fake_tensorrt import FakeCard, FakeRtx, FakeRuntimeConfig, Severity
from picture_changes import change, make_scene

from live_sr.engines.regions.on_device import DeviceWindowsEngine
from live_sr.engines.tensorrt import kernel_cache, rtx_compatibility, rtx_engine
from live_sr.engines.tensorrt.base_engine import CompileEnvironment, TargetGpu
from live_sr.engines.tensorrt.engine import TensorRTEngine
from live_sr.engines.tensorrt.library import TensorRTLibrary
from live_sr.engines.tensorrt.rtx_engine import RtxEngine
from live_sr.engines.tiling.requirements import read_requirements
from live_sr.errors import EngineError, MissingPart
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.nvidia import driver
from live_sr.nvidia.cuda_api import CudaWithGraphs
from live_sr.nvidia.driver import CudaDevice
from live_sr.pipeline.engine_contracts import BuildMonitor, DeviceWindowEngine, EngineWithCache
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, Tile

ROOM = Size(96, 70)
CARD = zoo.find("fast", 2)
RTX_4060 = "NVIDIA GeForce RTX 4060"

# Compiles as the real child does, but what the stand-in reads
BUILDER = """
import json, sys
from live_sr.engines.cache import build_worker
from live_sr.engines.tensorrt.rtx_build_spec import RtxBuildSpec

def make(spec, say):
    say("compiling")
    with open(sys.argv[1], "a") as built:
        shapes = "dynamic" if spec.dynamic else "static"
        built.write(f"{spec.model} {spec.width}x{spec.height} {spec.precision} {spec.capability} {shapes}\\n")
    size = [spec.width, spec.height] if spec.model != "odd-one" else [spec.width - 2, spec.height]
    about = {"version": 1, "size": size, "scale": spec.scale, "capability": spec.capability}
    if spec.profile:
        about["smallest"] = [spec.profile[0].width, spec.profile[0].height]
    return json.dumps(about).encode()

sys.exit(build_worker.run_worker(RtxBuildSpec, make))
"""


@dataclass
class Bench:
    """What a test works with. `engine` makes one on the GPU that it names."""

    engine: Callable[..., RtxEngine]
    card: FakeCard
    trt: FakeRtx
    cache: Path
    built: Path

    @property
    def builds(self) -> list[str]:
        return self.built.read_text().splitlines() if self.built.exists() else []

    def files(self, kind: str) -> list[Path]:
        return sorted(path for path in self.cache.glob("*.engine") if f"-{kind}-" in path.name)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    card = FakeCard()
    trt = FakeRtx(card, "8.9")
    built = tmp_path / "built.txt"

    def make(
        model: ModelCard = CARD, name: str = RTX_4060, driver: str = "580.1", capability: str = "", **wishes: Any
    ) -> RtxEngine:
        wishes.setdefault("cache", tmp_path / "engines")
        environment = CompileEnvironment(
            gpu=lambda: TargetGpu(name, capability or trt.capability, driver),
            library=lambda: TensorRTLibrary(trt, "TensorRT-RTX"),
            builder=(sys.executable, "-c", BUILDER, str(built)),
            cuda=lambda: cast(CudaWithGraphs, card),
            secret=lambda: tmp_path / "data" / "secret",
        )
        return RtxEngine(model, environment=environment, **wishes)

    return Bench(make, card, trt, tmp_path / "engines", built)


def picture(size: Size) -> Pixels:
    pixels = np.random.default_rng(1).integers(0, 256, (size.height, size.width, 4), np.uint8)
    pixels[..., 3] = 255
    return pixels


def enlarged(pixels: Pixels) -> Pixels:
    return pixels.repeat(2, 0).repeat(2, 1)


def configs(bench: Bench) -> list[FakeRuntimeConfig]:
    return [context.config for context in bench.trt.contexts if context.config is not None]


# At work


def test_it_enlarges_frames_of_its_size_and_smaller_ones(bench: Bench) -> None:
    engine = bench.engine()
    engine.warm_up(ROOM)
    for size in (ROOM, Size(40, 70), Size(1, 1)):
        done = engine.upscale(Frame(picture(size)))
        assert done is not None and (done.pixels == enlarged(picture(size))).all()
    assert str(engine.info) == "fast x2, rtx fp16"
    assert bench.builds == ["fast 96x70 fp16 8.9 static"]


def test_tensorrt_rtx_captures_its_own_graphs(bench: Bench) -> None:
    bench.engine().warm_up(ROOM)
    assert bench.card.asked == []
    strategies = {config.cuda_graph_strategy for config in configs(bench)}
    assert strategies == {bench.trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE}
    assert [context.calls for context in bench.trt.contexts] == [["bind picture", "bind output0", *["run"] * 3]] * 2


def test_a_picture_can_stay_on_the_card(bench: Bench) -> None:
    engine = bench.engine()
    engine.warm_up(ROOM)
    drawn = engine.upscale_on_device(Frame(picture(Size(10, 6))))
    assert drawn is not None and drawn.pixels.size == Size(20, 12)


def test_closing_gives_back_all_memory(bench: Bench) -> None:
    engine = bench.engine()
    engine.warm_up(ROOM)
    assert len(bench.card.held) == 4
    for _ in range(2):
        engine.close()
        assert not bench.card.held


@pytest.mark.parametrize("precision", ["int8", "fp8", "fp32"])
def test_another_precision_gets_an_engine_of_its_own(bench: Bench, precision: str) -> None:
    bench.engine().warm_up(ROOM)
    engine = bench.engine(precision=precision)
    engine.warm_up(ROOM)
    assert bench.builds[1] == f"fast 96x70 {precision} 8.9 static"
    assert str(engine.info) == f"fast x2, rtx {precision}"


@pytest.mark.parametrize("precision", ["bf16", "fast"])
def test_a_precision_that_it_lacks_is_told(bench: Bench, precision: str) -> None:
    with pytest.raises(EngineError, match=f"not in {precision}"):
        bench.engine(precision=precision)


# One engine for all sizes


def test_a_dynamic_engine_is_compiled_once_for_all_sizes(bench: Bench) -> None:
    engine = bench.engine(dynamic=True)
    for size in (Size(320, 200), Size(961, 543), Size(20, 10), Size(1900, 64)):
        engine.warm_up(size)
        done = engine.upscale(Frame(picture(size)))
        assert done is not None and (done.pixels == enlarged(picture(size))).all()
    assert bench.builds == ["fast 1920x1080 fp16 8.9 dynamic"]
    lazily = bench.trt.DynamicShapesKernelSpecializationStrategy.LAZY
    assert {config.dynamic_shapes_kernel_specialization_strategy for config in configs(bench)} == {lazily}


def test_its_network_runs_at_the_size_of_the_window_and_not_at_the_largest(bench: Bench) -> None:
    bench.engine(dynamic=True).warm_up(Size(321, 201))
    assert {context.size for context in bench.trt.contexts} == {Size(322, 202)}, "multiples of what the network takes"


def test_a_larger_window_gets_a_larger_dynamic_engine(bench: Bench) -> None:
    bench.engine(dynamic=True).warm_up(Size(2560, 720))
    assert bench.builds == ["fast 2560x1080 fp16 8.9 dynamic"]


def test_the_engine_of_the_largest_size_is_not_taken_for_the_dynamic_one(bench: Bench) -> None:
    for dynamic in (False, True, False):
        engine = bench.engine(dynamic=dynamic)
        engine.warm_up(Size(1920, 1080))
        engine.close()
    assert bench.builds == ["fast 1920x1080 fp16 8.9 static", "fast 1920x1080 fp16 8.9 dynamic"]


def test_a_model_of_one_size_has_no_dynamic_engine_and_no_windows(bench: Bench, tmp_path: Path) -> None:
    model = onnx.load(CARD.onnx)
    for value, scale in ((model.graph.input[0], 1), (model.graph.output[0], 2)):
        for dim, length in zip(value.type.tensor_type.shape.dim[2:], (70, 96), strict=True):
            dim.dim_value = length * scale
    onnx.save(model, tmp_path / "fixed-x2.onnx")
    engine = bench.engine(ModelCard("fixed", 2, tmp_path / "fixed-x2.onnx"), dynamic=True)
    engine.warm_up(ROOM)
    assert bench.builds == ["fixed 96x70 fp16 8.9 static"]
    assert engine.fit_window(Size(64, 64)) is None


# What is kept


def test_an_engine_is_compiled_once_and_found_again(bench: Bench) -> None:
    said: list[str] = []
    engine = bench.engine(watch=BuildMonitor(progress=said.append))
    assert isinstance(engine, EngineWithCache) and not engine.is_built(ROOM)
    engine.warm_up(ROOM)
    assert "building fast x2 for 96x70" in said[0]
    assert engine.is_built(ROOM) and not engine.is_built(Size(96, 72))
    bench.engine().warm_up(ROOM)
    assert len(bench.builds) == 1


def test_every_gpu_of_a_capability_shares_the_engine_but_not_the_kernels(bench: Bench) -> None:
    bench.engine().warm_up(ROOM)
    bench.engine(name="NVIDIA RTX 4000 Ada").warm_up(ROOM)
    assert (len(bench.builds), bench.trt.compiled) == (1, 2)
    assert (len(bench.files("rtx")), len(bench.files("rtx-kernels"))) == (3, 2)
    bench.trt.capability = "7.5"
    bench.engine(name="NVIDIA GeForce GTX 1650").warm_up(ROOM)
    assert bench.builds[1] == "fast 96x70 fp16 7.5 static"
    bench.trt.capability = "8.9"
    bench.engine().warm_up(ROOM)
    assert len(bench.builds) == 2, "the first one is still there"


def test_the_second_start_compiles_no_kernels(bench: Bench) -> None:
    bench.engine().warm_up(ROOM)
    (kept,) = bench.files("rtx-kernels")
    before = kept.stat().st_ino
    bench.engine().warm_up(ROOM)
    assert bench.trt.compiled == 1
    assert kept.stat().st_ino == before, "and writes them no second time"


def test_a_new_driver_compiles_its_kernels_again_and_keeps_them(bench: Bench) -> None:
    bench.engine().warm_up(ROOM)
    bench.trt.kernels = b"kernels for driver 590"
    for _ in range(2):
        bench.engine(driver="590.2").warm_up(ROOM)
    assert (len(bench.builds), bench.trt.compiled) == (1, 2)
    assert len(bench.files("rtx-kernels")) == 2, "those of the old driver are there if it comes back"


def test_kernels_that_do_not_fit_any_more_are_compiled_again(bench: Bench) -> None:
    bench.engine().warm_up(ROOM)
    bench.trt.kernels = b"kernels for driver 590"  # though the driver's number was not read
    for _ in range(2):
        bench.engine().warm_up(ROOM)
    assert bench.trt.compiled == 2, "the second time they were kept"


def test_changed_kernels_are_not_loaded(bench: Bench) -> None:
    bench.engine().warm_up(ROOM)
    (kept,) = bench.files("rtx-kernels")
    kept.write_bytes(b"kernels of somebody else")
    bench.trt.kernels = b"kernels of somebody else"  # which TensorRT-RTX would take
    bench.engine().warm_up(ROOM)
    assert bench.trt.compiled == 2


def test_without_a_cache_it_works_and_keeps_nothing(bench: Bench) -> None:
    for _ in range(2):
        bench.engine(cache=None).warm_up(ROOM)
    assert len(bench.builds) == 2 and not bench.cache.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "compiled by another version of TensorRT-RTX"),
        ({"capability": "8.6"}, "compiled for GPUs of another compute capability"),
    ],
)
def test_an_engine_that_tensorrt_rtx_refuses_is_compiled_again_once(
    bench: Bench, change: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = bench.engine()
    engine.warm_up(ROOM)
    engine.close()
    for name, value in change.items():
        setattr(bench.trt, name, value)
    with pytest.raises(EngineError, match=words):  # what the builder makes is refused as well
        bench.engine(capability="8.9").warm_up(ROOM)
    assert len(bench.builds) == 2 and words in caplog.text
    assert not bench.card.held


def test_an_engine_for_frames_of_another_size_is_refused(bench: Bench) -> None:
    with pytest.raises(EngineError, match=r"it makes \(1, 140, 188, 4\) of \(1, 70, 94, 4\), which is not odd-one x2"):
        bench.engine(ModelCard("odd-one", 2, CARD.onnx)).warm_up(ROOM)
    assert not bench.card.held


def test_of_several_messages_the_last_one_is_the_reason(bench: Bench) -> None:
    library = TensorRTLibrary(bench.trt, "TensorRT-RTX")
    for words in ("the graph was odd", "the kernel does not exist"):
        library.logger.log(Severity.ERROR, words)
    assert library.make_error("work").message == "TensorRT-RTX could not work: the kernel does not exist"
    assert library.make_error("work").message == "TensorRT-RTX could not work: it does not say why"


def test_an_engine_that_only_lacked_memory_is_kept(bench: Bench) -> None:
    bench.engine().warm_up(ROOM)
    bench.trt.memory = 0
    with pytest.raises(EngineError, match="no memory left: TensorRT-RTX could not load"):
        bench.engine().warm_up(ROOM)
    bench.trt.memory = 9
    bench.engine().warm_up(ROOM)
    assert len(bench.builds) == 1


def test_without_memory_for_a_second_context_nothing_is_left_behind(bench: Bench) -> None:
    bench.trt.memory = 1
    with pytest.raises(EngineError, match="no memory left: TensorRT-RTX could not prepare a network"):
        bench.engine().warm_up(ROOM)
    assert not bench.card.held


def test_a_cache_of_kernels_that_is_refused_is_told(bench: Bench) -> None:
    bench.trt.caching = False
    with pytest.raises(EngineError, match="could not use its cache of kernels"):
        bench.engine().warm_up(ROOM)


def test_kernels_that_cannot_be_kept_do_not_stop_the_engine(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keep = kernel_cache.EngineCache.keep

    def refuse(self: Any, key: Any, engine: bytes, seconds: float) -> None:
        if key.engine == "rtx-kernels":
            raise EngineError("there is no room for a compiled engine", "make some")
        keep(self, key, engine, seconds)

    monkeypatch.setattr(kernel_cache.EngineCache, "keep", refuse)
    engine = bench.engine()
    engine.warm_up(ROOM)
    assert engine.upscale(Frame(picture(ROOM))) is not None
    assert "are not kept: there is no room" in caplog.text


# Which GPUs


CARDS = [
    ("GTX 1080", (6, 1), (13, 0), "compute capability 6.1"),
    ("GTX 1650", (7, 5), (13, 0), ""),
    ("RTX 2080 Ti", (7, 5), (13, 0), ""),
    ("A100", (8, 0), (13, 0), ""),
    ("RTX 3060", (8, 6), (13, 0), ""),
    ("RTX 4090", (8, 9), (13, 2), ""),
    ("H100", (9, 0), (13, 0), "compute capability 9.0"),
    ("B200", (10, 0), (13, 0), "compute capability 10.0"),
    ("RTX 5090", (12, 0), (13, 0), ""),
    ("RTX 3060", (8, 6), (12, 8), "the NVIDIA driver supports CUDA 12.8"),
]


@pytest.mark.parametrize(("name", "capability", "cuda", "words"), CARDS)
def test_gpus_and_drivers_that_it_does_not_serve_are_told_in_one_sentence(
    name: str,
    capability: tuple[int, int],
    cuda: tuple[int, int],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = CudaDevice(name, capability, cuda)
    why, remedy = rtx_compatibility.check_device(device)
    assert (words in why and remedy) if words else (why, remedy) == ("", "")
    monkeypatch.setattr(driver, "find_device", lambda: device)
    monkeypatch.setattr(driver, "unavailable_reason", lambda: "")
    assert (words in rtx_compatibility.unavailable_reason()) if words else not rtx_compatibility.unavailable_reason()
    if words:
        with pytest.raises(MissingPart, match=words):
            rtx_engine.detect_gpu()
    else:
        assert rtx_engine.detect_gpu().capability == ".".join(map(str, capability))


@pytest.mark.parametrize("text", ["sm86", "SM86", "8.6", "86", "sm_86"])
def test_a_compute_capability_can_be_written_in_several_ways(text: str) -> None:
    assert rtx_compatibility.parse_capability(text) == "8.6"


@pytest.mark.parametrize("text", ["sm90", "sm61", "", "rtx", "8"])
def test_a_capability_that_it_does_not_compile_for_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="sm75, sm80, sm86, sm89, sm120, sm121"):
        rtx_compatibility.parse_capability(text)


# The engine `tensorrt`, where torch-tensorrt-rtx is installed


def test_the_tensorrt_engine_keeps_its_kernels_too_and_leaves_the_graphs_to_tensorrt_rtx(
    bench: Bench, tmp_path: Path
) -> None:
    weights = tmp_path / "fast-x2.safetensors"
    weights.write_bytes(b"weights")
    environment = CompileEnvironment(
        gpu=lambda: TargetGpu(RTX_4060, "8.9", "580.1"),
        library=lambda: TensorRTLibrary(bench.trt, "TensorRT-RTX"),
        builder=(sys.executable, "-c", TORCH_BUILDER),
        cuda=lambda: cast(CudaWithGraphs, bench.card),
        secret=lambda: tmp_path / "data" / "secret",
    )
    for _ in range(2):
        engine = TensorRTEngine(
            ModelCard("fast", 2, weights.with_suffix(".onnx")), cache=bench.cache, environment=environment
        )
        engine.warm_up(ROOM)
        done = engine.upscale(Frame(picture(ROOM)))
        assert done is not None and (done.pixels == enlarged(picture(ROOM))).all()
        engine.close()
    assert (bench.trt.compiled, bench.card.asked) == (1, [])


TORCH_BUILDER = """
import json, sys
from live_sr.engines.cache import build_worker
from live_sr.engines.tensorrt.build import TensorRTBuildSpec

def make(spec, say):
    size = [spec.width, spec.height]
    return json.dumps({"version": 1, "size": size, "scale": spec.scale, "capability": "8.9"}).encode()

sys.exit(build_worker.run_worker(TensorRTBuildSpec, make))
"""


# Windows, which draw what has changed

PICTURE = Size(320, 200)
WINDOW = Size(72, 72)


def test_one_more_engine_draws_windows_of_all_sizes(bench: Bench) -> None:
    engine = bench.engine()
    assert isinstance(engine, DeviceWindowEngine)
    engine.warm_up(PICTURE)
    assert engine.fit_window(Size(57, 30)) == Size(64, 64), "the least that it was compiled for, and even"
    pixels = picture(PICTURE)
    into = np.zeros_like(enlarged(pixels))
    expected = into.copy()
    for size in (WINDOW, Size(320, 104)):
        assert engine.fit_window(size) == size
        engine.add_window(size)
        tile = Tile(Rect(0, 10, *size), Rect(3, 20, 50, 40))
        engine.upscale_tiles(pixels, [tile], into)
        tile.kept.times(2).cut_from(expected)[:] = tile.kept.times(2).cut_from(enlarged(pixels))
        assert np.array_equal(into, expected)
    assert bench.builds == ["fast 320x200 fp16 8.9 static", "fast 1920x1080 fp16 8.9 dynamic"]


def test_the_kernels_of_windows_never_change_and_are_kept(bench: Bench) -> None:
    for _ in range(2):
        engine = bench.engine()
        engine.warm_up(PICTURE)
        engine.add_window(WINDOW)
        engine.close()
    assert bench.trt.compiled == 2, "for the whole picture and for the window"
    strategies = bench.trt.DynamicShapesKernelSpecializationStrategy
    used = {
        context.size: context.config.dynamic_shapes_kernel_specialization_strategy  # type: ignore[union-attr]
        for context in bench.trt.contexts
    }
    assert used[WINDOW] is strategies.EAGER


def test_windows_give_their_memory_back(bench: Bench) -> None:
    engine = bench.engine()
    engine.warm_up(PICTURE)
    held = set(bench.card.held)
    engine.add_window(WINDOW)
    engine.remove_window(WINDOW)
    assert set(bench.card.held) == held
    bench.trt.memory = 0
    with pytest.raises(EngineError, match="no memory left"):
        engine.add_window(WINDOW)
    assert set(bench.card.held) == held
    bench.trt.memory = 1
    engine.add_window(WINDOW)
    engine.close()
    assert not bench.card.held


@pytest.mark.parametrize("on_device", [True, False])
def test_only_what_has_changed_goes_to_the_card(bench: Bench, on_device: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("live_sr.engines.regions.engine.ADVANTAGE", 1e9)
    monkeypatch.setattr("live_sr.engines.regions.windows.TRIED_VALUES", 100_000)
    inner = bench.engine()
    requirements = read_requirements(CARD)
    assert requirements is not None
    engine = DeviceWindowsEngine(inner, inner, requirements, read_ns=time.perf_counter_ns, least_ms=0)
    engine.warm_up(PICTURE)

    def draw(scene: Pixels) -> float:
        """Compares the picture, and returns the share of it that was drawn."""
        bench.card.uploaded = 0
        frame = Frame(scene.copy())
        done = engine.upscale_on_device(frame) if on_device else engine.upscale(frame)
        assert done is not None
        shown = done.pixels if isinstance(done.pixels, np.ndarray) else done.pixels.to_host()
        assert np.array_equal(shown, enlarged(scene))
        return frame.stamps.drawn

    chance = np.random.default_rng(1)
    scene = make_scene(chance, PICTURE)
    for _ in range(60):
        change(chance, scene)
        draw(scene)
    scene[50, 60] ^= 1
    assert 0 < draw(scene) < 0.6
    assert 0 < bench.card.uploaded < 0.75 * scene.nbytes, "a window at most"
    engine.close()
    assert not bench.card.held
