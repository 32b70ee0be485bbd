"""Keeps the frames of a recording in memory, so that decoding them takes no time from what is measured."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Event
from time import perf_counter_ns

import numpy as np

from live_sr.capture.video import VideoSource
from live_sr.errors import SourceClosed
from live_sr.pipeline.frame import Frame, Pixels, Size, Stamps, get_size, reuse_or_allocate

MAX_BYTES = 512 << 20  # of a recording that is kept in memory: 7 s of 640x480 at 60 fps
SECOND_NS = 1_000_000_000


@lru_cache(maxsize=1)
def read_sequence(path: Path, max_bytes: int = MAX_BYTES) -> list[Pixels]:
    """The frames of a video, as many of the first ones as there is room for and have one size. Raises UsageError."""
    source = VideoSource(path, paced=False)
    frames: list[Pixels] = []
    try:
        while not frames or (len(frames) + 1) * frames[0].nbytes <= max_bytes:
            frame = source.next_frame(0)
            assert frame is not None, "a source without a pace always has a frame"
            if frames and frame.pixels.shape != frames[0].shape:
                break
            frames.append(frame.pixels)
    except SourceClosed:
        pass
    finally:
        source.close()
    return frames


class SequenceSource:
    """Fulfils `FrameSource`: plays frames again and again.

    fps: when each is due, and frames that are late are skipped; None: as fast as `next_frame` is called.
    """

    def __init__(self, frames: list[Pixels], fps: float | None, wait: Callable[[float], object] | None = None) -> None:
        self._frames = frames
        self._fps = fps
        self._wait = wait or Event().wait
        self._begun_ns = 0  # when the first frame was due
        self._number = -1  # of the newest frame, since then

    @property
    def size(self) -> Size:
        return get_size(self._frames[0])

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        now = perf_counter_ns()
        self._begun_ns = self._begun_ns or now
        seen = now
        if self._fps is None:
            self._number += 1
        else:
            step = SECOND_NS / self._fps
            due = self._begun_ns + round((self._number + 1) * step)
            if due > now:
                self._wait(min(timeout_s, (due - now) / SECOND_NS))
                now = perf_counter_ns()
                if due > now:
                    return None
            self._number = int((now - self._begun_ns) / step)
            seen = self._begun_ns + round(self._number * step)
        pixels = reuse_or_allocate(into, self.size)
        np.copyto(pixels, self._frames[self._number % len(self._frames)])
        return Frame(pixels, Stamps(seen=seen, captured=perf_counter_ns()))

    def close(self) -> None:
        """Nothing to close."""
