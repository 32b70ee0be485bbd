"""Measures how many operations a second OpenVINO reaches on this processor: the ceiling of the benchmark's roofline."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from live_sr.engines.openvino.engine import PRECISIONS, get_core
from live_sr.errors import EngineError

CHANNELS, SIDE, LAYERS = 128, 96, 4  # convolutions, as in the networks, with enough channels to keep every core busy
MATRIX_SIDE = 1024  # rows and columns; two products one after the other


def measure_operations_per_second(precision: str, seconds: float) -> float:
    """The higher rate of convolutions and of matrix products; a multiply-add counts as two operations.

    Each is repeated for that many seconds, and its fastest run counts. Raises EngineError for a precision that this
    processor does not support.
    """
    hint, capability = PRECISIONS.get(precision, ("", ""))
    if capability not in get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise EngineError(f"this processor does not compute in {precision}", "leave that precision out")
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint, "ENABLE_CPU_PINNING": False}
    best = 0.0
    for graph, macs in (_build_convolutions(int8=precision == "int8"), _build_products()):
        try:
            request = get_core().compile_model(graph, "CPU", settings).create_infer_request()
            best = max(best, 2 * macs / _measure_least_s(request, seconds))
        except RuntimeError as error:
            raise EngineError(
                f"the rate in {precision} cannot be measured: {error}", "go without --roofline"
            ) from error
    return best


def _build_convolutions(*, int8: bool) -> tuple[ov.Model, int]:
    """A graph, and its number of multiply-adds. int8: all layers are stored in eight bits."""
    picture = ops.parameter([1, CHANNELS, SIDE, SIDE], np.float32)
    kernel = np.random.default_rng(1).normal(0, 0.03, (CHANNELS, CHANNELS, 3, 3)).astype(np.float32)
    weights = _store(ops.constant(kernel), -1, 1, 255) if int8 else ops.constant(kernel)
    layer = picture
    for _ in range(LAYERS):
        values = _store(layer, 0, 255, 256) if int8 else layer
        layer = ops.relu(ops.convolution(values, weights, [1, 1], [1, 1], [1, 1], [1, 1]))
    # the graph returns one number, so that no time is spent on returning a large picture in float32
    return ov.Model([ops.reduce_max(layer, [0, 1, 2, 3])], [picture]), LAYERS * kernel.size * SIDE * SIDE


def _store(values: ov.Node, least: float, most: float, numbers: int) -> ov.Node:
    ends = [ops.constant(np.float32(end)) for end in (least, most)]
    return ops.fake_quantize(values, *ends, *ends, numbers)


def _build_products() -> tuple[ov.Model, int]:
    left = ops.parameter([MATRIX_SIDE, MATRIX_SIDE], np.float32)
    right = ops.constant(np.random.default_rng(2).normal(0, 0.03, (MATRIX_SIDE, MATRIX_SIDE)).astype(np.float32))
    twice = ops.matmul(ops.matmul(left, right, False, False), right, False, False)
    return ov.Model([ops.reduce_max(twice, [0, 1])], [left]), 2 * MATRIX_SIDE**3


def _measure_least_s(request: ov.InferRequest, seconds: float) -> float:
    request.infer()
    end = perf_counter() + seconds
    least = float("inf")
    while True:
        started = perf_counter()
        request.infer(share_outputs=True)
        now = perf_counter()
        least = min(least, now - started)
        if now > end:
            return max(least, 1e-9)
