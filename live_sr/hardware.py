"""What the machine is made of, as far as it tells without being asked for rights."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from ctypes import Structure, byref, sizeof, wintypes
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from live_sr import __version__, nvml

CPUINFO = Path("/proc/cpuinfo")
DRM = Path("/sys/class/drm")
ASK_S = 5.0  # for a program that tells about hardware

# What decides how fast networks run: the name in /proc/cpuinfo, and what people call it. Intel and AMD, then ARM.
FEATURES = (
    ("avx2", "AVX2"),
    ("fma", "FMA"),
    ("f16c", "F16C"),
    ("avx512f", "AVX-512"),
    ("avx512_vnni", "AVX-512 VNNI"),
    ("avx_vnni", "AVX VNNI"),
    ("avx512_bf16", "AVX-512 BF16"),
    ("avx512_fp16", "AVX-512 FP16"),
    ("amx_bf16", "AMX BF16"),
    ("amx_int8", "AMX INT8"),
    ("asimd", "NEON"),
    ("asimdhp", "FP16"),
    ("bf16", "BF16"),
    ("i8mm", "INT8 matrices"),
)
# What runs networks on NVIDIA's cards: what people call it, and the packages of which one tells its version.
RUNTIMES = (
    ("TensorRT", ("tensorrt-cu13", "tensorrt-cu13-bindings", "tensorrt")),
    ("torch-tensorrt", ("torch-tensorrt",)),
    ("TensorRT-RTX plugin", ("onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnxruntime-ep-nv-tensorrt-rtx")),
    ("onnxruntime", ("onnxruntime",)),
    ("torch", ("torch",)),
    ("cuda-bindings", ("cuda-bindings",)),
    ("nvidia-ml-py", ("nvidia-ml-py",)),
)
RUNS_IN = {"tensorrt": "TensorRT", "rtx": "TensorRT-RTX plugin", "cuda": "torch"}  # by engine
VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel", "0x1af4": "virtio", "0x15ad": "VMware"}


@dataclass(frozen=True)
class Machine:
    """Where figures were taken. packages: name to version, of those that are installed."""

    system: str
    python: str
    processor: str
    cores: int
    load: float  # over the last minute, at the start: a busy machine gives upper bounds of times
    live_sr: str
    packages: dict[str, str]
    date: str

    @classmethod
    def here(cls, packages: Iterable[str]) -> Machine:
        versions = {}
        for package in packages:
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                continue
        return cls(
            system=platform.platform(terse=True),
            python=platform.python_version(),
            processor=processor_name(),
            cores=os.cpu_count() or 1,
            load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0,
            live_sr=__version__,
            packages=versions,
            date=datetime.now(UTC).strftime("%Y-%m-%d"),
        )


def processor_name(cpuinfo: Path = CPUINFO) -> str:
    """As the system calls it."""
    return _told("model name", cpuinfo) or platform.processor() or platform.machine()


def processor_features(cpuinfo: Path = CPUINFO) -> list[str]:
    """Of FEATURES those this processor has; empty also where the system does not tell (Windows)."""
    flags = set((_told("flags", cpuinfo) or _told("Features", cpuinfo)).split())
    return [name for flag, name in FEATURES if flag in flags]


def _told(key: str, cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next(
        (value.strip() for name, _, value in (line.partition(":") for line in lines) if name.strip() == key), ""
    )


def linux_adapters(drm: Path = DRM) -> list[str]:
    """Graphics adapters with a kernel driver, as lspci names them where there is one."""
    found = []
    for card in sorted(drm.glob("card[0-9]")) + sorted(drm.glob("card[0-9][0-9]")):
        device = card / "device"
        driver = (device / "driver").resolve().name if (device / "driver").exists() else "no driver"
        found.append(f"{_pci_name(device)} ({driver})")
    return found


def _pci_name(device: Path) -> str:
    slot = device.resolve().name
    if ":" in slot and shutil.which("lspci"):
        told = _asked("lspci", "-s", slot)
        if told:
            return told[0].partition(": ")[2] or told[0]
    try:
        vendor, model = ((device / name).read_text().strip() for name in ("vendor", "device"))
    except OSError:
        return slot
    return f"{VENDORS.get(vendor, vendor)} {model}"


class DisplayDevice(Structure):
    """DISPLAY_DEVICEW of Windows."""

    _fields_ = (
        ("cb", wintypes.DWORD),
        ("DeviceName", wintypes.WCHAR * 32),
        ("DeviceString", wintypes.WCHAR * 128),
        ("StateFlags", wintypes.DWORD),
        ("DeviceID", wintypes.WCHAR * 128),
        ("DeviceKey", wintypes.WCHAR * 128),
    )


def windows_adapters() -> list[str]:
    """Names of the adapters that drive a part of the desktop; the system lists one for each of its outputs."""
    ask = ctypes.CDLL("user32").EnumDisplayDevicesW
    ask.restype = wintypes.BOOL
    ask.argtypes = (wintypes.LPCWSTR, wintypes.DWORD, ctypes.POINTER(DisplayDevice), wintypes.DWORD)
    names: list[str] = []
    device = DisplayDevice()
    device.cb = sizeof(device)
    while ask(None, len(names), byref(device), 0):
        names.append(device.DeviceString)
    return list(dict.fromkeys(names))


@cache
def nvidia_runtimes() -> dict[str, str]:
    """Versions of what is installed of RUNTIMES."""
    found = {}
    for name, packages in RUNTIMES:
        for package in packages:
            try:
                found[name] = metadata.version(package)
            except metadata.PackageNotFoundError:
                continue
            break
    return found


def nvidia_runtime(engine: str) -> str:
    """What an engine runs in on an NVIDIA card, such as "TensorRT 11.0"; empty: it runs elsewhere."""
    name = RUNS_IN.get(engine, "")
    version = nvidia_runtimes().get(name, "")
    return f"{name} {version}".strip()


def nvidia_adapters() -> list[str]:
    """Name, memory and driver of each, from the driver or else from its own program; empty without it."""
    read = nvml.readings()
    if read.gpus:
        return [", ".join(filter(None, (gpu.name, gpu.memory, gpu.driver))) for gpu in read.gpus]
    if not shutil.which("nvidia-smi"):
        return []
    return _asked("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")


def _asked(*command: str) -> list[str]:
    """The lines a program prints; none if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []
