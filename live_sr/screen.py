"""Parts around the screen: desktop, capture, hotkeys, and Qt's event loop, of whatever back-end serves here."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from live_sr import backends
from live_sr.backends import Backend, Choice
from live_sr.contracts import Desktop, FrameSource, Hotkeys, Monitor, WindowInfo
from live_sr.errors import DisplayLost, LiveSRError, MissingPart
from live_sr.frame import Rect

if TYPE_CHECKING:
    from live_sr.overlay.loop import Loop


def desktop() -> Desktop:
    """Raises DisplayLost with a remedy where there is no screen that can be worked with."""
    session = backends.session()
    if session == "wayland":
        raise DisplayLost(
            "this is Wayland without X: live-sr sees games that run on X11 or XWayland, not native Wayland ones",
            "start XWayland (DISPLAY must be set), or log in to an X11 session",
        )
    if session == "none":
        raise DisplayLost(
            "there is no screen: DISPLAY is not set", "run it in a desktop session, or use `live-sr demo`"
        )
    backend, _ = backends.choose("desktop", backends.DESKTOPS)
    return cast(Desktop, backend.load()())


def hotkeys() -> tuple[Hotkeys | None, str]:
    """What binds keys here, or None and the reason."""
    try:
        backend, _ = backends.choose("hotkeys", backends.HOTKEYS)
        return cast(Hotkeys, backend.load()()), ""
    except LiveSRError as error:
        return None, f"no hotkeys: {error.message} ({error.remedy})"


@dataclass
class Capture:
    """The chosen way to see the game. `warnings` are for the HUD."""

    backend: Backend
    choice: Choice
    warnings: list[str]
    fixed: bool = False  # the player named it

    @property
    def sees_the_overlay(self) -> bool:
        """Whether it captures what is on the screen, and not the game's own window."""
        return self.backend.name in ("dxgi", "mss")

    def settle(self, rect: Rect, monitors: list[Monitor], *, excluded: bool, has_window: bool) -> None:
        """On Windows, once there is an overlay: keep to desktop duplication only if it can serve this rectangle."""
        if self.backend.name != "dxgi" or self.fixed:
            return
        from live_sr.capture import dxgi, preference

        works = not dxgi.obstacle(rect)
        name, passed_over = preference.prefer(rect, monitors, excluded, works, has_window=has_window)
        self.backend = next(b for b in backends.CAPTURE if b.name == name)
        self.choice = Choice("capture", name, "the best that serves this window", passed_over)
        self.warnings += [f"capture: {name}, not {other}: {why}" for other, why in passed_over]

    def open_window(self, window: WindowInfo) -> FrameSource:
        """On the thread that will use it. Raises SourceLost or SourceClosed."""
        if self.backend.name == "mss":
            return self.open_region(window.rect)
        return cast(FrameSource, self.backend.load()(window.id))

    def open_region(self, region: Rect) -> FrameSource:
        """A part of the desktop, whatever is there."""
        source = self.backend.load()
        return cast(FrameSource, source(region=region) if self.backend.name == "dxgi" else source(region))


def capture(wanted: str, *, whole_window: bool) -> Capture:
    """How to see a window, or (`whole_window` off) a part of the desktop. Raises MissingPart with every reason."""
    table: tuple[Backend, ...] = backends.CAPTURE
    if not whole_window and wanted == "auto":
        table = tuple(b for b in table if b.name in ("dxgi", "mss"))  # the others see one window
    backend, choice = backends.choose("capture", table, wanted)
    warnings = []
    if backend.name == "mss" and whole_window:
        warnings.append("mss captures the part of the screen where the window was: it does not follow the window")
    return Capture(backend, choice, warnings, fixed=wanted != "auto")


def check_qt() -> None:
    """Raises MissingPart when Qt cannot open a window here: without some libraries it would abort the process."""
    remedy = "`python3 tools/start.py demo` installs what is missing, or see the README for the list"
    try:
        if backends.system() == "linux":
            ctypes.CDLL("libxcb-cursor.so.0")
        importlib.import_module("PyQt6.QtWidgets")
    except (ImportError, OSError) as error:
        raise MissingPart(f"Qt cannot open a window here: {error}", remedy) from None


def loop(on_display_lost: Callable[[], None]) -> Loop:
    """Qt's event loop on this thread; `on_display_lost` must end the process. Raises MissingPart."""
    check_qt()
    from live_sr.overlay.loop import Loop
    from live_sr.overlay.window import guard_connection

    guard_connection(on_display_lost)
    if backends.system() == "linux":
        from live_sr.capture.x11 import on_connection_lost

        on_connection_lost(on_display_lost)
    return Loop()
