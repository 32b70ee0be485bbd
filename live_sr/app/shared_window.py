"""A native Wayland window as the game: the player chooses it in a dialog of the desktop."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from live_sr import backends
from live_sr.errors import MissingPart, UsageError, WindowNotFound
from live_sr.pipeline.desktop_contracts import Desktop, Monitor
from live_sr.pipeline.frame import Rect

if TYPE_CHECKING:
    from live_sr.capture.screen_cast import ScreenCast  # brings jeepney, which only Wayland sessions need

log = logging.getLogger(__name__)


def share_window(name: str, desktop: Desktop, not_found: str = "") -> tuple[ScreenCast, Rect | None]:
    """Asks the desktop to share a window with live-sr. A desktop may share a monitor instead: its place is returned.

    `name`: by which the choice is remembered. `not_found`: why the desktop is asked, if a window of X11 was looked for
    before. Raises MissingPart or, after such a search, WindowNotFound where the desktop cannot share; WindowNotFound if
    the player says no; UsageError for a monitor whose place is not known.
    """
    backend = next(b for b in backends.CAPTURE if b.sees_wayland)
    if obstacle := backend.unavailable_reason():
        if not_found:
            raise WindowNotFound(not_found, f"start the game first; native Wayland windows cannot be seen: {obstacle}")
        raise MissingPart(f"{backend.name} cannot be used: {obstacle}", "see docs/wayland.md")
    from live_sr.capture.screen_cast import share_window as ask

    if not_found:
        log.warning("not found on X11: %s", not_found)
    log.info("choose the game's window in the desktop's dialog, unless it remembers your choice")
    cast = ask(name)
    try:
        if cast.stream.is_window:
            return cast, None
        log.warning("the desktop shares a whole monitor and no window, so the picture goes where that does not show it")
        return cast, find_shared_monitor(cast.stream.rect, desktop.list_monitors())
    except BaseException:
        cast.close()
        raise


def find_shared_monitor(shared: Rect | None, monitors: Sequence[Monitor]) -> Rect:
    """Where on X11's desktop a shared monitor is, so that live-sr's window can stay away from it.

    `shared`: in the units of the Wayland desktop, which differ from those of X11 where outputs are scaled. Raises
    UsageError where that leaves a doubt.
    """
    if len(monitors) == 1:
        return monitors[0].rect
    same = next((m.rect for m in monitors if m.rect == shared), None)
    if same is None:
        raise UsageError(
            "the desktop shares a whole monitor and does not say which, so live-sr's window could be in the picture",
            "choose a window in the desktop's dialog, or set the scale of all monitors to 100 %",
        )
    return same
