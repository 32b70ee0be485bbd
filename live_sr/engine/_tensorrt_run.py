"""What TensorRT runs: an engine that was built before, loaded, and one slot's network, bound to memory. No PyTorch."""

from __future__ import annotations

import functools
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tensorrt as trt

from live_sr.compiled.key import Key
from live_sr.engine.tensorrt_build import MEMORY
from live_sr.errors import EngineError

if TYPE_CHECKING:
    from live_sr.cuda.bindings import Cuda

VERSION: str = trt.__version__
WARM_UPS = 3  # runs before a capture: what TensorRT loads or reserves at the first ones must not be in the graph

OTHER = "use another engine, or update NVIDIA's driver"
FEWER = "close other programs that use the card, or choose a cheaper model"

LOG = logging.getLogger(__name__)


class Unusable(EngineError):
    """These bytes are no engine that this TensorRT, on this card, can use for that key."""


@dataclass(frozen=True)
class Plan:
    """A loaded engine. input, output: the names of its two pictures; their sizes in bytes."""

    engine: trt.ICudaEngine
    input: str
    output: str
    input_bytes: int
    output_bytes: int

    @classmethod
    def of(cls, data: bytes, key: Key) -> Plan:
        """Raises Unusable, or EngineError when the card has no memory for it."""
        log = logger()
        log.told()
        engine: trt.ICudaEngine | None = runtime().deserialize_cuda_engine(data)
        if engine is None:
            raise _failure(f"load the engine for {key.label}", log.told(), Unusable)
        large = key.size.times(key.scale)
        pictures = {
            trt.TensorIOMode.INPUT: (1, key.height, key.width, 4),
            trt.TensorIOMode.OUTPUT: (1, large.height, large.width, 4),
        }
        names = {}
        for number in range(engine.num_io_tensors):
            name = engine.get_tensor_name(number)
            mode = engine.get_tensor_mode(name)
            kind, shape = engine.get_tensor_dtype(name), tuple(engine.get_tensor_shape(name))
            if mode in names or kind != trt.DataType.UINT8 or shape != pictures.get(mode):
                raise Unusable(f"its {name} is {kind} {shape}, which is not from one picture to one", OTHER)
            names[mode] = name
        if len(names) != 2:
            raise Unusable(f"it has {len(names)} of the two pictures", OTHER)
        four = 4 * key.width * key.height
        return cls(
            engine, names[trt.TensorIOMode.INPUT], names[trt.TensorIOMode.OUTPUT], four, four * key.scale * key.scale
        )


class TensorRTStep:
    """One slot's network: a context of its own, bound to memory of its own, as a CUDA graph where it can be one."""

    def __init__(self, plan: Plan, cuda: Cuda, stream: int) -> None:
        """Raises EngineError, and then leaves nothing behind."""
        log = logger()
        log.told()
        with ExitStack() as making:
            context: trt.IExecutionContext | None = plan.engine.create_execution_context()
            if context is None:
                raise _failure("prepare a network", log.told())
            self._context: trt.IExecutionContext | None = context
            making.callback(setattr, self, "_context", None)  # TensorRT frees its memory with it
            addresses = []
            for name, count in ((plan.input, plan.input_bytes), (plan.output, plan.output_bytes)):
                addresses.append(cuda.memory(count))
                making.callback(cuda.free, addresses[-1])
                if not context.set_tensor_address(name, addresses[-1]):
                    raise _failure(f"bind {name}", log.told())
            self.input, self.output = addresses
            for _ in range(WARM_UPS):
                self._run(stream)
            self._launch = self._captured(cuda, stream, making)
            self._owned = making.pop_all()

    def _captured(self, cuda: Cuda, stream: int, owned: ExitStack) -> Callable[[int], None]:
        """What `enqueue` calls: the graph's launch, or the network itself where it cannot be captured."""
        try:
            graph = cuda.captured(lambda: self._run(stream), stream)
        except EngineError as error:
            if cuda.lost:
                raise
            LOG.warning("TensorRT runs without a CUDA graph, which takes longer: %s", error.message)
            return self._run
        owned.callback(cuda.end_graph, graph)
        return lambda on: cuda.launch(graph, on)

    def _run(self, stream: int) -> None:
        assert self._context is not None
        if not self._context.execute_async_v3(stream):
            raise _failure("run the network", logger().told())

    def enqueue(self, stream: int) -> None:
        self._launch(stream)

    def close(self) -> None:
        self._owned.close()


class Logger(trt.ILogger):  # type: ignore[misc]  # the bindings have no types
    """TensorRT's messages, in Python's log; and the newest errors, which say why a call returned nothing."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        severity = trt.ILogger.Severity
        self._levels = {
            severity.INTERNAL_ERROR: logging.ERROR,
            severity.ERROR: logging.ERROR,
            severity.WARNING: logging.WARNING,
            severity.INFO: logging.DEBUG,
            severity.VERBOSE: logging.DEBUG,
        }
        self._lock = threading.Lock()
        self._errors: deque[str] = deque(maxlen=8)  # guarded by _lock

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """Called by TensorRT, on any thread."""
        level = self._levels.get(severity, logging.DEBUG)
        if level == logging.ERROR:
            with self._lock:
                self._errors.append(msg.strip())
            level = logging.WARNING  # whoever called TensorRT says whether that was one
        LOG.log(level, "%s", msg)

    def told(self) -> list[str]:
        """The errors since the last time, oldest first."""
        with self._lock:
            errors = list(self._errors)
            self._errors.clear()
        return errors


@functools.cache
def logger() -> Logger:
    """One serves the process: TensorRT keeps the first that it gets."""
    return Logger()


@functools.cache
def runtime() -> trt.Runtime:
    """Raises EngineError when TensorRT's library cannot work with this driver."""
    try:
        return trt.Runtime(logger())
    except TypeError as error:  # the bindings' word for a null pointer
        raise _failure("start", logger().told()) from error


def _failure(doing: str, told: list[str], kind: type[EngineError] = EngineError) -> EngineError:
    """Why TensorRT could not do something."""
    if any(mark in text.lower() for text in told for mark in MEMORY):
        return EngineError(f"the graphics card has no memory left: TensorRT could not {doing}", FEWER)
    last = told[-1] if told else "it does not say why"
    return kind(f"TensorRT could not {doing}: {last}", OTHER)
