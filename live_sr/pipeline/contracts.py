"""What the pipeline expects of its parts. Classes fulfil these Protocols without inheriting from them.

What some engines can do besides is in `engine_contracts`, what only the operating system can do in `desktop_contracts`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from live_sr.pipeline.frame import AnyPixels, Frame, Pixels, Size
from live_sr.pipeline.sound import SoundBlock


class Copyable(Protocol):
    """Pixels, or a DisplayPicture."""

    def copy(self) -> Pixels:
        """A copy in main memory."""
        ...


P = TypeVar("P", bound=Copyable)
"""What an upscaled frame is made of: Pixels, or a DisplayPicture, which may be in the memory of a GPU."""


Resize = Callable[[Pixels, Size, Pixels | None], Pixels]
"""(picture, size, into) -> the picture at that size, drawn into `into` when that fits."""


class FrameSource(Protocol):
    """Where frames come from. Opened, used and closed on one thread."""

    @property
    def size(self) -> Size:
        """Size of the next frame; changes when the window is resized."""
        ...

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        """The newest frame, or None if nothing new was drawn within `timeout_s` (at most 0.1 s).

        Writes into `into` if that has the right size, else into a new array; either belongs to the caller afterwards.
        Fills `stamps.seen` and `stamps.captured`. Raises SourceLost when nothing more will come for now, SourceClosed
        when nothing will ever come.
        """
        ...

    def close(self) -> None: ...


class SoundSource(Protocol):
    """Where the sound of a game comes from. Opened, used and closed on one thread."""

    def read(self, timeout_s: float) -> SoundBlock | None:
        """What was heard since the last call, or None if nothing was within `timeout_s` (at most 0.1 s).

        Raises SourceLost when the sound system has ended.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class EngineInfo:
    """Names what does the work. `precision` is empty where there is nothing to choose."""

    model: str
    scale: int
    engine: str
    precision: str = ""

    def __str__(self) -> str:
        return f"{self.model} x{self.scale}, {self.engine} {self.precision}".rstrip()


class Upscaler(Protocol[P]):
    """Enlarges pictures. `warm_up` may run on any thread; afterwards one thread at a time uses the engine."""

    @property
    def scale(self) -> int:
        """How many times wider and higher the result is."""
        ...

    @property
    def info(self) -> EngineInfo: ...

    def warm_up(self, size: Size) -> None:
        """Builds everything for frames of `size`, which may take long. Raises EngineError or ModelError."""
        ...

    def upscale(self, frame: Frame[Pixels], into: P | None = None) -> Frame[P] | None:
        """The frame enlarged, drawn into `into` if that fits. None: the frame had to be dropped.

        `frame` is only read, and not needed any longer on return. The result belongs to the caller.
        """
        ...

    def close(self) -> None: ...


Engine = Upscaler[Pixels]
"""Upscales into main memory, which every engine can."""


class ImageEngine(Protocol[AnyPixels]):
    """An engine for pictures of 8 or 16 bits a channel. `Engine` is the one for 8."""

    @property
    def scale(self) -> int: ...

    @property
    def info(self) -> EngineInfo: ...

    def warm_up(self, size: Size) -> None: ...

    def upscale(self, frame: Frame[AnyPixels], into: AnyPixels | None = None) -> Frame[AnyPixels] | None: ...

    def close(self) -> None: ...


class Display(Protocol[P]):
    """Where frames go."""

    def show(self, frame: Frame[P]) -> Frame[P] | None:
        """Keeps this frame and returns one whose pixels may be written again. Never blocks. Called on any thread."""
        ...
