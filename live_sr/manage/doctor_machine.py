"""Probes of the computer: system, processor, Python packages, graphics adapters and fonts."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from live_sr.manage.finding import DoctorFinding, run_command
from live_sr.nvidia import nvml
from live_sr.nvidia.nvml import GpuState
from live_sr.system import hardware
from live_sr.system.platform import get_platform

PACKAGES = ("numpy", "openvino", "opencv-python-headless", "opencv-python", "av", "mss", "PyQt6", "torch", "wgpu")
DRIVER_REMEDY = "install NVIDIA's driver for it"
RUNTIME_REMEDY = 'pip install "live-sr[tensorrt]", or "live-sr[rtx]", which is smaller'

FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")


def probe_system() -> list[DoctorFinding]:
    if get_platform() == "linux":
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    else:
        name = f"{platform.system()} {platform.version()}"
    return [DoctorFinding("system", f"{name}, {platform.release()}, {platform.machine()}")]


def probe_python() -> list[DoctorFinding]:
    return [DoctorFinding("Python", f"{platform.python_version()} ({platform.python_implementation()})")]


def probe_processor() -> list[DoctorFinding]:
    features = ", ".join(hardware.list_processor_features()) or "not read on this system; OpenVINO detects them itself"
    return [
        DoctorFinding("processor", f"{hardware.get_processor_name()}, {os.cpu_count()} logical cores"),
        DoctorFinding("features", features),
    ]


def probe_packages() -> list[DoctorFinding]:
    return [DoctorFinding("packages", ", ".join(_list_versions()))]


def _list_versions() -> Iterator[str]:
    for name in PACKAGES:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue


def probe_adapters() -> list[DoctorFinding]:
    seen = hardware.list_windows_adapters() if get_platform() == "win32" else hardware.list_linux_adapters()
    return [DoctorFinding("adapter", name) for name in seen] or [DoctorFinding("adapters", "none found")]


def probe_nvidia(seen: Iterable[str]) -> list[DoctorFinding]:
    """What NVIDIA's driver reports about its GPUs, and what could run on them; empty without any sign of a GPU.

    `seen`: the names of the graphics adapters.
    """
    read = nvml.read_gpus()
    found = [finding for gpu in read.gpus for finding in _probe_gpu(gpu)]
    if not found:
        found = [DoctorFinding("NVIDIA", name) for name in hardware.list_nvidia_adapters()]
        if not found and not any("NVIDIA" in name.upper() for name in seen):
            return []
        found.append(DoctorFinding("NVIDIA", read.why, False, read.remedy or ("" if found else DRIVER_REMEDY)))
    versions = hardware.find_nvidia_runtimes()
    runtimes = {name for names in hardware.RUNS_IN.values() for name in names}
    usable = [name for name in runtimes if not versions.get(name, "+cpu").endswith("+cpu")]
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    if usable:
        return [*found, DoctorFinding("runtimes", text)]
    return [
        *found,
        DoctorFinding("runtimes", f"none for the GPU; installed: {text or 'nothing'}", False, RUNTIME_REMEDY),
    ]


def _probe_gpu(gpu: GpuState) -> list[DoctorFinding]:
    """Nothing runs on it now, so a low clock is normal."""
    lines = (
        ("NVIDIA", (gpu.name, gpu.memory, f"compute capability {gpu.capability}" if gpu.capability else "")),
        ("driver", (gpu.driver, f"serves CUDA up to {gpu.cuda}" if gpu.cuda else "")),
        (
            "GPU now",
            (
                f"load {gpu.load} %" if gpu.load is not None else "",
                gpu.clocks,
                f"{gpu.celsius} °C" if gpu.celsius is not None else "",
                gpu.power,
            ),
        ),
        (
            "power state",
            (
                f"P{gpu.state} of P0 (fastest) to P15" if gpu.state is not None else "",
                f"not faster: {', '.join(gpu.held_back)}" if gpu.held_back else "",
            ),
        ),
    )
    text = [DoctorFinding(name, ", ".join(filter(None, parts))) for name, parts in lines if any(parts)]
    clause, _, remedy = gpu.advice.partition(": ")
    return text + ([DoctorFinding("slow", clause, False, remedy)] if clause else [])


def probe_fonts() -> list[DoctorFinding]:
    if get_platform() == "win32":
        return [DoctorFinding("fonts", "the system's")]
    program = shutil.which("fc-list")
    if program:
        number, where = len(run_command(program, ":", "family").splitlines()), "listed by fc-list"
    else:
        folders = [Path(folder).expanduser() for folder in FONT_FOLDERS]
        files = (file for folder in folders for file in folder.rglob("*.[to]tf"))
        number, where = len(list(islice(files, 100))), "found in the usual folders"
    if number:
        return [DoctorFinding("fonts", f"{number} {where}")]
    return [
        DoctorFinding(
            "fonts", "none: the HUD would be blank", False, "apt install fonts-dejavu-core, or any other font"
        )
    ]
