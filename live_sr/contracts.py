"""What the pipeline asks of its parts. Leaves fulfil these without inheriting them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from live_sr.frame import Frame, Pixels, Rect, Size

P = TypeVar("P")
"""What an upscaled frame is made of: Pixels in main memory, or a picture that stayed on a graphics card."""

Resize = Callable[[Pixels, Size, Pixels | None], Pixels]
"""(picture, size, into) -> the picture at that size, drawn into `into` when that fits."""


class FrameSource(Protocol):
    """Where frames come from. Opened, used and closed on one thread."""

    @property
    def size(self) -> Size:
        """Size of the next frame; changes when the window is resized."""
        ...

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        """The newest frame, or None if nothing new was drawn within `timeout_s` (at most 0.1 s is asked for).

        Writes into `into` when it has the right size, else into a new array; either then belongs to the caller. Fills
        `stamps.seen` and `stamps.captured`. Raises SourceLost when nothing more will come for now, SourceClosed when
        nothing will come ever.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Job:
    """What does the work, for people. `precision` is empty where there is nothing to choose."""

    model: str
    scale: int
    engine: str
    precision: str = ""

    def __str__(self) -> str:
        return f"{self.model} x{self.scale}, {self.engine} {self.precision}".rstrip()


class Upscaler(Protocol[P]):
    """Makes a small picture large. `warm_up` may run on any thread; after it, one thread at a time uses the engine."""

    @property
    def scale(self) -> int:
        """How many times wider and higher the result is."""
        ...

    @property
    def job(self) -> Job: ...

    def warm_up(self, size: Size) -> None:
        """Build everything for frames of `size`, which may take long. Raises EngineError or ModelError."""
        ...

    def upscale(self, frame: Frame[Pixels], into: P | None = None) -> Frame[P] | None:
        """This frame enlarged (None: it had to be dropped), drawn into `into` when that fits.

        `frame` is only read, and no longer needed on return. The result belongs to the caller.
        """
        ...

    def close(self) -> None: ...


Engine = Upscaler[Pixels]
"""What upscales into main memory: every engine can."""


@runtime_checkable
class Remembering(Protocol):
    """An engine whose network remembers the frames before."""

    def begin(self) -> None:
        """The next frame is the first of a shot."""
        ...


@dataclass(frozen=True)
class Watch:
    """Who waits for a long build: is told how far it is, and may not want it any more. Called on the waiting thread."""

    progress: Callable[[str], None] = lambda words: None
    cancelled: Callable[[], bool] = lambda: False


class Display(Protocol[P]):
    """Where frames go."""

    def show(self, frame: Frame[P]) -> Frame[P] | None:
        """Keeps this frame and gives back one whose pixels may be written again. Never blocks; from any thread."""
        ...


@dataclass(frozen=True)
class WindowInfo:
    """A top-level window somebody could choose. `rect` is its picture without border or title bar."""

    id: int
    title: str
    process: str
    pid: int
    rect: Rect


@dataclass(frozen=True)
class Monitor:
    """A screen; `name` as the system calls it."""

    name: str
    rect: Rect
    primary: bool = False


@dataclass(frozen=True)
class WindowState:
    """Where a window is now."""

    rect: Rect
    minimised: bool


class Desktop(Protocol):
    """What only the operating system can do for a window. Used from the GUI thread. Raises DisplayLost."""

    def windows(self) -> list[WindowInfo]:
        """Windows of other programs, topmost first."""
        ...

    def state(self, window: int) -> WindowState | None:
        """None: the window is gone."""
        ...

    def monitors(self) -> list[Monitor]: ...

    def dress(self, overlay: int) -> None:
        """Finish what the window toolkit cannot: styles that pass clicks through and refuse the focus."""
        ...

    def place(self, overlay: int, rect: Rect) -> None:
        """Move the overlay, in physical pixels, above the other windows and without activating it."""
        ...

    def exclude_from_capture(self, overlay: int, excluded: bool) -> bool:
        """Whether the system agreed to hide the overlay from (or show it to) whatever captures the screen."""
        ...

    def map_pointer(self, game: Rect | None, picture: Rect | None) -> bool:
        """Let the pointer act on the game through a larger picture; None ends it. False: not available here."""
        ...

    def close(self) -> None: ...


class Hotkeys(Protocol):
    """Keys that work while another program has the focus."""

    def bind(
        self, keys: dict[str, str], on_press: Callable[[str], None], on_release: Callable[[str], None]
    ) -> list[str]:
        """Bind {action: "ctrl+alt+m"}; both callbacks get the action and may come on any thread.

        Returns one sentence for every key that could not be bound.
        """
        ...

    def close(self) -> None: ...
