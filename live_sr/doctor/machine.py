"""What is in this computer, beside live-sr: its system, processor, Python packages, graphics adapters and fonts."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from live_sr import backends, hardware
from live_sr.doctor.finding import Finding, asked

PACKAGES = ("numpy", "openvino", "opencv-python-headless", "opencv-python", "av", "mss", "PyQt6", "pynput", "torch")

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
    """The graphics adapters, and again what NVIDIA's driver says of its own."""
    seen = hardware.windows_adapters() if backends.system() == "win32" else hardware.linux_adapters()
    found = [Finding("adapter", name) for name in seen] or [Finding("adapters", "none is seen")]
    return found + [Finding("NVIDIA", name) for name in hardware.nvidia_adapters()]


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
