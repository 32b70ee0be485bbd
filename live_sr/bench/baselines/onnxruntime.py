"""Baseline: networks in ONNX Runtime on the CPU, as its users run them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from live_sr.errors import EngineError, ModelError
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size, make_black, reuse_or_allocate

ERRORS_ONLY = 3  # of its log


class OnnxRuntimeEngine:
    """A network in fp32, converted to planes and back by numpy. It allocates memory for every frame.

    threads: 0 leaves their number to ONNX Runtime, one for each core. cache is not used. Raises EngineError for a
    precision other than auto and fp32.
    """

    def __init__(
        self, card: ModelCard, *, precision: str = "auto", threads: int = 0, cache: Path | None = None
    ) -> None:
        if precision not in ("auto", "fp32"):
            raise EngineError(f"ONNX Runtime computes in fp32 here, not in {precision}", 'use precision = "auto"')
        self._card = card
        self._threads = threads
        self._session: onnxruntime.InferenceSession | None = None
        self._planes = np.empty((1, 3, 0, 0), np.float32)

    @property
    def scale(self) -> int:
        return self._card.scale

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(self._card.name, self._card.scale, "onnxruntime", "fp32")

    def warm_up(self, size: Size) -> None:
        """Load the network and run once. Raises ModelError or EngineError."""
        self.close()
        zoo.verify(self._card)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(
                str(self._card.onnx), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its binding raises a dozen types without a common base class
            raise ModelError(
                f"{self._card.onnx} is not a model that ONNX Runtime can run: {_get_first_line(error)}",
                "use another model",
            ) from error
        self.upscale(Frame(make_black(size)))

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        size = get_size(frame.pixels)
        if self._session is None:
            self.warm_up(size)
        assert self._session is not None
        large = size.times(self.scale)
        done = reuse_or_allocate(into, large)
        self._fill(frame.pixels, size)
        try:
            made = self._session.run(None, {self._session.get_inputs()[0].name: self._planes})[0]
        except Exception as error:  # as above
            raise EngineError(
                f"ONNX Runtime failed on {self._card.label}: {_get_first_line(error)}", "use another model or size"
            ) from error
        levels = made[0, :, : large.height, : large.width]
        np.multiply(levels, np.float32(255), out=levels)
        np.clip(np.rint(levels, out=levels), 0, 255, out=levels)
        np.copyto(done[..., 2::-1].transpose(2, 0, 1), levels, casting="unsafe")
        done[..., 3] = 255
        return frame.with_pixels(done)

    def close(self) -> None:
        self._session = None

    def _fill(self, pixels: Pixels, size: Size) -> None:
        """The picture as RGB in 0..1, its edge repeated up to what the network takes."""
        multiple = self._card.multiple
        shape = (1, 3, -(-size.height // multiple) * multiple, -(-size.width // multiple) * multiple)
        if self._planes.shape != shape:
            self._planes = np.empty(shape, np.float32)
        planes = self._planes[0]
        picture = planes[:, : size.height, : size.width]
        np.multiply(pixels[..., 2::-1].transpose(2, 0, 1), np.float32(1 / 255), out=picture)
        planes[:, : size.height, size.width :] = picture[..., -1:]
        planes[:, size.height :] = planes[:, size.height - 1 : size.height]


def _get_first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
