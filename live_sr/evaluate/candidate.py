"""A model that is evaluated: its engine, its time per frame, and its result at the wanted size."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from time import perf_counter_ns

from live_sr.engines.options import EngineOptions
from live_sr.engines.tiled_factory import make_tiled_engine
from live_sr.errors import EngineError, ModelError
from live_sr.evaluate.datasets import shrink_by_area
from live_sr.evaluate.metrics import BgrImage
from live_sr.models.resolve import Model
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size

NEVER = -1  # split a picture into tiles
MAX_IN_FLIGHT = 4  # frames that an engine may have in flight


@dataclass(frozen=True)
class ModelCost:
    """Parameters, and multiply-adds per input pixel; None: unknown, or a filter."""

    parameters: int | None = None
    macs_per_pixel: int | None = None


class Candidate:
    """A model that makes pictures `scale` times larger. If it has only larger scales, its result is averaged down.

    Raises ModelError, EngineError, UsageError or MissingPart when it cannot be built.
    """

    def __init__(self, model: Model, scale: int, options: EngineOptions) -> None:
        self._scale = scale
        self._engine = _make_engine(model, scale, options)
        self._size: Size | None = None  # what the engine is warmed up for
        self._into: Pixels | None = None
        job = self._engine.info
        self.model, self.is_filter = model.name, model.is_filter
        self.engine, self.precision = job.engine, job.precision
        self.name = job.model
        if self._engine.scale != scale:
            self.name += f" x{self._engine.scale} then /{self._engine.scale / scale:.3g}"
        self.cost = _get_cost(model, self._engine.scale)

    def upscale(self, small: Pixels) -> tuple[BgrImage, int]:
        """Returns the picture, BGR, which the next call overwrites, and the nanoseconds that the engine took.

        For a new size, the engine is warmed up and run once before the timing.
        """
        frame = Frame(small)
        if get_size(small) != self._size:
            self._engine.warm_up(get_size(small))
            self._size = get_size(small)
            self._run(frame)
        begun = perf_counter_ns()
        done = self._run(frame)
        took = perf_counter_ns() - begun
        return shrink_by_area(done[..., :3], self._size.times(self._scale)), took

    def close(self) -> None:
        self._engine.close()

    def _run(self, frame: Frame[Pixels]) -> Pixels:
        """This frame's result. An engine that returns the frame before it is given the same frame again."""
        for _ in range(MAX_IN_FLIGHT):
            done = self._engine.upscale(frame, self._into)
            if done is not None:
                self._into = done.pixels
                if done.stamps is frame.stamps:
                    return done.pixels
        raise EngineError(f"{self.name} gave no picture", "try another --engine")


def _make_engine(model: Model, scale: int, options: EngineOptions) -> Engine:
    """An engine for that scale, or for the next larger one that the model has.

    Published networks compute in fp32, as published, unless another precision is asked for.
    """
    if model.reader is not None and options.precision == "auto":
        options = replace(options, precision="fp32")
    there = sorted(s for s in model.scales if s >= scale)
    if not there:
        what = f"{model.name} has no x{scale} and nothing larger"
        raise ModelError(what, "leave it out, or ask for a smaller --scale")
    for at in there[:-1]:
        with suppress(ModelError):  # a file that does not state its scale is tried with each
            return make_tiled_engine(model, at, options, NEVER)
    return make_tiled_engine(model, there[-1], options, NEVER)


def _get_cost(model: Model, scale: int) -> ModelCost:
    card = model.get_card(scale)
    return ModelCost() if card is None else ModelCost(card.parameters or None, card.macs_per_pixel or None)
