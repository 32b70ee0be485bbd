"""What XWayland cannot do for an overlay on a Wayland desktop."""

from __future__ import annotations

from collections.abc import Sequence

from Xlib.display import Display

from live_sr.desktop.x11_errors import NO_SERVER
from live_sr.pipeline.desktop_contracts import Monitor
from live_sr.system.wayland import WaylandConnection, WaylandLost, WaylandOutput

LETS_CLICKS_THROUGH = 12401000
"""XWayland 24.1, as X servers give their release. From then on clicks should pass through a window without input to a
Wayland window below it. A study saw that with 24.1.14 on sway, mutter and kwin, and that 22.1.9 keeps them; what lies
between was not tried, and the tests here do not repeat it."""


def read_server_release(display: str | None = None) -> int:
    """The release of the X server, such as 12401014 for XWayland 24.1.14; 0 if there is no server.

    `display`: in the form of DISPLAY, which is used for None.
    """
    try:
        connection = Display(display)
    except NO_SERVER:
        return 0
    release = int(connection.display.info.release_number)
    connection.close()
    return release


def describe_release(release: int) -> str:
    """12401014 -> "24.1.14"."""
    return f"{release // 100000 % 100}.{release // 1000 % 100}.{release % 1000}"


def read_outputs() -> list[WaylandOutput]:
    """The compositor's screens; none without a compositor."""
    try:
        wayland = WaylandConnection()
    except WaylandLost:
        return []
    try:
        return wayland.list_outputs()
    except WaylandLost:
        return []
    finally:
        wayland.close()


def describe_scaling(outputs: Sequence[WaylandOutput], monitors: Sequence[Monitor]) -> str:
    """A sentence if X11's windows get fewer pixels than a screen has, because the desktop scales it; else empty."""
    for output in outputs:
        at = (output.x, output.y)
        seen = next((monitor.rect.size for monitor in monitors if (monitor.rect.x, monitor.rect.y) == at), None)
        if seen is not None and seen.width < output.size.width:
            return (
                f"the desktop scales the screen: the game and the overlay are drawn with {seen} pixels and enlarged to "
                f"{output.size}; at 100 % the picture is sharper"
            )
    return ""
