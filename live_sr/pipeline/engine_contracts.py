"""What some engines can do besides upscaling a frame. Classes fulfil these Protocols without inheriting from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, Tile


@runtime_checkable
class EngineWithCache(Protocol):
    """An engine whose builds are kept."""

    def is_built(self, size: Size) -> bool:
        """Whether `warm_up` for that size finds a kept build. Raises LiveSRError."""
        ...


@runtime_checkable
class TriedEngine(Protocol):
    """An engine that meets another in a trial, and is used where it wins it (`engines/trial.py`)."""

    @property
    def build(self) -> str:
        """Names the code that it runs, and a graphics card's driver: when that changes, it is tried again.

        Empty if it cannot tell: then results are kept for this process only. Raises EngineError.
        """
        ...


@runtime_checkable
class DeviceEngine(Protocol):
    """An Engine on a GPU, which can leave its pictures there."""

    def upscale_on_device(self, frame: Frame[Pixels]) -> Frame[DisplayPicture] | None:
        """As `upscale`, but the picture stays in the GPU's memory until whoever gets it releases it.

        None: the frame had to be dropped, because the pictures before it have not been released in time.
        """
        ...


@runtime_checkable
class RegionEngine(Protocol):
    """An Engine that can enlarge any rectangles of a picture, bit for bit as it does within the whole picture."""

    def upscale_regions(self, pixels: Pixels, regions: Sequence[Rect], into: Pixels) -> None:
        """Draws `regions` of the picture, in its pixels, where they belong in `into`, the whole enlarged picture.

        They may overlap. Nothing else of `into` is written; it has `scale` times the size of `pixels`, which `warm_up`
        was called with.
        """
        ...


@runtime_checkable
class DeviceRegionEngine(Protocol):
    """A DeviceEngine and RegionEngine that keeps its newest picture on the GPU, and can draw parts of it anew."""

    def upscale_regions_on_device(self, frame: Frame[Pixels], regions: Sequence[Rect]) -> Frame[DisplayPicture] | None:
        """As `upscale_on_device`, bit for bit, with `regions` drawn: what differs from the frame that was upscaled on
        the device before, and what depends on it. If none was, the whole picture is drawn.
        """
        ...


class WindowEngine(Protocol):
    """Draws parts of pictures through windows: a network that takes pictures of a few small sizes."""

    def fit_window(self, size: Size) -> Size | None:
        """The smallest window of at least that size that it can have, after `warm_up`. None: there is none."""
        ...

    def add_window(self, size: Size) -> None:
        """Builds a window, which may take seconds. `warm_up` and `close` end all windows. Raises LiveSRError."""
        ...

    def remove_window(self, size: Size) -> None:
        """Frees the memory of that window, if there is one."""
        ...

    def upscale_tiles(self, pixels: Pixels, tiles: Sequence[Tile], into: Pixels) -> None:
        """Draws what is kept of each tile of the picture where it belongs in `into`, the whole enlarged picture.

        Each source has the size of a window. Nothing else of `into` is written.
        """
        ...


@runtime_checkable
class DeviceWindowEngine(WindowEngine, Protocol):
    """A DeviceEngine and WindowEngine that keeps its newest picture on the GPU, and can draw tiles of it anew."""

    def upscale_tiles_on_device(self, frame: Frame[Pixels], tiles: Sequence[Tile]) -> Frame[DisplayPicture] | None:
        """As `upscale_on_device`, with these tiles drawn: they keep all that differs from the frame that was upscaled
        on the device before, and what depends on it. If none was, the whole picture is drawn.
        """
        ...


@runtime_checkable
class KeepingEngine(Protocol):
    """An Engine that relies on what it has drawn before: it draws only what has changed since then."""

    def forget(self, pixels: Pixels) -> None:
        """Somebody has drawn over this picture. Called by the thread that upscales, before the next frame."""
        ...


@runtime_checkable
class RecurrentEngine(Protocol):
    """An engine whose network uses the frames before."""

    def begin(self) -> None:
        """The next frame is the first of a shot: forget the ones before."""
        ...


@dataclass(frozen=True)
class Cost:
    """What a frame takes on this machine, roughly: seconds, and bytes of memory for everything that is held at once."""

    seconds: float
    bytes: int


class FrameSequence(Protocol):
    """The frames of one video, in order, which a network enlarges with the help of each other."""

    def feed(self, pixels: Pixels) -> Iterator[Pixels]:
        """Takes the next frame, which is only read. Yields those that are done by now, in order. Raises EngineError."""
        ...

    def finish(self) -> Iterator[Pixels]:
        """There are no more frames: yields the rest. Raises EngineError."""
        ...

    def save_state(self) -> bytes:
        """All that the frames to come depend on."""
        ...

    def restore_state(self, state: bytes) -> None:
        """Continues after the last frame that was fed when the state was saved. Raises EngineError for a wrong one."""
        ...

    def measure_cost(self, size: Size) -> Cost:
        """Tries how long frames of that size take. Raises EngineError."""
        ...


@runtime_checkable
class SequenceEngine(Protocol):
    """An engine that can enlarge the frames of a video with the help of each other."""

    def open_sequence(self, tile: int) -> FrameSequence | None:
        """Begins a video. None: its network enlarges each frame by itself.

        tile: the side of the tiles that it cuts frames into, in pixels; 0: the usual one, -1: none.
        """
        ...


@dataclass(frozen=True)
class BuildMonitor:
    """Follows a long build: `progress` is called with how far it is; `cancelled` tells whether to give it up.

    Both are called on the thread that waits for the build.
    """

    progress: Callable[[str], None] = lambda text: None
    cancelled: Callable[[], bool] = lambda: False
