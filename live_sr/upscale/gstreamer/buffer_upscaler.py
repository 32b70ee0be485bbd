"""Enlarges the pictures of a stream whose memory belongs to somebody else."""

from __future__ import annotations

from time import perf_counter_ns

import numpy as np

from live_sr.engines.options import EngineOptions
from live_sr.engines.tiled_factory import make_tiled_engine
from live_sr.errors import EngineError
from live_sr.models.resolve import resolve
from live_sr.pipeline.engine_contracts import RecurrentEngine
from live_sr.pipeline.frame import Frame, Size, make_black
from live_sr.system import paths

MEASURED = 5  # frames


class BufferUpscaler:
    """A model, and the engine that runs it on pictures of one size. One thread at a time uses it."""

    def __init__(self, model: str, scale: int, engine: str) -> None:
        """model, engine: as on the command line; scale: 0 is the model's default. Raises LiveSRError."""
        cache = paths.get_cache_folder()
        found = resolve(model, scale or None, cache=cache)
        self.scale = scale or found.default_scale
        self._engine = make_tiled_engine(found, self.scale, EngineOptions(engine, cache=cache), tile=-1)

    def prepare(self, size: Size) -> int:
        """Builds everything for pictures of that size. Returns the nanoseconds for one: the longest of a few.

        Raises EngineError or ModelError.
        """
        self._engine.warm_up(size)
        # the engine may keep these between two frames, which the memory of the stream would not allow
        self._small, self._large = make_black(size), make_black(size.times(self.scale))
        took = []
        for _ in range(MEASURED):
            begun = perf_counter_ns()
            self._engine.upscale(Frame(self._small), self._large)
            took.append(perf_counter_ns() - begun)
        self.begin()
        return max(took)

    def begin(self) -> None:
        """The next picture does not continue the one before, which some networks use."""
        if isinstance(self._engine, RecurrentEngine):
            self._engine.begin()

    def upscale(self, small: memoryview, large: memoryview) -> None:
        """Enlarges `small` into `large`: four bytes a pixel, blue first, without padding. Raises EngineError."""
        np.copyto(self._small, np.frombuffer(small, np.uint8).reshape(self._small.shape))
        done = self._engine.upscale(Frame(self._small), self._large)
        if done is None:
            raise EngineError(f"{self._engine.info} lost a frame", "use another engine")
        np.copyto(np.frombuffer(large, np.uint8).reshape(self._large.shape), done.pixels)

    def close(self) -> None:
        self._engine.close()
