"""`live-sr engines`: lists compiled engines, builds them before a game starts, and deletes old ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from live_sr import __version__, config
from live_sr.config import Settings
from live_sr.engines import engine_choice, factory
from live_sr.engines.cache.key import EngineKey, find_installed
from live_sr.engines.cache.prune import MB, PruneRules, list_blobs
from live_sr.engines.cache.prune import prune as pruned
from live_sr.engines.cache.signature import get_secret_path
from live_sr.engines.cache.store import CachedEngine, EngineCache
from live_sr.engines.options import EngineOptions
from live_sr.errors import EngineError, ModelError, UsageError
from live_sr.models.resolve import Model, resolve
from live_sr.nvidia import nvml
from live_sr.nvidia.nvml import GpuReadings
from live_sr.pipeline.engine_contracts import BuildMonitor
from live_sr.pipeline.frame import Size
from live_sr.system import paths
from live_sr.terminal import Progress, format_table, print_error, print_result

# Windows of old games and of emulators, and what becomes of 1080p and 1440p screens at x2
SIZES = (Size(480, 270), Size(640, 360), Size(640, 480), Size(800, 600), Size(960, 540), Size(1280, 720))

COLUMNS = ("model", "scale", "size", "precision", "engine", "GPU", "MB", "built", "last used", "usable here")


@dataclass(frozen=True)
class BuildOptions:
    """What to build. Empty values and None: as in the settings. No sizes: those of earlier engines, else SIZES.

    all_profiles: every model and scale that the settings and their profiles name.
    """

    models: tuple[str, ...] = ()
    scale: int | None = None
    sizes: tuple[Size, ...] = ()
    engine: str = ""
    precision: str = ""
    all_profiles: bool = False


@dataclass(frozen=True)
class BuildTask:
    """One model to build engines for."""

    model: Model
    scale: int
    options: EngineOptions


def list_engines(path: Path | None, folder: Path | None = None) -> int:
    """Prints a table of all compiled engines, in the engine cache or another folder.

    path: the settings file, None for the defaults, here and below. Raises UsageError if there is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "name the folder that `engines build -o` wrote")
    store = _open_cache(config.load(path)) if folder is None else EngineCache(folder, get_secret_path())
    entries = store.list_engines()
    here = nvml.read_gpus() if entries else GpuReadings()
    if entries:
        reasons = (
            store.find_damage(entry, foreign=folder is not None) or _explain_unusable(entry.manifest.key, here)
            for entry in entries
        )
        rows = [COLUMNS, *map(_make_row, entries, reasons)]
        print_result("\n".join(format_table(rows, "<<<<<<><")))
    else:
        print_result(f"there is no compiled engine in {store.folder}")
    compiled = list_blobs(store.folder)
    if compiled:
        graphs = "1 graph" if len(compiled) == 1 else f"{len(compiled)} graphs"
        print_result(f"and {graphs} compiled by OpenVINO, {sum(g.bytes for g in compiled) / MB:.1f} MB")
    return 0


def build_engines(options: BuildOptions, path: Path | None) -> int:
    """Builds one engine after the other and reports the progress; those that cannot be built are reported and skipped.

    Returns the exit code of the first failure. KeyboardInterrupt leaves nothing half built. Raises LiveSRError for
    options that cannot work.
    """
    tasks, failures = _plan_tasks(options, path)
    if not tasks and not failures:
        raise UsageError("filters need no engine to be built", "name a network with --model")
    for failure in failures:
        print_error(failure)
    sizes = options.sizes or _list_known_sizes(_open_cache(config.load(path))) or SIZES
    progress = Progress("engines build", len(tasks) * len(sizes), unit="engines")
    try:
        codes = [failure.exit_code for failure in failures]
        codes += [code for task in tasks for code in _build_sizes(task, sizes, progress)]
    finally:
        progress.close()
    return next((code for code in codes if code), 0)


def prune_engines(
    path: Path | None, *, days: float | None = None, megabytes: float | None = None, everything: bool
) -> int:
    """Deletes leftovers, engines for other versions, drivers or GPUs than this machine's, and what the flags name.

    Where no GPU can be queried, no engine is deleted because of the GPU that it was built for.
    """
    store = _open_cache(config.load(path))
    here = nvml.read_gpus()

    def unusable(key: EngineKey) -> str:
        return _compare_versions(key) or (_compare_gpu(key, here) if here.gpus else "")

    gone = pruned(store, PruneRules(days, megabytes, unusable, everything))
    for removed in gone:
        print_result(f"removed {removed.name}, {removed.bytes / MB:.1f} MB: {removed.why}")
    freed = sum(removed.bytes for removed in gone) / MB
    print_result(f"{len(gone)} files of {freed:.1f} MB removed from {store.folder}")
    return 0


