"""The stack of windows on an X11 screen: which window lies above which, and whose each is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from Xlib import X, Xatom
from Xlib.display import Display

from live_sr.desktop.x11_changes import AnswerCache
from live_sr.desktop.x11_errors import GONE
from live_sr.pipeline.desktop_contracts import NO_X11_WINDOW, StackedWindow, WindowOwner
from live_sr.pipeline.frame import Rect
from live_sr.system.platform import detect_session

_DEPTH = 3  # how deep in a window manager's frame the program's own window may lie
_TRANSIENT_CHAIN = 8  # a dialog of a dialog of the game; longer chains are circles
_PANELS = ("_NET_WM_WINDOW_TYPE_DESKTOP", "_NET_WM_WINDOW_TYPE_DOCK")


def read_numbers(display: Display, window: Any, name: str) -> list[int]:
    """A property of 32-bit numbers; empty if the window does not have it."""
    found = window.get_full_property(display.get_atom(name), X.AnyPropertyType)  # python-xlib caches the atom
    return [int(v) for v in found.value] if found is not None and found.format == 32 else []


def has_window_manager(display: Display) -> bool:
    """Whether a window manager runs that maintains the lists on the root, which outlive a killed one."""
    check = read_numbers(display, display.screen().root, "_NET_SUPPORTING_WM_CHECK")
    try:
        window = display.create_resource_object("window", check[0]) if check else None
        return window is not None and read_numbers(display, window, "_NET_SUPPORTING_WM_CHECK") == check
    except GONE:
        return False


@dataclass(frozen=True)
class _TopLevel:
    """A visible child of the root. `client`: the program's own window in it. `unmanaged`: by any window manager."""

    id: int
    rect: Rect
    client: Any
    unmanaged: bool


