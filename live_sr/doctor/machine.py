"""What is in this computer, beside live-sr: its system, processor, Python packages, graphics adapters and fonts."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from live_sr import backends, hardware, nvml
from live_sr.doctor.finding import Finding, asked
from live_sr.nvml import Gpu

PACKAGES = ("numpy", "openvino", "opencv-python-headless", "opencv-python", "av", "mss", "PyQt6", "pynput", "torch")
DRIVER = "install NVIDIA's driver for it"
RUNTIME = 'pip install "live-sr[tensorrt]", or "live-sr[rtx]", which is smaller'

FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")


def system() -> list[Finding]:
    if backends.system() == "linux":
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    else:
        name = f"{platform.system()} {platform.version()}"
    return [Finding("system", f"{name}, {platform.release()}, {platform.machine()}")]


def python() -> list[Finding]:
    return [Finding("Python", f"{platform.python_version()} ({platform.python_implementation()})")]


def processor() -> list[Finding]:
    features = ", ".join(hardware.processor_features()) or "not read on this system; OpenVINO finds out by itself"
    return [
        Finding("processor", f"{hardware.processor_name()}, {os.cpu_count()} logical cores"),
        Finding("features", features),
    ]


def packages() -> list[Finding]:
    return [Finding("packages", ", ".join(_versions()))]


def _versions() -> Iterator[str]:
    for name in PACKAGES:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue


def adapters() -> list[Finding]:
    seen = hardware.windows_adapters() if backends.system() == "win32" else hardware.linux_adapters()
    return [Finding("adapter", name) for name in seen] or [Finding("adapters", "none is seen")]


def nvidia(seen: Iterable[str]) -> list[Finding]:
    """What NVIDIA's driver says of its cards, and what could run on them; nothing where there is no sign of a card.

    `seen`: the names of the graphics adapters.
    """
    read = nvml.readings()
    cards = [finding for gpu in read.gpus for finding in _card(gpu)]
    if not cards:
        cards = [Finding("NVIDIA", name) for name in hardware.nvidia_adapters()]
        if not cards and not any("NVIDIA" in name.upper() for name in seen):
            return []
        cards.append(Finding("NVIDIA", read.why, False, read.remedy or ("" if cards else DRIVER)))
    versions = hardware.nvidia_runtimes()
    usable = [name for name in hardware.RUNS_IN.values() if not versions.get(name, "+cpu").endswith("+cpu")]
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    if usable:
        return [*cards, Finding("runtimes", told)]
    return [*cards, Finding("runtimes", f"none for the card; there is {told or 'nothing'}", False, RUNTIME)]


def _card(gpu: Gpu) -> list[Finding]:
    """Nothing runs on it now, so a low clock is as it should be."""
    lines = (
        ("NVIDIA", (gpu.name, gpu.memory, f"compute capability {gpu.capability}" if gpu.capability else "")),
        ("driver", (gpu.driver, f"serves CUDA up to {gpu.cuda}" if gpu.cuda else "")),
        (
            "card now",
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
    told = [Finding(name, ", ".join(filter(None, parts))) for name, parts in lines if any(parts)]
    clause, _, remedy = gpu.advice.partition(": ")
    return told + ([Finding("slow", clause, False, remedy)] if clause else [])


def fonts() -> list[Finding]:
    if backends.system() == "win32":
        return [Finding("fonts", "the system's")]
    program = shutil.which("fc-list")
    if program:
        number, where = len(asked(program, ":", "family").splitlines()), "listed by fc-list"
    else:
        folders = [Path(folder).expanduser() for folder in FONT_FOLDERS]
        files = (file for folder in folders for file in folder.rglob("*.[to]tf"))
        number, where = len(list(islice(files, 100))), "found in the usual folders"
    if number:
        return [Finding("fonts", f"{number} {where}")]
    return [Finding("fonts", "none: the HUD would be blank", False, "apt install fonts-dejavu-core, or any other font")]
