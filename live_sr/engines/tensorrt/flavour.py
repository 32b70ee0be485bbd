"""Which of its two flavours the installed torch-tensorrt is: one builds for TensorRT, the other for TensorRT-RTX.

Both are the package `torch_tensorrt`, from different wheels. It goes by the wheel's name itself (2.13, 2.14), and puts
the bindings that it builds with in the place of `tensorrt`. This module finds out without importing any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True)
class Flavour:
    """library: what it builds for, as messages call it. wheel: of torch-tensorrt. module: the library's bindings."""

    library: str
    wheel: str
    module: str


CLASSIC = Flavour("TensorRT", "torch-tensorrt", "tensorrt")
RTX = Flavour("TensorRT-RTX", "torch-tensorrt-rtx", "tensorrt_rtx")


def find_flavour() -> Flavour:
    """What torch_tensorrt builds with here; the classic one if none is installed. RTX wins over a classic beside it."""
    try:
        metadata.version(RTX.wheel)
    except metadata.PackageNotFoundError:
        return CLASSIC
    return RTX
