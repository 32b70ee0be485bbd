"""Compiles engines for other people's graphics cards, and takes in engines that were compiled elsewhere.

Only TensorRT-RTX can do that: it compiles for a compute capability, on any machine. The files go into a folder as they
lie in the engine cache, each with its key in a .toml beside it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from live_sr import backends, config
from live_sr.engines.cache.build_process import find_or_build
from live_sr.engines.cache.prune import MB
from live_sr.engines.cache.signature import get_secret_path
from live_sr.engines.cache.store import CachedEngine, EngineCache
from live_sr.engines.options import EngineOptions
from live_sr.engines.tensorrt.base_engine import make_builder_command
from live_sr.engines.tensorrt.rtx_build import GET, MODULES
from live_sr.engines.tensorrt.rtx_build_spec import SMALLEST, RtxBuildSpec
from live_sr.errors import EngineError, LiveSRError, MissingPart, UsageError
from live_sr.models.card import ModelCard
from live_sr.models.export.precisions import PRECISIONS
from live_sr.models.resolve import resolve
from live_sr.pipeline.engine_contracts import BuildMonitor
from live_sr.pipeline.frame import Size
from live_sr.system import paths
from live_sr.terminal import Progress, print_error, print_result

LARGEST_BYTES = 1 << 30  # of an engine that is taken in; those of the shipped networks have up to 4 MB
BUILDER = make_builder_command("live_sr.engines.tensorrt.rtx_build")


@dataclass(frozen=True)
class CompileOptions:
    """What to compile. capabilities: such as "8.6". sizes: of the frames; None: one engine for windows of every size.

    models, scale, precision: empty or None for those of the settings. folder: where to; None: the engine cache.
    """

    capabilities: tuple[str, ...]
    sizes: tuple[Size | None, ...]
    models: tuple[str, ...] = ()
    scale: int | None = None
    precision: str = ""
    folder: Path | None = None


def compile_engines(options: CompileOptions, path: Path | None, builder: Sequence[str] = BUILDER) -> int:
    """Compiles each model for each size and compute capability; those that cannot be compiled are reported and skipped.

    path: the settings file, None for the defaults. builder: the command of the process that compiles. Returns the exit
    code of the first failure. Raises LiveSRError for options that cannot work.
    """
    store = _open_store(options.folder, path)
    cards, codes = _find_cards(options, path)
    precision = _choose_precision(options, path)
    tasks = list(itertools.product(cards, options.sizes, options.capabilities))
    progress = Progress("engines build", len(tasks), unit="engines")
    try:
        for card, size, capability in tasks:
            try:
                spec = RtxBuildSpec.for_window(card, size or SMALLEST, precision, capability, dynamic=size is None)
                _compile(spec, store, builder, BuildMonitor(progress.describe))
            except LiveSRError as error:
                print_error(error, f"{card.label} for {size or 'every size'}, compute capability {capability}")
                codes.append(error.exit_code)
            progress.step()
    finally:
        progress.close()
    return next(iter(codes), 0)


def import_engines(folder: Path, path: Path | None, *, trust: bool) -> int:
    """Copies the engines in a folder to the engine cache, signed as this user's own if the user trusts their maker.

    Engines that this user built are taken in any case. Returns 0 if all could be taken, else an exit code. Raises
    LiveSRError if the folder holds no engine.
    """
    store = _open_store(None, path)
    source = EngineCache(folder, get_secret_path(), print_result)
    entries = source.list_engines()
    if not entries:
        raise UsageError(f"there is no compiled engine in {folder}", "name the folder that `engines build -o` wrote")
    codes = [_import(entry, source, store, trust=trust) for entry in entries]
    return next((code for code in codes if code), 0)


def _open_store(folder: Path | None, path: Path | None) -> EngineCache:
    if folder is None:
        settings = EngineOptions.from_settings(config.load(path))
        folder = paths.require_folder(settings.cache, "compiled engines")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}", "name another folder") from None
    return EngineCache(folder, get_secret_path())


def _find_cards(options: CompileOptions, path: Path | None) -> tuple[list[ModelCard], list[int]]:
    """The networks, and the exit codes of the models that cannot be compiled, which are reported."""
    for module in MODULES:
        if not backends.is_installed(module):
            raise MissingPart(f"compiling needs {module}, which is not installed", GET)
    settings = config.load(path)
    cards: list[ModelCard] = []
    codes: list[int] = []
    for name in options.models or (settings.model.name,):
        try:
            model = resolve(name, options.scale, cache=EngineOptions.from_settings(settings).cache)
            if model.reader is not None and model.reader.convertible:
                raise UsageError(f"{name} is no ONNX model", f"convert it first: live-sr models add {name}")
            if model.is_filter or model.reader is not None:
                raise UsageError(f"{name} is not run by TensorRT-RTX", "name a network of `live-sr models list`")
            found = [model.get_card(scale) for scale in ((options.scale,) if options.scale else model.scales)]
            cards += [card for card in found if card is not None]
        except LiveSRError as error:
            print_error(error)
            codes.append(error.exit_code)
    return cards, codes


def _choose_precision(options: CompileOptions, path: Path | None) -> str:
    precision = options.precision or config.load(path).engine.precision
    precision = PRECISIONS[0] if precision == "auto" else precision
    if precision not in PRECISIONS:
        raise UsageError(
            f"TensorRT-RTX does not compile in {precision}", f"use --precision with one of {', '.join(PRECISIONS)}"
        )
    return precision


def _compile(spec: RtxBuildSpec, store: EngineCache, builder: Sequence[str], watch: BuildMonitor) -> None:
    """Raises LiveSRError."""
    started = perf_counter()
    was_there = store.find(spec.key) is not None
    engine = find_or_build(spec.key, builder, spec, store, watch)
    store.remove_lock(spec.key)  # the folder may be for somebody else
    sizes = f"every size up to {spec.width}x{spec.height}" if spec.dynamic else f"{spec.width}x{spec.height}"
    label = f"{spec.card.label} for {sizes}, {spec.precision}, compute capability {spec.capability}"
    took = "was there already" if was_there else f"{perf_counter() - started:.1f} s"
    print_result(f"{label}: {len(engine) / MB:.2f} MB, {took}, {spec.key.file_name}")


def _import(entry: CachedEngine, source: EngineCache, store: EngineCache, *, trust: bool) -> int:
    """Prints what becomes of the engine, and returns the exit code."""
    key, name = entry.manifest.key, entry.path.name
    try:
        if key.gpu or key.driver:
            raise EngineError(f"{name} is only for the GPU and driver that it was built with", "build it here")
        engine = _read_whole(entry)
        if not trust and not source.is_own(entry, engine):
            raise EngineError(
                f"{name} was compiled by somebody else, and an engine can run any code on this machine",
                "add --trust if you trust whoever compiled it, or compile it here",
            )
        store.keep(key, engine, entry.manifest.seconds)
    except EngineError as error:
        print_error(error)
        return error.exit_code
    print_result(f"{name} is in {store.folder}, SHA-256 {entry.manifest.sha256}")
    return 0


def _read_whole(entry: CachedEngine) -> bytes:
    """Raises EngineError unless the file is what its manifest says."""
    try:
        if entry.path.stat().st_size > LARGEST_BYTES:
            raise EngineError(f"{entry.path} is too large for an engine", "get it again, or compile it here")
        engine = entry.path.read_bytes()
    except OSError as error:
        raise EngineError(f"{entry.path} cannot be read: {error.strerror}", "check its permissions") from error
    if hashlib.sha256(engine).hexdigest() != entry.manifest.sha256 or len(engine) != entry.manifest.bytes:
        raise EngineError(f"{entry.path.name} is damaged", "get it again, or compile it here")
    return engine
