"""A model in the contest: its engine, its time per frame, and its result at the size that was asked for."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter_ns

from live_sr import assembly
from live_sr.contracts import Engine
from live_sr.errors import EngineError, ModelError
from live_sr.frame import Frame, Pixels, Size, size_of
from live_sr.quality.metrics import Picture
from live_sr.quality.sets import averaged

OVERLAP = 4  # frames that an engine may have in flight


@dataclass(frozen=True)
class Facts:
    """None: not known, or nothing of the kind, as for filters."""

    parameters: int | None = None
    macs_per_pixel: int | None = None


class Contender:
    """A model that makes pictures `scale` times larger, if need be by making larger ones still and averaging.

    Raises ModelError, EngineError, UsageError or MissingPart when it cannot be built.
    """

    def __init__(self, model: str, scale: int, options: assembly.EngineOptions) -> None:
        self._scale = scale
        self._engine = _engine(model, scale, options)
        self._size: Size | None = None  # what the engine is warmed up for
        self._into: Pixels | None = None
        job = self._engine.job
        self.model = model
        self.engine, self.precision = job.engine, job.precision
        self.name = job.model
        if self._engine.scale != scale:
            self.name += f" x{self._engine.scale} then /{self._engine.scale / scale:.3g}"
        self.facts = _facts(model, self._engine.scale)

    def enlarge(self, small: Pixels) -> tuple[Picture, int]:
        """The picture, BGR, which the next call overwrites, and the nanoseconds that the engine took.

        A new size is warmed up and tried once before the clock starts.
        """
        frame = Frame(small)
        if size_of(small) != self._size:
            self._engine.warm_up(size_of(small))
            self._size = size_of(small)
            self._draw(frame)
        begun = perf_counter_ns()
        done = self._draw(frame)
        took = perf_counter_ns() - begun
        return averaged(done[..., :3], self._size.times(self._scale)), took

    def close(self) -> None:
        self._engine.close()

    def _draw(self, frame: Frame[Pixels]) -> Pixels:
        """This frame's result also from an engine that gives the one before, by showing it the frame again."""
        for _ in range(OVERLAP):
            done = self._engine.upscale(frame, self._into)
            if done is not None:
                self._into = done.pixels
                if done.stamps is frame.stamps:
                    return done.pixels
        raise EngineError(f"{self.name} gave no picture", "try another --engine")


def _engine(model: str, scale: int, options: assembly.EngineOptions) -> Engine:
    """For that scale, or the next larger one that the model has."""
    there = sorted(s for s in assembly.scales(model) if s >= scale)
    if not there:
        raise ModelError(f"{model} has no x{scale} and nothing larger", "leave it out, or ask for a smaller --scale")
    for at in there[:-1]:
        with suppress(ModelError):  # a file that does not tell its scale is tried with each
            return assembly.make_engine(model, at, options)
    return assembly.make_engine(model, there[-1], options)


def _facts(model: str, scale: int) -> Facts:
    card = assembly.about(model, scale)
    return Facts() if card is None else Facts(card.parameters or None, card.macs_per_pixel or None)
