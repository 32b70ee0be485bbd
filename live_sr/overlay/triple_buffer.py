"""Hands pictures from the upscale thread to the thread that shows them."""

from __future__ import annotations

import threading
from typing import Generic

from live_sr.pipeline.contracts import P
from live_sr.pipeline.frame import Frame
from live_sr.pipeline.latency import Latency


class TripleBuffer(Generic[P]):
    """Three pictures go round: one is being upscaled, one waits, one is on screen.

    The upscale thread puts, the GUI thread takes. A picture is free again when a newer one replaced it before it was
    taken, or when the GUI thread has taken the next one, since then nothing paints the old one any more.
    """

    def __init__(self, latency: Latency) -> None:
        self._latency = latency
        self._lock = threading.Lock()
        # guarded by _lock:
        self._waiting: Frame[P] | None = None
        self._on_screen: Frame[P] | None = None
        self._free: Frame[P] | None = None
        self._count_drops = True

    def put(self, frame: Frame[P]) -> tuple[Frame[P] | None, bool]:
        """Leaves the newest frame. Returns one that may be written again, and whether to wake the GUI thread.

        Only the first frame since the last `take` needs to wake it. A replaced frame counts as dropped, unless
        `ignore_drops` was called since then.
        """
        with self._lock:
            replaced, self._waiting = self._waiting, frame
            if replaced is not None:
                counts = self._count_drops
                given_back = replaced
            else:
                counts = False
                given_back, self._free = self._free, None  # type: ignore[assignment]
        if counts:
            self._latency.count_dropped()
        return given_back, replaced is None

    def take(self) -> Frame[P] | None:
        """The frame to paint next. None: the one on screen is still the newest."""
        with self._lock:
            self._count_drops = True
            frame, self._waiting = self._waiting, None
            if frame is not None:
                self._free, self._on_screen = self._on_screen, frame
            return frame

    def has_waiting(self) -> bool:
        """Whether there is a frame to paint."""
        with self._lock:
            return self._waiting is not None

    def ignore_drops(self) -> None:
        """Do not count replaced frames until the next `take`: the window is not on screen."""
        with self._lock:
            self._count_drops = False
