"""What becomes of the codes that CUDA answers with. The library is a stand-in: a machine without a card has none."""

from __future__ import annotations

import ast
import ctypes
import gc
import importlib
import inspect
import sys
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from fake_cuda import FakeCuda, FakeInterop

import live_sr.nvidia
from live_sr.errors import EngineError, MissingPart
from live_sr.nvidia import cuda_api
from live_sr.nvidia.cuda_api import DevicePlace
from live_sr.pipeline.frame import Size

BINDINGS = Path(cuda_api.__file__).with_name("cuda_runtime.py")

# Of cudaError_t, as cuda-bindings 13.5 has them
CODES = {
    "cudaSuccess": 0,
    "cudaErrorInvalidValue": 1,
    "cudaErrorMemoryAllocation": 2,
    "cudaErrorInsufficientDriver": 35,
    "cudaErrorNoDevice": 100,
    "cudaErrorOperatingSystem": 304,
    "cudaErrorNotReady": 600,
    "cudaErrorIllegalAddress": 700,
    "cudaErrorLaunchFailure": 719,
    "cudaErrorSystemDriverMismatch": 803,
    "cudaErrorStreamCaptureInvalidated": 901,
    "cudaErrorUnknown": 999,
}
Code = IntEnum("Code", CODES)  # type: ignore[misc]


class Runtime(ModuleType):
    """Answers every call with success, a number and a note of it in `called`; `answers` are the exceptions."""

    def __init__(self) -> None:
        super().__init__("runtime")
        self.called: list[tuple[str, tuple[Any, ...]]] = []
        self.answers: dict[str, Any] = {
            "cudaGetDeviceCount": (Code.cudaSuccess, 1),
            "cudaGetDeviceProperties": (Code.cudaSuccess, type("Properties", (), {"name": b"Card of the tests"})),
            "cudaDriverGetVersion": (Code.cudaSuccess, 12040),
            "cudaRuntimeGetVersion": (Code.cudaSuccess, 13050),
            "cudaGetErrorString": (Code.cudaSuccess, b"in CUDA's words"),
            "cudaDeviceGetStreamPriorityRange": (Code.cudaSuccess, 0, -5),
            "cudaGLGetDevices": (Code.cudaSuccess, 1, [0]),
        }
        self.blocks: dict[int, Any] = {}
        self.answers["cudaHostAlloc"] = self._allocate
        self.answers["cudaFreeHost"] = lambda address: (Code.cudaSuccess, self.blocks.pop(address))

    def _allocate(self, count: int, flags: int) -> tuple[Code, int]:
        block = ctypes.create_string_buffer(count)
        self.blocks[ctypes.addressof(block)] = block
        return Code.cudaSuccess, ctypes.addressof(block)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if not name[4:5].isupper() or name in FLAGS:
            return Flags(name)

        def call(*arguments: Any) -> Any:
            self.called.append((name, arguments))
            answer = self.answers.get(name, (Code.cudaSuccess, 1))
            return answer(*arguments) if callable(answer) else answer

        return call

    def fails(self, call: str, code: str) -> None:
        self.answers[call] = (Code[code], None)

    def names(self) -> list[str]:
        return [name for name, _ in self.called]


class Flags(str):
    """Enumerations and flags: what they are called."""

    def __getattr__(self, name: str) -> Flags:
        return Flags(name)

    def __int__(self) -> int:
        return 2


FLAGS = {
    "cudaMemcpyKind",
    "cudaHostAllocPortable",
    "cudaStreamNonBlocking",
    "cudaStreamCaptureMode",
    "cudaEventDefault",
    "cudaEventDisableTiming",
    "cudaGLDeviceList",
    "cudaGraphicsRegisterFlags",
}


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    stand_in = Runtime()
    package = ModuleType("cuda.bindings")
    package.runtime = stand_in  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", package)
    monkeypatch.delitem(sys.modules, "live_sr.nvidia.cuda_runtime", raising=False)
    monkeypatch.setattr(live_sr.nvidia, "cuda_runtime", None, raising=False)  # the import sets it, and it must not stay
    yield stand_in
    sys.modules.pop(
        "live_sr.nvidia.cuda_runtime", None
    )  # the next one who asks gets the real library, or learns it lacks


def module() -> Any:
    return importlib.import_module("live_sr.nvidia.cuda_runtime")


@pytest.fixture
def cuda(runtime: Runtime) -> Any:
    return module().Cuda()


@pytest.mark.parametrize(
    ("code", "driver", "kind", "words"),
    [
        ("cudaErrorNoDevice", 13000, MissingPart, "no NVIDIA GPU"),
        ("cudaErrorInsufficientDriver", 0, MissingPart, "there is no NVIDIA driver"),
        ("cudaErrorInsufficientDriver", 12040, MissingPart, "for CUDA 12.4 and the engine needs 13.0"),
        ("cudaErrorSystemDriverMismatch", 13000, EngineError, "was updated while the computer ran"),
    ],
)
def test_a_machine_that_cannot_is_told_why(
    runtime: Runtime, code: str, driver: int, kind: type[Exception], words: str
) -> None:
    runtime.fails("cudaGetDeviceCount", code)
    runtime.answers["cudaDriverGetVersion"] = (Code.cudaSuccess, driver)
    with pytest.raises(kind, match=words) as told:
        module().Cuda()
    assert told.value.remedy  # type: ignore[attr-defined]


