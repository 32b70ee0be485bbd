"""Measures how much an NVIDIA GPU copies and multiplies per second, through PyTorch, for the benchmark's roofline."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch

from live_sr.errors import EngineError, MissingPart

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MATRIX = 4096  # rows and columns: 137 billion operations, well over a tenth of a millisecond on any GPU
LEAST_BYTES = 1 << 16


def check_cuda() -> None:
    """Raises MissingPart if PyTorch finds no GPU."""
    if not torch.cuda.is_available():
        raise MissingPart("PyTorch finds no NVIDIA GPU here", "install the CUDA build of torch, and a driver")


def measure_bytes_per_second(moved: int, seconds: float) -> float:
    """Bytes read plus bytes written by a copy of `moved / 2` bytes within the GPU's memory. Raises MissingPart."""
    check_cuda()
    half = max(LEAST_BYTES, moved // 2)
    source = torch.zeros(half, dtype=torch.uint8, device="cuda")
    into = torch.empty_like(source)
    return 2 * half / _measure_shortest_s(lambda: into.copy_(source), seconds)


def measure_operations_per_second(precision: str, seconds: float) -> float:
    """For a product of two square matrices; two for each multiply-add. Raises EngineError or MissingPart."""
    check_cuda()
    if precision not in TYPES:
        raise EngineError(f"PyTorch does not multiply in {precision}, but in {', '.join(TYPES)}", "leave it out")
    left = torch.randn(MATRIX, MATRIX, device="cuda", dtype=TYPES[precision])
    into = torch.empty_like(left)
    return 2 * MATRIX**3 / _measure_shortest_s(lambda: torch.mm(left, left, out=into), seconds)


def _measure_shortest_s(work: Callable[[], object], seconds: float) -> float:
    """The shortest time of a call, by the GPU's own clock: an event before and after each."""
    event: Any = torch.cuda.Event  # it has no types
    begun, done = event(enable_timing=True), event(enable_timing=True)
    for _ in range(3):
        work()
    end = perf_counter() + seconds
    least = float("inf")
    while True:
        begun.record()
        work()
        done.record()
        done.synchronize()
        least = min(least, float(begun.elapsed_time(done)) / 1000)
        if perf_counter() > end:
            return max(least, 1e-9)
