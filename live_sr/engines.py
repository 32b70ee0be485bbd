"""`live-sr engines`: the compiled engines there are, making them ahead of play, and clearing away."""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from live_sr import __version__, assembly, backends, config, nvml
from live_sr.assembly import EngineOptions
from live_sr.compiled.key import Key, installed
from live_sr.compiled.prune import MB, Rules, graphs
from live_sr.compiled.prune import prune as pruned
from live_sr.compiled.seal import own_secret
from live_sr.compiled.store import Entry, Store
from live_sr.config import Config
from live_sr.contracts import Watch
from live_sr.errors import EngineError, ModelError, UsageError
from live_sr.frame import Size
from live_sr.nvml import Readings

# Windows of old games and of emulators, and what becomes of 1080p and 1440p screens at x2
SIZES = (Size(480, 270), Size(640, 360), Size(640, 480), Size(800, 600), Size(960, 540), Size(1280, 720))

COLUMNS = ("model", "scale", "size", "precision", "engine", "GPU", "MB", "built", "last used", "usable here")


@dataclass(frozen=True)
class Order:
    """What to build ahead. Empty strings and None: as the settings say. No sizes: those in use before, else SIZES.

    all_profiles: every model and scale that the settings and their profiles name.
    """

    model: str = ""
    scale: int | None = None
    sizes: tuple[Size, ...] = ()
    engine: str = ""
    precision: str = ""
    all_profiles: bool = False


@dataclass(frozen=True)
class Task:
    """One model to make ready."""

    model: str
    scale: int
    options: EngineOptions


def show_list(path: Path | None) -> int:
    """Prints a table of all compiled engines. path: of the settings, None for the defaults, here and below."""
    store = _store(config.load(path))
    entries = store.entries()
    here = nvml.readings() if entries else Readings()
    if entries:
        print(_table((COLUMNS, *(_row(entry, _obstacle(entry.label.key, here)) for entry in entries))))
    else:
        print(f"there is no compiled engine in {store.folder}")
    compiled = graphs(store.folder)
    if compiled:
        print(f"and {len(compiled)} graphs compiled by OpenVINO, {sum(g.bytes for g in compiled) / MB:.1f} MB")
    return 0


def build(order: Order, path: Path | None) -> int:
    """Builds one engine after the other, telling how far it is; those that cannot be built are told and passed over.

    The exit code is that of the first of these. KeyboardInterrupt leaves nothing half built. Raises LiveSRError for an
    order that cannot be met at all.
    """
    tasks = _tasks(order, path)
    if not tasks:
        raise UsageError("filters need no engine to be built", "name a network with --model")
    sizes = order.sizes or _sizes_before(_store(config.load(path))) or SIZES
    codes = [code for task in tasks for code in _made_ready(task, sizes)]
    return next((code for code in codes if code), 0)


def prune(path: Path | None, *, days: float | None = None, megabytes: float | None = None, everything: bool) -> int:
    """Removes leftovers, engines for other versions, drivers or cards than are here, and what the rules say.

    Where no card can be asked, no engine goes for the card it was built for.
    """
    store = _store(config.load(path))
    here = nvml.readings()

    def unusable(key: Key) -> str:
        return _outdated(key) or (_elsewhere(key, here) if here.gpus else "")

    gone = pruned(store, Rules(days, megabytes, unusable, everything))
    for removed in gone:
        print(f"removed {removed.name}, {removed.bytes / MB:.1f} MB: {removed.why}")
    print(f"{len(gone)} files of {sum(removed.bytes for removed in gone) / MB:.1f} MB removed from {store.folder}")
    return 0


def _store(settings: Config) -> Store:
    return Store(assembly.engine_options(settings).cache or backends.cache_folder(), own_secret())


