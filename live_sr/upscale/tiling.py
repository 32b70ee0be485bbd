"""Engines for pictures of any size: in tiles where the memory or the model asks for it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import closing

from live_sr import assembly, backends, chaining
from live_sr.assembly import EngineOptions
from live_sr.contracts import Engine
from live_sr.engine import probe
from live_sr.engine.lane import Deep, Enlarger
from live_sr.engine.tiled import Tiled
from live_sr.engine.tiling import Needs
from live_sr.frame import Size
from live_sr.models import field, onnxfile
from live_sr.models.card import ModelCard

Told = Callable[[int, int], None]
"""(tiles done, of how many)"""

LANES = 4  # tiles at once, where engines run on the processor: 2 with one thread each took 0.6 to 1.2 of the time of
# 1 with two threads (fast and quality x2, tiles of 128 to 1448 pixels a side, two cores of Zen 5, busy)
FAR = 96  # pixels of overlap up to which tiles are kept exact; a network that sees further is cross-faded
FADED = 64  # its overlap
STEP = 8  # where tiles of an unknown network begin: many halve the picture two or three times inside
GUESS = 32  # the overlap of a network that seems to see everything, such as one that counts over the whole picture


def engine(model: str, scale: int, options: EngineOptions, tile: int = 0, told: Told = lambda done, of: None) -> Engine:
    """For frames and pictures of any size, not yet warmed up. Raises ModelError, EngineError or MissingPart.

    tile: 0 splits a picture where it has to be, a number uses tiles of so many pixels each side, -1 never splits.
    """
    card = assembly.about(model, scale)
    if tile < 0 or card is None:  # filters draw row by row, and need no memory of their own
        return assembly.make_engine(model, scale, options)

    def make(threads: int) -> Engine:
        return assembly.make_engine(model, scale, _with_threads(options, threads))

    lanes, threads = _lanes(model, options)
    needs, measure = _needs(card, lambda: make(0))
    return Tiled(make, needs, measure=measure, side=tile, lanes=lanes, threads=threads, told=told)


def deep_engine(
    model: str, scale: int, options: EngineOptions, tile: int = 0, told: Told = lambda done, of: None
) -> Enlarger[Deep] | None:
    """The same for pictures of 16 bits a channel; None where nothing computes so finely: a filter, a published network
    in its own file, an engine other than OpenVINO."""
    card = assembly.about(model, scale)
    runtime = next(b for b in backends.ENGINES if b.name == "openvino")
    if card is None or card.onnx.suffix.lower() != ".onnx" or options.backend not in ("auto", "openvino"):
        return None
    if chaining.reader(model) is not None or runtime.obstacle():
        return None
    from live_sr.engine.openvino import DeepOpenVINOEngine

    def make(threads: int) -> Enlarger[Deep]:
        return DeepOpenVINOEngine(card, threads=threads or options.threads, cache=options.cache)

    if tile < 0:
        return make(0)
    count, threads = _shared(options)
    needs, measure = _needs(card, lambda: assembly.make_engine(model, scale, options))
    return Tiled(make, needs, measure=measure, side=tile, lanes=count, threads=threads, told=told)


def _with_threads(options: EngineOptions, threads: int) -> EngineOptions:
    return EngineOptions(options.backend, options.precision, threads or options.threads, options.cache)


def _lanes(model: str, options: EngineOptions) -> tuple[int, int]:
    """How many tiles at once, and threads for each."""
    here = chaining.reader(model) is None and assembly.engine_choice(options)[0].name == "openvino"
    return _shared(options) if here else (1, 0)


def _shared(options: EngineOptions) -> tuple[int, int]:
    cores = options.threads or os.cpu_count() or 1
    lanes = min(LANES, cores)
    return lanes, cores // lanes


def _needs(card: ModelCard, make: Callable[[], Engine]) -> tuple[Needs, Callable[[], Needs] | None]:
    """What its tiles need: read from its file, else a guess and what measures it better."""
    known = field.of(card.onnx) if card.onnx.suffix.lower() == ".onnx" else None
    fixed = _fixed(card)
    if known is not None:
        step = math.lcm(known.step, card.multiple)
        exact = known.reach <= FAR
        return Needs(known.reach if exact else FADED, step, card.multiple, known.memory, exact, fixed), None
    memory = 4096 + 1024 * card.scale**2  # 64 channels in fp32: 16 of the picture's size and 4 of the result's
    step = math.lcm(card.multiple, STEP)
    guess = Needs(GUESS, step, card.multiple, memory, exact=False, fixed=fixed)
    if fixed is not None:
        return guess, None

    def measure() -> Needs:
        with closing(make()) as trial:
            seen = probe.reach(trial, step)
        reach = GUESS if seen is None else min(seen + max(seen // 4, 4), FADED)
        return Needs(reach, step, card.multiple, memory, exact=False)

    return guess, measure


def _fixed(card: ModelCard) -> Size | None:
    """The one size that it takes, where its file says so."""
    if card.onnx.suffix.lower() != ".onnx":
        return None
    try:
        shape = onnxfile.shapes(card.onnx).input
    except (onnxfile.NotWhole, OSError):
        return None  # the engine will say so
    height, width = shape[2:] if len(shape) == 4 else (None, None)
    return Size(width, height) if width and height else None
