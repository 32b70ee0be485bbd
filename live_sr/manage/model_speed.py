"""Measures how fast a model upscales on this machine, as the live program would with frames that change wholly."""

from __future__ import annotations

import statistics
from contextlib import closing
from time import perf_counter

from live_sr.engines import factory, tiled_factory
from live_sr.engines.options import EngineOptions
from live_sr.manage.model_add import make_pattern_frame
from live_sr.models.card import ModelCard
from live_sr.models.onnx import file_header
from live_sr.models.resolve import Model
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Size, make_black

LEAST_FRAMES, ENOUGH_S = 5, 0.5  # each model gets both


def measure_speed(card: ModelCard, size: Size, options: EngineOptions) -> tuple[float, str]:
    """Frames of `size` a second, from the median time of a frame, and what made them, such as "openvino bf16".

    Raises LiveSRError.
    """
    frame = make_pattern_frame(size)
    into = make_black(size.times(card.scale))
    with closing(_make_engine(card, options)) as engine:
        engine.warm_up(size)
        took: list[float] = []
        while len(took) < LEAST_FRAMES or sum(took) < ENOUGH_S:
            begun = perf_counter()
            engine.upscale(frame, into)
            took.append(perf_counter() - begun)
        return 1 / statistics.median(took), f"{engine.info.engine} {engine.info.precision}".rstrip()


def _make_engine(card: ModelCard, options: EngineOptions) -> Engine:
    """With tiles only for a network that takes one size."""
    model = Model.from_card(card)
    if file_header.read_shapes(card.onnx).fixed_size is None:
        return factory.make_engine(model, card.scale, options)
    return tiled_factory.make_tiled_engine(model, card.scale, options)
