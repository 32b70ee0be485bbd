"""Models as people have them: names around the weights, weights in other files, weights that are no numbers."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import Tensor

from live_sr import manage
from live_sr.config import Settings
from live_sr.engines import factory
from live_sr.engines.options import EngineOptions
from live_sr.errors import EngineError, ModelError
from live_sr.models import pytorch
from live_sr.models.published_network import PublishedNetwork
from live_sr.models.resolve import resolve
from live_sr.models.state_dict import find_weights
from live_sr.pipeline.frame import Frame, Pixels, Size, make_black
from live_sr.system import hardware

pytorch.import_spandrel()
from spandrel.architectures.Compact import Compact  # noqa: E402

pytestmark = pytest.mark.torch

Weights = dict[str, Tensor]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def compact() -> Weights:
    torch.manual_seed(0)
    return dict(Compact(num_feat=8, num_conv=2, upscale=2).state_dict())


def prefixed(prefix: str) -> Callable[[Weights], Weights]:
    return lambda state: {prefix + name: value for name, value in state.items()}


WRAPPINGS: dict[str, Callable[[Weights], dict[str, object]]] = {
    "compiled": prefixed("_orig_mod."),
    "several GPUs": prefixed("module."),
    "compiled on several GPUs": prefixed("module._orig_mod."),
    "averaged": lambda state: {"n_averaged": torch.tensor(9), **prefixed("module.")(state)},
    "ema in a flat file": prefixed("params_ema."),
    "ema beside others": lambda state: {
        **prefixed("params_ema.")(state),
        **{f"params.{name}": torch.zeros_like(value) for name, value in state.items()},
    },
    "a generator and its critic": lambda state: {**prefixed("netG.")(state), "netD.0.weight": torch.zeros(3)},
    "net_g": lambda state: {"net_g": state, "net_d": {"0.weight": torch.zeros(3)}},
    "g_ema": lambda state: {"g_ema": state, "g": {}, "d": {}},
    "a generator": lambda state: {"generator": state, "epoch": 3},
    "a checkpoint": lambda state: {"epoch": 3, "state_dict": prefixed("generator.")(state)},
}


@pytest.mark.parametrize("how", WRAPPINGS)
def test_the_weights_are_found_whatever_is_around_them(tmp_path: Path, how: str) -> None:
    state, wrapped = compact(), WRAPPINGS[how](compact())
    found = find_weights(wrapped)
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)
    torch.save(wrapped, tmp_path / "toy.pth")
    assert pytorch.load(tmp_path / "toy.pth").card.scale == 2
    if all(isinstance(value, Tensor) for value in wrapped.values()):
        save_file({name: value.clone() for name, value in wrapped.items()}, tmp_path / "toy.safetensors")  # type: ignore[attr-defined]
        assert pytorch.load(tmp_path / "toy.safetensors").card.scale == 2


def test_a_dict_that_contains_itself_holds_no_network(tmp_path: Path) -> None:
    saved: dict[str, object] = {}
    saved["params"] = saved
    torch.save(saved, tmp_path / "toy.pth")
    with pytest.raises(ModelError, match="no network in it"):
        pytorch.load(tmp_path / "toy.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    state = compact()
    state["body.2.weight"][0, 0, 0, 0] = value
    torch.save({"params": state}, tmp_path / "toy.pth")
    with pytest.raises(ModelError, match=r"body\.2\.weight holds numbers that are none"):
        manage.check_models([tmp_path / "toy.pth"], Settings())


def test_onnx_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = nearest(tmp_path / "toy.onnx", float("nan"))
    with pytest.raises(ModelError, match=r"holds numbers that are none"):
        manage.check_models([path], Settings())


def overflowing(path: Path) -> Path:
    """Weights whose products are too large for fp16, but not for fp32."""
    state = compact()
    state["body.0.weight"] *= 3e5
    state["body.2.weight"] *= 3e3
    torch.save({"params": state}, path)
    return path


def gradient() -> Pixels:
    picture = make_black(Size(24, 16))
    picture[..., :3] = np.linspace(0, 255, 24).astype(np.uint8)[:, np.newaxis]
    return picture


def test_what_overflows_in_half_precision_is_done_again_in_fp32(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = resolve(str(overflowing(tmp_path / "big.pth")))
    results = []
    for precision in ("fp32", "fp16"):
        engine = factory.make_engine(model, 2, EngineOptions(precision=precision))
        done = engine.upscale(Frame(gradient()))
        assert done is not None
        results.append(done.pixels.copy())
        assert str(engine.info).endswith("fp32") or engine.info.precision == "fp32"
        engine.close()
    assert np.array_equal(*results) and results[0][..., :3].max() > 0
    assert sum("overflows in fp16" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("features", "sharp", "becomes"),
    [
        (["AVX2", "AVX-512"], False, "fp32"),
        (["AVX-512", "AVX-512 BF16"], False, "bf16"),
        (["AVX-512", "AMX BF16"], False, "bf16"),
        (["AVX-512", "AMX BF16"], True, "fp32"),  # where bf16 would change the picture by levels
    ],
)
def test_auto_is_bf16_where_the_processor_gains_and_the_picture_does_not_lose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: list[str], sharp: bool, becomes: str
) -> None:
    state = compact()
    if sharp:
        state["body.4.weight"] *= 40
    torch.save({"params": state}, tmp_path / "toy.pth")
    monkeypatch.setattr(hardware, "list_processor_features", lambda: features)
    model, results = resolve(str(tmp_path / "toy.pth")), []
    for precision in ("fp32", "auto"):
        engine = factory.make_engine(model, 2, EngineOptions(precision=precision))
        engine.warm_up(Size(24, 16))
        done = engine.upscale(Frame(gradient()))
        assert done is not None
        results.append(done.pixels.astype(int))
    assert engine.info.precision == becomes
    assert np.abs(results[1] - results[0]).max() <= (1 if becomes == "bf16" else 0)


def test_what_pytorch_lacks_in_bf16_is_computed_in_fp32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"params": compact()}, tmp_path / "toy.pth")
    load = pytorch.load

    def load_limited(path: Path) -> PublishedNetwork:
        network = load(path)

        def run(picture: Tensor) -> Tensor:
            if picture.dtype == torch.bfloat16:
                raise RuntimeError("\"svd\" not implemented for 'BFloat16'")
            return network.run(picture)

        return dataclasses.replace(network, run=run)

    monkeypatch.setattr(pytorch, "load", load_limited)
    monkeypatch.setattr(hardware, "list_processor_features", lambda: ["AMX BF16"])
    engine = factory.make_engine(resolve(str(tmp_path / "toy.pth")), 2, EngineOptions(precision="auto"))
    engine.warm_up(Size(24, 16))
    done = engine.upscale(Frame(gradient()))
    assert done is not None and engine.info.precision == "fp32" and done.pixels[..., :3].max() > 0


def huge(path: Path) -> Path:
    """Finite weights whose products are infinite."""
    state = compact()
    for name in state:
        if name.endswith("weight") and state[name].ndim == 4:
            state[name] = state[name] * 1e30
    torch.save({"params": state}, path)
    return path


def test_models_check_runs_a_network_of_pytorch(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"huge\.pth cannot be used: huge x2 makes numbers that are none"):
        manage.check_models([huge(tmp_path / "huge.pth")], Settings())


def test_what_is_no_number_in_fp32_either_is_an_error(tmp_path: Path) -> None:
    huge(tmp_path / "huge.pth")
    engine = factory.make_engine(resolve(str(tmp_path / "huge.pth")), 2, EngineOptions())
    with pytest.raises(EngineError, match="numbers that are none"):
        engine.upscale(Frame(gradient()))


def nearest(path: Path, odd: float = 0.0, *, apart: bool = False) -> Path:
    """Repeats every pixel; one of the weights that do nothing is `odd`. apart: the weights lie in a file beside it."""
    weights = np.zeros((12, 3, 3, 3), np.float32)
    for channel in range(3):
        weights[4 * channel : 4 * channel + 4, channel, 1, 1] = 1
    weights[0, 0, 0, 0] = odd
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
            helper.make_node("DepthToSpace", ["c"], ["y"], blocksize=2, mode="CRD"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3, "H2", "W2"])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, path, save_as_external_data=apart, location=f"{path.name}.data", size_threshold=0)
    return path


def test_a_network_whose_weights_lie_apart_is_added_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "data"))
    path = nearest(tmp_path / "apart.onnx", apart=True)
    assert manage.check_models([path], Settings()) == 0
    assert manage.add_models([path], "apart", None, settings=Settings()) == 0
    (tmp_path / "apart.onnx.data").unlink()
    engine = factory.make_engine(resolve("apart"), 2, EngineOptions())
    engine.warm_up(Size(24, 16))
    done = engine.upscale(Frame(gradient()))
    assert done is not None and np.abs(done.pixels[::2, ::2].astype(int) - gradient()).max() <= 1
    engine.close()


def test_missing_weights_are_told_by_both_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "data"))
    path = nearest(tmp_path / "apart.onnx", apart=True)
    (tmp_path / "apart.onnx.data").unlink()
    with pytest.raises(ModelError):
        manage.check_models([path], Settings())
    with pytest.raises(ModelError, match="in a file beside it"):
        manage.add_models([path], "apart", None, settings=Settings())


def test_warnings_of_the_library_stay_away(tmp_path: Path) -> None:
    """SwinIR warns about how it calls torch.meshgrid, with the path of its own code."""
    from spandrel.architectures.SwinIR import SwinIR

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = SwinIR(
            img_size=16,
            embed_dim=12,
            depths=[1],
            num_heads=[2],
            window_size=8,
            upscale=2,
            upsampler="pixelshuffledirect",
        )
        torch.save({"params": net.state_dict()}, tmp_path / "swin.pth")
        caught.clear()
        loaded = pytorch.load(tmp_path / "swin.pth")
        loaded.upscale(gradient())
    assert [str(one.message) for one in caught] == []
