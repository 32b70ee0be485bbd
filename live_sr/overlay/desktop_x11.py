"""Windows and monitors of an X11 screen. The overlay there is an override-redirect window that Qt makes transparent for
input: no window manager comes between, so that little is left to do for it here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from Xlib import X, Xatom, error
from Xlib.display import Display

from live_sr.contracts import Monitor, WindowInfo, WindowState
from live_sr.errors import DisplayLost
from live_sr.frame import Rect

SMALL = 32  # pixels; a nameless window narrower and lower than this is a program's helper, not a game
_ICONIC = 3  # of ICCCM's WM_STATE
_NO_GAME = ("_NET_WM_WINDOW_TYPE_DESKTOP", "_NET_WM_WINDOW_TYPE_DOCK")
_DEPTH = 3  # how far below the root a window manager without _NET_CLIENT_LIST may have put a client
_GONE = (error.BadWindow, error.BadDrawable, error.BadMatch)


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except (error.ConnectionClosedError, OSError):
        raise DisplayLost("the connection to the X server is lost", "start live-sr again") from None


class X11Desktop:
    """See Desktop. Uses a connection of its own."""

    def __init__(self, display: str | None = None) -> None:
        """`display` as in DISPLAY, which is used for None. Raises DisplayLost when no X server answers."""
        name = display if display is not None else os.environ.get("DISPLAY", "")
        try:
            self._display = Display(display)
        except (error.DisplayError, error.XauthError, error.XNoAuthError, error.ConnectionClosedError, OSError):
            raise DisplayLost(
                f'no X server answers at "{name}"' if name else "there is no X server: DISPLAY is not set",
                "start live-sr from a desktop session; on Wayland only X11 games (through XWayland) can be enlarged",
            ) from None
        self._display.set_error_handler(lambda *_: None)  # of requests without reply: the window has gone meanwhile
        self._root = self._display.screen().root

    def windows(self) -> list[WindowInfo]:
        with _connected():
            found = [self._info(window) for window in self._clients()]
        return [info for info in found if info is not None and info.pid != os.getpid()]

    def state(self, window: int) -> WindowState | None:
        with _connected():
            try:
                client = self._window(window)
                viewable = client.get_attributes().map_state == X.IsViewable
                iconic = self._values(client, "WM_STATE")[:1] == [_ICONIC]
                hidden = self._atom("_NET_WM_STATE_HIDDEN") in self._values(client, "_NET_WM_STATE")
                return WindowState(self._rect(client), not viewable or iconic or hidden)
            except _GONE:
                return None

    def monitors(self) -> list[Monitor]:
        """As RANDR tells them. Where it calls none the primary one, the first is."""
        with _connected():
            if hasattr(self._root, "xrandr_get_monitors"):  # RANDR 1.5 or newer
                found = self._root.xrandr_get_monitors().monitors
                named_primary = any(m.primary for m in found)
                if found:
                    return [
                        Monitor(
                            self._display.get_atom_name(m.name),
                            Rect(m.x, m.y, m.width_in_pixels, m.height_in_pixels),
                            bool(m.primary) if named_primary else number == 0,
                        )
                        for number, m in enumerate(found)
                    ]
            whole = self._root.get_geometry()
            return [Monitor("screen", Rect(0, 0, whole.width, whole.height), primary=True)]

    def dress(self, overlay: int) -> None:
        """Raises it; the rest is Qt's flags: BypassWindowManagerHint and WindowTransparentForInput."""
        with _connected():
            self._window(overlay).configure(stack_mode=X.Above)
            self._display.flush()

    def place(self, overlay: int, rect: Rect) -> None:
        with _connected():
            self._window(overlay).configure(
                x=rect.x, y=rect.y, width=max(1, rect.width), height=max(1, rect.height), stack_mode=X.Above
            )
            self._display.flush()

    def exclude_from_capture(self, overlay: int, excluded: bool) -> bool:
        """X11 hides no window from recorders. Capturing the game's own window needs none hidden."""
        return False

    def map_pointer(self, game: Rect | None, picture: Rect | None) -> bool:
        return False

    def close(self) -> None:
        with suppress(error.ConnectionClosedError, OSError):
            self._display.close()

    def _clients(self) -> Iterator[Any]:
        """The programs' windows, topmost first: as the window manager lists them, else as they lie below the root."""
        if self._managed():
            for name in ("_NET_CLIENT_LIST_STACKING", "_NET_CLIENT_LIST"):
                ids = self._values(self._root, name)
                if ids:
                    yield from (self._window(i) for i in reversed(ids))
                    return
        yield from self._below(self._root, _DEPTH)

    def _managed(self) -> bool:
        """Whether a window manager keeps the lists on the root up to date; they outlive one that was killed."""
        check = self._values(self._root, "_NET_SUPPORTING_WM_CHECK")
        with suppress(*_GONE):
            return bool(check) and self._values(self._window(check[0]), "_NET_SUPPORTING_WM_CHECK") == check
        return False

    def _below(self, parent: Any, depth: int) -> Iterator[Any]:
        for window in reversed(parent.query_tree().children):
            with suppress(*_GONE):
                attributes = window.get_attributes()
                if attributes.win_class != X.InputOutput or attributes.override_redirect:
                    continue
                if self._title(window) or self._values(window, "WM_STATE"):
                    yield window
                elif depth > 1 and attributes.map_state == X.IsViewable:
                    inner = list(self._below(window, depth - 1))
                    yield from inner or ([window] if parent == self._root else [])

    def _info(self, window: Any) -> WindowInfo | None:
        """None: it is gone, or no game's."""
        try:
            kinds = self._values(window, "_NET_WM_WINDOW_TYPE")
            title, rect = self._title(window), self._rect(window)
            pid = (self._values(window, "_NET_WM_PID") or [0])[0]
        except _GONE:
            return None
        small = rect.width < SMALL and rect.height < SMALL
        if (small and not title) or any(self._atom(name) in kinds for name in _NO_GAME):
            return None
        return WindowInfo(int(window.id), title, _process(pid), pid, rect)

    def _title(self, window: Any) -> str:
        for name in (self._atom("_NET_WM_NAME"), Xatom.WM_NAME):
            found = window.get_full_property(name, X.AnyPropertyType)
            if found is not None and found.format == 8 and found.value:
                coding = "latin-1" if found.property_type == Xatom.STRING else "utf-8"
                return bytes(found.value).decode(coding, "replace").strip("\0").strip()
        return ""

    def _rect(self, window: Any) -> Rect:
        size = window.get_geometry()
        corner = self._root.translate_coords(window, 0, 0)
        return Rect(corner.x, corner.y, size.width, size.height)

    def _values(self, window: Any, name: str) -> list[int]:
        """A property of 32-bit numbers; empty if the window has none."""
        found = window.get_full_property(self._atom(name), X.AnyPropertyType)
        return [int(v) for v in found.value] if found is not None and found.format == 32 else []

    def _atom(self, name: str) -> int:
        return int(self._display.get_atom(name))  # python-xlib asks the server once a name

    def _window(self, window: int) -> Any:
        return self._display.create_resource_object("window", window)


def _process(pid: int) -> str:
    """A process's name, at most 15 characters, as the kernel keeps it; empty if it cannot be known."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip() if pid > 0 else ""
    except OSError:
        return ""
