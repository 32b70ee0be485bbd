"""Describes the machine: processor, graphics adapters and installed runtimes, as far as any user may query them."""

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

from live_sr import __version__
from live_sr.nvidia import nvml
from live_sr.system.platform import get_platform

CPUINFO = Path("/proc/cpuinfo")
DRM = Path("/sys/class/drm")
PROGRAM_TIMEOUT_S = 5.0  # for lspci and nvidia-smi

# Instruction sets that decide how fast networks run: flag in /proc/cpuinfo, usual name. Intel and AMD, then ARM.
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
# What runs networks on NVIDIA GPUs: its usual name, and the packages of which one has its version.
RUNTIMES = (
    ("TensorRT", ("tensorrt-cu13", "tensorrt-cu13-bindings", "tensorrt")),
    ("torch-tensorrt", ("torch-tensorrt", "torch-tensorrt-rtx")),
    ("TensorRT-RTX", ("tensorrt-rtx-cu13-libs", "tensorrt-rtx-cu12-libs")),
    ("torch", ("torch",)),
    ("cuda-bindings", ("cuda-bindings",)),
    ("nvidia-ml-py", ("nvidia-ml-py",)),
)
# By engine; the first that is installed.
RUNS_IN = {"tensorrt": ("TensorRT", "TensorRT-RTX"), "rtx": ("TensorRT-RTX",), "cuda": ("torch",)}
VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel", "0x1af4": "virtio", "0x15ad": "VMware"}


@dataclass(frozen=True)
class Machine:
    """The machine on which figures were measured. packages: {name: version} of the installed ones."""

    system: str
    python: str
    processor: str
    cores: int
    load: float  # average over the minute before the start: on a busy machine, measured times are upper bounds
    live_sr: str
    packages: dict[str, str]
    date: str

    @classmethod
    def detect(cls, packages: Iterable[str]) -> Machine:
        """This machine, with the versions of these packages where they are installed."""
        versions = {}
        for package in packages:
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                continue
        return cls(
            system=platform.platform(terse=True),
            python=platform.python_version(),
            processor=get_processor_name(),
            cores=os.cpu_count() or 1,
            load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0,
            live_sr=__version__,
            packages=versions,
            date=datetime.now(UTC).strftime("%Y-%m-%d"),
        )


def get_processor_name(cpuinfo: Path = CPUINFO) -> str:
    """The processor's name as the system reports it."""
    return _read_cpuinfo("model name", cpuinfo) or platform.processor() or platform.machine()


def list_processor_features(cpuinfo: Path = CPUINFO) -> list[str]:
    """Those of FEATURES that this processor has; empty where the system does not report them (Windows)."""
    flags = set((_read_cpuinfo("flags", cpuinfo) or _read_cpuinfo("Features", cpuinfo)).split())
    return [name for flag, name in FEATURES if flag in flags]


def _read_cpuinfo(key: str, cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next(
        (value.strip() for name, _, value in (line.partition(":") for line in lines) if name.strip() == key), ""
    )


def list_linux_adapters(drm: Path = DRM) -> list[str]:
    """Graphics adapters with their kernel drivers, by the names of lspci if it is installed."""
    found = []
    for card in _list_cards(drm):
        device = card / "device"
        driver = (device / "driver").resolve().name if (device / "driver").exists() else "no driver"
        found.append(f"{_get_pci_name(device)} ({driver})")
    return found


def describe_missing_adapter(drm: Path = DRM) -> str:
    """Why no graphics card can be used; empty where there may be one. Starts no program: engines ask it often."""
    if get_platform() == "win32" or _list_cards(drm):
        return ""
    return "no graphics card was found"


def keep_vulkan_quiet() -> None:
    """Call it before the drivers for Vulkan are loaded: without it they may print lines about a missing folder.

    A layer of Mesa asks a Wayland display which graphics card is its own, and puts that first. Where XDG_RUNTIME_DIR is
    not set, there is no such display, and libwayland says so on the terminal for each of the layer's attempts.
    """
    if "XDG_RUNTIME_DIR" not in os.environ:
        os.environ.setdefault("NODEVICE_SELECT", "1")  # Mesa's name for leaving the layer out


def _list_cards(drm: Path) -> list[Path]:
    return sorted(drm.glob("card[0-9]")) + sorted(drm.glob("card[0-9][0-9]"))


def _get_pci_name(device: Path) -> str:
    slot = device.resolve().name
    if ":" in slot and shutil.which("lspci"):
        lines = _run_program("lspci", "-s", slot)
        if lines:
            return lines[0].partition(": ")[2] or lines[0]
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


def list_windows_adapters() -> list[str]:
    """Names of the graphics adapters."""
    return list(dict.fromkeys(device.DeviceString for device in list_display_devices()))


def list_display_devices() -> list[DisplayDevice]:
    """What Windows says of each output of its graphics adapters."""
    ask = ctypes.CDLL("user32").EnumDisplayDevicesW
    ask.restype = wintypes.BOOL
    ask.argtypes = (wintypes.LPCWSTR, wintypes.DWORD, ctypes.POINTER(DisplayDevice), wintypes.DWORD)
    found: list[DisplayDevice] = []
    while True:
        device = DisplayDevice()
        device.cb = sizeof(device)
        if not ask(None, len(found), byref(device), 0):
            return found
        found.append(device)


@cache
def find_nvidia_runtimes() -> dict[str, str]:
    """{name: version} of those of RUNTIMES that are installed."""
    found = {}
    for name, packages in RUNTIMES:
        for package in packages:
            try:
                found[name] = metadata.version(package)
            except metadata.PackageNotFoundError:
                continue
            break
    return found


def describe_nvidia_runtime(engine: str) -> str:
    """The runtime of an engine on an NVIDIA GPU, such as "TensorRT 11.0"; empty if it runs elsewhere."""
    names, found = RUNS_IN.get(engine, ("",)), find_nvidia_runtimes()
    name = next((name for name in names if name in found), names[0])
    return f"{name} {found.get(name, '')}".strip()


def list_nvidia_adapters() -> list[str]:
    """Name, memory and driver version of each NVIDIA GPU, from the driver or else from nvidia-smi."""
    read = nvml.read_gpus()
    if read.gpus:
        return [", ".join(filter(None, (gpu.name, gpu.memory, gpu.driver))) for gpu in read.gpus]
    if not shutil.which("nvidia-smi"):
        return []
    return _run_program("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")


def _run_program(*command: str) -> list[str]:
    """Runs a program and returns the lines that it prints; none if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []
