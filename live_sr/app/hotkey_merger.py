"""Makes one press out of a key that is heard in two ways."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

MERGE_S = 1.0  # the same key is heard in a second way sooner than this, also on a busy machine


class HotkeyMerger:
    """A Wayland desktop may report a key over its portal and also give it to the game, where X11's way hears it.

    The way that heard an action's last press keeps it; what another way hears soon afterwards is that same press. A
    release counts where its press did.
    """

    def __init__(
        self,
        on_press: Callable[[str], None],
        on_release: Callable[[str], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._on_press, self._on_release = on_press, on_release
        self._clock = clock
        self._pressed: dict[str, tuple[str, float]] = {}  # by action: the way that heard the last press, and when

    def press(self, way: str, action: str) -> None:
        now = self._clock()
        other, when = self._pressed.get(action, (way, now))
        if other == way or now - when > MERGE_S:
            self._pressed[action] = (way, now)
            self._on_press(action)

    def release(self, way: str, action: str) -> None:
        if self._pressed.get(action, ("", 0.0))[0] == way:
            self._on_release(action)
