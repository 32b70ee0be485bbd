"""What a benchmark is asked for, and the combinations that makes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from live_sr import assembly, backends
from live_sr.bench import peers
from live_sr.errors import MissingPart, UsageError, did_you_mean
from live_sr.frame import Size

PATTERN_SIZE = Size(480, 270)
USUAL_PACE = 60.0
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "fp8", "int8")

T = TypeVar("T")


@dataclass(frozen=True)
class BenchOptions:
    """Every combination of model, scale, size, engine and precision is run in every mode.

    A mode is a pace in frames per second, or None: free-running, for throughput. `sizes` are those of the pattern; a
    video has its own. `compare` holds two reports, and then nothing is run.
    """

    source: str = "pattern"
    sizes: tuple[Size, ...] = (PATTERN_SIZE,)
    models: tuple[str, ...] = ("fast",)
    scales: tuple[int, ...] = (2,)
    engines: tuple[str, ...] = ("auto",)
    precisions: tuple[str, ...] = ("auto",)
    seconds: float = 5.0
    modes: tuple[float | None, ...] = (None, USUAL_PACE)
    rounds: int = 1
    roofline: bool = False
    json: Path | None = None
    csv: Path | None = None
    html: Path | None = None
    submit_file: Path | None = None
    compare: tuple[Path, Path] | None = None


@dataclass(frozen=True)
class Subject:
    """What is built once and then run in every mode. `size` None: the source's own."""

    model: str
    scale: int
    size: Size | None
    engine: str
    precision: str

    def __str__(self) -> str:
        engine = "" if self.engine == "auto" else f", {self.engine}"
        precision = "" if self.precision == "auto" else f" {self.precision}"
        return f"{self.model} x{self.scale}{f' at {self.size}' if self.size else ''}{engine}{precision}"


def modes(paces: Sequence[float] | None, free: bool) -> tuple[float | None, ...]:
    """Free-running and at the usual pace, unless it is said what is wanted."""
    if not paces and not free:
        return (None, USUAL_PACE)
    return (*((None,) if free else ()), *dict.fromkeys(paces or ()))


def subjects(options: BenchOptions) -> list[Subject]:
    """In the order of the tables: a filter is the same in every engine and precision, so it comes once."""
    sizes: tuple[Size | None, ...] = options.sizes if options.source == "pattern" else (None,)
    found = []
    for model in options.models:
        is_filter = model in assembly.FILTERS
        engines = ("auto",) if is_filter else options.engines
        precisions = ("auto",) if is_filter else options.precisions
        found += [
            Subject(model, scale, size, engine, precision)
            for scale in options.scales
            for size in sizes
            for engine in engines
            for precision in precisions
        ]
    return list(dict.fromkeys(found))


def check(options: BenchOptions) -> None:
    """What would fail everywhere fails before anything runs. Raises UsageError, ModelError or MissingPart."""
    for what, figure, least in (("--seconds", options.seconds, 0.1), ("--rounds", options.rounds, 1)):
        if not figure >= least:
            raise UsageError(f"{what} {figure:g} is too little to measure anything", f"at least {least:g}")
    for pace in options.modes:
        if pace is not None and not 1 <= pace <= 1000:
            raise UsageError(f"no game draws {pace:g} frames a second", "a --pace from 1 to 1000, or none")
    known = ["auto", *(b.name for b in backends.ENGINES), *(b.name for b in peers.BENCH_PEERS)]
    for engine in options.engines:
        if engine not in known:
            remedy = f"use one of {', '.join(known)}"
            raise MissingPart(f'there is no engine called "{engine}".{did_you_mean(engine, known)}', remedy)
    for precision in options.precisions:
        if precision not in PRECISIONS:
            what = f'there is no precision called "{precision}".{did_you_mean(precision, PRECISIONS)}'
            raise UsageError(what, f"use one of {', '.join(PRECISIONS)}")
    for model in options.models:
        assembly.scales(model)
    if options.html is not None and importlib.util.find_spec("matplotlib") is None:
        raise MissingPart("the page needs plots, and matplotlib is not installed", 'pip install "live-sr[bench]"')


def rotated(items: Sequence[T], by: int) -> list[T]:
    """The same order, begun elsewhere: what comes first in one round comes last in the next."""
    at = by % len(items) if items else 0
    return [*items[at:], *items[:at]]
