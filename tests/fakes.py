"""A fake for each contract of the pipeline, and for its clock."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter_ns

import numpy as np
from patience import until, wait

from live_sr.engines.live.build_request import Selection
from live_sr.models.card import ModelCard
from live_sr.models.resolve import Kind, Model
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Frame, Pixels, Size, Stamps, get_size, reuse_or_allocate
from live_sr.pipeline.latency import Latency

Step = int | BaseException | None


def fake_model(name: str, *scales: int, macs: int = 0) -> Model:
    """A network whose file is nowhere."""
    cards = tuple(ModelCard(name, scale, Path(f"{name}.onnx"), macs_per_pixel=macs) for scale in scales or (2, 4))
    return Model(name, Kind.NETWORK, scales or (2, 4), cards)


def select(name: str, scale: int | None) -> Selection:
    return Selection(fake_model(name), scale)


class FakeClock:
    """A clock in nanoseconds that advances only while something waits on it."""

    def __init__(self) -> None:
        self.now = 0

    def read(self) -> int:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


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
        pixels = reuse_or_allocate(into, self.size)
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
        self.info = EngineInfo("fake", scale, "numpy")
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.error: BaseException | None = None
        self.levels: list[int] = []

    def warm_up(self, size: Size) -> None:
        """Nothing to build."""

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        self.entered.set()
        assert wait(self.gate)
        if self.error is not None:
            raise self.error
        self.levels.append(int(frame.pixels[0, 0, 0]))
        done = reuse_or_allocate(into, get_size(frame.pixels).times(self.scale))
        done[...] = np.repeat(np.repeat(frame.pixels, self.scale, 0), self.scale, 1)
        return frame.with_pixels(done)

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
        self._latency.record_shown(frame.stamps)
        with self.shown:
            self.levels.append(int(frame.pixels[0, 0, 0]))
            self.addresses.add(frame.pixels.ctypes.data)
            self.shown.notify_all()
        self._last, given_back = frame, self._last
        return given_back

    def until(self, count: int) -> list[int]:
        """The levels of the frames shown, once there are so many."""

        def enough() -> list[int] | None:
            with self.shown:
                return list(self.levels) if self.shown.wait_for(lambda: len(self.levels) >= count, 0.1) else None

        return until(enough, f"{count} frames are shown", pause_s=0)
