"""What the errors of python-xlib and libxcb mean: that a window is gone, or the X server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from Xlib import error

from live_sr.errors import DisplayLost
from live_sr.system import xcb

GONE = (error.BadWindow, error.BadDrawable, error.BadMatch)
"""Raised by requests for a window that no longer exists."""

NO_SERVER = (error.DisplayError, error.XauthError, error.XNoAuthError, error.ConnectionClosedError, OSError)
"""Raised where no X server answers, or does not answer any longer."""


@contextmanager
def raise_display_lost() -> Iterator[None]:
    """Turns the end of an open connection into DisplayLost."""
    try:
        yield
    except (error.ConnectionClosedError, xcb.ConnectionBroken, OSError):
        raise DisplayLost("the connection to the X server is lost", "start live-sr again") from None
