"""Makes engines for files: their pictures are checked, of any size, and in tiles where memory or model require it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import cast

from live_sr import backends
from live_sr.engines import engine_choice, factory, loading
from live_sr.engines.number_check import NumberCheckedEngine
from live_sr.engines.options import EngineOptions
from live_sr.engines.tiling import radius_probe, requirements
from live_sr.engines.tiling.engine import TiledEngine
from live_sr.engines.tiling.layout import TileRequirements
from live_sr.engines.tiling.requirements import FADE_RADIUS
from live_sr.models.card import ModelCard
from live_sr.models.resolve import Kind, Model
from live_sr.pipeline.contracts import Engine, ImageEngine
from live_sr.pipeline.frame import Pixels16

OnTile = Callable[[int, int], None]
"""(tiles done, tiles in all)"""

# Tiles in work at once, for engines on the CPU. Two tiles with one thread each took 0.6 to 1.2 times as long as one
# with two threads (fast and quality x2, tiles of 128 to 1448 pixels a side, two busy cores of Zen 5).
MAX_WORKERS = 4
DEFAULT_STEP = 8  # where the radius is unknown: many networks halve the picture two or three times inside
FILTER_RADIUS = 8  # pixels: more than any filter sees
FILTER_BYTES = 16  # of a pixel of the result, between two steps of a filter on a graphics card
DEFAULT_RADIUS = 32  # pixels, for a network that seems to see the whole picture, for example through a global average


def make_tiled_engine(
    model: Model, scale: int, options: EngineOptions, tile: int = 0, on_tile: OnTile = lambda done, total: None
) -> Engine:
    """An engine for pictures of any size, not yet warmed up. Raises ModelError, EngineError or MissingPart.

    tile: 0 splits a picture where that is necessary, a positive number is the side of the tiles in pixels, -1 never
    splits. Pictures that overflow in half precision are computed again in fp32.
    """
    card = model.get_card(scale)
    if card is None and options.backend == backends.AUTO:
        return loading.make_filter(model.name, scale)  # it draws row by row, needs no extra memory, and starts faster
    make = partial(_make_unchecked, model, scale, card, tile=tile, on_tile=on_tile)
    if card is None:
        return make(options)
    return NumberCheckedEngine(make(options), lambda: make(_in_fp32(model, options)))


def _in_fp32(model: Model, options: EngineOptions) -> EngineOptions:
    """The options of an engine that computes every network of that kind in fp32."""
    runtime = backends.find_cpu_runtime()
    its_own = model.reader is not None or runtime.unavailable_reason()
    return replace(options, backend=options.backend if its_own else runtime.name, precision="fp32")


def _make_unchecked(
    model: Model, scale: int, card: ModelCard | None, options: EngineOptions, *, tile: int, on_tile: OnTile
) -> Engine:
    if tile < 0 or (card is not None and card.cuts_itself):
        return factory.make_engine(model, scale, options)

    def make(threads: int) -> Engine:
        return factory.make_engine(model, scale, _with_threads(options, threads))

    if card is None:
        needed = TileRequirements(FILTER_RADIUS, memory=FILTER_BYTES * scale**2)
        return TiledEngine(make, needed, side=tile, on_tile=on_tile)

    parallel = model.reader is None and engine_choice.choose_engine(options)[0].parallel_tiles
    workers, threads = _share_threads(options) if parallel else (1, 0)
    needed, measure = _find_requirements(model, card, lambda: make(0))
    return TiledEngine(make, needed, measure=measure, side=tile, workers=workers, threads=threads, on_tile=on_tile)


def make_16bit_engine(
    model: Model, scale: int, options: EngineOptions, tile: int = 0, on_tile: OnTile = lambda done, total: None
) -> ImageEngine[Pixels16] | None:
    """The same for pictures of 16 bits a channel.

    None where nothing computes with that precision: for filters, for published networks in their own file format, and
    for engines other than OpenVINO.
    """
    card = model.get_card(scale)
    runtime = next(backend for backend in backends.ENGINES if backend.path_16bit)
    if card is None or model.reader is not None or options.backend not in ("auto", runtime.name):
        return None
    if runtime.unavailable_reason():
        return None
    make_16bit = runtime.load_16bit()

    def make(threads: int) -> ImageEngine[Pixels16]:
        engine = make_16bit(card, threads=threads or options.threads, cache=options.cache)
        return cast("ImageEngine[Pixels16]", engine)

    if tile < 0:
        return NumberCheckedEngine(make(0))
    workers, threads = _share_threads(options)
    needed, measure = _find_requirements(model, card, lambda: factory.make_engine(model, scale, options))
    tiled = TiledEngine(make, needed, measure=measure, side=tile, workers=workers, threads=threads, on_tile=on_tile)
    return NumberCheckedEngine(tiled)


def _with_threads(options: EngineOptions, threads: int) -> EngineOptions:
    return replace(options, threads=threads or options.threads, queue=0)


def _share_threads(options: EngineOptions) -> tuple[int, int]:
    """How many tiles are in work at once, and with how many threads each."""
    cores = options.threads or os.cpu_count() or 1
    workers = min(MAX_WORKERS, cores)
    return workers, cores // workers


def _find_requirements(
    model: Model, card: ModelCard, make: Callable[[], Engine]
) -> tuple[TileRequirements, Callable[[], TileRequirements] | None]:
    """What the network requires of its tiles, read from its file.

    Where the file does not say it, a guess and a function that measures it.
    """
    has_graph = model.kind is not Kind.PUBLISHED
    known = requirements.read_requirements(card) if has_graph else None
    if known is not None:
        return known, None
    fixed_size = requirements.read_fixed_size(card) if has_graph else None
    memory = 4096 + 1024 * card.scale**2  # 64 fp32 channels: 16 of the input's size and 4 of the result's
    step = math.lcm(card.multiple, DEFAULT_STEP)
    guess = TileRequirements(DEFAULT_RADIUS, step, card.multiple, memory, exact=False, fixed_size=fixed_size)
    if fixed_size is not None:
        return guess, None

    def measure() -> TileRequirements:
        with closing(make()) as trial:
            measured = radius_probe.measure_radius(trial, step)
        radius = DEFAULT_RADIUS if measured is None else min(measured + max(measured // 4, 4), FADE_RADIUS)
        return TileRequirements(radius, step, card.multiple, memory, exact=False)

    return guess, measure
