"""The two libraries with TensorRT's interface, TensorRT and TensorRT-RTX: their log, their runtime and their errors."""

from __future__ import annotations

import functools
import logging
import threading
from collections import deque
from types import ModuleType
from typing import TYPE_CHECKING, Any

from live_sr.engines.tensorrt.build import MEMORY
from live_sr.engines.tensorrt.flavour import RTX, find_flavour
from live_sr.errors import EngineError

if TYPE_CHECKING:
    import tensorrt_rtx_bindings as trt

OTHER = "use another engine, or update NVIDIA's driver"
LESS_MEMORY = "close other programs that use the GPU, or choose a cheaper model"

KEPT_MESSAGES = 8

log = logging.getLogger(__name__)


class UnusablePlan(EngineError):
    """These bytes are not an engine that this library can use on this GPU for that key."""


class TensorRTLibrary:
    """One of the two libraries, as its Python module. name: how messages call it."""

    def __init__(self, module: ModuleType, name: str) -> None:
        self.trt: Any = module  # the bindings have no types
        self.name = name
        self.version: str = module.__version__
        self.logger = make_logger(module)

    @property
    def compiles_when_loading(self) -> bool:
        """Whether loading an engine compiles kernels for the GPU, as TensorRT-RTX does."""
        return hasattr(self.trt, "IRuntimeCache")

    @functools.cached_property
    def runtime(self) -> Any:
        """Raises EngineError if the library cannot work with this driver."""
        try:
            return self.trt.Runtime(self.logger)
        except TypeError as error:  # what the bindings raise for a null pointer
            raise self.make_error("start") from error

    def load(self, data: bytes, label: str) -> Any:
        """The engine in these bytes. Raises UnusablePlan, or EngineError if the GPU has no memory for it."""
        runtime: trt.Runtime = self.runtime
        self.logger.take_errors()
        why = self._explain_invalid(runtime, data)
        if why:
            raise UnusablePlan(f"{self.name} cannot use the engine for {label}: {why}", OTHER)
        engine = runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise self.make_error(f"load the engine for {label}", UnusablePlan)
        return engine

    def make_error(self, doing: str, kind: type[EngineError] = EngineError) -> EngineError:
        """The error for what the library could not do, from the messages that it has logged since it was last asked."""
        errors = self.logger.take_errors()
        if any(mark in text.lower() for text in errors for mark in MEMORY):
            return EngineError(f"the GPU has no memory left: {self.name} could not {doing}", LESS_MEMORY)
        last = errors[-1] if errors else "it does not say why"
        return kind(f"{self.name} could not {doing}: {last}", OTHER)

    def _explain_invalid(self, runtime: trt.Runtime, data: bytes) -> str:
        """What TensorRT-RTX says against an engine before it loads it; TensorRT cannot be asked.

        Too little memory is left to the loading, which says how much is missing.
        """
        if not hasattr(self.trt, "EngineValidity"):
            return ""
        validity, diagnostics = runtime.get_engine_validity(data)
        if validity == self.trt.EngineValidity.SUBOPTIMAL:
            log.warning("%s: this engine may be slower here than one that is built here", self.name)
        if validity != self.trt.EngineValidity.INVALID:
            return ""
        flags = self.trt.EngineInvalidityDiagnostics
        return "; ".join(
            words for name, words in INVALIDITY.items() if int(diagnostics) & int(getattr(flags, name).value)
        )


INVALIDITY = {
    "VERSION_MISMATCH": "it was compiled by another version of TensorRT-RTX",
    "UNSUPPORTED_CC": "it was compiled for GPUs of another compute capability",
    "OLD_CUDA_DRIVER": "it needs a newer NVIDIA driver",
    "OLD_CUDA_RUNTIME": "it needs a newer CUDA runtime",
    "MALFORMED_ENGINE": "it is damaged, or no engine",
    "CUDA_ERROR": "NVIDIA's driver or the CUDA runtime is not installed correctly",
}
"""What members of EngineInvalidityDiagnostics mean (tensorrt_rtx_bindings 1.7, where they are bits of a number)."""


def make_logger(module: Any) -> Any:
    """A logger that passes TensorRT's messages to Python's log, and keeps the newest errors for `take_errors`."""
    severity = module.ILogger.Severity
    levels = {
        severity.INTERNAL_ERROR: logging.ERROR,
        severity.ERROR: logging.ERROR,
        severity.WARNING: logging.WARNING,
        severity.INFO: logging.DEBUG,
        severity.VERBOSE: logging.DEBUG,
    }

    base: Any = module.ILogger

    class Logger(base):  # type: ignore[misc]  # the bindings have no types
        def __init__(self) -> None:
            base.__init__(self)
            self._lock = threading.Lock()
            self._errors: deque[str] = deque(maxlen=KEPT_MESSAGES)  # guarded by _lock

        def log(self, severity: Any, msg: str) -> None:
            """Called by TensorRT on any thread."""
            level = levels.get(severity, logging.DEBUG)
            if level == logging.ERROR:
                with self._lock:
                    self._errors.append(msg.strip())
                level = logging.WARNING  # the caller of TensorRT decides whether it is an error
            log.log(level, "%s", msg)

        def take_errors(self) -> list[str]:
            """The errors since the last call, oldest first."""
            with self._lock:
                errors = list(self._errors)
                self._errors.clear()
            return errors

    return Logger()


@functools.cache
def load_tensorrt() -> TensorRTLibrary:
    """The library behind torch-tensorrt: TensorRT or, for torch-tensorrt-rtx, TensorRT-RTX. Raises ImportError.

    One for the process, because the libraries keep the first logger that they get.
    """
    if find_flavour() is RTX:
        return load_tensorrt_rtx()
    import tensorrt

    return TensorRTLibrary(tensorrt, "TensorRT")


@functools.cache
def load_tensorrt_rtx() -> TensorRTLibrary:
    """TensorRT-RTX. Raises ImportError."""
    import tensorrt_rtx_bindings

    return TensorRTLibrary(tensorrt_rtx_bindings, "TensorRT-RTX")
