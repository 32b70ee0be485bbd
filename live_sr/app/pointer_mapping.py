"""Lets the pointer act on the game where the enlarged picture shows it.

While the game has the focus, the real pointer is held within the game's small window and hidden, and the game's cursor
is drawn on the picture. So every button, drag and turn of the wheel reaches the game without being passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Literal

from live_sr.app.pointer_geometry import PictureMapping, clamp_to_pixel, compute_area, contains, find_exit
from live_sr.app.pointer_steering import SteeringDetector
from live_sr.overlay.cursor import DrawnCursor
from live_sr.pipeline.desktop_contracts import Monitor, Pointer, PointerState
from live_sr.pipeline.frame import Rect

MOVING_S = 0.005  # between two looks at a pointer that moves: shorter than a frame of any overlay
REPORTED_S = 0.008  # the same where the system reports movements: the shortest time between two looks
RESTING_S = 0.015  # at one that rests, or whose movements are reported: a program may move it, too
REST_S = 0.5  # without a movement, it rests
GRAB_S = 1.0  # between two questions whether the game has taken the pointer

CursorScale = Literal["picture", 1, 2, 3, 4]


class PointerMapping:
    """Belongs to the GUI thread. `follow` says what is mapped; `update` is called again and again meanwhile."""

    def __init__(
        self,
        pointer: Pointer,
        draw: Callable[[DrawnCursor | None], None],
        list_monitors: Callable[[], Sequence[Monitor]],
        *,
        let_go: bool = False,
        scale: CursorScale = "picture",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """draw: shows the cursor, at a place on the overlay's monitor, or none. let_go: whether the pointer may leave
        to another monitor. scale: how large the cursor is drawn; "picture": as much larger as the picture is."""
        self._pointer = pointer
        self._draw = draw
        self._list_monitors = list_monitors
        self._let_go = let_go
        self._scale = scale
        self._clock = clock
        self._mapping: PictureMapping | None = None
        self._monitors: Sequence[Monitor] = ()
        self._held: PictureMapping | None = None
        self._area = Rect(0, 0, 0, 0)  # that the pointer is held in
        self._last: PointerState | None = None  # while held
        self._away = False  # the pointer has left to another monitor
        self._moved_s = 0.0  # when it was last seen to move
        self._focused = False
        self._steering = SteeringDetector()
        self._grabbed, self._asked_s = False, -GRAB_S

    @property
    def active(self) -> bool:
        """Whether `update` has anything to do."""
        return self._mapping is not None

    @property
    def pause_s(self) -> float | None:
        """How long to wait before the next `update`. None: for a report that it has moved, or for the next `follow`."""
        moving = self._clock() - self._moved_s < REST_S
        if self._pointer.motion_file is None:
            return MOVING_S if moving else RESTING_S
        return RESTING_S if moving else None

    def follow(self, mapping: PictureMapping | None) -> None:
        """What to map from now on. None: give the pointer back at once, as for a game that is shown as it is."""
        self._mapping = mapping if mapping is not None and mapping.game != mapping.picture else None
        if self._mapping is None:
            self._release()
            self._focused = self._away = False
        else:
            self._monitors = self._list_monitors() if self._let_go else ()

    def update(self) -> None:
        """Looks where the pointer is, and draws the cursor there."""
        state = self._pointer.read()  # in any case: it takes what was reported
        mapping = self._mapping
        if mapping is None:
            return
        if not self._has_focus(mapping):
            self._release()
        elif self._is_steered(state):
            self._release(put_back=False)
        elif self._held is None:
            self._take_hold(mapping, state)
        else:
            self._keep_hold(mapping, state)

    def close(self) -> None:
        self.follow(None)
        self._pointer.close()

    def _has_focus(self, mapping: PictureMapping) -> bool:
        had, self._focused = self._focused, self._pointer.has_focus(mapping.windows)
        if self._focused and not had:
            self._steering.start_over()
            self._away, self._asked_s = False, -GRAB_S
        return self._focused

    def _is_steered(self, state: PointerState) -> bool:
        hidden, now = state.shape.is_empty, self._clock()
        if not hidden:
            self._grabbed = False
        elif not state.pressed and now - self._asked_s >= GRAB_S:
            # a button that has just been pressed takes the pointer, too
            self._grabbed = self._pointer.is_grabbed() and not self._pointer.read().pressed
            self._asked_s = now
        return self._steering.observe(
            now, state.x, state.y, hidden=hidden, pressed=state.pressed, grabbed=self._grabbed
        )

    def _take_hold(self, mapping: PictureMapping, state: PointerState) -> None:
        """Not while a button is pressed: the click that chose the game ends where it began."""
        if state.pressed or (self._away and not contains(mapping.monitor, state.x, state.y)):
            return
        self._away = False
        self._hold(mapping)
        self._put(mapping, *mapping.to_game(state.x, state.y))

    def _hold(self, mapping: PictureMapping) -> None:
        self._area = compute_area(mapping, self._monitors, self._let_go)
        self._pointer.hold(self._area, mapping.game, mapping.picture)
        self._held = mapping

    def _keep_hold(self, mapping: PictureMapping, state: PointerState) -> None:
        if mapping != self._held:
            self._hold(mapping)
        if self._last is None or (state.x, state.y) != (self._last.x, self._last.y):
            self._moved_s = self._clock()
        if contains(mapping.game, state.x, state.y):
            self._last = state
            self._show(mapping, state)
            return
        other = None if state.pressed else find_exit(state.x, state.y, mapping, self._monitors)
        if self._let_go and other is not None:
            self._release(put_back=False)
            self._away = True
            self._pointer.move(*other)
        elif contains(self._area, state.x, state.y) or not contains(mapping.picture, state.x, state.y):
            self._put(mapping, *clamp_to_pixel(state.x, state.y, mapping.game))
        else:  # a program put it where the picture is
            self._put(mapping, *mapping.to_game(state.x, state.y))

    def _put(self, mapping: PictureMapping, x: int, y: int) -> None:
        self._pointer.move(x, y)
        self._last = self._pointer.read()
        self._show(mapping, self._last)

    def _show(self, mapping: PictureMapping, state: PointerState) -> None:
        x, y = mapping.to_picture(state.x, state.y)
        scale = mapping.scale if self._scale == "picture" else float(self._scale)
        self._draw(DrawnCursor(state.shape, scale, x - mapping.monitor.x, y - mapping.monitor.y))

    def _release(self, put_back: bool = True) -> None:
        """`put_back`: the real pointer appears where the drawn one was."""
        held, self._held = self._held, None
        last, self._last = self._last, None
        if held is None:
            return
        self._draw(None)
        self._pointer.free()
        if put_back and last is not None:
            self._pointer.move(*clamp_to_pixel(*held.to_picture(last.x, last.y), held.picture))
