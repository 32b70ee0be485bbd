"""Which of its graphs an engine uses for a network trained here: the plain one, or one that wins a trial against it.

On a processor that has no bf16 that is the graph in int8, if the model's card has ranges for it; on others the folded
one.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import cast

from live_sr.backends import Backend
from live_sr.engines import trial
from live_sr.engines.trial import TrialMemory, TrialResult
from live_sr.errors import LiveSRError, ModelError
from live_sr.models.card import ModelCard
from live_sr.pipeline.contracts import Engine
from live_sr.system import hardware, paths

log = logging.getLogger(__name__)

FOLDED, INT8 = "folded graph 1", "int8 graph 1"  # with another number, all are tried again
WEIGHTS = ".safetensors"  # what they are made of
NEEDED_GAIN = 1.05
"""How many times as fast the folded graph must be. Where it does not pay, it takes up to 1.1 times as long."""
NEEDED_INT8_GAIN = 1.15  # it costs a little quality
INT8_DEVIATION = 12
"""Levels that any value may differ from fp32, in a picture half of which is noise: it was 7 at most."""


@functools.cache
def open_trial_memory() -> TrialMemory:
    """What this process and those before it know of trials."""
    folder = paths.get_native_folder()
    return TrialMemory(None if folder is None else folder / "trials.json")


@dataclass(frozen=True)
class EngineRecipe:
    """What to make engines of. Fields as in `EngineOptions`."""

    backend: Backend
    card: ModelCard
    precision: str
    threads: int

    def make(self, **arguments: object) -> Engine:
        """An engine for a trial, which leaves nothing in the cache. Raises what the engine raises."""
        wanted = {"precision": self.precision, "threads": self.threads, "cache": None}
        return cast(Engine, self.backend.load()(self.card, **wanted | arguments))


def choose_arguments(recipe: EngineRecipe) -> dict[str, object]:
    """What to make the engine with, beside what the recipe says. Raises what the engine with the plain graph raises."""
    if find_int8_result(recipe).won:
        return {"precision": "int8"}
    return {"folded": find_folded_result(recipe).won}


def describe_choice(recipe: EngineRecipe) -> str:
    """The graph that is used, and why. It is tried now if that is not known, but kept for this process only."""
    int8 = find_int8_result(recipe, in_file=False)
    folded = find_folded_result(recipe, in_file=False)
    graph = "int8" if int8.won or recipe.precision == "int8" else "folded" if folded.won else "plain"
    says = int8.says if int8.won else folded.says + (f"; int8: {int8.says}" if int8.says else "")
    return f"{recipe.backend.name} uses the {graph} graph for {recipe.card.label}: {says}"


def find_folded_result(recipe: EngineRecipe, *, in_file: bool = True) -> TrialResult:
    """Whether the folded graph wins against the plain one: as it is known, or by a trial now.

    One result serves all sizes, so that windows have the graph of the whole picture. in_file: whether the next start
    knows it, too.
    """
    if recipe.precision == "int8":
        return TrialResult(False, "it is asked for")
    if not recipe.card.onnx.is_file():
        return TrialResult(False, "the model is missing")  # the engine says so when it starts
    if not recipe.card.onnx.with_suffix(WEIGHTS).is_file():
        return TrialResult(False, f"there are no {WEIGHTS} weights beside it")
    compare = partial(trial.compare, needed_gain=NEEDED_GAIN, rival="the plain graph")
    return _find_result(FOLDED, recipe, {"folded": True}, {}, compare, in_file=in_file)


def find_int8_result(recipe: EngineRecipe, *, in_file: bool = True) -> TrialResult:
    """Whether int8 wins against the better graph in fp32, as above; nothing is told where that is no question."""
    files = (recipe.card.onnx, recipe.card.onnx.with_suffix(WEIGHTS))
    if recipe.precision != "auto" or not recipe.card.int8_ranges or not all(file.is_file() for file in files):
        return TrialResult(False, "")
    with closing(recipe.make()) as plain:
        if plain.info.precision != "fp32":
            return TrialResult(False, "")
    rival = {"folded": find_folded_result(recipe, in_file=in_file).won}
    compare = partial(trial.compare, needed_gain=NEEDED_INT8_GAIN, rival="fp32", max_deviation=INT8_DEVIATION)
    return _find_result(INT8, recipe, {"precision": "int8"}, rival, compare, in_file=in_file)


def _find_result(
    graph: str,
    recipe: EngineRecipe,
    tried: Mapping[str, object],
    rival: Mapping[str, object],
    compare: Callable[[Engine, Engine], TrialResult],
    *,
    in_file: bool,
) -> TrialResult:
    weights = recipe.card.onnx.with_suffix(WEIGHTS)
    where = describe_circumstances(recipe.backend, recipe.card, [weights], recipe.precision)
    key = f"{graph}, {where}"
    memory = open_trial_memory()
    with memory.running:
        result = memory.find(key)
        if result is None:
            try:
                with closing(recipe.make(**rival)) as reference, closing(recipe.make(**tried)) as engine:
                    result = compare(engine, reference)
            except LiveSRError as error:  # such as a network of another architecture
                result, in_file = TrialResult(False, error.message), False
            log.debug("the %s for %s: %s", graph, recipe.card.label, result.says)
            memory.keep(key, result, in_file=in_file, lost_too=True)
    return result


def describe_circumstances(runtime: Backend, card: ModelCard, weights: Sequence[Path], precision: str) -> str:
    """What the result of a trial on the processor depends on, beside the code that is tried.

    The number of threads is left out: the tiles of a picture, which have a thread each, must be as the whole picture.

    weights: the files that are read beside the model's. Raises ModelError without these files.
    """
    try:
        states = [file.stat() for file in (card.onnx, *weights)]
    except OSError as error:
        raise ModelError(f"{error.filename} cannot be read: {error.strerror}", "install live-sr again") from None
    name = runtime.name
    files = " ".join(f"{state.st_size}-{state.st_mtime_ns}" for state in states)
    with suppress(PackageNotFoundError):
        name = f"{name} {version(name)}"
    return f"{name}, {card.label} {files}, {precision}, {hardware.get_processor_name()}"
