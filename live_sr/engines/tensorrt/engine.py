"""Runs shipped networks as TensorRT engines: built once for a GPU and a frame size by torch-tensorrt, then only loaded.

To run an engine takes no PyTorch; to build one does, in another process: see `build`.
"""

from __future__ import annotations

import hashlib
import re

from live_sr import __version__
from live_sr.engines.cache.key import EngineKey, find_installed
from live_sr.engines.tensorrt.base_engine import (
    CompiledEngine,
    CompileEnvironment,
    TargetGpu,
    make_builder_command,
)
from live_sr.engines.tensorrt.build import OPTIMIZATION_LEVEL, TensorRTBuildSpec
from live_sr.engines.tensorrt.kernel_cache import make_kernels_key
from live_sr.engines.tensorrt.library import load_tensorrt
from live_sr.errors import ModelError
from live_sr.models.card import ModelCard
from live_sr.pipeline.frame import Size

GRAPH_VERSION = "1"  # increase it when the same weights are built into another graph
PACKAGES = (
    *("tensorrt", "tensorrt-cu13", "tensorrt-cu13-bindings", "tensorrt-cu13-libs", "torch-tensorrt", "torch"),
    *("torch-tensorrt-rtx", "tensorrt-rtx-cu13-libs"),
)


class TensorRTEngine(CompiledEngine):
    """A shipped network as one TensorRT engine, including the conversions from and to BGRA, in a CUDA graph per slot.

    The arguments are those of `CompiledEngine`, which also says what is raised.
    """

    name = "tensorrt"
    precisions = ("fp16", "fp32")  # TensorRT casts uint8 from and to no other type
    here = CompileEnvironment(TargetGpu.detect, load_tensorrt, make_builder_command("live_sr.engines.tensorrt.build"))

    def warm_up(self, size: Size) -> None:
        """Finds or builds the engine for frames of up to `size`, and captures it.

        Raises EngineError (BuildCancelled if the build was cancelled), ModelError or MissingPart.
        """
        self.close()
        key = self._make_key(size)
        cuda = self._environment.cuda()
        cuda.make_current()  # deserialising puts the weights on this thread's GPU
        with self._open_store() as store:
            plan = self._find_or_build(key, self._make_spec(key), store)
            self._load_steps(plan, cuda, size, store, make_kernels_key(key, key.gpu, key.driver))

    def _make_key(self, size: Size) -> EngineKey:
        gpu = self._environment.gpu()
        return EngineKey(
            engine="tensorrt",
            model=self._card.name,
            scale=self.scale,
            width=size.width,
            height=size.height,
            precision=self.precision,
            weights=_hash_weights(self._card),
            architecture=self._card.architecture,
            gpu=gpu.name,
            capability=gpu.capability,
            driver=gpu.driver,
            options=(
                ("graph", GRAPH_VERSION),
                ("multiple", str(self._card.multiple)),
                ("optimization_level", str(OPTIMIZATION_LEVEL)),
            ),
            versions=(
                ("live-sr", __version__),
                ("TensorRT in use", self._environment.library().version),
                *find_installed(PACKAGES),
            ),
        )

    def _make_spec(self, key: EngineKey) -> TensorRTBuildSpec:
        # TensorRT must only read back what this user wrote: so it is beside the secret, not among the engines
        name = re.sub(r"[^\w.]+", "-", f"timing-{self._environment.library().version}-{key.gpu}.bin")
        return TensorRTBuildSpec(
            model=self._card.name,
            scale=self.scale,
            multiple=self._card.multiple,
            onnx=str(self._card.onnx),
            width=key.width,
            height=key.height,
            precision=self.precision,
            optimization_level=OPTIMIZATION_LEVEL,
            timing_cache=str(self._environment.secret().with_name(name)) if self._cache is not None else "",
        )


def _hash_weights(card: ModelCard) -> str:
    """The SHA-256 of the weights beside the model, in hex. Raises ModelError."""
    path = card.onnx.with_suffix(".safetensors")
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(
            f"the weights {path} of {card.label} cannot be read: {error.strerror}",
            'put them beside the model, or use backend = "openvino", which runs the .onnx',
        ) from error
