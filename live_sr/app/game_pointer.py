"""Connects the pointer's mapping with a running session: its window, its event loop, its settings."""

from __future__ import annotations

from collections.abc import Callable

from live_sr.app.pointer_geometry import PictureMapping
from live_sr.app.pointer_mapping import REPORTED_S, PointerMapping
from live_sr.app.window_tracker import Placement
from live_sr.config import OverlaySettings
from live_sr.desktop.open import open_pointer
from live_sr.overlay.event_loop import EventLoop
from live_sr.overlay.surface import Surface
from live_sr.pipeline.desktop_contracts import Desktop, WindowInfo
from live_sr.pipeline.frame import Rect


class GamePointer:
    """Does nothing where the settings or the system keep the pointer as it is."""

    def __init__(
        self,
        loop: EventLoop,
        surface: Surface,
        desktop: Desktop,
        overlay: OverlaySettings,
        add_note: Callable[[str], None],
    ) -> None:
        """`add_note` gets a sentence where the pointer should be mapped and cannot be."""
        self._loop = loop
        self._surface = surface
        self._mapping: PointerMapping | None = None
        self._waiting = False  # the next look at the pointer is on its way
        self._stop_listening: Callable[[], None] = lambda: None
        if overlay.mode != "cover" or overlay.pointer != "map":
            return
        pointer, problem = open_pointer()
        if pointer is None:
            add_note(problem)
            return
        self._mapping = PointerMapping(
            pointer,
            surface.show_cursor,
            desktop.list_monitors,
            let_go=overlay.pointer_edges == "leave",
            scale=overlay.pointer_scale,
        )
        if pointer.motion_file is not None:
            self._stop_listening = loop.call_when_readable(pointer.motion_file, self._look, REPORTED_S)

    def follow(self, window: WindowInfo | None, where: Placement) -> None:
        """Maps the pointer to this window, which is shown on the monitor that the overlay covers."""
        picture = self._surface.find_picture()
        if self._mapping is None or window is None or where.game is None or where.rect is None or picture is None:
            self.release()
            return
        shown = Rect(where.rect.x + picture.x, where.rect.y + picture.y, *picture.size)
        windows = (window.id, *(popup.id for popup in where.stacking.captured))
        self._mapping.follow(PictureMapping(windows, where.game, shown, where.rect))
        if not self._waiting:
            self._look()

    def release(self) -> None:
        """Gives the pointer back at once, until `follow` is called again."""
        if self._mapping is not None:
            self._mapping.follow(None)

    def close(self) -> None:
        self._stop_listening()
        if self._mapping is not None:
            self._mapping.close()
        self._mapping = None

    def _look(self) -> None:
        """Looks where the pointer is, and again soon if it may move without a report."""
        if self._mapping is None:
            return
        self._mapping.update()
        pause_s = self._mapping.pause_s
        if self._mapping.active and pause_s is not None and not self._waiting:
            self._waiting = True
            self._loop.call_later(pause_s, self._look_again)

    def _look_again(self) -> None:
        self._waiting = False
        self._look()
