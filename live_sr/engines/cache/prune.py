"""Removes files from the folder of compiled engines, and says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import time

from live_sr.engines.cache.key import HASH_DIGITS, EngineKey
from live_sr.engines.cache.store import CachedEngine, EngineCache, get_manifest_path

DAY_S = 86400.0
MB = 1e6
CACHE_PATTERNS = (
    *("*.engine", "*.engine.*.part", "*.engine.rejected", "*.engine.lock"),
    f"*-{'[0-9a-f]' * HASH_DIGITS}.toml",
)


def _accept(key: EngineKey) -> str:
    return ""


@dataclass(frozen=True)
class PruneRules:
    """What to remove besides leftovers.

    days: engines that were not used for longer. megabytes: what goes beyond this size in total, least recently used
    first. None: no such limit. unusable: returns why an engine cannot be used here, or an empty string. everything:
    removes all.
    """

    days: float | None = None
    megabytes: float | None = None
    unusable: Callable[[EngineKey], str] = _accept
    everything: bool = False


@dataclass(frozen=True)
class OpenVINOBlob:
    """A file of OpenVINO's own cache, which is in the same folder. used: when it was written, seconds since 1970."""

    path: Path
    bytes: int
    used: float


@dataclass(frozen=True)
class RemovedFile:
    """A removed file: its name, its size and why it was removed."""

    name: str
    bytes: int
    why: str


def list_blobs(folder: Path) -> list[OpenVINOBlob]:
    found = []
    for path in sorted(folder.glob("*.blob")):
        with suppress(OSError):  # removed meanwhile
            status = path.stat()
            found.append(OpenVINOBlob(path, status.st_size, status.st_mtime))
    return found


def prune(store: EngineCache, rules: PruneRules, now: float | None = None) -> list[RemovedFile]:
    """Removes leftovers of interrupted builds, rejected files, and what the rules select. Returns what it removed.

    An engine that is being built is left alone. A file that the system refuses to delete (on Windows, one in use)
    stays, and is not in the result. now: seconds since 1970.
    """
    removed = list(_remove_leftovers(store))
    for kept, why in _choose_removals(store, rules, time() if now is None else now):
        with suppress(OSError):
            if isinstance(kept, CachedEngine):
                get_manifest_path(kept.path).unlink(missing_ok=True)
                Path(f"{kept.path}.lock").unlink(missing_ok=True)
            kept.path.unlink(missing_ok=True)
            removed.append(RemovedFile(kept.path.name, _get_bytes(kept), why))
    return removed


def _choose_removals(
    store: EngineCache, rules: PruneRules, now: float
) -> Iterator[tuple[CachedEngine | OpenVINOBlob, str]]:
    files: list[CachedEngine | OpenVINOBlob] = [*store.list_engines(), *list_blobs(store.folder)]
    room = float("inf") if rules.megabytes is None else rules.megabytes * MB
    for kept in sorted(files, key=lambda kept: kept.used, reverse=True):
        why = _explain_removal(kept, rules, now)
        if not why:
            room -= _get_bytes(kept)
            if room < 0:
                why = f"what was used more recently takes up {rules.megabytes:g} MB"
        if why:
            yield kept, why


def _explain_removal(kept: CachedEngine | OpenVINOBlob, rules: PruneRules, now: float) -> str:
    if rules.everything:
        return "everything is removed"
    unusable = rules.unusable(kept.manifest.key) if isinstance(kept, CachedEngine) else ""
    if unusable:
        return unusable
    days = (now - kept.used) / DAY_S
    return f"not used for {days:.0f} days" if rules.days is not None and days > rules.days else ""


def _get_bytes(kept: CachedEngine | OpenVINOBlob) -> int:
    return kept.manifest.bytes if isinstance(kept, CachedEngine) else kept.bytes


def _remove_leftovers(store: EngineCache) -> Iterator[RemovedFile]:
    """Removes engines without a readable manifest, and what builders left behind that died."""
    complete = {entry.path for entry in store.list_engines()}
    for engine in _list_engine_paths(store.folder):
        if engine in complete and not _find_remnants(engine):
            continue
        with store.lock_path(engine) as is_ours:
            if not is_ours:
                continue  # it is being built
            incomplete = [] if engine in complete else [engine, get_manifest_path(engine)]
            for path in _find_remnants(engine) + incomplete:
                with suppress(OSError):
                    size = path.stat().st_size
                    path.unlink()
                    yield RemovedFile(path.name, size, "left over")
            with suppress(OSError):  # Windows refuses, as the lock is open; filelock deletes it there on release
                Path(f"{engine}.lock").unlink(missing_ok=True)


def _find_remnants(engine: Path) -> list[Path]:
    return [*engine.parent.glob(f"{engine.name}.*.part"), *engine.parent.glob(f"{engine.name}.rejected")]


def _list_engine_paths(folder: Path) -> list[Path]:
    """The paths of all engines that any file in the folder belongs to, whether the engine exists or not."""
    names = [path.name for pattern in CACHE_PATTERNS for path in folder.glob(pattern)]
    return sorted({folder / (name.removesuffix(".toml").partition(".engine")[0] + ".engine") for name in names})
