"""An engine on an NVIDIA GPU that can also draw parts of a picture, through windows of a few sizes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from live_sr.nvidia.buffered_engine import BufferedEngine
from live_sr.nvidia.inference_step import InferenceStep
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Frame, Pixels, Size, Tile


class WindowedEngine(BufferedEngine):
    """Fulfils `contracts.DeviceWindowEngine`, but for `warm_up` and `fit_window`."""

    @abstractmethod
    def fit_window(self, size: Size) -> Size | None: ...

    @abstractmethod
    def _make_window(self, size: Size, stream: int) -> InferenceStep:
        """As `MakeInferenceStep`, for pictures of that size. Raises LiveSRError."""

    def add_window(self, size: Size) -> None:
        assert self._buffer is not None, "warm it up first"
        self._buffer.windows.add(size, lambda stream: self._make_window(size, stream))

    def remove_window(self, size: Size) -> None:
        if self._buffer is not None:
            self._buffer.remove_window(size)

    def upscale_tiles(self, pixels: Pixels, tiles: Sequence[Tile], into: Pixels) -> None:
        assert self._buffer is not None, "it has no windows"
        self._buffer.upscale_tiles(pixels, tiles, into)

    def upscale_tiles_on_device(self, frame: Frame[Pixels], tiles: Sequence[Tile]) -> Frame[DisplayPicture] | None:
        return self._buffer_for(frame).upscale_tiles_on_device(frame, tiles)
