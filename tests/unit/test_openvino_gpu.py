"""OpenVINO on an Intel graphics card, which is not here: the processor compiles what the card would be given."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from live_sr import backends
from live_sr.backends import Backend
from live_sr.engines import factory, graph_choice
from live_sr.engines.openvino import engine as openvino_engine
from live_sr.engines.openvino import gpu_engine
from live_sr.engines.openvino.engine import OpenVINOEngine, get_core
from live_sr.engines.openvino.gpu_engine import OpenVINOGpuEngine
from live_sr.engines.options import EngineOptions
from live_sr.engines.trial import TrialResult
from live_sr.errors import EngineError
from live_sr.models.card import ModelCard
from live_sr.models.resolve import resolve
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Frame, Pixels, Size, make_black

GPU_SETTINGS = {"PERFORMANCE_HINT", "INFERENCE_PRECISION_HINT", "CACHE_DIR"}
"""What OpenVINO's plug-in for GPUs takes, of what the engines set (its documentation)."""


class CoreWithCard:
    """OpenVINO's Core on a machine with an Arc. compiled: (device, precision) of each graph."""

    def __init__(self, capabilities: tuple[str, ...] = ("FP32", "BIN", "FP16", "INT8")) -> None:
        self.available_devices = ["CPU", "GPU"]
        self.compiled: list[tuple[str, str]] = []
        self._real = get_core()
        self._known = {
            "OPTIMIZATION_CAPABILITIES": list(capabilities),
            "FULL_DEVICE_NAME": "Intel(R) Arc(TM) A770 Graphics (dGPU)",
            "GPU_DRIVER_VERSION": "25.18.33578",
        }

    def get_property(self, device: str, name: str) -> Any:
        if device != "GPU":
            return self._real.get_property(device, name)
        if name not in self._known:
            raise RuntimeError(f"Exception from src/plugins/intel_gpu:\nUnsupported property {name}")
        return self._known[name]

    def update_driver(self, to: str | None) -> None:
        """None: this OpenVINO does not tell which driver it is."""
        self._known.pop("GPU_DRIVER_VERSION", None)
        if to is not None:
            self._known["GPU_DRIVER_VERSION"] = to

    def read_model(self, path: Path) -> Any:
        return self._real.read_model(path)

    def compile_model(self, graph: Any, device: str, settings: Mapping[str, Any]) -> Any:
        self.compiled.append((device, settings["INFERENCE_PRECISION_HINT"]))
        if device == "GPU":
            assert set(settings) <= GPU_SETTINGS
            settings = {"INFERENCE_PRECISION_HINT": "f32"}
        return self._real.compile_model(graph, "CPU", settings)


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> CoreWithCard:
    return use(CoreWithCard(), monkeypatch)


def use(core: CoreWithCard, monkeypatch: pytest.MonkeyPatch) -> CoreWithCard:
    for module in (openvino_engine, gpu_engine):
        monkeypatch.setattr(module, "get_core", lambda: core)
    return core


def get_card() -> ModelCard:
    card = resolve("turbo").get_card(2)
    assert card is not None
    return card


def draw(engine: OpenVINOEngine | OpenVINOGpuEngine, pixels: Pixels) -> Pixels:
    with closing(engine):
        done = engine.upscale(Frame(pixels))
    assert done is not None
    return done.pixels


@pytest.mark.parametrize(
    ("wanted", "precision", "hint"), [("auto", "fp16", "f16"), ("fp16", "fp16", "f16"), ("fp32", "fp32", "f32")]
)
def test_the_network_is_compiled_for_the_card_and_draws_the_same(
    wanted: str, precision: str, hint: str, core: CoreWithCard
) -> None:
    pixels = make_black(Size(41, 30))
    pixels[..., :3] = np.random.default_rng(1).integers(0, 256, (30, 41, 3))
    engine = OpenVINOGpuEngine(get_card(), precision=wanted, threads=3)
    assert str(engine.info) == f"turbo x2, openvino-gpu {precision}"
    made = draw(engine, pixels)
    assert core.compiled == [("GPU", hint)]
    assert np.array_equal(made, draw(OpenVINOEngine(get_card(), precision="fp32"), pixels))


def test_a_card_without_fp16_computes_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    use(CoreWithCard(("FP32",)), monkeypatch)
    assert OpenVINOGpuEngine(get_card()).info.precision == "fp32"
    with pytest.raises(EngineError, match="this graphics card does not compute in fp16, but in fp32"):
        OpenVINOGpuEngine(get_card(), precision="fp16")


