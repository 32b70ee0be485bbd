"""Decode, upscale, encode: three threads, between them two short queues, so that memory stays flat however long it is.

The engine is used on the thread that asks, where Ctrl-C arrives too. Buffers are lent from one end and given back from
the other; nothing waits for longer than a tenth of a second without looking whether it should stop.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from live_sr.contracts import Engine, Remembering
from live_sr.errors import EngineError
from live_sr.frame import Frame, Pixels, fresh
from live_sr.upscale import colour
from live_sr.upscale.decode import Over, decoded
from live_sr.upscale.encode import Recipe
from live_sr.upscale.footage import Footage
from live_sr.upscale.press import Press
from live_sr.upscale.segmentfile import Tally
from live_sr.upscale.segments import Segment

WAIT_S = 0.1
AHEAD = 4  # pictures that may wait in each queue

T = TypeVar("T")


class Stopped(Exception):
    """Somebody else failed, or does not want it any more; who that was tells."""


class Lane(Generic[T]):
    """A short queue from one thread to another, which a stop ends."""

    def __init__(self, stop: threading.Event, room: int = AHEAD) -> None:
        self._stop = stop
        self._items: queue.Queue[T] = queue.Queue(room)

    def put(self, item: T) -> None:
        while not self._stop.is_set():
            with suppress(queue.Full):
                return self._items.put(item, timeout=WAIT_S)
        raise Stopped

    def get(self) -> T:
        while not self._stop.is_set():
            with suppress(queue.Empty):
                return self._items.get(timeout=WAIT_S)
        raise Stopped


@dataclass(frozen=True)
class Picture:
    """A picture on the belt; `pixels` None: the same as the one before it. Times in the source's time base."""

    segment: Segment
    time: int
    duration: int
    pixels: Pixels | None


@dataclass(frozen=True)
class Watcher:
    """Who follows the work, called on the engine's thread but for `finished`, which the encoder's thread calls."""

    picture: Callable[[Pixels | None], None] = lambda pixels: None
    finished: Callable[[Segment, Tally], None] = lambda segment, tally: None


class Belt:
    """Runs segments of one video, in order, each into a file of its own."""

    def __init__(
        self, footage: Footage, made: Recipe, place: Callable[[Segment], Path], watcher: Watcher | None = None
    ) -> None:
        """`place`: the file for a segment, which appears there when it is complete."""
        self._footage = footage
        self._made = made
        self._place = place
        self._watcher = watcher or Watcher()
        self._stop = threading.Event()
        self._small: Lane[Picture | Over | None] = Lane(self._stop)
        self._large: Lane[Picture | Over | None] = Lane(self._stop)
        self._small_spare: Lane[Pixels] = Lane(self._stop, AHEAD + 2)
        self._large_spare: Lane[Pixels] = Lane(self._stop, AHEAD + 2)
        self._cause: BaseException | None = None

    def run(self, engine: Engine, segments: Sequence[Segment]) -> None:
        """Returns when all are written. `engine` is warmed up. Raises what failed, or KeyboardInterrupt."""
        size = self._footage.size
        for _ in range(AHEAD + 2):
            self._small_spare.put(fresh(size))
            self._large_spare.put(fresh(size.times(engine.scale)))
        threads = [
            threading.Thread(target=self._guarded, args=(work,), name=f"live-sr {name}", daemon=True)
            for name, work in (("decode", lambda: self._decode(segments)), ("encode", self._encode))
        ]
        for thread in threads:
            thread.start()
        try:
            self._upscale(engine)
            while threads[1].is_alive():
                threads[1].join(WAIT_S)  # so that Ctrl-C is heard
        except Stopped:
            pass
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        if self._cause is not None:
            raise self._cause

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Stopped:
            pass
        except BaseException as error:  # whatever ends a thread must reach the one who waits
            self._cause = self._cause or error
            self._stop.set()

    # The decoding thread's

    def _decode(self, segments: Sequence[Segment]) -> None:
        reader = colour.Reader(self._footage.colours.read_at(self._footage.size), self._footage.size)
        last: Pixels | None = None  # still on the belt, where it is only read
        spare = self._small_spare.get()
        for item in decoded(self._footage, segments):
            if isinstance(item, Over):
                last = None  # a segment's first picture is never "as before"
                self._small.put(item)
                continue
            reader.read(item.frame, spare)
            if last is not None and np.array_equal(last.view(np.uint32), spare.view(np.uint32)):
                self._small.put(Picture(item.segment, item.time, item.duration, None))
                continue
            self._small.put(Picture(item.segment, item.time, item.duration, spare))
            last, spare = spare, self._small_spare.get()
        self._small.put(None)

    # The engine's thread, the caller's

    def _upscale(self, engine: Engine) -> None:
        segment: Segment | None = None
        while (item := self._small.get()) is not None:
            if isinstance(engine, Remembering) and item.segment is not segment:
                engine.begin()  # or a segment made by itself would be another one
            segment = item.segment
            if isinstance(item, Picture) and item.pixels is not None:
                frame = engine.upscale(Frame(item.pixels, number=item.time), self._large_spare.get())
                if frame is None or frame.number != item.time:
                    raise EngineError(f"{engine.job} lost a frame", "use another engine, or no queue in its settings")
                self._small_spare.put(item.pixels)
                item = replace(item, pixels=frame.pixels)
            if isinstance(item, Picture):
                self._watcher.picture(item.pixels)
            self._large.put(item)
        self._large.put(None)

    # The encoding thread's

    def _encode(self) -> None:
        press: Press | None = None
        try:
            while (item := self._large.get()) is not None:
                press = press or Press(self._footage, self._made, self._place(item.segment))
                if isinstance(item, Picture):
                    press.add(item.time, item.duration, item.pixels)
                    if item.pixels is not None:
                        self._large_spare.put(item.pixels)
                else:
                    tally = press.finish(item.broken, item.mended)
                    press = None
                    self._watcher.finished(item.segment, tally)
        finally:
            if press is not None:
                press.abandon()
