"""The graphics cards and software adapters that wgpu can use here."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import wgpu
from wgpu.backends.wgpu_native.extras import set_instance_extras

from live_sr.engines.webgpu.arithmetic import SHADER_F16
from live_sr.errors import MissingPart
from live_sr.system import hardware
from live_sr.system.screen_adapters import PciId, find_screen_adapters

AUTO = "auto"
BACKENDS = ("Vulkan", "D3D12", "Metal")  # best first, where one card has several; OpenGL has too few features
KINDS = {"DiscreteGPU": "graphics card", "IntegratedGPU": "integrated", "CPU": "software"}
PREFERENCE = ("graphics card", "integrated", "other", "software")
REMEDY = "install the card's driver for Vulkan (Debian: mesa-vulkan-drivers); `live-sr doctor` lists the adapters"


@dataclass(frozen=True)
class Adapter:
    """One way to a graphics card. kind: a word of PREFERENCE. handle: wgpu's object. buffer_bytes: the largest buffer
    that a shader can use. drives_screen: whether a screen hangs on it; False also where the system does not tell."""

    name: str
    backend: str
    kind: str
    driver: str
    features: frozenset[str]
    buffer_bytes: int
    handle: Any
    pci: PciId
    drives_screen: bool

    @property
    def is_software(self) -> bool:
        return self.kind == "software"

    def __str__(self) -> str:
        return f"{self.name} ({self.backend}, {self.kind})"


@cache
def list_adapters() -> tuple[Adapter, ...]:
    """All adapters, best first. Asks the drivers once; after `list_adapters.cache_clear()`, again."""
    _prepare_library()
    screens = find_screen_adapters()
    found = [_describe(handle, screens) for handle in wgpu.gpu.enumerate_adapters_sync()]
    return sort_adapters(adapter for adapter in found if adapter.backend in BACKENDS)


def sort_adapters(found: Iterable[Adapter]) -> tuple[Adapter, ...]:
    """Best first: those that a screen hangs on, since pictures need not leave them; software ones last."""
    return tuple(
        sorted(
            found,
            key=lambda a: (a.is_software, not a.drives_screen, PREFERENCE.index(a.kind), BACKENDS.index(a.backend)),
        )
    )


def find_adapter(wanted: str) -> Adapter:
    """The first adapter with `wanted` in its name, or for "auto" the first that is no software. Raises MissingPart."""
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
    screen = ", drives a screen" if adapter.drives_screen else ""
    return f"{adapter}, {adapter.driver}, buffers of up to {adapter.buffer_bytes >> 20} MB, {half}{screen}{use}"


def explain_choice(wanted: str) -> str:
    """Which adapter `find_adapter` chooses, and why, in one line. Raises MissingPart."""
    chosen = find_adapter(wanted)
    # a card with two drivers is listed twice
    others = [
        a
        for a in list_adapters()
        if a is not chosen and not a.is_software and (a.pci != chosen.pci or a.backend == chosen.backend)
    ]
    if wanted != AUTO:
        why = f'[engine] adapter = "{wanted}" names it'
    elif not others:
        why = "there is no other graphics card"
    elif not chosen.drives_screen:
        why = "the best of them; the system does not tell which one a screen hangs on"
    elif any(a.drives_screen for a in others):
        why = "the best of those that a screen hangs on"
    else:
        why = "the screen hangs on it"
    return f"{chosen}: {why}"


@cache
def _prepare_library() -> None:
    """Leaves out OpenGL, which would be started only to be asked, and messages about errors that are raised too."""
    logging.getLogger("wgpu").setLevel(logging.CRITICAL)
    hardware.keep_vulkan_quiet()
    set_instance_extras(backends=("Vulkan", "DX12", "Metal"))


def _describe(handle: Any, screens: Collection[PciId]) -> Adapter:
    about = handle.info
    pci = PciId(about["vendor_id"], about["device_id"])
    return Adapter(
        about["device"],
        about["backend_type"],
        KINDS.get(about["adapter_type"], "other"),
        " ".join(filter(None, (about["vendor"], about["description"]))),  # its name and version, in either of them
        frozenset(handle.features),
        min(handle.limits["max-storage-buffer-binding-size"], handle.limits["max-buffer-size"]),
        handle,
        pci,
        pci in screens,
    )
