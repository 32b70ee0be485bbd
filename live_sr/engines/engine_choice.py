"""Which engine a network gets, where one must first win a trial against the next."""

from __future__ import annotations

import logging
from contextlib import closing

from live_sr import backends
from live_sr.backends import Backend, Choice
from live_sr.engines import graph_choice, trial
from live_sr.engines.graph_choice import EngineRecipe, open_trial_memory
from live_sr.engines.loading import load_engine
from live_sr.engines.options import EngineOptions
from live_sr.engines.trial import TrialResult
from live_sr.errors import EngineError, LiveSRError
from live_sr.models.card import ModelCard
from live_sr.models.resolve import Model
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.engine_contracts import EngineWithCache, TriedEngine

log = logging.getLogger(__name__)


def choose_engine(options: EngineOptions) -> tuple[Backend, Choice]:
    """The engine for networks, with the reasons. It is the one for filters if no other can run. Raises MissingPart."""
    return backends.choose("engine", backends.ENGINES, options.backend, options.adapter)


def choose_by_trial(backend: Backend, card: ModelCard, options: EngineOptions, *, in_file: bool = True) -> Backend:
    """The engine if it wins its trial, else the one that it must beat, if that wins its own, and so on."""
    if not backend.must_beat:
        return backend
    if backend.has_weights(card.onnx, card.part_files):
        result = _find_result(backend, card, options, in_file=in_file)
        log.debug("%s for %s: %s", backend.name, card.label, result.says)
        if result.won:
            return backend
    return choose_by_trial(_find_next(backend, card, options), card, options, in_file=in_file)


def _find_result(backend: Backend, card: ModelCard, options: EngineOptions, *, in_file: bool = True) -> TrialResult:
    """The result that is known, or that of a trial now. An engine that fails has lost for as long as this runs."""
    rival = choose_by_trial(_find_next(backend, card, options), card, options, in_file=in_file)
    if rival.unavailable_reason(options.adapter):
        return TrialResult(True, f"{rival.name} cannot be used")
    failed = _make_failure_key(backend, card, options)
    memory = open_trial_memory()
    with memory.running:
        known = memory.find(failed)
        if known is not None:
            return known
        try:
            with closing(load_engine(backend, card, options)) as engine:
                builds = _list_builds(engine, rival, card, options)
                key = _make_trial_key(backend, rival, builds, card, options)
                result = memory.find(key)
                if result is None:
                    result = _try(backend, engine, rival, card, options)
                    # a trial of a card takes seconds: what it lost is not tried again at every start
                    lost_too = backends.is_on_graphics_card(backend.name)
                    memory.keep(key, result, in_file=in_file and all(builds), lost_too=lost_too)
        except LiveSRError as error:  # such as a network of another architecture
            result = TrialResult(False, error.message)
            memory.keep(failed, result)
    return result


def _try(backend: Backend, engine: Engine, rival: Backend, card: ModelCard, options: EngineOptions) -> TrialResult:
    """A trial. Raises what the engine raises.

    A graphics card's rival may compute in int8, and the processor's time says nothing about the card.
    """
    try:
        reference = load_engine(rival, card, options)
    except EngineError as error:  # it does not compute in the precision that is asked for
        engine.warm_up(trial.SIZE)
        return TrialResult(True, f"{rival.name} cannot be used: {error.message}")
    with closing(reference):
        if not backends.is_on_graphics_card(backend.name):
            return trial.compare(engine, reference)
        return trial.compare(engine, reference, of_processor=False, max_deviation=graph_choice.INT8_DEVIATION)


def _find_next(backend: Backend, card: ModelCard, options: EngineOptions) -> Backend:
    """The engine that this one must beat, or what that one must beat if it cannot be used for this model."""
    rival = backends.find_engine(backend.must_beat)
    assert rival is not None
    if rival.must_beat and (
        rival.unavailable_reason(options.adapter) or not rival.has_weights(card.onnx, card.part_files)
    ):
        return _find_next(rival, card, options)
    return rival


def _starts_at_once(backend: Backend, card: ModelCard, options: EngineOptions) -> bool:
    """Whether an engine of that kind needs no build. Raises LiveSRError."""
    engine = load_engine(backend, card, options)
    return isinstance(engine, EngineWithCache) and engine.is_built(trial.SIZE)


def is_tried(backend: Backend, model: Model, scale: int, options: EngineOptions) -> bool:
    """Whether it is known that the engine won its trial, and it starts at once. The other one has windows to build."""
    card = model.get_card(scale)
    if card is None or model.reader is not None or not backend.has_weights(card.onnx, card.part_files):
        return False
    if not _starts_at_once(backend, card, options):
        return False
    if options.backend == backend.name:
        return True
    known = _find_known(backend, card, options)
    return known is not None and known.won


