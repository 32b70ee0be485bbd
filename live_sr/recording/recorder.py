"""From a source into an album: one thread captures, another encodes, and between them is a short queue.

A disk that is too slow loses frames, which are counted, and never holds up the capture or the game.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic

import numpy as np
import numpy.typing as npt

from live_sr.contracts import FrameSource
from live_sr.errors import SourceClosed, SourceLost
from live_sr.frame import Pixels, Size, size_of
from live_sr.recording.album import Album, Shot

WAIT_S = 0.1  # no wait for a frame or a thread outlasts this
REOPEN_S = 0.5  # between two tries to see a window that is minimised
STRETCH_S = 20.0  # frames of one stretch share the place in their names: train.py holds out whole places
QUEUED = 4  # pictures that may wait to be encoded
LARGE = Size(960, 540)  # of a window whose frames, made smaller, are still as large as a game is played

GRID = 4  # every so many pixels each way are compared
NOTICED = 8  # levels by which a pixel has to differ
MOVED = 0.005  # of the compared pixels have to; a blinking cursor or a clock is less


class Recorder:
    """Runs until the source ends for good, `count` frames were taken, `stop` is called, or something fails.

    A source that is lost for now (a minimised window) is opened again. `open_source` is called on the capture thread.
    """

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        album: Album,
        every_s: float,
        count: int | None = None,
        stretch_s: float = STRETCH_S,
        tell: Callable[[str], None] = lambda note: None,
    ) -> None:
        """`tell` gets sentences for the player, on the capture thread."""
        self._open_source = open_source
        self._album = album
        self._every_s = every_s
        self._count = count
        self._stretch_s = stretch_s
        self._tell = tell
        self._stop = threading.Event()
        self._captured = threading.Event()  # nothing more will be queued
        self._shots: queue.Queue[Shot] = queue.Queue(QUEUED)
        self._spare: queue.SimpleQueue[Pixels] = queue.SimpleQueue()
        self._stillness = Stillness()
        # the capture thread's, read by others:
        self.taken = self.still = self.dropped = 0
        self.end = ""
        self._lost = False
        self._size: Size | None = None
        self._stretch = 0
        self._stretch_due = 0.0
        # set by whichever thread fails:
        self._cause: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(self._capture,), name="live-sr capture", daemon=True),
            threading.Thread(target=self._guarded, args=(self._write,), name="live-sr encode", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Whether all is over and written, waiting up to `timeout_s`. Raises what failed."""
        self._threads[1].join(timeout_s)
        over = not self._threads[1].is_alive()
        if over and self._cause is not None:
            raise self._cause
        return over

    def stop(self) -> None:
        """Ends the capture, and returns once what it took is written."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # whatever ends a thread must reach the owner
            self._cause = self._cause or error
            self._stop.set()
        finally:
            if work == self._capture:
                self._captured.set()

    # The capture thread's

    def _capture(self) -> None:
        while not self._stop.is_set():
            try:
                source = self._open_source()
                try:
                    self._follow(source)
                finally:
                    source.close()
            except SourceClosed as closed:
                self.end = closed.message
                return
            except SourceLost as lost:
                if not self._lost:
                    self._lost = True
                    self._tell(f"waiting: {lost.message}")
                self._stop.wait(REOPEN_S)

    def _follow(self, source: FrameSource) -> None:
        """A frame every so many seconds, until the stop or the last that was ordered."""
        due = monotonic()
        while not self._stop.wait(max(0.0, due - monotonic())):
            spare = self._borrow()
            frame = source.next_frame(WAIT_S, spare)
            if frame is not None:
                self._take(frame.pixels)  # a spare that was not drawn into has another size, and is let go
            elif spare is not None:
                self._spare.put(spare)
            if frame is None and self.taken:
                self.still += 1
            if self._count is not None and self.taken >= self._count:
                self.end = "all frames that were asked for are there"
                self._stop.set()
            # on from the last due time, so that a late picture does not slow the pace; not from one long past
            due = max(due + self._every_s, monotonic())

    def _take(self, pixels: Pixels) -> None:
        if self._lost:
            self._lost = False
            self._tell("it is back")
        now, size = monotonic(), size_of(pixels)
        if size != self._size:
            self._tell_size(size)
        if size != self._size or now >= self._stretch_due:
            self._stretch += 1
            self._stretch_due = now + self._stretch_s
        self._size = size
        if self._stillness.seen(pixels):
            self.still += 1
            self._spare.put(pixels)
            return
        try:
            self._shots.put_nowait(Shot(pixels, self._stretch, datetime.now(UTC)))
        except queue.Full:
            self.dropped += 1
            self._stillness.forget()
            self._spare.put(pixels)
        else:
            self.taken += 1

    def _tell_size(self, size: Size) -> None:
        if self._size is not None:
            self._tell(f"the picture is {size} now, no longer {self._size}: it goes on in that size")
        if size.width < LARGE.width or size.height < LARGE.height:
            self._tell(
                f"{size} is small to learn from: training needs the game larger than it will be played; "
                f"make its window {LARGE} or more"
            )

    def _borrow(self) -> Pixels | None:
        with suppress(queue.Empty):
            return self._spare.get_nowait()
        return None

    # The encode thread's

    def _write(self) -> None:
        while not (self._captured.is_set() and self._shots.empty()):
            with suppress(queue.Empty):
                shot = self._shots.get(timeout=WAIT_S)
                self._album.keep(shot)
                self._spare.put(shot.pixels)


class Stillness:
    """Tells whether a picture is nearly the one that was last not."""

    def __init__(self) -> None:
        self._last: npt.NDArray[np.uint8] | None = None

    def seen(self, pixels: Pixels) -> bool:
        """Looks at a sixteenth of the pixels; what lies between changes with them in anything that moves."""
        sample = pixels[::GRID, ::GRID, :3]
        if self._last is not None and self._last.shape == sample.shape:
            apart = np.maximum(sample, self._last) - np.minimum(sample, self._last)
            if float((apart.max(2) > NOTICED).mean()) < MOVED:
                return True
        self._last = sample.copy()
        return False

    def forget(self) -> None:
        """The last one was not kept."""
        self._last = None
