"""Finds NVIDIA GPUs by asking the driver alone, which takes milliseconds and needs no package."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass

LIBRARIES = ("libcuda.so.1", "nvcuda.dll")
MIN_CAPABILITY = (7, 5)  # Turing: CUDA 13 and TensorRT's engines for it know nothing older
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76  # of CUdevice_attribute (cuda.h)


@dataclass(frozen=True)
class CudaDevice:
    """The first NVIDIA GPU.

    capability: compute capability, such as (8, 6). cuda: the newest version that the driver supports, such as (13, 0).
    """

    name: str
    capability: tuple[int, int]
    cuda: tuple[int, int]


def unavailable_reason() -> str:
    """Why no engine for NVIDIA GPUs can be used here, or an empty string."""
    found = _query_driver()
    if isinstance(found, str):
        return found
    if found.capability < MIN_CAPABILITY:
        has, least = (".".join(map(str, version)) for version in (found.capability, MIN_CAPABILITY))
        return f"the {found.name} has compute capability {has}, and these engines need {least} (GTX 16xx, RTX) or newer"
    return ""


def find_device() -> CudaDevice | None:
    """The first NVIDIA GPU; None without a working driver."""
    found = _query_driver()
    return found if isinstance(found, CudaDevice) else None


@functools.cache
def _query_driver() -> CudaDevice | str:
    driver = _load_library()
    if driver is None:
        return "there is no NVIDIA driver here"
    failure = driver.cuInit(0)
    if failure:
        return f"the NVIDIA driver finds no GPU that it can use (cuInit returned {failure})"
    number, version = ctypes.c_int(), ctypes.c_int()
    if driver.cuDeviceGet(ctypes.byref(number), 0) or driver.cuDriverGetVersion(ctypes.byref(version)):
        return "the NVIDIA driver finds no GPU"
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, len(name), number)
    major, minor = (_query_attribute(driver, which, number) for which in (CAPABILITY_MAJOR, CAPABILITY_MINOR))
    cuda = (version.value // 1000, version.value % 1000 // 10)
    return CudaDevice(name.value.decode(errors="replace"), (major, minor), cuda)


def _load_library() -> ctypes.CDLL | None:
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _query_attribute(driver: ctypes.CDLL, which: int, number: ctypes.c_int) -> int:
    value = ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(value), which, number)
    return value.value
