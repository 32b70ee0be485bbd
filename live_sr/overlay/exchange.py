"""Pictures on their way from the upscale thread to the one that presents them."""

from __future__ import annotations

import threading
from typing import Generic

from live_sr.contracts import P
from live_sr.frame import Frame
from live_sr.latency import Latency


class Exchange(Generic[P]):
    """Three pictures in circulation: one is being upscaled, one waits, one is on screen.

    The upscale thread puts, the GUI thread takes. A picture is free again when a newer one replaced it before it was
    taken, or when the GUI thread took the next one: from then on nothing paints the old one any more.
    """

    def __init__(self, latency: Latency) -> None:
        self._latency = latency
        self._lock = threading.Lock()
        # guarded by _lock:
        self._waiting: Frame[P] | None = None
        self._on_screen: Frame[P] | None = None
        self._free: Frame[P] | None = None
        self._wanted = True

    def put(self, frame: Frame[P]) -> tuple[Frame[P] | None, bool]:
        """Leave the newest frame. Returns one that may be written again, and whether the GUI thread must be told.

        It is told once until it takes. A replaced frame counts as dropped, unless nobody is looking.
        """
        with self._lock:
            replaced, self._waiting = self._waiting, frame
            if replaced is not None:
                wanted = self._wanted
                given_back = replaced
            else:
                wanted = False
                given_back, self._free = self._free, None  # type: ignore[assignment]
        if wanted:
            self._latency.dropped()
        return given_back, replaced is None

    def take(self) -> Frame[P] | None:
        """The frame that is to be painted next, or None: the one on screen is still the newest."""
        with self._lock:
            self._wanted = True
            frame, self._waiting = self._waiting, None
            if frame is not None:
                self._free, self._on_screen = self._on_screen, frame
            return frame

    def waits(self) -> bool:
        """Whether there is a frame to paint."""
        with self._lock:
            return self._waiting is not None

    def unwanted(self) -> None:
        """Nobody is looking: until the next `take`, replaced frames are not missed."""
        with self._lock:
            self._wanted = False
