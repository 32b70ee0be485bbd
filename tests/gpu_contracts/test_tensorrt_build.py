"""How a TensorRT engine is built, with a stand-in for torch_tensorrt; ours is the real code.

What only the real torch_tensorrt shows (that it converts our graphs, and that TensorRT-RTX compiles them) is in the
report that tools/gpu/check_torch_tensorrt.py writes, for it takes 5.5 GB.
"""

from __future__ import annotations

import enum
import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from live_sr.backends import find_engine
from live_sr.engines.tensorrt import build as tensorrt_build
from live_sr.engines.tensorrt import compatibility, flavour
from live_sr.engines.tensorrt.build import TensorRTBuildSpec
from live_sr.errors import MissingPart
from live_sr.models import zoo
from live_sr.nvidia import driver
from live_sr.nvidia.driver import CudaDevice


def spec(**other: Any) -> TensorRTBuildSpec:
    return TensorRTBuildSpec("fast", 2, 2, str(zoo.WEIGHTS / "fast-x2.onnx"), 16, 8, "fp16", 3, **other)


class UnsupportedOperatorException(RuntimeError):
    """As torch_tensorrt's own."""


def raised(*chain: Exception) -> Exception:
    """The first, caused by the second, and so on."""
    for error, cause in itertools.pairwise(chain):
        error.__cause__ = cause
    return chain[0]


REASONS = [
    (
        raised(
            UnsupportedOperatorException("Conversion of module GraphModule() not currently fully supported!"),
            UnsupportedOperatorException("Conversion of function torch._ops.aten.aten::grid_sampler not supported!"),
        ),
        [],
        "TensorRT cannot run fast x2: torch_tensorrt does not convert its operation grid_sampler",
    ),
    (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), [], "no memory left to build fast x2"),
    (
        raised(RuntimeError("While interpreting the module got an error: "), AssertionError()),
        ["Skipping", "Error Code 10: Internal Error (Could not find any implementation for node conv)"],
        "TensorRT cannot build fast x2: Error Code 10: Internal Error (Could not find any implementation",
    ),
    (
        raised(RuntimeError("While interpreting the module got an error: "), AssertionError()),
        ["Error Code 2: OutOfMemory (Requested size was 4096 bytes.)"],
        "no memory left to build fast x2",
    ),
    (ValueError(), [], "TensorRT cannot build fast x2: ValueError"),
    (KeyError("two\nlines"), [], "TensorRT cannot build fast x2: 'two"),
]


@pytest.mark.parametrize(("error", "told", "words"), REASONS)
def test_what_stopped_a_build_is_one_sentence(error: Exception, told: list[str], words: str) -> None:
    reason = tensorrt_build.make_build_error(error, told, "fast x2")
    assert words in reason.message and "\n" not in reason.message and reason.remedy


class FakeBuilder:
    """torch_tensorrt, as far as `build_engine` sees it: rewrites the timing cache, or fails.

    times_kernels: off for the flavour of TensorRT-RTX, which writes no timing cache.
    """

    def __init__(self) -> None:
        self.times_kernels = True
        self.seen: list[bytes] = []
        self.wishes: dict[str, Any] = {}
        self.program: Any = None
        self.error: Exception | None = None
        self.dynamo = SimpleNamespace(
            convert_exported_program_to_serialized_trt_engine=self.convert,
            conversion=SimpleNamespace(dynamo_tensorrt_converter=lambda key, **wishes: lambda converter: converter),
        )

    def convert(self, program: object, **wishes: Any) -> bytes:
        times = Path(wishes["timing_cache_path"])
        self.program, self.wishes = program, wishes
        self.seen.append(times.read_bytes() if times.exists() else b"")
        if self.error is not None:
            raise self.error
        if self.times_kernels:
            times.write_bytes(self.seen[-1] + b"+")
        return b"engine"


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> FakeBuilder:
    pytest.importorskip("torch")
    fake = FakeBuilder()
    monkeypatch.setitem(sys.modules, "torch_tensorrt", fake)
    for bindings in ("tensorrt", "tensorrt_rtx"):  # a build must do without importing either
        monkeypatch.setitem(sys.modules, bindings, None)
    return fake


