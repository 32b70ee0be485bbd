"""Makes what an engine delivers exactly as large as the room on the screen, so that the display only has to copy."""

from __future__ import annotations

from live_sr.contracts import Engine, Job, Resize
from live_sr.frame import Frame, Pixels, Size, size_of


class Fitted:
    """An Engine around another: the picture as large as fits into `room`, its aspect kept."""

    def __init__(self, inner: Engine, resize: Resize) -> None:
        self._inner = inner
        self._resize = resize
        self._work: Pixels | None = None  # the upscale thread's: the inner engine draws here when it must be resized
        self.room: Size | None = None  # set by anyone; None: leave the size as it is

    @property
    def scale(self) -> int:
        return self._inner.scale

    @property
    def job(self) -> Job:
        return self._inner.job

    def warm_up(self, size: Size) -> None:
        self._inner.warm_up(size)

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        size = size_of(frame.pixels)
        target = size.fitted(self.room) if self.room is not None else None
        if target is None or size.times(self._inner.scale) == target:
            done = self._inner.upscale(frame, into)
            if done is None or target in (None, size_of(done.pixels)):
                return done
            return done.redrawn(self._resize(done.pixels, target or size, None))  # the scale changed just now
        done = self._inner.upscale(frame, self._work)
        if done is None:
            return None
        self._work = done.pixels
        return done.redrawn(self._resize(done.pixels, target, into))

    def close(self) -> None:
        self._inner.close()
