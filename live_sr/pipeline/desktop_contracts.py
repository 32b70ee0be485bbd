"""What only the operating system can do: windows, the pointer, hotkeys.

Classes fulfil these Protocols without inheriting from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from live_sr.pipeline.frame import Pixels, Rect


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