def _find_known(backend: Backend, card: ModelCard, options: EngineOptions) -> TrialResult | None:
    """The result of an earlier trial against the engine that it would meet now; None: none is known.

    Raises LiveSRError.
    """
    failure = open_trial_memory().find(_make_failure_key(backend, card, options))
    rival = _find_known_rival(backend, card, options)
    if failure is not None or rival is None:
        return failure
    builds = _list_builds(load_engine(backend, card, options), rival, card, options)
    return open_trial_memory().find(_make_trial_key(backend, rival, builds, card, options))


def _find_known_rival(backend: Backend, card: ModelCard, options: EngineOptions) -> Backend | None:
    """The engine that this one would meet in a trial; None: that takes a trial, or a compiler. Raises LiveSRError."""
    rival = _find_next(backend, card, options)
    if not rival.must_beat:
        return rival
    if not backends.is_on_graphics_card(rival.name) and not _starts_at_once(rival, card, options):
        return None
    result = _find_known(rival, card, options)
    if result is None:
        return None
    return rival if result.won else _find_known_rival(rival, card, options)


def _make_failure_key(backend: Backend, card: ModelCard, options: EngineOptions) -> str:
    return f"{backend.name}, {card.onnx}, {options.precision}, {options.adapter}"


def _list_builds(engine: Engine, rival: Backend, card: ModelCard, options: EngineOptions) -> list[str]:
    """The builds of the engine and of its rival, unless that is one of those that need not win a trial."""
    engines = [engine, load_engine(rival, card, options)] if rival.must_beat else [engine]
    builds = []
    for one in engines:
        assert isinstance(one, TriedEngine)
        builds.append(one.build)
    return builds


def _make_trial_key(
    backend: Backend, rival: Backend, builds: list[str], card: ModelCard, options: EngineOptions
) -> str:
    """What the result of a trial depends on. Raises ModelError without the model's files."""
    weights = backend.list_weights(card.onnx, card.part_files)
    where = graph_choice.describe_circumstances(rival, card, weights, options.precision)
    return f"{' against '.join(builds)}, {where}"


def describe_trial(model: Model, scale: int, options: EngineOptions) -> str:
    """Whether the engines that must win a trial are used for this model, and why; empty if there are none here.

    Tries them now if that is not known, but keeps it for this process only. Raises LiveSRError if the other engine
    fails.
    """
    card = model.get_card(scale)
    backend, _ = choose_engine(options)
    if card is None or model.reader is not None or not backend.must_beat:
        return ""
    if options.backend == backend.name:
        return f"{backend.name} is used, as asked for"
    lines = []
    while backend.must_beat:
        says, won = _describe_one_trial(backend, card, options)
        lines.append(says)
        if won:
            break
        backend = _find_next(backend, card, options)
    return "\n".join(lines)


def _describe_one_trial(backend: Backend, card: ModelCard, options: EngineOptions) -> tuple[str, bool]:
    """What one engine is used for, and whether it won."""
    if not backend.has_weights(card.onnx, card.part_files):
        return f"{backend.name} is not used for {card.label}: there are no {backend.weights} weights beside it", False
    runtime, suffix = backends.find_cpu_runtime().name, ""
    if not _starts_at_once(backend, card, options):
        rival = _find_next(backend, card, options)
        if rival.must_beat and _starts_at_once(rival, card, options):
            _find_result(rival, card, options, in_file=False)  # then it is known whom it meets
        result = _find_known(backend, card, options)
        if result is None:
            return f"{backend.name} is not compiled yet; the first start does it while {runtime} works", False
        suffix = f"; it may have to be compiled at the start, while {runtime} works" if result.won else ""
    else:
        result = _find_result(backend, card, options, in_file=False)
    used = "used" if result.won else "not used"
    return f"{backend.name} is {used} for {card.label}: {result.says}{suffix}", result.won


def describe_graph(model: Model, scale: int, options: EngineOptions) -> str:
    """Which graph the engine on the processor uses for this model, and why; empty if there is no choice.

    As `describe_trial`, it tries them now if that is not known.
    """
    card = model.get_card(scale)
    backend = backends.find_cpu_runtime()
    if card is None or model.reader is not None or not backend.has_folded_graph or backend.unavailable_reason():
        return ""
    if options.backend not in ("auto", backend.name, *(b.name for b in backends.ENGINES if b.must_beat)):
        return ""
    return graph_choice.describe_choice(EngineRecipe(backend, card, options.precision, options.threads))