def test_times_of_kernels_are_kept_from_build_to_build(builder: FakeBuilder, tmp_path: Path) -> None:
    order = spec(timing_cache=str(tmp_path / "new" / "timing.bin"))
    for _ in range(3):
        assert tensorrt_build.build_engine("program", "example", order) == b"engine"  # type: ignore[arg-type]
    assert builder.seen == [b"", b"+", b"++"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["timing.bin"]
    assert builder.wishes["require_full_compilation"] and builder.wishes["min_block_size"] == 1


@pytest.mark.parametrize("kept", [None, b"of a classic TensorRT"])
def test_a_flavour_that_times_no_kernels_leaves_what_is_kept(
    builder: FakeBuilder, tmp_path: Path, kept: bytes | None
) -> None:
    builder.times_kernels = False
    times = tmp_path / "timing.bin"
    if kept is not None:
        times.write_bytes(kept)
    assert tensorrt_build.build_engine("program", "example", spec(timing_cache=str(times))) == b"engine"  # type: ignore[arg-type]
    assert (times.read_bytes() if times.exists() else None) == kept
    assert len(list(tmp_path.iterdir())) == (kept is not None)


def test_times_that_a_build_failed_with_are_forgotten(builder: FakeBuilder, tmp_path: Path) -> None:
    times = tmp_path / "timing.bin"
    times.write_bytes(b"damaged")
    builder.error = RuntimeError("set_timing_cache(): incompatible function arguments")
    with pytest.raises(RuntimeError):
        tensorrt_build.build_engine("program", "example", spec(timing_cache=str(times)))  # type: ignore[arg-type]
    assert not times.exists()


def test_a_build_does_not_need_a_place_for_times(builder: FakeBuilder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for timing_cache in ("", str(tmp_path / "file" / "timing.bin")):
        assert tensorrt_build.build_engine("program", "x", spec(timing_cache=timing_cache)) == b"engine"  # type: ignore[arg-type]


def test_a_torch_tensorrt_without_its_libraries_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    with pytest.raises(MissingPart, match="torch_tensorrt, which builds TensorRT's engines, cannot be used"):
        tensorrt_build.make(spec(), lambda words: None)


def test_a_pytorch_without_a_card_is_told(builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MissingPart, match="this PyTorch sees no NVIDIA GPU"):
        tensorrt_build.make(spec(), lambda words: None)


def test_the_cast_to_uint8_and_no_other_gets_the_converter_that_torch_tensorrt_lacks(
    builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    taught: list[tuple[object, Callable[..., bool], Callable[..., Any]]] = []

    def register(key: object, *, capability_validator: Callable[..., bool]) -> Callable[..., None]:
        return lambda converter: taught.append((key, capability_validator, converter))

    monkeypatch.setattr(builder.dynamo.conversion, "dynamo_tensorrt_converter", register)
    tensorrt_build.register_uint8_cast()
    [(key, fits, convert)] = taught
    assert key is torch.ops.aten._to_copy.default
    kinds = (torch.uint8, torch.float16, torch.int32)
    assert [fits(SimpleNamespace(kwargs={"dtype": kind}), None) for kind in kinds] == [True, False, False]
    assert not fits(SimpleNamespace(kwargs={}), None)
    casts: list[tuple[object, object]] = []
    layer = SimpleNamespace(name="", get_output=lambda index: f"output {index}")
    network = SimpleNamespace(add_cast=lambda what, kind: casts.append((what, kind)) or layer)
    levels = SimpleNamespace(dtype=DataType.HALF)
    assert convert(SimpleNamespace(net=network), None, (levels,), {}, "last") == "output 0"
    assert casts == [(levels, DataType.UINT8)] and layer.name == "last"


class DataType(enum.Enum):
    """As in the bindings of either flavour."""

    FLOAT, HALF, UINT8 = range(3)


# The two flavours


@pytest.mark.parametrize(
    ("wheels", "library"),
    [
        ((), "TensorRT"),
        (("torch-tensorrt",), "TensorRT"),
        (("torch-tensorrt-rtx",), "TensorRT-RTX"),
        (("torch-tensorrt", "torch-tensorrt-rtx"), "TensorRT-RTX"),
    ],
)
def test_the_flavour_goes_by_the_installed_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheels: tuple[str, ...], library: str
) -> None:
    install(tmp_path, monkeypatch, *wheels)
    assert flavour.find_flavour().library == library


@pytest.mark.parametrize(("wheel", "operator"), [("torch-tensorrt", "prelu"), ("torch-tensorrt-rtx", "maximum")])
def test_only_tensorrt_rtx_gets_prelu_in_the_form_that_it_fuses(
    builder: FakeBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: str, operator: str
) -> None:
    import torch

    zeros = torch.zeros
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.nn.Module, "cuda", lambda module: module)
    monkeypatch.setattr(torch, "zeros", lambda *size, device=None, **more: zeros(*size, **more))
    tensorrt_build.make(spec(), lambda words: None)  # imports everything
    install(tmp_path, monkeypatch, wheel)
    stages: list[str] = []
    assert tensorrt_build.make(spec(), stages.append) == b"engine"
    assert stages == ["loading PyTorch", "exporting", "optimising"]
    called = [str(node.target) for node in builder.program.graph.nodes]
    activations = [name for name in called if name in ("aten.prelu.default", "aten.maximum.default")]
    assert activations == [f"aten.{operator}.default"] * 4


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *wheels: str) -> None:
    """Installs wheels and modules of these names, with nothing in them, and nothing else."""
    for name in wheels:
        folder.joinpath(f"{name}.py".replace("-", "_")).touch()
        about = folder / f"{name.replace('-', '_')}-2.14.0.dist-info"
        about.mkdir()
        about.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.14.0\n")
    monkeypatch.setattr(sys, "path", [str(folder)])


