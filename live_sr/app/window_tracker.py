"""Follows the game's window and decides where the overlay goes, and between which windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic

from live_sr.app.game_search import SEARCH_AGAIN_S, SUCCESSOR_S
from live_sr.app.stacking import Arrangement, StackingPolicy
from live_sr.pipeline.desktop_contracts import Desktop, Monitor, Popups, WindowInfo, WindowState
from live_sr.pipeline.frame import Rect

FindMonitor = Callable[[Sequence[Monitor]], Monitor | None]


@dataclass(frozen=True)
class Placement:
    """Where to put the overlay. `rect` None: hide it. `gone`: the game's window no longer exists.

    `game`: where the game's window is; None while no window is followed.
    """

    rect: Rect | None
    gone: bool = False
    game: Rect | None = None
    stacking: Arrangement = field(default_factory=Arrangement)


def fills_screen(game: Rect, monitor: Rect, aspect: float | None = None) -> bool:
    """Whether the game covers a monitor, and its picture, with that aspect, would not be larger there, or other."""
    if not game.overlaps(monitor):
        return False
    shape = game.size.with_aspect(aspect)
    if shape != game.size:
        return shape.fit_into(monitor.size) == game.size
    return game.width >= monitor.width or game.height >= monitor.height


def find_monitor(rect: Rect, monitors: Sequence[Monitor]) -> Monitor:
    """The monitor that shows most of a rectangle; the primary one (or the first) if none shows any of it."""
    fallback = next((m for m in monitors if m.primary), monitors[0])
    best = max(monitors, key=lambda m: _count_shared_pixels(rect, m.rect))
    return best if _count_shared_pixels(rect, best.rect) else fallback


def compute_placement(
    state: WindowState | None, monitors: Sequence[Monitor], output: Monitor | None = None
) -> Placement:
    """The whole of the output monitor, or else of the one that the game is on; hidden while the game is minimised."""
    if state is None:
        return Placement(None, gone=True)
    if state.minimised or not monitors:
        return Placement(None)
    return Placement((output or find_monitor(state.rect, monitors)).rect, game=state.rect)


def _count_shared_pixels(a: Rect, b: Rect) -> int:
    """How many pixels lie in both rectangles."""
    shared = a.intersect(b)
    return shared.width * shared.height


class WindowTracker:
    """Follows the game's window. `window` is None before it appears and after it was closed."""

    def __init__(
        self,
        desktop: Desktop,
        find: Callable[[], WindowInfo | None],
        find_place: Callable[[], Rect | None],
        stacking: StackingPolicy | None = None,
        find_successor: Callable[[], WindowInfo | None] = lambda: None,
        find_output: FindMonitor = lambda monitors: None,
        find_end: Callable[[], str] = lambda: "",
    ) -> None:
        """`find` looks for the window; `find_place` says where the overlay goes while no window is followed.

        `stacking`: None for an overlay that is an ordinary window. `find_successor` looks for a window that the game
        has opened in place of a hidden one. `find_output` says which monitor the overlay goes to; None: the game's.
        `find_end` says, as a clause, why a source that has no window to follow has ended; empty while it goes on.
        """
        self._desktop = desktop
        self._find = find
        self._find_place = find_place
        self._stacking = stacking
        self._find_successor = find_successor
        self._find_output = find_output
        self._find_end = find_end
        self._gone_at: float | None = None
        self._look_at = 0.0
        self.end = "the game's window was closed"
        """Why it ended, as a clause, once a placement says so."""
        # set on the GUI thread, read on the source thread
        self.window: WindowInfo | None = None
        self.popups = Popups()  # to be captured with the window

    def update(self, overlay: int) -> Placement:
        """Where the overlay, a window of that number, goes now. `gone`: the game was closed and has not come back."""
        where = self._find_placement(overlay)
        self.popups = (
            Popups(where.game, where.stacking.captured) if where.game and where.stacking.captured else Popups()
        )
        return where

    def _find_placement(self, overlay: int) -> Placement:
        if self.window is None:
            self.window = self._find()
        if self.window is None:
            if end := self._find_end():
                self.end = end
                return Placement(self._find_place(), gone=True)
            gone = self._gone_at is not None and monotonic() - self._gone_at >= SUCCESSOR_S
            return Placement(self._find_place(), gone)
        state = self._desktop.get_window_state(self.window.id)
        if state is None:
            self._gone_at, self.window = monotonic(), None
            return Placement(self._find_place())
        if state.minimised:
            self._follow_successor()
        monitors = self._desktop.list_monitors()
        now = compute_placement(state, monitors, self._find_output(monitors))
        if now.rect is not None and self._stacking is not None:
            stack = self._desktop.list_stack(self.window.id, overlay)
            return replace(now, stacking=self._stacking.arrange(stack, now.rect, state.rect))
        return now

    def _follow_successor(self) -> None:
        """Games that go to full screen may hide their window and open another one."""
        if monotonic() >= self._look_at:
            self._look_at = monotonic() + SEARCH_AGAIN_S
            self.window = self._find_successor() or self.window
