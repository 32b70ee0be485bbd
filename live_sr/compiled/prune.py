"""What may go from the folder of compiled engines, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import time

from live_sr.compiled.key import DIGITS, Key
from live_sr.compiled.store import Entry, Store, card_of

DAY_S = 86400.0
MB = 1e6
OURS = ("*.engine", "*.engine.*.part", "*.engine.rejected", "*.engine.lock", f"*-{'[0-9a-f]' * DIGITS}.toml")


def _usable(key: Key) -> str:
    return ""


@dataclass(frozen=True)
class Rules:
    """days: that something may go unused. megabytes: that everything may take together; the last used stay. None: any.

    unusable: why an engine cannot be used here any more, or an empty string. everything: all goes.
    """

    days: float | None = None
    megabytes: float | None = None
    unusable: Callable[[Key], str] = _usable
    everything: bool = False


@dataclass(frozen=True)
class Graph:
    """A file of OpenVINO's own cache, which is in the same folder. used: seconds since 1970, when it was written."""

    path: Path
    bytes: int
    used: float


@dataclass(frozen=True)
class Removed:
    """What is gone: the file's name, its size and why."""

    name: str
    bytes: int
    why: str


def graphs(folder: Path) -> list[Graph]:
    found = []
    for path in sorted(folder.glob("*.blob")):
        with suppress(OSError):  # removed meanwhile
            about = path.stat()
            found.append(Graph(path, about.st_size, about.st_mtime))
    return found


def prune(store: Store, rules: Rules, now: float | None = None) -> list[Removed]:
    """Removes leftovers of what was cut off or not trusted, and what the rules say; what is gone.

    What somebody builds now is left alone. A file that the system does not let go (in use, on Windows) stays, and is
    not among the result. now: seconds since 1970.
    """
    gone = list(_leftovers(store))
    for kept, why in _condemned(store, rules, time() if now is None else now):
        with suppress(OSError):
            if isinstance(kept, Entry):
                card_of(kept.path).unlink(missing_ok=True)
                Path(f"{kept.path}.lock").unlink(missing_ok=True)
            kept.path.unlink(missing_ok=True)
            gone.append(Removed(kept.path.name, _bytes(kept), why))
    return gone


def _condemned(store: Store, rules: Rules, now: float) -> Iterator[tuple[Entry | Graph, str]]:
    everything: list[Entry | Graph] = [*store.entries(), *graphs(store.folder)]
    room = float("inf") if rules.megabytes is None else rules.megabytes * MB
    for kept in sorted(everything, key=lambda kept: kept.used, reverse=True):
        why = _why(kept, rules, now)
        if not why:
            room -= _bytes(kept)
            if room < 0:
                why = f"the rest used since takes up {rules.megabytes:g} MB"
        if why:
            yield kept, why


def _why(kept: Entry | Graph, rules: Rules, now: float) -> str:
    if rules.everything:
        return "everything goes"
    unusable = rules.unusable(kept.label.key) if isinstance(kept, Entry) else ""
    if unusable:
        return unusable
    days = (now - kept.used) / DAY_S
    return f"not used for {days:.0f} days" if rules.days is not None and days > rules.days else ""


def _bytes(kept: Entry | Graph) -> int:
    return kept.label.bytes if isinstance(kept, Entry) else kept.bytes


def _leftovers(store: Store) -> Iterator[Removed]:
    """Engines without a card that can be read, and what builders left that died."""
    whole = {entry.path for entry in store.entries()}
    for engine in _named(store.folder):
        if engine in whole and not _beside(engine):
            continue
        with store.holding(engine) as ours:
            if not ours:
                continue  # somebody builds it
            for path in _beside(engine) + ([] if engine in whole else [engine, card_of(engine)]):
                with suppress(OSError):
                    size = path.stat().st_size
                    path.unlink()
                    yield Removed(path.name, size, "left over")
            with suppress(OSError):  # Windows does so itself, once it is not held
                Path(f"{engine}.lock").unlink(missing_ok=True)


def _beside(engine: Path) -> list[Path]:
    return [*engine.parent.glob(f"{engine.name}.*.part"), *engine.parent.glob(f"{engine.name}.rejected")]


def _named(folder: Path) -> list[Path]:
    """The engines that any file of ours is about, whether they are there or not."""
    about = [path.name for pattern in OURS for path in folder.glob(pattern)]
    return sorted({folder / (name.removesuffix(".toml").partition(".engine")[0] + ".engine") for name in about})
