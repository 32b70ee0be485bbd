"""Starts Qt's event loop and watches the connection to the display."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from live_sr.overlay.qt_check import check_qt
from live_sr.system.platform import get_platform

if TYPE_CHECKING:
    from live_sr.overlay.event_loop import EventLoop


def start_event_loop(on_display_lost: Callable[[], None]) -> EventLoop:
    """Qt's event loop, for this thread. `on_display_lost` must end the process. Raises MissingPart without Qt.

    On Linux the windows are X11's, also on a Wayland desktop. Raises DisplayLost if Qt opens others.
    """
    check_qt()
    from live_sr.overlay.event_loop import EventLoop, guard_connection

    guard_connection(on_display_lost)
    if get_platform() != "linux":
        return EventLoop()
    from live_sr.capture.x11 import set_connection_lost_callback

    set_connection_lost_callback(on_display_lost)
    return EventLoop("xcb")
