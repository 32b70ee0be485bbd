"""Networks that spandrel does not know: written here, and registered with it so that it finds them in files."""

from __future__ import annotations

import importlib
from types import ModuleType

ARCHITECTURE_MODULES = ("live_sr.models.architectures.emt_spandrel",)
"""Modules with a `SUPPORT`, spandrel's ArchSupport. They import spandrel, so they are imported only where it is."""


def register_architectures(spandrel: ModuleType) -> ModuleType:
    """Adds the architectures of this package to spandrel's main registry, once. Returns the library it was given."""
    for name in ARCHITECTURE_MODULES:
        entry = importlib.import_module(name)
        spandrel.MAIN_REGISTRY.add(entry.SUPPORT, ignore_duplicates=True)
    return spandrel
