"""What Triton's Python backend runs: pictures through live-sr's engine, as `live-sr upscale` enlarges them.

Triton imports this in a process of its own for each model. Only there is the module `triton_python_backend_utils`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from live_sr.engines import tiled_factory
from live_sr.errors import EngineError, LiveSRError, UsageError, explain
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Frame, Pixels
from live_sr.service.triton_repository import INPUT, OUTPUT, read_parameters


class TritonPythonModel:
    """Triton makes one, and calls its methods on one thread."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Makes the engine that config.pbtxt asks for. The first picture of each size compiles it for that size."""
        try:
            name, scale, options = read_parameters(json.loads(args["model_config"]))
            self._engine = tiled_factory.make_tiled_engine(resolve(name, scale, cache=options.cache), scale, options)
        except LiveSRError as error:
            raise triton.TritonModelException(explain(error)) from None

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response for each request: the enlarged picture, or a sentence that says why there is none."""
        return [self._answer(request) for request in requests]

    def finalize(self) -> None:
        self._engine.close()

    def _answer(self, request: Any) -> Any:
        # `as_numpy` of Triton 2.51 gives wrong values with NumPy 2, and no error; DLPack is right with NumPy 1 and 2
        pixels = np.from_dlpack(triton.get_input_tensor_by_name(request, INPUT))[0]
        try:
            picture = self._upscale(pixels)
        except LiveSRError as error:
            return triton.InferenceResponse([], triton.TritonError(explain(error)))
        return triton.InferenceResponse([triton.Tensor.from_dlpack(OUTPUT, picture[None])])

    def _upscale(self, pixels: Pixels) -> Pixels:
        if not pixels.size:
            raise UsageError("the frame has no pixels", "send one with a height and a width")
        done = self._engine.upscale(Frame(pixels))
        if done is None:
            raise EngineError(f"{self._engine.info} dropped a picture")
        return done.pixels
