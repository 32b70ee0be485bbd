"""The desktop on X11: windows and monitors.

The overlay there is an override-redirect window that Qt makes transparent for input. No window manager handles it, so
this module has little to do for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from Xlib import X, Xatom, error
from Xlib.display import Display
from Xlib.ext import res, shape
from Xlib.protocol.event import ClientMessage

from live_sr.desktop.x11_changes import AnswerCache
from live_sr.desktop.x11_errors import GONE, NO_SERVER, raise_display_lost
from live_sr.desktop.x11_stack import WindowStack, has_window_manager, read_numbers
from live_sr.errors import DisplayLost
from live_sr.pipeline.desktop_contracts import Monitor, StackedWindow, WindowInfo, WindowState
from live_sr.pipeline.frame import Rect, Size, cut_out_all

SMALL = 32  # pixels; an untitled window narrower and lower than this is a program's helper window, not a game
_ICONIC = 3  # of ICCCM's WM_STATE
_NOT_GAMES = ("_NET_WM_WINDOW_TYPE_DESKTOP", "_NET_WM_WINDOW_TYPE_DOCK")
_DEPTH = 3  # how deep below the root a window manager without _NET_CLIENT_LIST may have placed a client window


class X11Desktop:
    """Implements `contracts.Desktop` for X11, with a connection of its own."""

    def __init__(self, display: str | None = None) -> None:
        """`display`: in the form of DISPLAY, which is used for None. Raises DisplayLost when no X server answers."""
        name = display if display is not None else os.environ.get("DISPLAY", "")
        try:
            self._display = Display(display)
        except NO_SERVER:
            raise DisplayLost(
                f'no X server answers at "{name}"' if name else "there is no X server: DISPLAY is not set",
                "start live-sr from a desktop session; on Wayland only X11 games (through XWayland) can be upscaled",
            ) from None
        self._display.set_error_handler(lambda *_: None)  # for requests without a reply: the window may be gone
        self._root = self._display.screen().root
        self._answers = AnswerCache(self._display)
        self._stack = WindowStack(self._display, self._answers)

    def list_windows(self) -> list[WindowInfo]:
        with raise_display_lost():
            found = [self._describe_window(window) for window in self._list_clients()]
        return [info for info in found if info is not None and info.pid != os.getpid()]

    def get_window_state(self, window: int) -> WindowState | None:
        with raise_display_lost():
            return self._answers.recall(("state", window), lambda: self._query_state(self._get_window(window)))

    def list_monitors(self) -> list[Monitor]:
        """The monitors that RANDR reports. The first is the primary one if RANDR names none."""
        with raise_display_lost():
            return self._answers.recall("monitors", self._query_monitors)

    def place_window(self, window: int, rect: Rect) -> None:
        """Through the window manager where there is one: only its own message places the content, not its frame."""
        with raise_display_lost(), suppress(*GONE):
            handle = self._get_window(window)
            unmanaged = bool(handle.get_attributes().override_redirect)
            left, right, top, bottom = self._read_shadow(handle)
            whole = (rect.x - left, rect.y - top, rect.width + left + right, rect.height + top + bottom)
            name = "_NET_MOVERESIZE_WINDOW"
            supported = self._get_atom(name) in self._read_numbers(self._root, "_NET_SUPPORTED")
            if supported and not unmanaged and has_window_manager(self._display):
                # of EWMH: the gravity of the place, that x, y, width and height are given, and that a tool asks
                what = X.StaticGravity | 0b1111 << 8 | 2 << 12
                numbers = [what, *(number & 0xFFFFFFFF for number in whole)]
                message = ClientMessage(window=handle, client_type=self._get_atom(name), data=(32, numbers))
                self._root.send_event(message, X.SubstructureRedirectMask | X.SubstructureNotifyMask)
            else:
                x, y, width, height = whole
                handle.configure(x=x, y=y, width=width, height=height)
            self._display.sync()

    def apply_window_styles(self, overlay: int) -> None:
        """Does nothing: Qt's BypassWindowManagerHint and WindowTransparentForInput are enough."""

    def list_stack(self, game: int, overlay: int) -> list[StackedWindow]:
        with raise_display_lost():
            return self._stack.list_windows(game, overlay)

    def place_overlay(self, overlay: int, rect: Rect, below: int | None = None, openings: Sequence[Rect] = ()) -> None:
        """A window `below` that is gone leaves the overlay where it is in the stack.

        Openings are cut out of its shape. It is not stacked below their windows instead, because some window managers
        (metacity, mutter) put override-redirect windows above all others at once.
        """
        order = {"stack_mode": X.Above} if below is None else {"sibling": below, "stack_mode": X.Below}
        with raise_display_lost():
            window = self._get_window(overlay)
            window.configure(x=rect.x, y=rect.y, width=max(1, rect.width), height=max(1, rect.height))
            window.configure(**order)
            if openings:
                parts = cut_out_all(rect, openings)
                corners = [(r.x - rect.x, r.y - rect.y, r.width, r.height) for r in parts]
                window.shape_rectangles(shape.SO.Set, shape.SK.Bounding, X.Unsorted, 0, 0, corners)
            else:
                window.shape_mask(shape.SO.Set, shape.SK.Bounding, 0, 0, X.NONE)
            self._display.flush()

    def exclude_from_capture(self, overlay: int, excluded: bool) -> bool:
        """Returns False: X11 cannot hide a window from recorders. Capturing the game's own window does not need it."""
        return False

    def close(self) -> None:
        with suppress(error.ConnectionClosedError, OSError):
            self._display.close()

    def _query_state(self, window: Any) -> WindowState | None:
        try:
            self._answers.watch(window)
            viewable = window.get_attributes().map_state == X.IsViewable
            iconic = self._read_numbers(window, "WM_STATE")[:1] == [_ICONIC]
            hidden = self._get_atom("_NET_WM_STATE_HIDDEN") in self._read_numbers(window, "_NET_WM_STATE")
            return WindowState(self._query_rect(window), not viewable or iconic or hidden)
        except GONE:
            return None

    def _query_monitors(self) -> list[Monitor]:
        if hasattr(self._root, "xrandr_get_monitors"):  # RANDR 1.5 or newer
            found = self._root.xrandr_get_monitors().monitors
            has_primary = any(m.primary for m in found)
            if found:
                return [
                    Monitor(
                        self._display.get_atom_name(m.name),
                        Rect(m.x, m.y, m.width_in_pixels, m.height_in_pixels),
                        bool(m.primary) if has_primary else number == 0,
                    )
                    for number, m in enumerate(found)
                ]
        whole = self._root.get_geometry()
        return [Monitor("screen", Rect(0, 0, whole.width, whole.height), primary=True)]

    def _list_clients(self) -> Iterator[Any]:
        """The windows of programs, topmost first: from the window manager's list, else from the tree below the root."""
        if has_window_manager(self._display):
            for name in ("_NET_CLIENT_LIST_STACKING", "_NET_CLIENT_LIST"):
                ids = self._read_numbers(self._root, name)
                if ids:
                    yield from self._list_unmanaged(set(ids))
                    yield from (self._get_window(i) for i in reversed(ids))
                    return
        yield from self._list_unmanaged(set())
        yield from self._find_clients(self._root, _DEPTH)

    def _list_unmanaged(self, managed: set[int]) -> Iterator[Any]:
        """Windows that no window manager handles and that fill a monitor, as full-screen games open them."""
        sizes = {monitor.rect.size for monitor in self.list_monitors()}
        for window in reversed(self._root.query_tree().children):
            with suppress(*GONE):
                attributes = window.get_attributes()
                visible = attributes.win_class == X.InputOutput and attributes.map_state == X.IsViewable
                if visible and attributes.override_redirect and window.id not in managed:
                    size = window.get_geometry()
                    if Size(size.width, size.height) in sizes:
                        yield window

    def _find_clients(self, parent: Any, depth: int) -> Iterator[Any]:
        for window in reversed(parent.query_tree().children):
            with suppress(*GONE):
                attributes = window.get_attributes()
                if attributes.win_class != X.InputOutput or attributes.override_redirect:
                    continue
                if self._read_title(window) or self._read_numbers(window, "WM_STATE"):
                    yield window
                elif depth > 1 and attributes.map_state == X.IsViewable:
                    inner = list(self._find_clients(window, depth - 1))
                    yield from inner or ([window] if parent == self._root else [])

    def _describe_window(self, window: Any) -> WindowInfo | None:
        """None for a window that is gone, or that cannot be a game."""
        try:
            kinds = self._read_numbers(window, "_NET_WM_WINDOW_TYPE")
            title, rect = self._read_title(window), self._query_rect(window)
            pid = (self._read_numbers(window, "_NET_WM_PID") or [0])[0] or self._query_pid(window)
            kind = ".".join(window.get_wm_class() or ())
        except GONE:
            return None
        small = rect.width < SMALL and rect.height < SMALL
        if (small and not title) or any(self._get_atom(name) in kinds for name in _NOT_GAMES):
            return None
        return WindowInfo(int(window.id), title, _find_process_name(pid), pid, rect, kind)

    def _query_pid(self, window: Any) -> int:
        """The process at the other end of a window's connection, for windows that do not name it; 0 if unknown."""
        if not self._display.has_extension("X-Resource"):
            return 0
        found = self._display.res_query_client_ids([{"client": window.id, "mask": res.LocalClientPIDMask}])
        return next((int(entry.value[0]) for entry in found.ids if entry.value), 0)

    def _read_title(self, window: Any) -> str:
        for name in (self._get_atom("_NET_WM_NAME"), Xatom.WM_NAME):
            found = window.get_full_property(name, X.AnyPropertyType)
            if found is not None and found.format == 8 and found.value:
                encoding = "latin-1" if found.property_type == Xatom.STRING else "utf-8"
                return bytes(found.value).decode(encoding, "replace").strip("\0").strip()
        return ""

    def _query_rect(self, window: Any) -> Rect:
        """Its content: without a shadow that it draws itself around it."""
        size = window.get_geometry()
        corner = self._root.translate_coords(window, 0, 0)
        left, right, top, bottom = self._read_shadow(window)
        width, height = size.width - left - right, size.height - top - bottom
        if width < 1 or height < 1:
            return Rect(corner.x, corner.y, size.width, size.height)
        return Rect(corner.x + left, corner.y + top, width, height)

    def _read_shadow(self, window: Any) -> tuple[int, int, int, int]:
        """How far a shadow that the window draws itself reaches into it from the left, right, top and bottom."""
        shadow = self._read_numbers(window, "_GTK_FRAME_EXTENTS")
        left, right, top, bottom = shadow if len(shadow) == 4 else (0, 0, 0, 0)
        return left, right, top, bottom

    def _read_numbers(self, window: Any, name: str) -> list[int]:
        """A property of 32-bit numbers; empty if the window does not have it."""
        return read_numbers(self._display, window, name)

    def _get_atom(self, name: str) -> int:
        return int(self._display.get_atom(name))  # python-xlib caches it

    def _get_window(self, window: int) -> Any:
        return self._display.create_resource_object("window", window)


def _find_process_name(pid: int) -> str:
    """The kernel's name of a process, at most 15 characters; empty if it cannot be read."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip() if pid > 0 else ""
    except OSError:
        return ""
