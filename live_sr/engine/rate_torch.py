"""What the NVIDIA card copies and multiplies per second, through PyTorch: for the benchmark's roofline."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch

from live_sr.errors import EngineError, MissingPart

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MATRIX = 4096  # rows and columns: 137 billion operations, well over a tenth of a millisecond on any card
LEAST_BYTES = 1 << 16


def check() -> None:
    """Raises MissingPart where PyTorch sees no card."""
    if not torch.cuda.is_available():
        raise MissingPart("PyTorch finds no NVIDIA card here", "install the CUDA build of torch, and a driver")


def bytes_per_second(moved: int, seconds: float) -> float:
    """Read plus written, of a copy from the card's memory to itself of half that many bytes. Raises MissingPart."""
    check()
    half = max(LEAST_BYTES, moved // 2)
    source = torch.zeros(half, dtype=torch.uint8, device="cuda")
    into = torch.empty_like(source)
    return 2 * half / _least_s(lambda: into.copy_(source), seconds)


def operations_per_second(precision: str, seconds: float) -> float:
    """Of a product of two square matrices; two for each multiply-add. Raises EngineError or MissingPart."""
    check()
    if precision not in TYPES:
        raise EngineError(f"PyTorch does not multiply in {precision}, but in {', '.join(TYPES)}", "leave it out")
    left = torch.randn(MATRIX, MATRIX, device="cuda", dtype=TYPES[precision])
    into = torch.empty_like(left)
    return 2 * MATRIX**3 / _least_s(lambda: torch.mm(left, left, out=into), seconds)


def _least_s(work: Callable[[], object], seconds: float) -> float:
    """By the card's own clock: an event before and after each call."""
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
