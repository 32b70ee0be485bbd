"""Networks that spandrel does not know, written here in our own words, and told to it: then it finds them in files."""

from __future__ import annotations

import importlib
from types import ModuleType

ENTRIES = ("live_sr.models.archs.emt_entry",)
"""Modules with a `SUPPORT`, spandrel's ArchSupport. They import spandrel, so they are imported only beside it."""


def teach(spandrel: ModuleType) -> ModuleType:
    """Adds the architectures of this package to spandrel's main registry, once; gives back the library it was given."""
    for name in ENTRIES:
        entry = importlib.import_module(name)
        spandrel.MAIN_REGISTRY.add(entry.SUPPORT, ignore_duplicates=True)
    return spandrel
