"""The contract of an inference step: a runtime's network, bound to memory on the GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class InferenceStep(Protocol):
    """The whole network for one slot, from uint8 to uint8. Its addresses never change, so it can be a CUDA graph.

    input: device address of BGRA uint8 (height, width, 4), C-contiguous. output: the same, `scale` times as large. Both
    are allocated by the step, and freed by `close`.
    """

    @property
    def input(self) -> int: ...

    @property
    def output(self) -> int: ...

    def enqueue(self, stream: int) -> None:
        """Starts the network on a CUDA stream (a cudaStream_t as a number). Allocates nothing. Raises EngineError."""
        ...

    def close(self) -> None: ...


MakeInferenceStep = Callable[[int], InferenceStep]
"""(stream) -> a step that was warmed up on that stream, and captured there if it is a graph."""
