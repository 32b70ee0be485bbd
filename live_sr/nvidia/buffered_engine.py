"""What all engines on NVIDIA GPUs have in common: they upscale frames through a double buffer."""

from __future__ import annotations

from abc import ABC, abstractmethod

from live_sr.nvidia.cuda_api import CudaLike
from live_sr.nvidia.double_buffer import DoubleBuffer
from live_sr.nvidia.inference_step import MakeInferenceStep
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size


class BufferedEngine(ABC):
    """Fulfils `contracts.Engine` and `contracts.DeviceEngine`, but for `warm_up`.

    A runtime's engine calls `_allocate` in its `warm_up`. A frame larger than what it was warmed up for warms it up
    anew. queue: as in `DoubleBuffer`.
    """

    def __init__(self, info: EngineInfo, queue: int) -> None:
        self.scale = info.scale
        self.info = info
        self._queue = queue
        self._buffer: DoubleBuffer | None = None

    @abstractmethod
    def warm_up(self, size: Size) -> None: ...

    def _allocate(self, cuda: CudaLike, make_step: MakeInferenceStep, size: Size) -> None:
        """Make the double buffer for frames of up to `size`. Raises EngineError."""
        self._buffer = DoubleBuffer(cuda, make_step, size, self.scale, self._queue)

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        return self._buffer_for(frame).upscale(frame, into)

    def upscale_on_device(self, frame: Frame[Pixels]) -> Frame[DisplayPicture] | None:
        return self._buffer_for(frame).upscale_on_device(frame)

    def get_device_ms(self) -> dict[str, list[float]]:
        """As `DoubleBuffer.device_ms`; empty before the warm-up."""
        return {} if self._buffer is None else self._buffer.get_device_ms()

    def close(self) -> None:
        """Frees the GPU's memory. The engine can be warmed up again."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            buffer.close()

    def _buffer_for(self, frame: Frame[Pixels]) -> DoubleBuffer:
        size = get_size(frame.pixels)
        if self._buffer is None or not self._buffer.fits(size):
            self.warm_up(size)
        assert self._buffer is not None
        return self._buffer
