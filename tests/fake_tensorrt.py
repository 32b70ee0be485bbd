"""Stand-ins for TensorRT's and TensorRT-RTX's modules, and for a card that does everything at once in main memory.

They keep to what the bindings document: a call that fails returns None or False and tells the logger why. An engine is
JSON, and its network repeats each pixel. Whether our calls are those of the real libraries is held against their
signatures in gpu_contracts/test_nvidia_signatures.py; the real compiler runs in gpu_contracts/test_rtx_compiler.py.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from live_sr.errors import EngineError
from live_sr.nvidia.cuda_api import DevicePlace
from live_sr.pipeline.frame import Pixels, Size, make_black


@dataclass
class FakeCard:
    """A card that does everything at once, and remembers what it was asked for. Addresses are multiples of 1000."""

    lost: bool = False
    capturable: bool = True
    room: int = 1 << 30
    held: dict[int, Pixels] = field(default_factory=dict)
    graphs: dict[int, Callable[[], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    uploaded: int = 0  # bytes
    count: int = 0

    def number(self) -> int:
        self.count += 1
        return 1000 * self.count

    def make_current(self) -> None: ...

    def allocate_pinned(self, size: Size) -> Pixels:
        return make_black(size)

    def allocate(self, count: int) -> int:
        if count > self.room:
            raise EngineError("memory ran out while reserving memory on the GPU", "close other programs")
        address = self.number()
        self.held[address] = np.zeros(count, np.uint8)
        return address

    def free(self, address: int) -> None:
        del self.held[address]

    def create_stream(self, *, urgent: bool = False) -> int:
        return self.number()

    def create_event(self, *, timing: bool = False) -> int:
        return self.number()

    def destroy_stream(self, stream: int) -> None: ...

    def destroy_event(self, event: int) -> None: ...

    def record_event(self, event: int, stream: int) -> None: ...

    def make_stream_wait(self, stream: int, event: int) -> None: ...

    def wait_for_event(self, event: int) -> None: ...

    def elapsed_ms(self, begun: int, ended: int) -> float:
        return 1.0

    def upload(self, address: int, pixels: Pixels, stream: int) -> None:
        self.uploaded += pixels.nbytes
        self.held[address][:] = pixels.ravel()

    def download(self, into: Pixels, source: DevicePlace, stream: int) -> None:
        into[:] = self.part(source, Size(into.shape[1], into.shape[0])).reshape(into.shape)

    def copy(self, target: DevicePlace, source: DevicePlace, size: Size, stream: int) -> None:
        self.part(target, size)[:] = self.part(source, size)

    def part(self, place: DevicePlace, size: Size) -> np.ndarray:
        rows = self.held[place.address].reshape(-1, place.pitch)
        return rows[place.y : place.y + size.height, 4 * place.x : 4 * (place.x + size.width)]

    def capture_graph(self, work: Callable[[], None], stream: int) -> int:
        self.asked.append("capture")
        if not self.capturable:
            raise EngineError("CUDA failed while ending a graph", "")
        work()
        graph = self.number()
        self.graphs[graph] = work
        return graph

    def launch_graph(self, graph: int, stream: int) -> None:
        self.asked.append("launch")
        self.graphs[graph]()

    def destroy_graph(self, graph: int) -> None:
        del self.graphs[graph]


class Severity(enum.Enum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class Mode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class FakeTensorRT(ModuleType):
    """The module, and what happened in it. `contexts`: all that were made. `memory`: contexts that still fit."""

    __version__ = "11.0.0.114"

    class ILogger:
        Severity = Severity

    TensorIOMode = Mode
    DataType = enum.Enum("DataType", "FLOAT HALF UINT8")

    def __init__(self, card: FakeCard) -> None:
        super().__init__("tensorrt")
        self.card = card
        self.version = 1
        self.kind = self.DataType.UINT8
        self.contexts: list[FakeContext] = []
        self.memory = 99
        self.Runtime = lambda logger: FakeRuntime(self, logger)


class FakeRuntime:
    def __init__(self, trt: FakeTensorRT, logger: Any) -> None:
        self.trt, self.logger = trt, logger

    def deserialize_cuda_engine(self, data: bytes) -> FakeEngine | None:
        try:
            about = json.loads(data)
        except ValueError:
            return self.refuse("Error Code 1: Serialization (Magic tag does not match)")
        if about["version"] != self.trt.version:
            return self.refuse(f"Error Code 1: Serialization (Version tag does not match. Current: {self.trt.version})")
        if not self.trt.memory:
            return self.refuse("Error Code 2: OutOfMemory (Requested size was 4096 bytes.)")
        smallest = about.get("smallest")
        return FakeEngine(
            self.trt, self.logger, Size(*about["size"]), about["scale"], Size(*smallest) if smallest else None
        )

    def refuse(self, why: str) -> None:
        self.logger.log(Severity.ERROR, why)


class FakeEngine:
    """`smallest`: of a dynamic profile; None where the shapes are static."""

    num_io_tensors = 2

    def __init__(self, trt: FakeTensorRT, logger: Any, size: Size, scale: int, smallest: Size | None = None) -> None:
        self.trt, self.logger, self.size, self.scale, self.smallest = trt, logger, size, scale, smallest

    def get_tensor_name(self, index: int) -> str:
        return ("picture", "output0")[index]

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name == "picture" else Mode.OUTPUT

    def get_tensor_dtype(self, name: str) -> object:
        return self.trt.kind

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if self.smallest is not None:
            return 1, -1, -1, 4
        size = self.size if name == "picture" else self.size.times(self.scale)
        return 1, size.height, size.width, 4

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        assert name == "picture" and profile_index == 0 and self.smallest is not None
        return [(1, size.height, size.width, 4) for size in (self.smallest, self.size, self.size)]

    def create_execution_context(self, runtime_config: FakeRuntimeConfig | None = None) -> FakeContext | None:
        if not self.trt.memory:
            self.logger.log(Severity.ERROR, "Error Code 1: Cuda Runtime (out of memory)")
            return None
        self.trt.memory -= 1
        self.trt.contexts.append(FakeContext(self, runtime_config))
        return self.trt.contexts[-1]


@dataclass
class FakeRuntimeCache:
    """Holds the kernels that contexts compiled. A blob is only taken from the driver that it was made with."""

    trt: FakeRtx
    kernels: bytes = b""

    def deserialize(self, blob: bytes) -> bool:
        if blob != self.trt.kernels:
            return False
        self.kernels = bytes(blob)
        return True

    def serialize(self) -> bytes | None:
        return self.kernels or None


@dataclass
class FakeRuntimeConfig:
    trt: FakeRtx
    caching: bool = True
    cuda_graph_strategy: object = None
    dynamic_shapes_kernel_specialization_strategy: object = None
    cache: FakeRuntimeCache | None = None

    def create_runtime_cache(self) -> FakeRuntimeCache:
        return FakeRuntimeCache(self.trt)

    def set_runtime_cache(self, cache: FakeRuntimeCache) -> bool:
        self.cache = cache
        return self.caching


class FakeContext:
    def __init__(self, engine: FakeEngine, config: FakeRuntimeConfig | None = None) -> None:
        self.engine = engine
        self.config = config
        self.size = engine.size if engine.smallest is None else None
        self.addresses: dict[str, int] = {}
        self.calls: list[str] = []
        self.broken = False
        if config is not None and config.cache is not None and not config.cache.kernels:
            config.trt.compiled += 1
            config.cache.kernels = config.trt.kernels

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "picture" and self.engine.smallest is not None
        size, least, most = Size(shape[2], shape[1]), self.engine.smallest, self.engine.size
        if not (least.width <= size.width <= most.width and least.height <= size.height <= most.height):
            self.engine.logger.log(Severity.ERROR, f"Static dimension mismatch: {size} is not in the profile")
            return False
        self.size = size
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.calls.append(f"bind {name}")
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        if self.broken or self.size is None:
            self.engine.logger.log(Severity.ERROR, "Error Code 1: Cuda Runtime (an illegal instruction)")
            return False
        self.calls.append("run")
        size, scale, held = self.size, self.engine.scale, self.engine.trt.card.held
        small = held[self.addresses["picture"]].reshape(size.height, size.width, 4)
        held[self.addresses["output0"]][:] = small.repeat(scale, 0).repeat(scale, 1).ravel()
        return True


class FakeRtx(FakeTensorRT):
    """TensorRT-RTX's module on a GPU of one compute capability. `compiled`: how often kernels were compiled for it."""

    __version__ = "1.7.1.116"

    EngineValidity = enum.Enum("EngineValidity", "VALID SUBOPTIMAL INVALID")
    EngineInvalidityDiagnostics = enum.Enum(
        "EngineInvalidityDiagnostics",
        {
            "VERSION_MISMATCH": 1,
            "UNSUPPORTED_CC": 2,
            "OLD_CUDA_DRIVER": 4,
            "OLD_CUDA_RUNTIME": 8,
            "INSUFFICIENT_GPU_MEMORY": 16,
            "MALFORMED_ENGINE": 32,
            "CUDA_ERROR": 64,
        },
    )
    CudaGraphStrategy = enum.Enum("CudaGraphStrategy", "DISABLED WHOLE_GRAPH_CAPTURE")
    DynamicShapesKernelSpecializationStrategy = enum.Enum(
        "DynamicShapesKernelSpecializationStrategy", "LAZY EAGER NONE"
    )

    IRuntimeCache = FakeRuntimeCache

    def __init__(self, card: FakeCard, capability: str) -> None:
        super().__init__(card)
        self.capability = capability
        self.kernels = b"kernels for driver 580"
        self.compiled = 0
        self.caching = True
        self.Runtime = lambda logger: FakeRtxRuntime(self, logger)


class FakeRtxRuntime(FakeRuntime):
    trt: FakeRtx

    def get_engine_validity(self, data: bytes) -> tuple[object, int]:
        states, flags = self.trt.EngineValidity, self.trt.EngineInvalidityDiagnostics
        try:
            about = json.loads(data)
        except ValueError:
            return states.INVALID, flags.MALFORMED_ENGINE.value
        wrong = 0
        if about["version"] != self.trt.version:
            wrong |= flags.VERSION_MISMATCH.value
        if about["capability"] != self.trt.capability:
            wrong |= flags.UNSUPPORTED_CC.value
        if not self.trt.memory:
            wrong |= flags.INSUFFICIENT_GPU_MEMORY.value
        return (states.INVALID if wrong else states.VALID), wrong

    def deserialize_cuda_engine(self, data: bytes) -> FakeEngine | None:
        made = super().deserialize_cuda_engine(data)
        return made and FakeRtxEngine(self.trt, self.logger, made.size, made.scale, made.smallest)


class FakeRtxEngine(FakeEngine):
    trt: FakeRtx

    def create_runtime_config(self) -> FakeRuntimeConfig:
        return FakeRuntimeConfig(self.trt, caching=self.trt.caching)