WITH_TENSORRT = ("torch-tensorrt", "tensorrt")
WITH_RTX = ("torch-tensorrt", "torch-tensorrt-rtx", "tensorrt-rtx")  # the package of both is torch_tensorrt
GTX_1650, RTX_3060 = CudaDevice("GTX 1650", (7, 5), (13, 0)), CudaDevice("RTX 3060", (8, 6), (13, 0))
A100, H100 = CudaDevice("A100", (8, 0), (13, 0)), CudaDevice("H100", (9, 0), (13, 0))
TOO_OLD = "the GTX 1650 has compute capability 7.5, and torch-tensorrt-rtx builds for 8.0 and newer"
GPUS = [
    (WITH_TENSORRT, GTX_1650, ""),
    (WITH_TENSORRT, H100, ""),
    (WITH_RTX, RTX_3060, ""),
    (WITH_RTX, A100, ""),
    (WITH_RTX, GTX_1650, f'{TOO_OLD} (use the engine "rtx")'),
    (WITH_RTX, H100, "compute capability 9.0"),
    (WITH_RTX, CudaDevice("RTX 3060", (8, 6), (12, 8)), "CUDA 12.8"),
    (("torch-tensorrt",), RTX_3060, "tensorrt is not installed"),
    (("torch-tensorrt", "torch-tensorrt-rtx", "tensorrt"), RTX_3060, "tensorrt_rtx is not installed"),
    ((), RTX_3060, "torch_tensorrt is not installed"),
]


@pytest.mark.parametrize(("wheels", "gpu", "words"), GPUS)
def test_the_engine_is_there_with_either_flavour_on_the_gpus_that_it_builds_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheels: tuple[str, ...], gpu: CudaDevice, words: str
) -> None:
    backend = find_engine("tensorrt")
    assert backend is not None
    backend = replace(backend, needs=tuple(name for name in backend.needs if not name.startswith("cuda")))
    for name in ("torch_tensorrt", "tensorrt", "tensorrt_rtx"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    compatibility.unavailable_reason()  # so that all it imports is imported
    install(tmp_path, monkeypatch, *wheels)
    monkeypatch.setattr(driver, "find_device", lambda: gpu)
    monkeypatch.setattr(driver, "unavailable_reason", lambda: "")
    reason = backend.unavailable_reason()
    assert (words in reason) if words else reason == ""
