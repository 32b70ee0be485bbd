"""The options of a benchmark, and the combinations that they make."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from live_sr import backends
from live_sr.bench.baselines import registry
from live_sr.bench.report import check_folder
from live_sr.engines.options import EngineOptions
from live_sr.errors import MissingPart, UsageError, did_you_mean
from live_sr.models.resolve import Model, resolve
from live_sr.pipeline.frame import Size

PATTERN_SIZE = Size(480, 270)
USUAL_PACE = 60.0
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "fp8", "int8")

T = TypeVar("T")


@dataclass(frozen=True)
class BenchOptions:
    """Every combination of model, scale, size, engine and precision runs in every mode.

    A mode is a pace in frames per second, or None: free-running, for throughput. `sizes` are those of the pattern; a
    video has its own. engine: the engine settings; each case replaces their backend and precision. changed_regions:
    every network runs a second time, where it draws only what has changed. With `compare`, two reports are compared and
    nothing runs.
    """

    source: str = "pattern"
    sizes: tuple[Size, ...] = (PATTERN_SIZE,)
    models: tuple[str, ...] = ("fast",)
    scales: tuple[int, ...] = (2,)
    engines: tuple[str, ...] = ("auto",)
    precisions: tuple[str, ...] = ("auto",)
    engine: EngineOptions = field(default_factory=EngineOptions)
    seconds: float = 5.0
    modes: tuple[float | None, ...] = (None, USUAL_PACE)
    rounds: int = 1
    roofline: bool = False
    changed_regions: bool = False
    json: Path | None = None
    csv: Path | None = None
    html: Path | None = None
    submit_file: Path | None = None
    compare: tuple[Path, Path] | None = None


@dataclass(frozen=True)
class BenchCase:
    """One engine, which is built once in a round and run in every mode. size: None for the source's own."""

    model: Model
    scale: int
    size: Size | None
    engine: str
    precision: str
    changed_regions: bool = False

    def __str__(self) -> str:
        engine = "" if self.engine == "auto" else f", {self.engine}"
        precision = "" if self.precision == "auto" else f" {self.precision}"
        changed = ", changed regions" if self.changed_regions else ""
        return f"{self.model.name} x{self.scale}{f' at {self.size}' if self.size else ''}{engine}{precision}{changed}"


def choose_modes(paces: Sequence[float] | None, free: bool) -> tuple[float | None, ...]:
    """The modes that the flags name; without any, free-running and USUAL_PACE."""
    if not paces and not free:
        return (None, USUAL_PACE)
    return (*((None,) if free else ()), *dict.fromkeys(paces or ()))


def list_cases(options: BenchOptions) -> list[BenchCase]:
    """In the order of the tables: a filter is the same in every engine and precision, so it comes once.

    Raises ModelError or MissingPart for a model that cannot be had.
    """
    sizes: tuple[Size | None, ...] = options.sizes if options.source == "pattern" else (None,)
    found = []
    for name in options.models:
        model = resolve(name, cache=options.engine.cache)
        engines = ("auto",) if model.is_filter else options.engines
        precisions = ("auto",) if model.is_filter else options.precisions
        found += [
            BenchCase(model, scale, size, engine, precision, changed)
            for scale in options.scales
            for size in sizes
            for engine in engines
            for precision in precisions
            for changed in ((False, True) if options.changed_regions and not model.is_filter else (False,))
        ]
    return list(dict.fromkeys(found))


def check_options(options: BenchOptions) -> None:
    """Finds mistakes before anything runs. Raises LiveSRError."""
    for what, figure, least in (("--seconds", options.seconds, 0.1), ("--rounds", options.rounds, 1)):
        if not figure >= least:
            raise UsageError(f"{what} {figure:g} is too little to measure anything", f"at least {least:g}")
    for pace in options.modes:
        if pace is not None and not 1 <= pace <= 1000:
            raise UsageError(f"no game draws {pace:g} frames a second", "a --pace from 1 to 1000, or none")
    known = ["auto", *(b.name for b in backends.ENGINES), *(b.name for b in registry.BASELINES)]
    for engine in options.engines:
        if engine not in known:
            remedy = f"use one of {', '.join(known)}"
            raise MissingPart(f'there is no engine called "{engine}".{did_you_mean(engine, known)}', remedy)
    for precision in options.precisions:
        if precision not in PRECISIONS:
            what = f'there is no precision called "{precision}".{did_you_mean(precision, PRECISIONS)}'
            raise UsageError(what, f"use one of {', '.join(PRECISIONS)}")
    for path in (options.json, options.csv, options.html, options.submit_file):
        if path is not None:
            check_folder(path)
    if options.html is not None and importlib.util.find_spec("matplotlib") is None:
        raise MissingPart("the page needs plots, and matplotlib is not installed", 'pip install "live-sr[bench]"')


def rotate(items: Sequence[T], by: int) -> list[T]:
    """The same order, starting `by` items later: the first item of one round is the last of the next."""
    at = by % len(items) if items else 0
    return [*items[at:], *items[:at]]