def _open_cache(settings: Settings) -> EngineCache:
    folder = paths.require_folder(EngineOptions.from_settings(settings).cache, "compiled engines")
    return EngineCache(folder, get_secret_path())


def _plan_tasks(options: BuildOptions, path: Path | None) -> tuple[list[BuildTask], list[ModelError]]:
    """What to build, each once, and the errors of the models that cannot be built. Filters need no engine.

    Raises LiveSRError for options that cannot work.
    """
    if options.all_profiles and (options.models or options.scale):
        raise UsageError("--all-profiles takes models and scales from config.toml", "leave out --model and --scale")
    tasks: dict[BuildTask, None] = {}
    failures: dict[str, ModelError] = {}
    for settings in config.load_all(path) if options.all_profiles else [config.load(path)]:
        engine_options = EngineOptions.from_settings(settings, live=True)
        engine_options = replace(
            engine_options,
            backend=options.engine or engine_options.backend,
            precision=options.precision or engine_options.precision,
        )
        engine_choice.choose_engine(engine_options)  # raises, with every reason, before anything is built
        scale = options.scale or settings.model.scale
        for name in options.models or (settings.model.name,):
            try:
                model = resolve(name, cache=engine_options.cache)
            except ModelError as error:
                failures.setdefault(error.message, error)
                continue
            if not model.is_filter:
                scales = model.scales if scale == "fit" else (scale,)
                tasks |= {BuildTask(model, scale, engine_options): None for scale in scales}
    return list(tasks), list(failures.values())


def _list_known_sizes(store: EngineCache) -> tuple[Size, ...]:
    return tuple(sorted({entry.manifest.key.size for entry in store.list_engines()}))


def _build_sizes(task: BuildTask, sizes: Sequence[Size], progress: Progress) -> Iterator[int]:
    """Builds an engine for each size and yields its exit code. A model that cannot be used ends the series."""
    for size in sizes:
        try:
            _build_size(task, size, BuildMonitor(progress.describe))
            progress.step()
            yield 0
        except (EngineError, ModelError) as error:
            print_error(error, f"{task.model.name} x{task.scale} for {size}")
            progress.step()
            yield error.exit_code
            if isinstance(error, ModelError):
                return


def _build_size(task: BuildTask, size: Size, monitor: BuildMonitor) -> None:
    """Raises LiveSRError."""
    started = perf_counter()
    engine = factory.make_engine(task.model, task.scale, task.options, monitor)
    try:
        engine.warm_up(size)
    finally:
        engine.close()
    print_result(f"{engine.info} is ready for {size}, after {perf_counter() - started:.1f} s")


def _explain_unusable(key: EngineKey, here: GpuReadings) -> str:
    """Why an engine cannot be used here, or an empty string."""
    return _compare_versions(key) or _compare_gpu(key, here)


def _compare_versions(key: EngineKey) -> str:
    for package, version in key.versions:
        if " " in package:
            continue  # not a package: a library reports that version at run time
        there = __version__ if package == "live-sr" else dict(find_installed((package,))).get(package)
        if there is None:
            return f"{package} is not installed"
        if there != version:
            return f"{package} is {there} now, not {version}"
    return ""


def _compare_gpu(key: EngineKey, here: GpuReadings) -> str:
    if not here.gpus:
        return here.why
    if not key.gpu:
        fitting = any(gpu.capability == key.capability for gpu in here.gpus)
        return "" if fitting else f"for GPUs of compute capability {key.capability}"
    same = [gpu for gpu in here.gpus if gpu.name == key.gpu]
    if not same:
        return "for another GPU"
    if all(key.driver not in (gpu.driver, f"CUDA {gpu.cuda}") for gpu in same):
        return f"the driver is {same[0].driver} now, not {key.driver}"
    return ""


def _make_row(entry: CachedEngine, reason: str) -> tuple[str, ...]:
    key = entry.manifest.key
    used = datetime.fromtimestamp(entry.used, UTC).date().isoformat()
    shapes = dict(key.options).get("shapes", "static")
    return (
        key.model,
        f"x{key.scale}",
        str(key.size) if shapes == "static" else shapes,
        key.precision,
        key.engine,
        key.gpu or f"any {key.capability}",
        f"{entry.manifest.bytes / MB:.1f}",
        entry.manifest.built[:10],
        used,
        f"no: {reason}" if reason else "yes",
    )
