"""Checks whether the installed PyTorch can use the NVIDIA GPU, without importing it, which takes seconds."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from live_sr.nvidia import driver

CUDA_BUILD = (
    'pip install --force-reinstall "torch==2.13.0"; on Windows with the --index-url that pytorch.org names for '
    "CUDA 13.0, because PyPI has only CPU builds there"
)
OLD_GPU_BUILD = (
    'pip install --force-reinstall "torch==2.13.0" with the --index-url that pytorch.org names for CUDA 12.6'
)
UPDATE = "update NVIDIA's driver: 580 or newer"


def unavailable_reason() -> str:
    """Why the cuda engine cannot be used here, with what to do about it; or an empty string."""
    why, remedy = check()
    return f"{why} ({remedy})" if remedy else why


def check() -> tuple[str, str]:
    """The same in two parts: the reason, and a remedy if there is one."""
    gpu = driver.find_device()
    if gpu is None:
        return driver.unavailable_reason(), ""
    return check_device(gpu, parse_cuda_version(read_version_file()))


def check_device(gpu: driver.CudaDevice, build: tuple[int, int] | None) -> tuple[str, str]:
    """Why a PyTorch built for that version of CUDA (None: without CUDA) cannot use that GPU, and a remedy."""
    if build is None:
        return "this PyTorch is built without CUDA", CUDA_BUILD
    built, served, has, least = (
        ".".join(map(str, v)) for v in (build, gpu.cuda, gpu.capability, driver.MIN_CAPABILITY)
    )
    if gpu.capability < driver.MIN_CAPABILITY and build[0] >= 13:  # CUDA 13 dropped what came before Turing
        return (
            f"the {gpu.name} has compute capability {has}, and PyTorch for CUDA {built} needs {least} or newer",
            OLD_GPU_BUILD,
        )
    if gpu.cuda[0] < build[0]:  # within one major version an older driver serves newer programs
        return f"the NVIDIA driver supports CUDA {served}, and this PyTorch is built for CUDA {built}", UPDATE
    return "", ""


def read_version_file() -> str:
    """The text of torch/version.py; empty without PyTorch. The package's metadata does not name the CUDA version."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    try:
        return Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return ""


def parse_cuda_version(version_file: str) -> tuple[int, int] | None:
    """The version of CUDA that PyTorch was built for; None: without CUDA."""
    found = re.search(r"^cuda\b[^=\n]*=\s*'(\d+)\.(\d+)", version_file, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else None
