"""Whether there is an NVIDIA card, asked of its driver alone: milliseconds, and no package is needed."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass

LIBRARIES = ("libcuda.so.1", "nvcuda.dll")
LEAST = (7, 5)  # Turing: CUDA 13 and TensorRT's engines for it know nothing older
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76  # of CUdevice_attribute (cuda.h)


@dataclass(frozen=True)
class Device:
    """The first card. capability: compute capability, such as (8, 6). cuda: what the driver serves, such as (13, 0)."""

    name: str
    capability: tuple[int, int]
    cuda: tuple[int, int]


def obstacle() -> str:
    """Why no engine for NVIDIA cards can be used here, or an empty string."""
    found = _look()
    if isinstance(found, str):
        return found
    if found.capability < LEAST:
        has, least = (".".join(map(str, version)) for version in (found.capability, LEAST))
        return f"the {found.name} has compute capability {has}, and these engines need {least} (GTX 16xx, RTX) or newer"
    return ""


def device() -> Device | None:
    """The first card; None without a working driver."""
    found = _look()
    return found if isinstance(found, Device) else None


@functools.cache
def _look() -> Device | str:
    driver = _library()
    if driver is None:
        return "there is no NVIDIA driver here"
    failure = driver.cuInit(0)
    if failure:
        return f"the NVIDIA driver finds no card that it can use (cuInit returned {failure})"
    number, version = ctypes.c_int(), ctypes.c_int()
    if driver.cuDeviceGet(ctypes.byref(number), 0) or driver.cuDriverGetVersion(ctypes.byref(version)):
        return "the NVIDIA driver finds no card"
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, len(name), number)
    capability = (_attribute(driver, CAPABILITY_MAJOR, number), _attribute(driver, CAPABILITY_MINOR, number))
    cuda = (version.value // 1000, version.value % 1000 // 10)
    return Device(name.value.decode(errors="replace"), capability, cuda)


def _library() -> ctypes.CDLL | None:
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _attribute(driver: ctypes.CDLL, which: int, number: ctypes.c_int) -> int:
    value = ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(value), which, number)
    return value.value
