"""ONNX Runtime's plug-in for WebGPU. Where it is not installed, the processor runs what the card would be given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from live_sr import backends
from live_sr.backends import Backend
from live_sr.engines import factory, graph_choice
from live_sr.engines.openvino.engine import OpenVINOEngine
from live_sr.engines.options import EngineOptions
from live_sr.engines.trial import TrialResult
from live_sr.errors import EngineError
from live_sr.models.card import ModelCard
from live_sr.models.resolve import Model, resolve
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Frame, Pixels, Size, make_black

pytestmark = pytest.mark.needs("onnx", "onnxruntime")

RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def _forget_device() -> Iterator[None]:
    from live_sr.engines.onnx_webgpu import plugin

    for cached in (plugin.find_device, plugin.unavailable_reason):
        cached.cache_clear()
    yield
    for cached in (plugin.find_device, plugin.unavailable_reason):
        cached.cache_clear()


@pytest.fixture
def on_processor(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has the processor run the networks. Returns the numbers of threads that sessions were opened with."""
    import onnxruntime

    from live_sr.engines.onnx_webgpu import plugin

    opened: list[int] = []

    def open_session(network: bytes, threads: int) -> Any:
        opened.append(threads)
        return onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(plugin, "open_session", open_session)
    return opened


@pytest.fixture(scope="module")
def network_of_others(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A network with the layers of ESRGAN, and no weights beside it that other engines would read."""
    from onnx import TensorProto, helper, numpy_helper, save

    weights, nodes = [], []

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"value {len(nodes)}"], **attributes))
        return f"value {len(nodes) - 1}"

    def keep(values: Any) -> str:
        weights.append(numpy_helper.from_array(np.asarray(values), f"weight {len(weights)}"))
        return weights[-1].name

    def convolve(of: str, before: int, after: int, bias: float = 0.0) -> str:
        kernel = RNG.standard_normal((after, before, 3, 3)).astype(np.float32) / np.float32(3 * before**0.5)
        return add("Conv", of, keep(kernel), keep(np.full(after, bias, np.float32)), pads=[1] * 4)

    first = convolve("in", 3, 8)
    grown = add("LeakyRelu", convolve(first, 8, 8), alpha=0.2)
    both = add("Concat", first, grown, axis=1)
    sum_ = add("Add", first, add("Mul", convolve(both, 16, 8), keep(np.float32(0.2))))
    factors = keep(np.array([1, 1, 2, 2], np.float32))
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    large = add("Resize", sum_, "", factors, **nearest)
    nodes.append(helper.make_node("Mul", [convolve(large, 8, 3, 0.5), keep(np.float32(0.8))], ["out"]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, f"{name} h", f"{name} w"])
        for name in ("in", "out")
    ]
    graph = helper.make_graph(nodes, "others", ends[:1], ends[1:], weights)
    file = tmp_path_factory.mktemp("others") / "others-x2.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    return resolve(str(file))


def get_card(model: Model) -> ModelCard:
    card = model.get_card(2)
    assert card is not None
    return card


def make_engine(card: ModelCard, **arguments: Any) -> Engine:
    from live_sr.engines.onnx_webgpu.engine import OnnxWebGpuEngine

    return OnnxWebGpuEngine(card, **arguments)


def make_noise(size: Size) -> Pixels:
    pixels = make_black(size)
    pixels[..., :3] = RNG.integers(0, 256, (size.height, size.width, 3))
    return pixels


def check_pictures(card: ModelCard) -> None:
    """Compares pictures of several sizes with those of OpenVINO."""
    with closing(make_engine(card)) as engine, closing(OpenVINOEngine(card, precision="fp32")) as expected:
        for size in (Size(40, 30), Size(33, 21), Size(33, 21)):
            frame = Frame(make_noise(size), number=5)
            made, wanted = engine.upscale(frame), expected.upscale(frame)
            assert made is not None and wanted is not None and made.number == 5
            assert np.abs(made.pixels.astype(int) - wanted.pixels).max() <= 1


def test_networks_of_others_are_drawn_as_openvino_draws_them(network_of_others: Model, on_processor: list[int]) -> None:
    check_pictures(get_card(network_of_others))
    assert on_processor == [0, 0], "one session for each size"


def test_our_networks_are_drawn_as_openvino_draws_them(on_processor: list[int]) -> None:
    check_pictures(get_card(resolve("turbo")))


@pytest.mark.needs("onnxruntime_ep_webgpu")
def test_the_plug_in_draws_on_a_software_adapter(network_of_others: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from live_sr.engines.onnx_webgpu import plugin

    monkeypatch.setenv("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER", "1")
    why = plugin.unavailable_reason()
    if why:
        pytest.skip(why)
    try:
        make_engine(get_card(resolve("turbo"))).warm_up(Size(16, 12))
    except EngineError as error:  # as with Mesa 22.3
        pytest.skip(error.message)
    check_pictures(get_card(resolve("turbo")))
    check_pictures(get_card(network_of_others))


def test_a_card_that_fails_is_one_sentence(network_of_others: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from live_sr.engines.onnx_webgpu import plugin

    def refuse(network: bytes, threads: int) -> Any:
        raise RuntimeError("[ONNXRuntimeError] : 11 : EP_FAIL : /src/context.cc:136 Failed to get an adapter.\nAt")

    monkeypatch.setattr(plugin, "open_session", refuse)
    with pytest.raises(EngineError) as trouble:
        make_engine(get_card(network_of_others)).warm_up(Size(16, 12))
    assert trouble.value.message.startswith("ONNX Runtime fails on a graphics card with others x2: ")
    assert "Failed to get an adapter" in trouble.value.message and "\n" not in trouble.value.message
    with pytest.raises(EngineError, match="computes in fp32, not in fp16"):
        make_engine(get_card(network_of_others), precision="fp16")


def test_without_a_card_or_with_another_onnx_runtime_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    from live_sr.engines.onnx_webgpu import plugin

    stand_in = SimpleNamespace(get_library_path=lambda: "plug-in.so", get_ep_name=lambda: "WebGpu")
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_webgpu", stand_in)
    monkeypatch.setattr(backends, "is_installed", lambda module: True)
    monkeypatch.setattr("live_sr.system.hardware.describe_missing_adapter", lambda: "")
    registered: list[tuple[str, str]] = []
    monkeypatch.setattr(onnxruntime, "register_execution_provider_library", lambda *names: registered.append(names))
    row = backends.find_engine("onnx-webgpu")
    assert row is not None
    for found, why in (([], "ONNX Runtime finds no graphics card"), (["Cpu", "WebGpu"], "")):
        monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda f=found: [SimpleNamespace(ep_name=n) for n in f])
        plugin.find_device.cache_clear()
        plugin.unavailable_reason.cache_clear()
        assert [row.unavailable_reason(), row.unavailable_reason()] == [why, why]
    assert len(registered) == 2, "once for each of the two machines"

    def refuse(name: str, path: str) -> None:
        raise RuntimeError('[ONNXRuntimeError] : ORT runtime version "1.20" is below the minimum required')

    monkeypatch.setattr(onnxruntime, "register_execution_provider_library", refuse)
    plugin.find_device.cache_clear()
    plugin.unavailable_reason.cache_clear()
    assert "below the minimum required" in row.unavailable_reason()


@pytest.mark.usefixtures("on_processor")
@pytest.mark.parametrize(("won", "used"), [(True, "onnx-webgpu"), (False, "openvino")])
def test_networks_of_others_get_it_where_it_wins_a_trial_that_each_start_holds(
    won: bool, used: str, network_of_others: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The plug-in does not tell which driver it uses, which may be another at the next start."""
    present = {"onnx-webgpu", "native", "openvino"}
    monkeypatch.setattr(Backend, "unavailable_reason", lambda row, *_: "" if row.name in present else "not here")
    monkeypatch.setattr("live_sr.system.paths.get_native_folder", lambda: tmp_path)
    clocks: list[bool] = []

    def compare(engine: Engine, reference: Engine, *, of_processor: bool = True, **_: Any) -> TrialResult:
        clocks.append(of_processor)
        assert reference.info.engine == "openvino"
        return TrialResult(won, "faster or not")

    monkeypatch.setattr("live_sr.engines.trial.compare", compare)
    for _ in range(2):
        graph_choice.open_trial_memory.cache_clear()  # as after the next start
        for _ in range(2):
            with closing(factory.make_engine(network_of_others, 2, EngineOptions())) as engine:
                assert engine.info.engine == used
    assert clocks == [False, False]
    graph_choice.open_trial_memory.cache_clear()
