"""What the pipeline expects of its parts. Classes fulfil these Protocols without inheriting from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol, TypeVar, runtime_checkable

from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import AnyPixels, Frame, Pixels, Rect, Size, Tile
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


class ImageEngine(Protocol[AnyPixels]):
    """An engine for pictures of 8 or 16 bits a channel. `Engine` is the one for 8."""

    @property
    def scale(self) -> int: ...

    @property
    def info(self) -> EngineInfo: ...

    def warm_up(self, size: Size) -> None: ...

    def upscale(self, frame: Frame[AnyPixels], into: AnyPixels | None = None) -> Frame[AnyPixels] | None: ...

    def close(self) -> None: ...


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


class Display(Protocol[P]):
    """Where frames go."""

    def show(self, frame: Frame[P]) -> Frame[P] | None:
        """Keeps this frame and returns one whose pixels may be written again. Never blocks. Called on any thread."""
        ...


@dataclass(frozen=True)
class WindowInfo:
    """A top-level window that the user can choose. `rect` is its content, without border and title bar.

    `kind`: the class that its program gives it.
    """

    id: int
    title: str
    process: str
    pid: int
    rect: Rect
    kind: str = ""


@dataclass(frozen=True)
class Monitor:
    """A screen; `name` is the system's name for it."""

    name: str
    rect: Rect
    primary: bool = False


@dataclass(frozen=True)
class WindowState:
    """Where a window is now."""

    rect: Rect
    minimised: bool


WindowOwner = Literal["game", "popup", "overlay", "program", "system"]
"""Whose a window is. popup: a dialog, menu or other window of the game's program. program: an ordinary window of
another program. system: what no window manager handles, such as notifications and task switchers."""


NO_X11_WINDOW = 0
"""The id of a native Wayland window, which X11 does not know."""


@dataclass(frozen=True)
class StackedWindow:
    """A visible window in the stack of the desktop.

    `id`: of what the system stacks, on X11 the window manager's frame. `rect`: with that frame. `active`: an ordinary
    window, of the game or of another program, that the player works with now.
    """

    id: int
    rect: Rect
    owner: WindowOwner
    active: bool = False


@dataclass(frozen=True)
class Popups:
    """The game's dialogs and menus that are captured with it, lowest first. `game`: where its picture is."""

    game: Rect | None = None
    windows: tuple[StackedWindow, ...] = ()


class Desktop(Protocol):
    """What only the operating system can do for a window. Used from the GUI thread. Raises DisplayLost."""

    def list_windows(self) -> list[WindowInfo]:
        """Windows of other programs, topmost first."""
        ...

    def get_window_state(self, window: int) -> WindowState | None:
        """None: the window is gone."""
        ...

    def list_monitors(self) -> list[Monitor]: ...

    def place_window(self, window: int, rect: Rect) -> None:
        """Asks for another program's window to have its content at `rect`, in physical pixels.

        It may take a moment, and the window or its manager may refuse: ask for its state afterwards.
        """
        ...

    def apply_window_styles(self, overlay: int) -> None:
        """Sets what the window toolkit cannot: clicks pass through, and the window never gets the focus."""
        ...

    def list_stack(self, game: int, overlay: int) -> list[StackedWindow]:
        """The visible windows, topmost first."""
        ...

    def place_overlay(self, overlay: int, rect: Rect, below: int | None = None, openings: Sequence[Rect] = ()) -> None:
        """Moves the overlay, in physical pixels, without activating it.

        `below`: puts it directly below this window of the stack; None: above all windows. `openings`: parts of the
        desktop where the overlay lets through what lies below it.
        """
        ...

    def exclude_from_capture(self, overlay: int, excluded: bool) -> bool:
        """Hides the overlay from programs that capture the screen, or shows it to them. False: the system refused."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, eq=False)
class CursorShape:
    """What a cursor looks like. `pixels`: BGRA, premultiplied by alpha. `hotspot`: the pixel that points."""

    pixels: Pixels
    hotspot: tuple[int, int]

    @cached_property
    def is_empty(self) -> bool:
        """Whether nothing of it is seen: the program that shows it has hidden the pointer."""
        return not self.pixels[..., 3].any()


@dataclass(frozen=True)
class PointerState:
    """Where the pointer is on the desktop, in physical pixels and parts of them. `shape` stays the same object until
    the cursor changes; it is what the program below asks for, also while the pointer is hidden."""

    x: float
    y: float
    pressed: bool
    shape: CursorShape


class Pointer(Protocol):
    """The system's pointer, held within a small game while it acts on a larger picture of it.

    Used from the GUI thread. Raises DisplayLost. Whatever ends the program, the system gets its pointer back.
    """

    @property
    def motion_file(self) -> int | None:
        """A file descriptor that is readable when the held pointer has moved, until `read` is called. None: the system
        does not report that."""
        ...

    def read(self) -> PointerState: ...

    def has_focus(self, windows: Sequence[int]) -> bool:
        """Whether the keyboard belonged to one of these windows at the last `read`."""
        ...

    def is_grabbed(self) -> bool:
        """Whether another program has taken the pointer for itself. Asked only while no button is pressed."""
        ...

    def hold(self, area: Rect, game: Rect, picture: Rect) -> None:
        """Keeps the pointer in `area` and hides it. A movement of the hand that would cross the picture now crosses the
        game. May be called again with other rectangles."""
        ...

    def free(self) -> None:
        """Undoes `hold`. May be called when nothing is held."""
        ...

    def move(self, x: int, y: int) -> None:
        """Puts the pointer at a pixel of the desktop, also outside the area."""
        ...

    def close(self) -> None:
        """Frees the pointer, and ends everything that was started for it."""
        ...


@dataclass(frozen=True)
class GrantedKeys:
    """Which hotkeys a desktop has granted that decides about them. keys: {action: the keys in the desktop's words}.

    problem: a clause that says why there are none; empty: all is well.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


class Hotkeys(Protocol):
    """Keys that work while another program has the focus."""

    def bind(
        self, keys: dict[str, str], on_press: Callable[[str], None], on_release: Callable[[str], None]
    ) -> list[str]:
        """Binds {action: "ctrl+alt+m"}. Both callbacks get the action, and may be called on any thread.

        Returns one sentence for each key that could not be bound.
        """
        ...

    def get_keys(self) -> Mapping[str, str]:
        """The keys that are heard now, by action, as they are labelled on the player's keyboard: "ctrl+alt+m".

        May be called on any thread.
        """
        ...

    def close(self) -> None: ...
