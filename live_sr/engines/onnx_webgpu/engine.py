"""Runs any network in an .onnx file on a graphics card, with ONNX Runtime's plug-in for WebGPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from live_sr.engines.onnx_webgpu import plugin
from live_sr.errors import EngineError
from live_sr.models.card import ModelCard
from live_sr.models.export import onnx_io
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size, make_black, reuse_or_allocate

PRECISION = "fp32"  # fp16 may overflow, which a picture of `onnx_io` does not show
REMEDY = "update the graphics card's driver, or use another engine"


class OnnxWebGpuEngine:
    """The engine for frames, which are BGRA uint8. The conversions are in the graph (`models/export/onnx_io.py`).

    precision: auto or fp32. threads: of the processor, for what the card does not do; 0: one per core. cache is not
    used: drivers keep compiled shaders themselves. Raises EngineError for another precision.
    """

    def __init__(
        self, card: ModelCard, *, precision: str = "auto", threads: int = 0, cache: Path | None = None
    ) -> None:
        if precision not in ("auto", PRECISION):
            raise EngineError(f"onnx-webgpu computes in {PRECISION}, not in {precision}", 'use precision = "auto"')
        self._card = card
        self._threads = threads
        self._session: Any = None  # for pictures of _size
        self._size: Size | None = None

    @property
    def scale(self) -> int:
        return self._card.scale

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(self._card.name, self._card.scale, "onnx-webgpu", PRECISION)

    @property
    def build(self) -> str:
        """Empty: the plug-in tells neither which graphics card it takes, nor its driver."""
        return ""

    def is_built(self, size: Size) -> bool:
        """Never: what is compiled already, the driver knows alone."""
        return False

    def warm_up(self, size: Size) -> None:
        """Opens the card, compiles the network for that size, and draws once. Raises EngineError or ModelError."""
        self.upscale(Frame(make_black(size)))

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        size = get_size(frame.pixels)
        done = reuse_or_allocate(into, size.times(self.scale))
        if self._session is None or size != self._size:
            self._open(size)
        try:
            (made,) = self._session.run(None, {onnx_io.INPUT: np.ascontiguousarray(frame.pixels)[None]})
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise self._explain(error) from error
        np.copyto(done, made[0])
        return frame.with_pixels(done)

    def close(self) -> None:
        self._session = None

    def _open(self, size: Size) -> None:
        self.close()
        network = onnx_io.wrap_onnx_io(self._card, size, PRECISION)
        try:
            self._session = plugin.open_session(network, self._threads)
        except Exception as error:
            raise self._explain(error) from error
        self._size = size

    def _explain(self, error: Exception) -> EngineError:
        self.close()
        says = plugin.summarise_error(error)
        return EngineError(f"ONNX Runtime fails on a graphics card with {self._card.label}: {says}", REMEDY)
