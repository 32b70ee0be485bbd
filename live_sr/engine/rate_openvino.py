"""How many operations a second this processor does through OpenVINO: the ceiling of the benchmark's roofline."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from live_sr.errors import EngineError

HINTS = {"fp32": ("f32", "FP32"), "bf16": ("bf16", "BF16"), "fp16": ("f16", "FP16")}
"""What the runtime calls a precision: as a hint, and among the capabilities of the processor."""

CHANNELS, SIDE, LAYERS = 128, 96, 4  # a stack of convolutions: what networks are made of, and wide enough for any core
MATRIX = 1024  # rows and columns; two products in a row


def operations_per_second(precision: str, seconds: float) -> float:
    """The better of convolutions and matrix products, each at its fastest within that time; two for a multiply-add.

    Raises EngineError for a precision that this processor does not compute in.
    """
    core = ov.Core()
    hint, capability = HINTS.get(precision, ("", ""))
    if capability not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise EngineError(f"this processor does not compute in {precision}", "leave that precision out")
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint, "ENABLE_CPU_PINNING": False}
    best = 0.0
    for graph, macs in (_convolutions(), _products()):
        try:
            request = core.compile_model(graph, "CPU", settings).create_infer_request()
            best = max(best, 2 * macs / _least_s(request, seconds))
        except RuntimeError as error:
            raise EngineError(
                f"the rate in {precision} cannot be measured: {error}", "go without --roofline"
            ) from error
    return best


def _convolutions() -> tuple[ov.Model, int]:
    """The graph and its multiply-adds."""
    picture = ops.parameter([1, CHANNELS, SIDE, SIDE], np.float32)
    kernel = np.random.default_rng(1).normal(0, 0.03, (CHANNELS, CHANNELS, 3, 3)).astype(np.float32)
    at = picture
    for _ in range(LAYERS):
        at = ops.relu(ops.convolution(at, ops.constant(kernel), [1, 1], [1, 1], [1, 1], [1, 1]))
    # one figure leaves the graph, so that no time goes into giving a large picture back in float32
    return ov.Model([ops.reduce_max(at, [0, 1, 2, 3])], [picture]), LAYERS * kernel.size * SIDE * SIDE


def _products() -> tuple[ov.Model, int]:
    left = ops.parameter([MATRIX, MATRIX], np.float32)
    right = ops.constant(np.random.default_rng(2).normal(0, 0.03, (MATRIX, MATRIX)).astype(np.float32))
    twice = ops.matmul(ops.matmul(left, right, False, False), right, False, False)
    return ov.Model([ops.reduce_max(twice, [0, 1])], [left]), 2 * MATRIX**3


def _least_s(request: ov.InferRequest, seconds: float) -> float:
    request.infer()
    end = perf_counter() + seconds
    least = float("inf")
    while True:
        begun = perf_counter()
        request.infer(share_outputs=True)
        now = perf_counter()
        least = min(least, now - begun)
        if now > end:
            return max(least, 1e-9)
