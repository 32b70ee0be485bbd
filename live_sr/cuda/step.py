"""What a runtime gives the slots: its network, bound to memory on the card."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Step(Protocol):
    """The whole network for one slot, from uint8 to uint8. Its addresses never change, so it can be a CUDA graph.

    input: device address of BGRA uint8 (height, width, 4), C-contiguous. output: the same, `scale` times as large. Both
    are allocated by the step and live until `close`.
    """

    @property
    def input(self) -> int: ...

    @property
    def output(self) -> int: ...

    def enqueue(self, stream: int) -> None:
        """Start it on a CUDA stream (a cudaStream_t as a number) and return. Allocates nothing. Raises EngineError."""
        ...

    def close(self) -> None: ...


MakeStep = Callable[[int], Step]
"""(stream) -> a step that was warmed up, and captured if it is a graph, on that stream."""