def test_precisions_of_processors_are_refused(core: CoreWithCard) -> None:
    for precision in ("bf16", "int8", "fp8"):
        with pytest.raises(EngineError, match=f"not in {precision}"):
            OpenVINOGpuEngine(get_card(), precision=precision)


def test_without_a_card_another_engine_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    row = backends.find_engine("openvino-gpu")
    assert row is not None
    monkeypatch.setattr("live_sr.system.hardware.describe_missing_adapter", lambda: "")
    core = use(CoreWithCard(), monkeypatch)
    assert row.unavailable_reason() == ""
    core.available_devices = ["CPU", "GPU.0", "GPU.1"]
    assert row.unavailable_reason() == ""
    core.available_devices = ["CPU"]
    assert "no graphics card of Intel" in row.unavailable_reason()
    monkeypatch.setattr("live_sr.system.hardware.describe_missing_adapter", lambda: "no graphics card was found")
    assert row.unavailable_reason() == "no graphics card was found"


@pytest.mark.parametrize(("won", "used"), [(True, "openvino-gpu"), (False, "openvino")])
def test_it_is_used_where_it_wins_by_the_time_that_passes(
    won: bool, used: str, core: CoreWithCard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        Backend,
        "unavailable_reason",
        lambda backend, *_: "" if backend.name in ("openvino-gpu", "openvino") else "not here",
    )
    monkeypatch.setattr("live_sr.system.paths.get_native_folder", lambda: tmp_path)
    graph_choice.open_trial_memory.cache_clear()
    clocks: list[bool] = []

    def compare(engine: object, reference: object, *, of_processor: bool = True, **_: object) -> TrialResult:
        if isinstance(engine, OpenVINOGpuEngine):
            clocks.append(of_processor)
            return TrialResult(won, "faster or not")
        return TrialResult(False, "the other graph")

    monkeypatch.setattr("live_sr.engines.trial.compare", compare)
    with closing(factory.make_engine(resolve("turbo"), 2, EngineOptions())) as engine:
        assert engine.info.engine == used
    assert clocks == [False]
    graph_choice.open_trial_memory.cache_clear()


def test_a_card_whose_driver_fails_leaves_the_work_to_the_processor(
    core: CoreWithCard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(device: str, name: str) -> Any:
        if device == "GPU":
            raise RuntimeError("Exception from src/plugins/intel_gpu:\nclGetDeviceInfo failed")
        return get_core().get_property(device, name)

    monkeypatch.setattr(core, "get_property", fail)
    present = {"openvino-gpu", "openvino"}
    monkeypatch.setattr(Backend, "unavailable_reason", lambda row, *_: "" if row.name in present else "not here")
    monkeypatch.setattr("live_sr.system.paths.get_native_folder", lambda: tmp_path)
    graph_choice.open_trial_memory.cache_clear()
    assert not factory.is_built(resolve("turbo"), 2, Size(64, 48), EngineOptions())
    with closing(factory.make_engine(resolve("turbo"), 2, EngineOptions())) as engine:
        assert engine.info.engine == "openvino"
    with pytest.raises(EngineError, match="cannot use its device GPU: clGetDeviceInfo failed"):
        factory.make_engine(resolve("turbo"), 2, EngineOptions("openvino-gpu"))
    graph_choice.open_trial_memory.cache_clear()


@pytest.mark.parametrize("won", [True, False])
def test_a_trial_is_held_again_only_with_another_driver(
    won: bool, core: CoreWithCard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    present = {"openvino-gpu", "openvino"}
    monkeypatch.setattr(Backend, "unavailable_reason", lambda row, *_: "" if row.name in present else "not here")
    monkeypatch.setattr("live_sr.system.paths.get_native_folder", lambda: tmp_path)
    tried: list[str] = []

    def compare(engine: Engine, *_: object, **__: object) -> TrialResult:
        tried.append(engine.info.engine)
        return TrialResult(won, "faster or not")

    monkeypatch.setattr("live_sr.engines.trial.compare", compare)
    # where the driver is not known, it may be another at every start
    for driver, trials in (("25.18.33578", 1), ("25.18.33578", 1), ("26.1.1", 2), (None, 3), (None, 4)):
        core.update_driver(driver)
        graph_choice.open_trial_memory.cache_clear()  # as after the next start
        with closing(factory.make_engine(resolve("turbo"), 2, EngineOptions())) as engine:
            assert engine.info.engine == ("openvino-gpu" if won else "openvino")
        assert tried.count("openvino-gpu") == trials, driver
    graph_choice.open_trial_memory.cache_clear()


def test_the_engine_of_the_processor_draws_while_it_is_compiled(core: CoreWithCard) -> None:
    assert not OpenVINOGpuEngine(get_card()).is_built(Size(64, 48))
