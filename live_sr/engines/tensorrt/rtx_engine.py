"""Runs networks with TensorRT-RTX on GTX 16xx and RTX GPUs: about 115 MB to install, compiled in a second or two.

A network is compiled ahead of time for a compute capability, in a process of its own (`rtx_build`). When it is first
loaded on a GPU, TensorRT-RTX compiles its kernels for that GPU; they are kept as well, so that the second start is
quick. While a window is being dragged, one engine of dynamic shapes serves every size.
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
from live_sr.engines.tensorrt.kernel_cache import make_kernels_key
from live_sr.engines.tensorrt.library import load_tensorrt_rtx
from live_sr.engines.tensorrt.rtx_build_spec import RtxBuildSpec
from live_sr.engines.tensorrt.rtx_compatibility import check_device
from live_sr.errors import MissingPart
from live_sr.models.card import ModelCard
from live_sr.models.export.precisions import PRECISIONS
from live_sr.nvidia import driver
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


class RtxEngine(CompiledEngine):
    """Any model that ONNX can describe: BGRA uint8 in, BGRA uint8 out.

    dynamic: one engine for windows of every size, ready sooner for a new size but slower at work. The other arguments
    are those of `CompiledEngine`, which also says what is raised.
    """

    name = "rtx"
    precisions = PRECISIONS
    here = CompileEnvironment(detect_gpu, load_tensorrt_rtx, make_builder_command("live_sr.engines.tensorrt.rtx_build"))

    def __init__(self, card: ModelCard, *, dynamic: bool = False, **options: Any) -> None:
        super().__init__(card, **options)
        self._dynamic = dynamic

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

    def _make_key(self, size: Size) -> EngineKey:
        return self._make_spec(size, self._environment.gpu()).key

    def _make_spec(self, size: Size, gpu: TargetGpu) -> RtxBuildSpec:
        return RtxBuildSpec.for_window(self._card, size, self.precision, gpu.capability, dynamic=self._dynamic)
