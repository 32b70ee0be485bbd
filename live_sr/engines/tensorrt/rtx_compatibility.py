"""Which NVIDIA GPUs TensorRT-RTX compiles for, and whether the one here is among them; loads none of its 230 MB."""

from __future__ import annotations

from collections.abc import Mapping

from live_sr.nvidia import driver

COMPUTE_CAPABILITIES: Mapping[tuple[int, int], str] = {
    (7, 5): "SM75",
    (8, 0): "SM80",
    (8, 6): "SM86",
    (8, 9): "SM89",
    (12, 0): "SM120",
    (12, 1): "SM121",
}
"""Compute capabilities, and their names in its enumeration ComputeCapability (tensorrt_rtx_bindings 1.7)."""

CUDA = 13  # the version that the libraries in its package are built for
UPDATE = "update NVIDIA's driver: 580 or newer"
OTHER = 'use the engine "cuda" or "tensorrt"'


def unavailable_reason() -> str:
    """Why the rtx engine cannot be used here, with what to do about it; or an empty string."""
    gpu = driver.find_device()
    if gpu is None:
        return driver.unavailable_reason()
    why, remedy = check_device(gpu)
    return f"{why} ({remedy})" if remedy else why


def check_device(gpu: driver.CudaDevice) -> tuple[str, str]:
    """Why it cannot use that GPU, and a remedy; both empty if it can."""
    if gpu.capability not in COMPUTE_CAPABILITIES:
        known = ", ".join(_format_version(version) for version in COMPUTE_CAPABILITIES)
        return (
            f"the {gpu.name} has compute capability {_format_version(gpu.capability)}, and TensorRT-RTX compiles for "
            f"{known} (GTX 16xx, RTX 20xx to 50xx, A100)",
            OTHER,
        )
    if gpu.cuda[0] < CUDA:
        supported = _format_version(gpu.cuda)
        return f"the NVIDIA driver supports CUDA {supported}, and TensorRT-RTX is built for CUDA {CUDA}", UPDATE
    return "", ""


def parse_capability(text: str) -> str:
    """The compute capability in "sm86", "8.6" or "86", as "8.6". Raises ValueError if it does not compile for it."""
    digits = text.lower().removeprefix("sm").replace("_", "").replace(".", "")
    for version, name in COMPUTE_CAPABILITIES.items():
        if name == f"SM{digits}":
            return _format_version(version)
    known = ", ".join(name.lower() for name in COMPUTE_CAPABILITIES.values())
    raise ValueError(f"TensorRT-RTX does not compile for {text}; it does for {known}")


def get_member_name(capability: str) -> str:
    """The name in the enumeration ComputeCapability: "SM86" for "8.6"."""
    major, minor = map(int, capability.split("."))
    return COMPUTE_CAPABILITIES[(major, minor)]


def _format_version(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
