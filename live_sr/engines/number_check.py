"""Notices pictures whose numbers are none (NaN or infinite), and has them computed again in fp32.

Half precision holds numbers up to 65504 (fp16), or holds as large ones as fp32 does, but rounds them up earlier (bf16).
What overflows becomes infinite and then NaN, which would be drawn as black.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic

import numpy as np

from live_sr.errors import EngineError
from live_sr.pipeline.contracts import EngineInfo, ImageEngine
from live_sr.pipeline.engine_contracts import RecurrentEngine
from live_sr.pipeline.frame import AnyPixels, Frame, Size

log = logging.getLogger(__name__)

EXACT = "fp32"


class NumberCheckedEngine(Generic[AnyPixels]):
    """Another engine, for files, whose pictures are checked.

    Engines make their pictures opaque, except where a number was none: they compute alpha from the same numbers, with
    weights of zero, or set it so. `make_exact` makes an engine in fp32 for such pictures; None: there is none.
    """

    def __init__(
        self, engine: ImageEngine[AnyPixels], make_exact: Callable[[], ImageEngine[AnyPixels]] | None = None
    ) -> None:
        self._engine: ImageEngine[AnyPixels] = engine
        self._make_exact: Callable[[], ImageEngine[AnyPixels]] | None = make_exact
        self._exact: ImageEngine[AnyPixels] | None = None

    @property
    def scale(self) -> int:
        return self._engine.scale

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    def warm_up(self, size: Size) -> None:
        self._engine.warm_up(size)

    def begin(self) -> None:
        """As `RecurrentEngine`; without effect for other engines."""
        if isinstance(self._engine, RecurrentEngine):
            self._engine.begin()

    def upscale(self, frame: Frame[AnyPixels], into: AnyPixels | None = None) -> Frame[AnyPixels] | None:
        """Raises EngineError where the numbers are none in fp32 either."""
        done = self._engine.upscale(frame, into)
        if done is None or done.stamps is not frame.stamps or is_opaque(done.pixels):
            return done
        if self._exact is None:
            self._exact = self._open_exact()
        done = self._exact.upscale(frame, done.pixels)
        if done is None or not is_opaque(done.pixels):
            raise self._make_error()
        return done

    def close(self) -> None:
        self._engine.close()
        if self._exact is not None:
            self._exact.close()
        self._exact = None

    def _open_exact(self) -> ImageEngine[AnyPixels]:
        info = self._engine.info
        if self._make_exact is None or info.precision.startswith(EXACT):
            raise self._make_error()
        label = f"{info.model} x{info.scale}"
        log.warning("%s overflows in %s here; such pictures are computed again in %s", label, info.precision, EXACT)
        return self._make_exact()

    def _make_error(self) -> EngineError:
        info = self._engine.info
        what = f"{info.model} x{info.scale} makes numbers that are none (NaN or infinite) of this picture"
        return EngineError(what, "use another model, or get its file again")


def is_opaque(picture: AnyPixels) -> bool:
    """Whether alpha is at its highest level in every pixel of a BGRA picture of 8 or 16 bits."""
    whole = np.ascontiguousarray(picture).view(f"<u{4 * picture.itemsize}")
    return bool(np.bitwise_and.reduce(whole, axis=None) >> 24 * picture.itemsize == np.iinfo(picture.dtype).max)
