"""Leaves pictures on the graphics card while nothing needs them in main memory."""

from __future__ import annotations

from typing import cast

import numpy as np

from live_sr.contracts import Job
from live_sr.cuda.shown import Shown
from live_sr.engine.compare import Compare, View
from live_sr.engine.relay import Relay
from live_sr.frame import Frame, Pixels, Size, size_of


class Direct:
    """An Upscaler around `host`, whose frames the display may show from the card's memory.

    `allowed` is set by whoever knows that the display can, and taken back when it turns out that it cannot.
    """

    def __init__(self, host: Compare, relay: Relay) -> None:
        self._host = host
        self._relay = relay
        self._spare: Pixels | None = None  # the upscale thread's: a picture in main memory that came back meanwhile
        self.allowed = False

    @property
    def scale(self) -> int:
        return self._host.scale

    @property
    def job(self) -> Job:
        return self._host.job

    def warm_up(self, size: Size) -> None:
        self._host.warm_up(size)

    def upscale(self, frame: Frame[Pixels], into: Shown | None = None) -> Frame[Shown] | None:
        if isinstance(into, np.ndarray):
            self._spare = into
        elif into is not None:
            into.release()
        size = size_of(frame.pixels)
        if self.allowed and self._host.view is View.UPSCALED and self._relay.draws(size):
            drawn = self._relay.draw(frame)
            if drawn is not None:
                self._host.sizes = (size, drawn.pixels.size)
                return cast("Frame[Shown]", drawn)
            if self._relay.draws(size):
                return None  # both slots are taken: this frame is dropped
        spare, self._spare = self._spare, None
        return cast("Frame[Shown] | None", self._host.upscale(frame, spare))

    def close(self) -> None:
        self._host.close()
