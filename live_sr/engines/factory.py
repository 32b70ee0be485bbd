"""Makes engines from models and settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import cast

from live_sr import backends
from live_sr.backends import Backend
from live_sr.engines.engine_choice import choose_by_trial, choose_engine, is_tried
from live_sr.engines.filter_choice import choose_filter
from live_sr.engines.loading import load_engine, make_filter
from live_sr.engines.options import EngineOptions
from live_sr.errors import LiveSRError, ModelError, UsageError
from live_sr.models.card import ModelCard
from live_sr.models.resolve import FILTERS, Model
from live_sr.pipeline.canvas import Canvas, OpenCanvas
from live_sr.pipeline.contracts import Engine, Resize
from live_sr.pipeline.engine_contracts import BuildMonitor, EngineWithCache
from live_sr.pipeline.frame import Size

MakeEngine = Callable[[Model, int], Engine]
"""Makes an engine for a model and scale, not yet warmed up."""


def make_engine(model: Model, scale: int, options: EngineOptions, watch: BuildMonitor | None = None) -> Engine:
    """Makes an engine, not yet warmed up. Raises ModelError, EngineError, UsageError or MissingPart.

    A published network runs in the one engine that reads its file format, whatever the options say. `watch` observes a
    long build in the engine's `warm_up`.
    """
    backend, choice = choose_engine(options)
    card = model.get_card(scale)
    if card is None:
        return choose_filter(backend, model.name, scale, options)
    if model.reader is None:
        backend = _find_with_weights(backend, card, options)
    forced = options.backend == backend.name  # named in the settings, not chosen by "auto"
    if not backend.runs_networks and (model.reader is None or forced):
        what = f"{model.name} is a network, and no engine for networks is in use"
        raise UsageError(f"{what}\n{choice}", f"one of {', '.join(FILTERS)}")
    if model.reader is None and backend.must_beat and not forced:
        return load_engine(choose_by_trial(backend, card, options), card, options)
    return load_engine(model.reader or backend, card, options, watch)


def find_quick_maker(options: EngineOptions) -> MakeEngine | None:
    """What makes an engine that starts at once, for as long as the chosen one is built. None: there is none."""
    backend, _ = choose_engine(options)
    arguments: dict[str, object] = {"precision": options.precision}
    if backend.dynamic_shapes:
        quick: Backend | None = backend
        arguments |= {"queue": options.queue, "cache": options.cache, "dynamic": True}
    elif backend.must_beat:
        quick = backends.find_cpu_runtime()  # which may not compute in the precision that the chosen one is to use
        arguments |= {"precision": "auto", "threads": options.threads, "cache": options.cache}
    else:
        quick = next((b for b in backends.ENGINES if b.quick_start), None)
        arguments |= {"queue": options.queue, "quick": True}
    if not backend.slow_build or quick is None or quick.unavailable_reason():
        return None

    def make(model: Model, scale: int) -> Engine:
        card = model.get_card(scale)
        if card is None:
            return make_filter(model.name, scale)
        if model.reader is not None:
            return make_engine(model, scale, options)
        return cast(Engine, quick.load()(card, **arguments))

    return make


def is_built(model: Model, scale: int, size: Size, options: EngineOptions) -> bool:
    """Whether the chosen engine for frames of that size is in the engine cache, so that it is ready almost at once."""
    backend, _ = choose_engine(options)
    if not backend.slow_build or model.is_filter:
        return False
    try:
        if backend.must_beat:
            return is_tried(backend, model, scale, options)
        engine = make_engine(model, scale, options)
        return isinstance(engine, EngineWithCache) and engine.is_built(size)
    except LiveSRError:
        return False  # the build says what is wrong


def find_spare_maker(options: EngineOptions) -> MakeEngine | None:
    """What makes an engine on the processor, if "auto" chose one on a GPU and that fails. None: there is none."""
    backend, _ = choose_engine(options)
    spare = backends.find_cpu_runtime()
    if not backends.is_on_graphics_card(backend.name) or options.backend != "auto" or spare.unavailable_reason():
        return None
    return partial(make_engine, options=replace(options, backend=spare.name, precision="auto"))


def find_canvas_opener(options: EngineOptions, *, software: bool) -> OpenCanvas | None:
    """What lets the chosen engine's graphics card draw into windows. None: its pictures go through main memory.

    software: also if it is no graphics card.
    """
    backend, _ = choose_engine(options)
    if not backend.canvas:
        return None
    return partial(cast(Callable[..., Canvas], backend.load_canvas()), adapter=options.adapter, software=software)


def builds_slowly(options: EngineOptions) -> bool:
    """Whether building the chosen engine for a new size of the window takes seconds or more."""
    return choose_engine(options)[0].on_gpu


def make_resizer(name: str) -> Resize:
    """Makes a function that resizes pictures with a filter. "auto": with the best filter for each direction."""
    from live_sr.engines.filters import engine as filters

    return filters.make_resizer(name)


def _find_with_weights(backend: Backend, card: ModelCard, options: EngineOptions) -> Backend:
    """The engine, or the next best one that can read the model: some need PyTorch's weights, which may be missing."""
    if backend.has_weights(card.onnx, card.part_files):
        return backend
    if options.backend != "auto":
        raise ModelError(
            f"{backend.name} needs the weights of {card.label} as a {backend.weights} file beside {card.onnx}",
            "put it there, or use another engine",
        )
    others = backends.ENGINES[backends.ENGINES.index(backend) :]
    return next(
        b for b in others if b.has_weights(card.onnx, card.part_files) and not b.unavailable_reason(options.adapter)
    )
