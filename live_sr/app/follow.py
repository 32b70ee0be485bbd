"""Where the overlay belongs, from where the game is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from live_sr.contracts import Desktop, Monitor, WindowInfo, WindowState
from live_sr.frame import Rect


@dataclass(frozen=True)
class Placement:
    """`rect` None: hide the overlay. `gone`: the window does not exist any more."""

    rect: Rect | None
    gone: bool = False


def monitor_of(rect: Rect, monitors: Sequence[Monitor]) -> Monitor:
    """The monitor that shows most of a rectangle; the primary one (or the first) if none does."""
    fallback = next((m for m in monitors if m.primary), monitors[0])
    best = max(monitors, key=lambda m: _shared(rect, m.rect))
    return best if _shared(rect, best.rect) else fallback


def placement(state: WindowState | None, monitors: Sequence[Monitor]) -> Placement:
    """The whole monitor that the game is on, while there is a game to be seen."""
    if state is None:
        return Placement(None, gone=True)
    if state.minimised or not monitors:
        return Placement(None)
    return Placement(monitor_of(state.rect, monitors).rect)


def _shared(a: Rect, b: Rect) -> int:
    """Pixels that lie in both."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return max(0, width) * max(0, height)


class Follower:
    """Keeps an eye on the game's window. `window` is None while there is none (yet, or any more)."""

    def __init__(
        self, desktop: Desktop, find: Callable[[], WindowInfo | None], standing: Callable[[], Rect | None]
    ) -> None:
        """`find` looks for the window; `standing` is where the overlay belongs when no window is followed."""
        self._desktop = desktop
        self._find = find
        self._standing = standing
        self.window: WindowInfo | None = None  # set on the GUI thread, read on the source thread

    def look(self) -> Placement:
        """Where the overlay belongs now; `gone` once, when the window has just disappeared."""
        if self.window is None:
            self.window = self._find()
        if self.window is None:
            return Placement(self._standing())
        now = placement(self._desktop.state(self.window.id), self._desktop.monitors())
        if now.gone:
            self.window = None
        return now