class WindowStack:
    """Reads the stack through the connection of an X11Desktop."""

    def __init__(self, display: Display, answers: AnswerCache) -> None:
        self._display = display
        self._answers = answers
        self._root = display.screen().root
        self._wayland = detect_session() == "xwayland"  # the active window may be a native one of Wayland

    def list_windows(self, game: int, overlay: int) -> list[StackedWindow]:
        """See Desktop.list_stack."""
        return self._answers.recall(("stack", game, overlay), lambda: self._query_windows(game, overlay))

    def _query_windows(self, game: int, overlay: int) -> list[StackedWindow]:
        if has_window_manager(self._display):
            active = (read_numbers(self._display, self._root, "_NET_ACTIVE_WINDOW") or [0])[0]
        else:
            active = self._find_focus()
        active_top, game_top = self._find_top(active), self._find_top(game)
        found = []
        for child in reversed(self._root.query_tree().children):
            top = self._describe(child)
            if top is not None:
                owner = self._find_owner(top, game, game_top, overlay)
                ordinary = owner in ("game", "popup") or (owner == "program" and not self._is_panel(top.client))
                found.append(StackedWindow(top.id, top.rect, owner, active=ordinary and top.id == active_top))
        # A native window is active, somewhere. Sway 1.12 then names one of its own beside the screen, older ones none.
        if self._wayland and not any(window.active for window in found):
            size = self._root.get_geometry()
            found.append(StackedWindow(NO_X11_WINDOW, Rect(0, 0, size.width, size.height), "program", active=True))
        return found

    def _find_focus(self) -> int:
        """The window with the keyboard's focus; 0 for none, or when it follows the pointer."""
        focus = self._display.get_input_focus().focus
        return 0 if isinstance(focus, int) else int(focus.id)

    def _find_top(self, window: int) -> int:
        """The child of the root that the window lies in; 0 if there is none."""
        try:
            while window and window != self._root.id:
                parent = self._get_window(window).query_tree().parent
                if isinstance(parent, int):
                    return 0
                if parent.id == self._root.id:
                    return window
                window = int(parent.id)
        except GONE:
            pass
        return 0

    def _describe(self, window: Any) -> _TopLevel | None:
        """None for what is not visible."""
        try:
            attributes = window.get_attributes()
            if attributes.win_class != X.InputOutput or attributes.map_state != X.IsViewable:
                return None
            client = self._find_client(window, window.id, _DEPTH)
            self._answers.watch(client or window)
            alone = client is None and bool(attributes.override_redirect)
            return _TopLevel(int(window.id), self._query_rect(window, client), client or window, alone)
        except GONE:
            return None

    def _query_rect(self, window: Any, client: Any) -> Rect:
        """What of a window is visible: without a frame's transparent margins, and without a shadow of its own."""
        extents = read_numbers(self._display, client, "_NET_FRAME_EXTENTS") if client is not None else []
        if len(extents) == 4:
            left, right, top, bottom = extents
            size, corner = client.get_geometry(), self._root.translate_coords(client, 0, 0)
            return Rect(corner.x - left, corner.y - top, size.width + left + right, size.height + top + bottom)
        g = window.get_geometry()
        width, height = g.width + 2 * g.border_width, g.height + 2 * g.border_width
        shadow = read_numbers(self._display, client or window, "_GTK_FRAME_EXTENTS")
        left, right, top, bottom = shadow if len(shadow) == 4 else (0, 0, 0, 0)
        return Rect(g.x + left, g.y + top, max(1, width - left - right), max(1, height - top - bottom))

    def _find_client(self, window: Any, frame: int, depth: int) -> Any:
        """What a window manager's frame is for, or None: a program's window, or the manager's own, such as a task bar.

        A program's window is known by its connection, before the manager has marked it with WM_STATE.
        """
        if not self._is_same_connection(window.id, frame) or read_numbers(self._display, window, "WM_STATE"):
            return window
        if depth > 0:
            for child in window.query_tree().children:
                found = self._find_client(child, frame, depth - 1)
                if found is not None:
                    return found
        return None

    def _find_owner(self, top: _TopLevel, game: int, game_top: int, overlay: int) -> WindowOwner:
        if top.id == game_top:
            return "game"
        try:
            pid = self._read_pid(top.client)
            if top.id == overlay or pid == os.getpid():
                return "overlay"
            if self._belongs(top.client, game):
                return "popup"
        except GONE:
            return "system"
        return "system" if top.unmanaged else "program"

    def _belongs(self, client: Any, game: int) -> bool:
        """Whether a window is of the game's program: of its connection or process, or a dialog over its window."""
        if self._is_same_connection(client.id, game):
            return True
        owner = self._get_window(game)
        pid = self._read_pid(client)
        if pid and pid == self._read_pid(owner):
            return True
        leader = read_numbers(self._display, client, "WM_CLIENT_LEADER")
        if leader and leader == read_numbers(self._display, owner, "WM_CLIENT_LEADER"):
            return True
        for _ in range(_TRANSIENT_CHAIN):
            found = client.get_full_property(Xatom.WM_TRANSIENT_FOR, X.AnyPropertyType)
            if found is None or found.format != 32 or not found.value or not found.value[0]:
                return False
            client = self._get_window(int(found.value[0]))
            if client.id == game or self._is_same_connection(client.id, game):
                return True
        return False

    def _is_same_connection(self, one: int, other: int) -> bool:
        """Whether one program's connection made both windows: the server gives each connection a range of ids."""
        free = self._display.display.info.resource_id_mask
        return bool(one & ~free == other & ~free)

    def _is_panel(self, client: Any) -> bool:
        try:
            kinds = read_numbers(self._display, client, "_NET_WM_WINDOW_TYPE")
        except GONE:
            return False
        return any(self._display.get_atom(name) in kinds for name in _PANELS)

    def _read_pid(self, window: Any) -> int:
        return (read_numbers(self._display, window, "_NET_WM_PID") or [0])[0]

    def _get_window(self, window: int) -> Any:
        return self._display.create_resource_object("window", window)
