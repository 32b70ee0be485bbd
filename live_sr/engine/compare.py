"""The unprocessed picture instead of the upscaled one, or beside it with a divider, to see what the network does."""

from __future__ import annotations

from enum import Enum

from live_sr.contracts import Engine, Job, Resize
from live_sr.frame import Frame, Pixels, Size, size_of

LINE = 2  # width of the divider in pixels
STEP = 0.05  # of the picture's width, for one press of a divider key


class View(Enum):
    UPSCALED = "upscaled"
    UNPROCESSED = "unprocessed"
    SPLIT = "split"


class Compare:
    """An Engine around another. `view` and `divider` (0..1 from the left) may be set from any thread."""

    def __init__(self, inner: Engine, unprocessed: Resize) -> None:
        self._inner = inner
        self._resize = unprocessed
        self._work: Pixels | None = None  # the upscale thread's
        self.sizes: tuple[Size, Size] | None = None  # of the newest frame, before and after; for the HUD
        self.view = View.UPSCALED
        self.divider = 0.5

    @property
    def scale(self) -> int:
        return self._inner.scale

    @property
    def job(self) -> Job:
        return self._inner.job

    def warm_up(self, size: Size) -> None:
        self._inner.warm_up(size)

    def move_divider(self, steps: int) -> None:
        self.divider = min(1.0, max(0.0, self.divider + steps * STEP))

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        view = self.view
        done = self._inner.upscale(frame, into)
        if done is None:
            return None
        size = size_of(done.pixels)
        self.sizes = (size_of(frame.pixels), size)
        if view is View.UPSCALED:
            return done
        if view is View.UNPROCESSED:
            return done.redrawn(self._resize(frame.pixels, size, done.pixels))
        self._work = self._resize(frame.pixels, size, self._work)
        at = round(self.divider * size.width)
        done.pixels[:, :at] = self._work[:, :at]
        done.pixels[:, max(0, at - LINE // 2) : at + LINE // 2] = 255
        return done

    def close(self) -> None:
        self._inner.close()