def _tasks(order: Order, path: Path | None) -> list[Task]:
    """What to build, each once; filters, which need no building, are left out. Raises LiveSRError."""
    if order.all_profiles and (order.model or order.scale):
        raise UsageError("--all-profiles takes models and scales from config.toml", "leave out --model and --scale")
    tasks: dict[Task, None] = {}
    for settings in _all_settings(path) if order.all_profiles else [config.load(path)]:
        options = assembly.engine_options(settings)
        options = replace(
            options, backend=order.engine or options.backend, precision=order.precision or options.precision
        )
        assembly.engine_choice(options)  # raises, with every reason, before anything is built
        model = order.model or settings.model.name
        if model not in assembly.FILTERS:
            scale = order.scale or settings.model.scale
            scales = assembly.scales(model) if scale == "fit" else (scale,)
            tasks |= {Task(model, scale, options): None for scale in scales}
    return list(tasks)


def _all_settings(path: Path | None) -> list[Config]:
    """Those without a profile, and those with each one. Raises UsageError that tells all mistakes."""
    found = [config.load(path)]
    if path is not None:
        below = tomllib.loads(path.read_text(encoding="utf-8"))  # known to be right by now
        profiles = below.pop("profile", [])
        for profile in profiles:
            above = {section: values for section, values in profile.items() if section != "match"}
            found.append(Config.model_validate(config.merged(below, above)))
    return found


def _sizes_before(store: Store) -> tuple[Size, ...]:
    return tuple(sorted({entry.label.key.size for entry in store.entries()}))


def _made_ready(task: Task, sizes: Sequence[Size]) -> Iterator[int]:
    """Builds and tells; the exit code of each. A model that cannot be used at all is told once."""
    for size in sizes:
        try:
            _make_ready(task, size)
            yield 0
        except (EngineError, ModelError) as error:
            print(f"live-sr: {task.model} x{task.scale} for {size}: {error.message}", file=sys.stderr)
            if error.remedy:
                print(f"  {error.remedy}", file=sys.stderr)
            yield error.exit_code
            if isinstance(error, ModelError):
                return


def _make_ready(task: Task, size: Size) -> None:
    """Raises LiveSRError."""
    started = perf_counter()
    with _telling() as watch:
        engine = assembly.make_engine(task.model, task.scale, task.options, watch)
        try:
            engine.warm_up(size)
        finally:
            engine.close()
    print(f"{engine.job} is ready for {size}, after {perf_counter() - started:.1f} s")


@contextmanager
def _telling() -> Iterator[Watch]:
    """Keeps one line of the terminal up to date; where the output goes elsewhere there is none."""
    if not sys.stdout.isatty():
        yield Watch()
        return

    def tell(words: str) -> None:
        room = shutil.get_terminal_size().columns - 1
        print(f"\r{words[:room]:{room}}\r", end="", flush=True)

    try:
        yield Watch(progress=tell)
    finally:
        tell("")


def _obstacle(key: Key, here: Readings) -> str:
    """Why an engine cannot be used here, or an empty string."""
    return _outdated(key) or _elsewhere(key, here)


def _outdated(key: Key) -> str:
    for package, version in key.versions:
        if " " in package:
            continue  # no package: a library tells that version when it runs
        there = __version__ if package == "live-sr" else dict(installed((package,))).get(package)
        if there is None:
            return f"{package} is not installed"
        if there != version:
            return f"{package} is {there} now, not {version}"
    return ""


def _elsewhere(key: Key, here: Readings) -> str:
    if not here.gpus:
        return here.why
    cards = [gpu for gpu in here.gpus if gpu.name == key.gpu]
    if not cards:
        return "for another card"
    if all(key.driver not in (gpu.driver, f"CUDA {gpu.cuda}") for gpu in cards):
        return f"the driver is {cards[0].driver} now, not {key.driver}"
    return ""


def _row(entry: Entry, obstacle: str) -> tuple[str, ...]:
    key = entry.label.key
    used = datetime.fromtimestamp(entry.used, UTC).date().isoformat()
    return (
        *(key.model, f"x{key.scale}", str(key.size), key.precision, key.engine, key.gpu),
        *(f"{entry.label.bytes / MB:.1f}", entry.label.built[:10], used, f"no: {obstacle}" if obstacle else "yes"),
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    right = COLUMNS.index("MB")
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i == right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
