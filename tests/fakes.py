"""One fake for each contract of the pipeline."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from time import perf_counter_ns

import numpy as np

from live_sr.contracts import Job
from live_sr.frame import Frame, Pixels, Size, Stamps, fitting, size_of
from live_sr.latency import Latency

Step = int | BaseException | None


class FakeSource:
    """Plays a script: a number is a frame of that level, an exception is raised, None is "nothing new".

    After the script it has nothing new, for ever. `allocated` counts pictures that were not drawn into a lent one.
    """

    def __init__(self, script: Iterable[Step], size: Size = Size(8, 6)) -> None:  # noqa: B008  # immutable
        self._script: Iterator[Step] = iter(script)
        self.size = size
        self.allocated = 0
        self.closed = False

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        step = next(self._script, None)
        if step is None:
            threading.Event().wait(min(timeout_s, 0.005))
            return None
        if isinstance(step, BaseException):
            raise step
        pixels = fitting(into, self.size)
        self.allocated += pixels is not into
        pixels[..., :3] = step % 256
        now = perf_counter_ns()
        return Frame(pixels, Stamps(seen=now, captured=now))

    def close(self) -> None:
        self.closed = True


class FakeEngine:
    """Repeats every pixel. `gate` must be set for it to go on; `error` is raised by the next frame."""

    def __init__(self, scale: int = 2) -> None:
        self.scale = scale
        self.job = Job("fake", scale, "numpy")
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.error: BaseException | None = None
        self.levels: list[int] = []

    def warm_up(self, size: Size) -> None:
        """Nothing to build."""

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        self.entered.set()
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        self.levels.append(int(frame.pixels[0, 0, 0]))
        done = fitting(into, size_of(frame.pixels).times(self.scale))
        done[...] = np.repeat(np.repeat(frame.pixels, self.scale, 0), self.scale, 1)
        return frame.redrawn(done)

    def close(self) -> None:
        """Nothing to free."""


class FakeDisplay:
    """Remembers the level of each frame and where its pixels lie; gives back the frame before."""

    def __init__(self, latency: Latency) -> None:
        self._latency = latency
        self._last: Frame[Pixels] | None = None
        self.levels: list[int] = []
        self.addresses: set[int] = set()
        self.shown = threading.Condition()

    def show(self, frame: Frame[Pixels]) -> Frame[Pixels] | None:
        frame.stamps.shown = perf_counter_ns()
        self._latency.shown(frame.stamps)
        with self.shown:
            self.levels.append(int(frame.pixels[0, 0, 0]))
            self.addresses.add(frame.pixels.ctypes.data)
            self.shown.notify_all()
        self._last, given_back = frame, self._last
        return given_back

    def until(self, count: int) -> list[int]:
        """The levels of the frames shown, once there are so many."""
        with self.shown:
            assert self.shown.wait_for(lambda: len(self.levels) >= count, 10), f"only {self.levels} were shown"
            return list(self.levels)
