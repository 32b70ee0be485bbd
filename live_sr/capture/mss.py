"""Captures a region of the screen through mss: the fallback, which runs everywhere.

It captures whatever covers the region, the overlay too. It cannot tell when the game drew, and mss allocates a new
buffer for every picture.
"""

from __future__ import annotations

import time
from contextlib import suppress
from time import perf_counter_ns

import mss
import numpy as np
from mss.exception import ScreenShotError

from live_sr.errors import DisplayLost, SourceLost, UsageError
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, Stamps, reuse_or_allocate

OPAQUE = np.uint32(0xFF000000)  # alpha of a BGRA pixel read as one little-endian word


class MssSource:
    """What the screen shows in a rectangle of the desktop, at most `max_fps` times a second.

    `stamps.seen` is the time of the request for a picture. So the measured latency leaves out the time from the game's
    drawing to that request.
    """

    def __init__(self, region: Rect, *, display: str | None = None, max_fps: float = 60.0) -> None:
        """`display`: for X11, in the form of DISPLAY. Raises DisplayLost without a screen, and UsageError when the
        region is not on it."""
        self._region = region
        self._monitor = {"left": region.x, "top": region.y, "width": region.width, "height": region.height}
        self._period_ns = int(1e9 / max_fps)
        self._next_ns = 0
        try:
            self._screen = mss.MSS() if display is None else mss.MSS(display=display)
            try:
                whole = self._screen.monitors[0]
                _require_inside(region, Rect(whole["left"], whole["top"], whole["width"], whole["height"]))
            except BaseException:
                self._screen.close()
                raise
        except ScreenShotError as error:
            raise DisplayLost(
                f"the screen cannot be captured: {error}", "start live-sr from a desktop session"
            ) from None

    @property
    def size(self) -> Size:
        return self._region.size

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        """See FrameSource. Returns a picture at the pace of `max_fps`, the same one if nothing changed."""
        wait_s = (self._next_ns - perf_counter_ns()) / 1e9
        if wait_s > timeout_s:
            time.sleep(max(0.0, timeout_s))
            return None
        if wait_s > 0:
            time.sleep(wait_s)
        seen = perf_counter_ns()
        # Counted from the last due time, so that one late picture does not slow the pace, but not from one long past.
        self._next_ns = max(self._next_ns + self._period_ns, seen)
        try:
            shot = self._screen.grab(self._monitor)
        except (ScreenShotError, AssertionError) as error:  # mss asserts when the connection is broken
            why = str(error) or "the connection to the screen is lost"
            raise SourceLost(f"the screen cannot be captured: {why}", "live-sr tries again by itself") from None
        pixels = reuse_or_allocate(into, self.size)
        words = np.frombuffer(shot.raw, np.uint32).reshape(self._region.height, self._region.width)
        np.bitwise_or(words, OPAQUE, out=pixels.view(np.uint32)[..., 0])
        return Frame(pixels, Stamps(seen, perf_counter_ns()))

    def close(self) -> None:
        with suppress(ScreenShotError):  # mss raises this when the connection broke before
            self._screen.close()


def _require_inside(region: Rect, screen: Rect) -> None:
    if region.width < 1 or region.height < 1:
        raise UsageError(f"the region {region} is empty", "give X,Y,WIDTH,HEIGHT with a width and height of 1 or more")
    right, bottom = screen.x + screen.width, screen.y + screen.height
    if not (screen.x <= region.x and region.x + region.width <= right) or not (
        screen.y <= region.y and region.y + region.height <= bottom
    ):
        raise UsageError(f"the region {region} is not on the screen, which is {screen}", "move or shrink the region")
