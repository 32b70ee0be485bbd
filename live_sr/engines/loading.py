"""Loads the class of an engine, and makes one of it for a network."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import cast

from live_sr import backends
from live_sr.backends import Backend
from live_sr.engines import graph_choice
from live_sr.engines.graph_choice import EngineRecipe
from live_sr.engines.options import EngineOptions
from live_sr.models.card import ModelCard
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.engine_contracts import BuildMonitor

log = logging.getLogger(__name__)


def load_engine(backend: Backend, card: ModelCard, options: EngineOptions, watch: BuildMonitor | None = None) -> Engine:
    arguments: dict[str, object] = {
        "precision": options.precision,
        "threads": options.threads,
        "cache": options.cache,
    }
    if backend.on_gpu:
        arguments |= {"queue": options.queue, "watch": watch or BuildMonitor()}
    if backend.has_folded_graph:
        recipe = EngineRecipe(backend, card, options.precision, options.threads)
        arguments |= graph_choice.choose_arguments(recipe)
    if backend.takes_adapter:
        arguments |= {"adapter": options.adapter}
    if backend.canvas:
        arguments |= {"redraws_lost": options.redraws_lost}
    started = perf_counter()
    engine = cast(Engine, backend.load()(card, **arguments))
    log.debug("%s was made in %.2f s", engine.info, perf_counter() - started)
    return engine


def make_filter(name: str, scale: int) -> Engine:
    """Makes an engine for a filter, which is ready at once."""
    return cast(Engine, backends.FILTER_ENGINE.load()(name, scale))
