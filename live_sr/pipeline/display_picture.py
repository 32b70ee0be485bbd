"""What a display is given: pictures in main memory or in the memory of a GPU, which are used alike."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from live_sr.pipeline.frame import Pixels, Size, get_size

DIVIDER_PX = 2  # width of the line between the two pictures of a comparison


class DisplayPicture(Protocol):
    """An upscaled picture, BGRA uint8, wherever its pixels are. Used from one thread at a time."""

    @property
    def size(self) -> Size: ...

    @property
    def on_device(self) -> bool:
        """Whether the pixels are in the memory of a GPU."""
        ...

    def to_host(self) -> Pixels:
        """The pixels in main memory: the picture's own, or a copy from the GPU, which takes a millisecond or more.

        Raises EngineError when the picture is empty.
        """
        ...

    def copy(self) -> Pixels:
        """A copy in main memory that nobody else writes into. Raises EngineError when the picture is empty."""
        ...

    def release(self) -> Pixels | None:
        """Gives the memory back: it may be used for another picture. Returns the pixels if they are in main memory."""
        ...


@runtime_checkable
class ComparablePicture(Protocol):
    """A DisplayPicture that also holds the picture it was made from, so that the display can draw both."""

    def compare(self, divider: float) -> None:
        """Shows the picture before upscaling left of the divider, from 0 (nowhere) to 1 (everywhere).

        Where both are shown, a white line is between them.
        """
        ...


class HostPicture:
    """Fulfils `DisplayPicture` with pixels in main memory, which it does not copy."""

    on_device = False

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels
        self.size = get_size(pixels)

    def to_host(self) -> Pixels:
        return self._pixels

    def copy(self) -> Pixels:
        return self._pixels.copy()

    def release(self) -> Pixels | None:
        return self._pixels
