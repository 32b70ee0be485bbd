"""Runs networks with TensorRT-RTX on GTX 16xx and RTX GPUs: about 115 MB to install, compiled in a second or two.

A network is compiled ahead of time for a compute capability, in a process of its own (`rtx_build`). When it is first
loaded on a GPU, TensorRT-RTX compiles its kernels for that GPU; they are kept as well, so that the second start is
quick. One engine of dynamic shapes serves every size while the game's window is being dragged, and draws what has
changed once it rests.
"""

from __future__ import annotations

from typing import Any

from live_sr.engines.cache.key import EngineKey
from live_sr.engines.tensorrt.base_engine import (
    CompiledEngine,
    CompileEnvironment,
    TargetGpu,
    make_builder_command,
)
from live_sr.engines.tensorrt.kernel_cache import make_kernels_key, prepare_contexts
from live_sr.engines.tensorrt.library import load_tensorrt_rtx
from live_sr.engines.tensorrt.rtx_build_spec import RtxBuildSpec
from live_sr.engines.tensorrt.rtx_compatibility import check_device
from live_sr.engines.tensorrt.runtime import TensorRTPlan, TensorRTStep
from live_sr.errors import MissingPart
from live_sr.models.card import ModelCard
from live_sr.models.export.precisions import PRECISIONS
from live_sr.nvidia import driver
from live_sr.nvidia.cuda_api import CudaWithGraphs
from live_sr.nvidia.windowed_engine import WindowedEngine
from live_sr.pipeline.frame import Size


def detect_gpu() -> TargetGpu:
    """The GPU of this machine. Raises MissingPart if there is none that TensorRT-RTX can use."""
    gpu = TargetGpu.detect()
    device = driver.find_device()
    assert device is not None
    why, remedy = check_device(device)
    if why:
        raise MissingPart(why, remedy)
    return gpu


class RtxEngine(CompiledEngine, WindowedEngine):
    """Any model that ONNX can describe: BGRA uint8 in, BGRA uint8 out. Fulfils `contracts.DeviceWindowEngine`.

    dynamic: one engine for windows of every size, ready sooner for a new size but slower at work. The other arguments
    are those of `CompiledEngine`, which also says what is raised.
    """

    name = "rtx"
    precisions = PRECISIONS
    here = CompileEnvironment(detect_gpu, load_tensorrt_rtx, make_builder_command("live_sr.engines.tensorrt.rtx_build"))

    def __init__(self, card: ModelCard, *, dynamic: bool = False, **options: Any) -> None:
        super().__init__(card, **options)
        self._dynamic = dynamic
        self._warm: tuple[TargetGpu, CudaWithGraphs] | None = None  # what it was warmed up on
        self._window_spec: RtxBuildSpec | None = None  # of the engine that draws windows; None: there is none
        self._window_plan: TensorRTPlan | None = None  # the same, loaded

    def warm_up(self, size: Size) -> None:
        """Compiles for frames of up to `size`, or finds what was compiled, and loads it for both slots.

        Raises MissingPart if the GPU cannot be used, ModelError or EngineError (BuildCancelled if it was cancelled).
        """
        self.close()
        gpu = self._environment.gpu()
        spec = self._make_spec(size, gpu)
        cuda = self._environment.cuda()
        cuda.make_current()  # loading puts the weights on this thread's GPU
        with self._open_store() as store:
            plan = self._find_or_build(spec.key, spec, store)
            self._load_steps(plan, cuda, spec.fit(size), store, make_kernels_key(spec.key, gpu.name, gpu.driver))
        self._warm = gpu, cuda
        for_windows = RtxBuildSpec.for_window(self._card, size, self.precision, gpu.capability, dynamic=True)
        self._window_spec = for_windows if for_windows.dynamic else None

    def close(self) -> None:
        super().close()
        self._warm = self._window_spec = self._window_plan = None

    def fit_window(self, size: Size) -> Size | None:
        return None if self._window_spec is None else self._window_spec.fit(size)

    def _make_window(self, size: Size, stream: int) -> TensorRTStep:
        """With the engine of dynamic shapes, which one build serves; its kernels must stay those that were tried."""
        spec = self._window_spec
        assert spec is not None and self._warm is not None
        gpu, cuda = self._warm
        with self._open_store() as store:
            plan = self._window_plan = self._window_plan or self._find_or_build(spec.key, spec, store)
            key = make_kernels_key(spec.key, gpu.name, gpu.driver, size)
            with prepare_contexts(plan, store, key, eagerly=True) as make_context:
                return TensorRTStep(plan, cuda, stream, size, make_context=make_context, own_graph=False)

    def _make_key(self, size: Size) -> EngineKey:
        return self._make_spec(size, self._environment.gpu()).key

    def _make_spec(self, size: Size, gpu: TargetGpu) -> RtxBuildSpec:
        return RtxBuildSpec.for_window(self._card, size, self.precision, gpu.capability, dynamic=self._dynamic)
