"""Which graphics cards the screens hang on, by their PCI ids, as far as any user may ask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from live_sr.system import hardware
from live_sr.system.platform import get_platform

ATTACHED = 0x1  # DISPLAY_DEVICE_ATTACHED_TO_DESKTOP of Windows
IN_USE = (("status", "connected"), ("enabled", "enabled"))
"""What the files of a connector hold while a screen shows something. That of a closed laptop is connected alone."""


class PciId(NamedTuple):
    """The numbers by which a graphics card's maker and model are known. Two cards of one model have the same."""

    vendor: int
    device: int


def find_screen_adapters(drm: Path = hardware.DRM) -> frozenset[PciId]:
    """The graphics cards that drive a screen now. Empty where the system does not tell."""
    return frozenset(_read_windows() if get_platform() == "win32" else _read_linux(drm))


def _read_linux(drm: Path) -> Iterator[PciId]:
    for connector in drm.glob("card*-*"):  # such as card1-HDMI-A-1
        card = drm / connector.name.partition("-")[0] / "device"
        try:
            if all((connector / name).read_text().strip() == value for name, value in IN_USE):
                yield PciId(*(int((card / name).read_text(), 16) for name in ("vendor", "device")))
        except (OSError, ValueError):  # no PCI device, such as an adapter for USB
            continue


def _read_windows() -> Iterator[PciId]:
    for device in hardware.list_display_devices():
        found = re.search(r"VEN_([0-9A-F]{4})&DEV_([0-9A-F]{4})", device.DeviceID, re.IGNORECASE)
        if found and device.StateFlags & ATTACHED:
            yield PciId(*(int(number, 16) for number in found.groups()))
