"""The window of a game that stands still: its picture, and its size, which is always given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from time import monotonic, sleep

import numpy as np

from live_sr.capture.select import SelectedCapture
from live_sr.desktop.window_guard import start_guard
from live_sr.errors import SourceClosed, UsageError
from live_sr.imaging.degradation import Picture
from live_sr.pipeline.desktop_contracts import Desktop, WindowInfo
from live_sr.pipeline.frame import Rect, Size
from live_sr.system.termination import HeldInterrupt
from live_sr.training.pairs.render_check import has_moved

FOLLOWS_S = 3.0  # how long a window may take to get the size that was asked for
SETTLES_S = 8.0  # how long a game may take until its picture stands still at a new size
STILL_S = 0.5  # how long a picture has to stay as it is to count as still
LOOK_S = 0.05  # between two looks at the window


class PausedGame:
    """One window, looked at through a desktop and a way to capture. Raises SourceClosed once the window is closed.

    Its waits raise KeyboardInterrupt if `interrupt` has noted one.
    """

    def __init__(
        self, desktop: Desktop, capture: SelectedCapture, window: WindowInfo, interrupt: HeldInterrupt
    ) -> None:
        self._desktop = desktop
        self._capture = capture
        self._window = window
        self._interrupt = interrupt

    def find_place(self) -> Rect:
        """Where its content is on the desktop."""
        state = self._desktop.get_window_state(self._window.id)
        if state is None:
            raise SourceClosed("the game's window was closed", "start the game again")
        return state.rect

    def find_screen(self, place: Rect) -> Rect:
        """The monitor that shows most of a window there."""

        def measure_overlap(screen: Rect) -> int:
            common = screen.intersect(place)
            return common.width * common.height

        return max((monitor.rect for monitor in self._desktop.list_monitors()), key=measure_overlap)

    def resize(self, place: Rect) -> bool:
        """Asks for that place; returns whether the window has got that size."""
        self._desktop.place_window(self._window.id, place)
        return self.wait_for_size(place.size)

    def wait_for_size(self, size: Size) -> bool:
        """Whether the window has that size within the time that it may take to follow."""
        end = monotonic() + FOLLOWS_S
        while self.find_place().size != size:
            if monotonic() > end:
                return False
            self._wait()
        return True

    @contextmanager
    def returned_afterwards(self) -> Iterator[None]:
        """Puts the window back to its place at the end, also when this process is killed meanwhile."""
        place = self.find_place()
        with closing(start_guard(self._window.id, place)):
            try:
                yield
            finally:
                if self.find_place() != place:
                    self._desktop.place_window(self._window.id, place)

    def take_picture(self) -> Picture:
        """What it shows, once that stands still. Raises UsageError if it does not."""
        for picture in self.iterate_still_pictures():
            return picture
        raise UsageError("the game's picture does not stand still", "pause the game first")

    def iterate_still_pictures(self) -> Iterator[Picture]:
        """BGR pictures that have stood still for a moment, each once, for as long as a game may take to settle."""
        window = replace(self._window, rect=self.find_place())
        with closing(self._capture.open_window(window)) as source:
            picture: Picture | None = None
            begun = since = monotonic()
            yielded = False
            while monotonic() - begun < SETTLES_S:
                frame = source.next_frame(LOOK_S)
                shown = None if frame is None else np.ascontiguousarray(frame.pixels[..., :3])
                if shown is not None and (picture is None or has_moved(picture, shown)):
                    picture, since, yielded = shown, monotonic(), False
                if picture is not None and not yielded and monotonic() - since >= STILL_S:
                    yielded = True
                    yield picture
                self._wait()

    def _wait(self) -> None:
        sleep(LOOK_S)
        self._interrupt.check()


def fit_into(screen: Rect, size: Size, place: Rect) -> Rect:
    """`size` at that place, moved so that the screen shows all of it."""
    x = max(screen.x, min(place.x, screen.x + screen.width - size.width))
    y = max(screen.y, min(place.y, screen.y + screen.height - size.height))
    return Rect(x, y, *size)
