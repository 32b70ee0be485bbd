"""The graphics cards and software adapters that wgpu can use here."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import Any

import wgpu
from wgpu.backends.wgpu_native.extras import set_instance_extras

from live_sr.engines.webgpu.arithmetic import SHADER_F16
from live_sr.errors import MissingPart
from live_sr.system import hardware

AUTO = "auto"
BACKENDS = ("Vulkan", "D3D12", "Metal")  # best first, where one card has several; OpenGL has too few features
KINDS = {"DiscreteGPU": "graphics card", "IntegratedGPU": "integrated", "CPU": "software"}
PREFERENCE = ("graphics card", "integrated", "other", "software")
REMEDY = "install the card's driver for Vulkan (Debian: mesa-vulkan-drivers); `live-sr doctor` lists the adapters"


@dataclass(frozen=True)
class Adapter:
    """One way to a graphics card. kind: a word of PREFERENCE. handle: wgpu's object. buffer_bytes: the largest buffer
    that a shader can use."""

    name: str
    backend: str
    kind: str
    driver: str
    features: frozenset[str]
    buffer_bytes: int
    handle: Any

    @property
    def is_software(self) -> bool:
        return self.kind == "software"

    def __str__(self) -> str:
        return f"{self.name} ({self.backend}, {self.kind})"


@cache
def list_adapters() -> tuple[Adapter, ...]:
    """All adapters, best first. Asks the drivers once; after `list_adapters.cache_clear()`, again."""
    _prepare_library()
    found = [_describe(handle) for handle in wgpu.gpu.enumerate_adapters_sync()]
    usable = [adapter for adapter in found if adapter.backend in BACKENDS]
    return tuple(sorted(usable, key=lambda a: (PREFERENCE.index(a.kind), BACKENDS.index(a.backend))))


def find_adapter(wanted: str) -> Adapter:
    """The adapter with `wanted` in its name, or the best one that is no software for "auto". Raises MissingPart."""
    found = list_adapters()
    if wanted == AUTO:
        chosen = next((a for a in found if not a.is_software), None)
    else:
        chosen = next((a for a in found if wanted.lower() in a.name.lower()), None)
    if chosen is not None:
        return chosen
    names = ", ".join(map(str, found))
    if wanted != AUTO:
        what = (
            f'no graphics adapter is called "{wanted}"; there is {names}' if found else "there is no graphics adapter"
        )
        raise MissingPart(what, "correct [engine] adapter")
    if found:
        raise MissingPart(f"there is no graphics card, only {names}", f'[engine] adapter = "{found[0].name}" uses that')
    raise MissingPart("no graphics card has a driver for Vulkan, Direct3D 12 or Metal", REMEDY)


def describe(adapter: Adapter) -> str:
    """The adapter with its driver and limits, in one line."""
    half = "fp16" if SHADER_F16 in adapter.features else "no fp16 in shaders"
    use = ", used only if [engine] adapter names it" if adapter.is_software else ""
    return f"{adapter}, {adapter.driver}, buffers of up to {adapter.buffer_bytes >> 20} MB, {half}{use}"


@cache
def _prepare_library() -> None:
    """Leaves out OpenGL, which would be started only to be asked, and messages about errors that are raised too."""
    logging.getLogger("wgpu").setLevel(logging.CRITICAL)
    hardware.keep_vulkan_quiet()
    set_instance_extras(backends=("Vulkan", "DX12", "Metal"))


def _describe(handle: Any) -> Adapter:
    about = handle.info
    return Adapter(
        about["device"],
        about["backend_type"],
        KINDS.get(about["adapter_type"], "other"),
        about["description"],
        frozenset(handle.features),
        min(handle.limits["max-storage-buffer-binding-size"], handle.limits["max-buffer-size"]),
        handle,
    )