def test_a_card_is_known_by_number_and_name(runtime: Runtime) -> None:
    assert module().Cuda().name == "Card of the tests"
    with pytest.raises(MissingPart, match="no NVIDIA GPU number 1 here, but 1"):
        module().Cuda(1)


@pytest.mark.parametrize(
    ("code", "words", "lost"),
    [
        ("cudaErrorMemoryAllocation", "memory ran out while copying to the GPU", False),
        ("cudaErrorInvalidValue", "CUDA failed while copying to the GPU: cudaErrorInvalidValue", False),
        ("cudaErrorIllegalAddress", "the GPU was lost while copying to the GPU", True),
        ("cudaErrorLaunchFailure", "the GPU was lost", True),
        ("cudaErrorUnknown", "the GPU was lost", True),
    ],
)
def test_each_failure_is_one_sentence_with_a_remedy(
    runtime: Runtime, cuda: Any, code: str, words: str, lost: bool
) -> None:
    runtime.fails("cudaMemcpyAsync", code)
    pixels = cuda.allocate_pinned(Size(2, 2))
    with pytest.raises(EngineError, match=words) as told:
        cuda.upload(1, pixels, 2)
    assert told.value.remedy and cuda.lost == lost
    assert "cudaGetLastError" in runtime.names(), "PyTorch would meet the error at its next call"


def test_nothing_is_freed_on_a_lost_card(runtime: Runtime, cuda: Any) -> None:
    pixels = cuda.allocate_pinned(Size(2, 2))
    cuda.lost = True
    runtime.called.clear()
    for end in (cuda.free, cuda.destroy_stream, cuda.destroy_event, cuda.destroy_graph, cuda.gl.unregister_texture):
        end(1)
    del pixels
    gc.collect()
    assert runtime.called == []


def test_page_locked_memory_lives_as_long_as_anybody_looks_at_it(runtime: Runtime, cuda: Any) -> None:
    pixels = cuda.allocate_pinned(Size(5, 3))
    assert pixels.shape == (3, 5, 4) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    assert pixels.flags.writeable and runtime.blocks.keys() == {pixels.ctypes.data}
    corner = pixels[1:, 1:, :3]
    corner[...] = 9
    del pixels, cuda
    gc.collect()
    assert len(runtime.blocks) == 1 and int(corner.min()) == 9
    del corner
    gc.collect()
    assert runtime.blocks == {}


def test_a_wait_ends_when_the_card_is_done(runtime: Runtime) -> None:
    naps: list[float] = []
    now = iter(range(1000))
    cuda = module().Cuda(clock=lambda: next(now) * 0.001, nap=naps.append)
    left = [Code.cudaErrorNotReady] * 8 + [Code.cudaSuccess]
    runtime.answers["cudaEventQuery"] = lambda event: (left.pop(0),)
    cuda.wait_for_event(1)
    assert left == [] and naps[0] == 0 and naps[-1] > 0, "at first it looks again at once, later it sleeps"
    assert "cudaEventSynchronize" not in runtime.names()


def test_a_card_that_hangs_becomes_an_error(runtime: Runtime) -> None:
    now = iter(range(1000))
    cuda = module().Cuda(clock=lambda: next(now) * 0.1, nap=lambda seconds: None)
    runtime.fails("cudaEventQuery", "cudaErrorNotReady")
    with pytest.raises(EngineError, match="has not finished a frame in 5 seconds"):
        cuda.wait_for_event(1)
    assert cuda.lost


def test_no_nap_is_longer_than_a_tenth_of_a_second(runtime: Runtime) -> None:
    assert 0 < module().NAP_S <= 0.1


@pytest.mark.parametrize(
    ("width", "call"), [(4, "cudaMemcpyAsync"), (3, "cudaMemcpy2DAsync")], ids=["whole rows", "cropped rows"]
)
def test_a_download_takes_the_corner(runtime: Runtime, cuda: Any, width: int, call: str) -> None:
    into = cuda.allocate_pinned(Size(width, 2))
    cuda.download(into, DevicePlace(4096, 16), 7)
    name, arguments = runtime.called[-1]
    assert name == call
    if call == "cudaMemcpyAsync":
        assert arguments[:3] == (into.ctypes.data, 4096, 32)
    else:
        assert arguments[:6] == (into.ctypes.data, 12, 4096, 16, 12, 2)


def test_a_part_of_a_picture_begins_at_its_pixel(runtime: Runtime, cuda: Any) -> None:
    into = cuda.allocate_pinned(Size(3, 2))
    cuda.download(into, DevicePlace(4096, 64, 5, 7), 9)
    assert runtime.called[-1][1][:6] == (into.ctypes.data, 12, 4096 + 7 * 64 + 5 * 4, 64, 12, 2)
    cuda.copy(DevicePlace(8192, 128, 1, 2), DevicePlace(4096, 64, 5, 7), Size(3, 2), 9)
    name, arguments = runtime.called[-1]
    assert name == "cudaMemcpy2DAsync"
    assert arguments[:6] == (8192 + 2 * 128 + 4, 128, 4096 + 7 * 64 + 5 * 4, 64, 12, 2)
    assert arguments[6:] == ("cudaMemcpyDeviceToDevice", 9)


def test_the_urgent_stream_goes_first(runtime: Runtime, cuda: Any) -> None:
    cuda.create_stream()
    cuda.create_stream(urgent=True)
    made = [arguments[1] for name, arguments in runtime.called if name == "cudaStreamCreateWithPriority"]
    assert made == [0, -5]


def test_a_graph_is_captured_for_this_thread_alone(runtime: Runtime, cuda: Any) -> None:
    runtime.called.clear()
    assert cuda.capture_graph(lambda: cuda.record_event(1, 2), 5) == 1
    assert runtime.names() == [
        "cudaStreamBeginCapture",
        "cudaEventRecord",
        "cudaStreamEndCapture",
        "cudaGraphInstantiate",
        "cudaGraphDestroy",
    ]
    assert runtime.called[0][1] == (5, "cudaStreamCaptureModeThreadLocal")


def test_a_capture_that_fails_leaves_the_stream_usable(runtime: Runtime, cuda: Any) -> None:
    runtime.called.clear()
    with pytest.raises(ZeroDivisionError):
        cuda.capture_graph(lambda: 1 / 0 and None, 5)
    assert runtime.names() == ["cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGetLastError"]


@pytest.mark.parametrize("code", ["cudaErrorUnknown", "cudaErrorOperatingSystem", "cudaErrorNoDevice"])
def test_where_opengl_refuses_the_card_can_go_on(runtime: Runtime, cuda: Any, code: str) -> None:
    for call, work in (
        ("cudaGLGetDevices", cuda.gl.check_device),
        ("cudaGraphicsGLRegisterImage", lambda: cuda.gl.register_texture(3)),
        ("cudaGraphicsMapResources", lambda: cuda.gl.map_texture(3, 4)),
    ):
        runtime.called.clear()
        runtime.fails(call, code)
        with pytest.raises(EngineError, match=f"cannot go from CUDA to OpenGL: .* {code}") as told:
            work()
        assert "Graphics" in told.value.remedy and not cuda.lost
        assert "cudaGetLastError" in runtime.names(), "a sticky error would fail the readback too"


def test_opengl_on_another_card_is_noticed(runtime: Runtime, cuda: Any) -> None:
    runtime.answers["cudaGLGetDevices"] = (Code.cudaSuccess, 1, [1, 0, 0])
    with pytest.raises(EngineError, match="drawn by another GPU than Card of the tests"):
        cuda.gl.check_device()


def test_a_texture_without_memory_is_not_left_mapped(runtime: Runtime, cuda: Any) -> None:
    runtime.fails("cudaGraphicsSubResourceGetMappedArray", "cudaErrorUnknown")
    with pytest.raises(EngineError):
        cuda.gl.map_texture(3, 4)
    assert runtime.names()[-1] == "cudaGraphicsUnmapResources"


def test_every_answer_of_cuda_is_looked_at() -> None:
    """A call stands inside unwrap(...) or _unwrap(...), its result has a name, or it is one of the few ignored."""
    tree = ast.parse(BINDINGS.read_text(encoding="utf-8"))
    dropped = {
        ast.unparse(node.value.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        if ast.unparse(node.value.func).startswith("runtime.")
    }
    assert dropped == {"runtime.cudaGetLastError", "runtime.cudaFreeHost", "runtime.cudaStreamEndCapture"}


@pytest.mark.parametrize(
    ("asked", "fake", "real"), [(cuda_api.CudaLike, FakeCuda, "Cuda"), (cuda_api.InteropLike, FakeInterop, "GlInterop")]
)
def test_fake_and_real_card_have_the_calls_that_are_asked_of_them(
    runtime: Runtime, asked: type, fake: type, real: str
) -> None:
    names = [name for name, kind in vars(asked).items() if inspect.isfunction(kind) and not name.startswith("_")]
    assert len(names) >= 6
    for name in names:
        wanted = list(inspect.signature(getattr(asked, name)).parameters.items())
        for there in (fake, getattr(module(), real)):
            has = list(inspect.signature(getattr(there, name)).parameters.items())
            assert [(n, p.kind) for n, p in has] == [(n, p.kind) for n, p in wanted], f"{there.__name__}.{name}"
