"""Keeps what the X server has answered until the server reports a change.

The overlay asks twenty times a second where the windows are. Asking the server each time would cost dozens of round
trips, and most of the time nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

from Xlib import X
from Xlib.display import Display
from Xlib.ext import randr

T = TypeVar("T")

_WATCHED = X.StructureNotifyMask | X.PropertyChangeMask | X.FocusChangeMask

PROPERTIES = (
    *("WM_STATE", "WM_TRANSIENT_FOR", "WM_CLIENT_LEADER", "_GTK_FRAME_EXTENTS", "_NET_ACTIVE_WINDOW"),
    *("_NET_FRAME_EXTENTS", "_NET_SUPPORTING_WM_CHECK", "_NET_WM_PID", "_NET_WM_STATE", "_NET_WM_WINDOW_TYPE"),
)
"""Those that the kept answers are made of. Programs change others all the time, as the time of the last key."""


class AnswerCache:
    """The answers of one connection, whose events nobody else may read.

    The root's events report which windows there are, where, and in which order. What else an answer depends on has to
    be watched.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._properties = {display.get_atom(name) for name in PROPERTIES}
        self._answers: dict[Hashable, object] = {}
        root = display.screen().root
        root.change_attributes(event_mask=_WATCHED | X.SubstructureNotifyMask)
        if display.has_extension(randr.extname):
            root.xrandr_select_input(randr.RRScreenChangeNotifyMask)

    def watch(self, window: Any) -> None:
        """Forgets all answers when this window changes. Call it before asking, each time: ids are used again."""
        window.change_attributes(event_mask=_WATCHED)

    def recall(self, key: Hashable, ask: Callable[[], T]) -> T:
        """The answer that is kept under this key; `ask` finds it where there is none, or something has changed."""
        if self._has_changed():
            self._answers.clear()
        if key not in self._answers:
            self._answers[key] = ask()
        return cast(T, self._answers[key])

    def _has_changed(self) -> bool:
        changed = False
        while self._display.pending_events():
            event = self._display.next_event()
            changed = changed or event.type != X.PropertyNotify or event.atom in self._properties
        return changed
