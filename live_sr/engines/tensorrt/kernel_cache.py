"""Keeps the kernels that TensorRT-RTX compiles for the GPU when it loads an engine, so that the next start is quick."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from live_sr.engines.cache.key import EngineKey
from live_sr.engines.cache.store import EngineCache
from live_sr.engines.tensorrt.runtime import TensorRTPlan
from live_sr.errors import EngineError
from live_sr.pipeline.frame import Size

if TYPE_CHECKING:
    import tensorrt_rtx_bindings as trt

log = logging.getLogger(__name__)


def make_kernels_key(engine: EngineKey, gpu: str, driver: str, window: Size | None = None) -> EngineKey:
    """The key of the kernels that TensorRT-RTX compiled for one GPU and driver when it first loaded that engine.

    window: of an engine of dynamic shapes, the only size that they are for.
    """
    width, height = window or engine.size
    return replace(engine, engine="rtx-kernels", gpu=gpu, driver=driver, width=width, height=height)


class KernelCache:
    """The kernels that TensorRT-RTX compiles for this GPU when an engine is loaded: its "runtime cache", kept by us.

    They are signed like engines, because they are code too.
    """

    def __init__(self, plan: TensorRTPlan, store: EngineCache, key: EngineKey) -> None:
        self._plan = plan
        self._store = store
        self._key = key
        self._cache: trt.IRuntimeCache = None
        self._found = False

    def attach(self, config: trt.IRuntimeConfig) -> None:
        """Gives the kernels of the last start to a runtime configuration, if there are any that still fit."""
        self._cache = config.create_runtime_cache()
        kept = self._store.find(self._key)
        self._found = kept is not None and bool(self._cache.deserialize(kept))
        if kept is not None and not self._found:
            log.info("the kernels of %s are compiled again: they do not fit this driver", self._key.label)
        if not config.set_runtime_cache(self._cache):
            raise self._plan.library.make_error("use its cache of kernels")

    def keep(self, seconds: float) -> None:
        """Keeps what was compiled, in `seconds`, for the next start. The user is told of a failure; none is raised."""
        if self._found:
            return
        try:
            made = self._cache.serialize()
            if made is not None:
                self._store.keep(self._key, bytes(made), seconds)
        except EngineError as error:
            self._store.notify(f"the kernels of {self._key.label} are not kept: {error.message}")


@contextmanager
def prepare_contexts(
    plan: TensorRTPlan, store: EngineCache, key: EngineKey, *, eagerly: bool = False
) -> Iterator[Callable[[], trt.IExecutionContext | None]]:
    """In the block, what makes contexts of an engine; they are to run there once, so that their kernels can be kept.

    key: of the kernels. eagerly: as in `make_runtime_config`.
    """
    kernels = KernelCache(plan, store, key)
    started = monotonic()
    yield partial(plan.engine.create_execution_context, make_runtime_config(plan, kernels, eagerly=eagerly))
    kernels.keep(monotonic() - started)


def make_runtime_config(plan: TensorRTPlan, kernels: KernelCache, *, eagerly: bool = False) -> trt.IRuntimeConfig:
    """How TensorRT-RTX runs an engine: in CUDA graphs, with the kernels of the last start.

    For a new size of a dynamic engine it begins with a general kernel, and compiles the special one meanwhile; eagerly:
    it waits for the special one, and a picture does not change by a level when that is ready.
    """
    library = plan.library.trt
    config: trt.IRuntimeConfig = plan.engine.create_runtime_config()
    config.cuda_graph_strategy = library.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    strategies = library.DynamicShapesKernelSpecializationStrategy
    config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER if eagerly else strategies.LAZY
    kernels.attach(config)
    return config
