"""What the two engines have in common whose networks are compiled once, kept in the engine cache, and then only loaded.

The two differ in who compiles: torch-tensorrt from PyTorch's weights (`engine`), or TensorRT-RTX from ONNX
(`rtx_engine`). Both compile in a process of its own.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from live_sr.engines.cache.build_process import find_or_build
from live_sr.engines.cache.key import EngineKey
from live_sr.engines.cache.signature import get_secret_path
from live_sr.engines.cache.store import EngineCache, get_manifest_path
from live_sr.engines.tensorrt.kernel_cache import prepare_contexts
from live_sr.engines.tensorrt.library import TensorRTLibrary, UnusablePlan
from live_sr.engines.tensorrt.runtime import TensorRTPlan, TensorRTStep
from live_sr.errors import EngineError, MissingPart
from live_sr.models.card import ModelCard
from live_sr.nvidia import driver, nvml
from live_sr.nvidia.buffered_engine import BufferedEngine
from live_sr.nvidia.cuda_api import CudaWithGraphs
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.engine_contracts import BuildMonitor
from live_sr.pipeline.frame import Size

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class TargetGpu:
    """The GPU that engines run on, by the driver's name for it. capability: such as "8.9"."""

    name: str
    capability: str
    driver: str

    @classmethod
    def detect(cls) -> TargetGpu:
        """The GPU of this machine. Raises MissingPart if there is none that can be used."""
        why, device = driver.unavailable_reason(), driver.find_device()
        if why or device is None:
            raise MissingPart(f"no engine for NVIDIA GPUs can be used: {why}", "use another engine")
        found = nvml.read_gpus().find(device.name)
        version = found.driver if found is not None else ""
        capability, cuda = (".".join(map(str, version)) for version in (device.capability, device.cuda))
        return cls(device.name, capability, version or f"for CUDA {cuda}")


def open_cuda() -> CudaWithGraphs:
    from live_sr.nvidia.cuda_runtime import Cuda  # needs a driver

    return Cuda()


@dataclass(frozen=True)
class CompileEnvironment:
    """What an engine finds on this machine; a test replaces it. module: runs as the process that compiles."""

    gpu: Callable[[], TargetGpu]
    library: Callable[[], TensorRTLibrary]
    builder: Sequence[str]
    cuda: Callable[[], CudaWithGraphs] = open_cuda
    secret: Callable[[], Path] = get_secret_path


def make_builder_command(module: str) -> tuple[str, ...]:
    """The command that runs a module as the process that compiles."""
    return (sys.executable, "-m", module)


class CompiledEngine(BufferedEngine):
    """Fulfils `contracts.Engine` and `contracts.DeviceEngine`, but for `warm_up`.

    A subclass sets `name` (in `backends.ENGINES`), `precisions`, the usual one first, and `here`.

    precision: one of `precisions`, or "auto" for the first. threads is not used. cache: the folder for compiled
    engines; None: they are not kept. queue: as in `DoubleBuffer`. watch follows a build and can cancel it. environment:
    None for this machine. Raises EngineError for another precision.
    """

    name: str
    precisions: tuple[str, ...]
    here: CompileEnvironment

    def __init__(
        self,
        card: ModelCard,
        *,
        precision: str = "auto",
        threads: int = 0,
        cache: Path | None = None,
        queue: int = 0,
        watch: BuildMonitor = BuildMonitor(),  # noqa: B008  # it is frozen
        environment: CompileEnvironment | None = None,
    ) -> None:
        self.precision = self.precisions[0] if precision == "auto" else precision
        if self.precision not in self.precisions:
            *others, last = self.precisions
            raise EngineError(
                f"the {self.name} engine computes in {', '.join(others)} or {last}, not in {precision}",
                'use precision = "auto"',
            )
        super().__init__(EngineInfo(card.name, card.scale, self.name, self.precision), queue)
        self._card = card
        self._cache = cache
        self._watch = watch
        self._environment = environment or self.here

    @abstractmethod
    def _make_key(self, size: Size) -> EngineKey:
        """The key of the engine for frames of `size`. Raises LiveSRError."""

    def is_built(self, size: Size) -> bool:
        """Fulfils `contracts.EngineWithCache`."""
        with self._open_store() as store:
            return store.find(self._make_key(size)) is not None

    @contextmanager
    def _open_store(self) -> Iterator[EngineCache]:
        if self._cache is not None:
            yield EngineCache(self._cache, self._environment.secret())
            return
        with TemporaryDirectory() as folder:
            yield EngineCache(Path(folder), Path(folder) / "secret")

    def _load_steps(
        self, plan: TensorRTPlan, cuda: CudaWithGraphs, size: Size, store: EngineCache, kernels_key: EngineKey
    ) -> None:
        """Binds the engine to both slots, for frames of up to `size`. Raises EngineError.

        TensorRT-RTX compiles kernels for the GPU here, which are kept under their key, and captures its own graphs.
        """
        if not plan.library.compiles_when_loading:
            self._allocate(cuda, lambda stream: TensorRTStep(plan, cuda, stream, size), size)
            return
        with prepare_contexts(plan, store, kernels_key) as make_context:

            def make_step(stream: int) -> TensorRTStep:
                return TensorRTStep(plan, cuda, stream, size, make_context=make_context, own_graph=False)

            self._allocate(cuda, make_step, size)

    def _find_or_build(self, key: EngineKey, spec: DataclassInstance, store: EngineCache) -> TensorRTPlan:
        """The loaded engine, from the cache or compiled. One that the library refuses is compiled again, once."""
        library = self._environment.library()
        found = store.find(key)
        if found is not None:
            try:
                return TensorRTPlan.from_bytes(library, found, key)
            except UnusablePlan as error:
                store.notify(f"{key.file_name} is not used: {error.message}; it is built again")
                with suppress(OSError):
                    get_manifest_path(store.folder / key.file_name).unlink(missing_ok=True)
        built = find_or_build(key, self._environment.builder, spec, store, self._watch)
        return TensorRTPlan.from_bytes(library, built, key)
