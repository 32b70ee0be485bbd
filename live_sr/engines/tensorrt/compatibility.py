"""Whether the installed flavour of torch-tensorrt can build for the NVIDIA GPU here; imports none of its gigabytes."""

from __future__ import annotations

import importlib.util

from live_sr.engines.tensorrt import rtx_compatibility
from live_sr.engines.tensorrt.flavour import RTX, Flavour, find_flavour
from live_sr.nvidia import driver

RTX_FROM = (8, 0)  # torch-tensorrt-rtx names no compute capability, and TensorRT-RTX then compiles for Ampere and newer


def unavailable_reason() -> str:
    """Why the tensorrt engine cannot be used here, with what to do about it; or an empty string."""
    flavour, gpu = find_flavour(), driver.find_device()
    if importlib.util.find_spec(flavour.module) is None:
        return f"{flavour.module} is not installed (pip install --force-reinstall {flavour.wheel})"
    if gpu is None:
        return driver.unavailable_reason()
    why, remedy = check_device(flavour, gpu)
    return f"{why} ({remedy})" if remedy else why


def check_device(flavour: Flavour, gpu: driver.CudaDevice) -> tuple[str, str]:
    """Why that flavour cannot build for that GPU, and a remedy; both empty if it can."""
    if flavour is not RTX:
        return "", ""
    if gpu.capability < RTX_FROM:
        has, least = (".".join(map(str, version)) for version in (gpu.capability, RTX_FROM))
        return (
            f"the {gpu.name} has compute capability {has}, and {flavour.wheel} builds for {least} and newer",
            'use the engine "rtx"',
        )
    return rtx_compatibility.check_device(gpu)
