"""Saves frames of a source into a folder: one thread captures, another encodes, with a short queue between them.

If the disk is too slow, frames are dropped and counted; the capture and the game never wait for it.
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

from live_sr.app.recording_folder import RecordedFrame, RecordingFolder
from live_sr.errors import SourceClosed, SourceLost
from live_sr.pipeline.contracts import FrameSource
from live_sr.pipeline.frame import Pixels, Size, get_size

WAIT_S = 0.1  # the longest wait for a frame or a thread
REOPEN_S = 0.5  # between two tries to capture a minimised window
STRETCH_S = 20.0  # frames of one stretch get the same place in their names; training holds out whole places
QUEUED = 4  # how many pictures may wait to be encoded
LARGE = Size(960, 540)  # from this size on, frames shrunk for training are as large as games are played

GRID = 4  # every fourth pixel in both directions is compared
NOTICED = 8  # levels (of 255) by which a pixel must differ to count as changed
MOVED = 0.005  # share of compared pixels that must have changed; a blinking cursor or a clock changes fewer


class Recorder:
    """Runs until the source is closed, `count` frames were taken, `stop` is called, or something fails.

    A source that is lost for a while (a minimised window) is opened again. `open_source` is called on the capture
    thread.
    """

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        folder: RecordingFolder,
        every_s: float,
        count: int | None = None,
        stretch_s: float = STRETCH_S,
        report: Callable[[str], None] = lambda note: None,
    ) -> None:
        """`report` is called with sentences for the player, on the capture thread."""
        self._open_source = open_source
        self._folder = folder
        self._every_s = every_s
        self._count = count
        self._stretch_s = stretch_s
        self._report = report
        self._stop = threading.Event()
        self._captured = threading.Event()  # set when the capture thread has ended
        self._queue: queue.Queue[RecordedFrame] = queue.Queue(QUEUED)
        self._spare: queue.SimpleQueue[Pixels] = queue.SimpleQueue()
        self._still_detector = StillDetector()
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
            threading.Thread(target=self._run_guarded, args=(self._capture,), name="live-sr capture", daemon=True),
            threading.Thread(target=self._run_guarded, args=(self._write,), name="live-sr encode", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Waits up to `timeout_s`; returns whether everything is captured and written. Raises what failed."""
        self._threads[1].join(timeout_s)
        over = not self._threads[1].is_alive()
        if over and self._cause is not None:
            raise self._cause
        return over

    def stop(self) -> None:
        """Ends the capture, and returns when everything captured is written."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _run_guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # `wait` raises it in the thread that owns this
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
                    self._report(f"waiting: {lost.message}")
                self._stop.wait(REOPEN_S)

    def _follow(self, source: FrameSource) -> None:
        """Takes a frame every `every_s` seconds, until `stop` or `count` frames."""
        due = monotonic()
        while not self._stop.wait(max(0.0, due - monotonic())):
            spare = self._borrow()
            frame = source.next_frame(WAIT_S, spare)
            if frame is not None:
                self._take(frame.pixels)  # a spare of another size was not used, and is freed
            elif spare is not None:
                self._spare.put(spare)
            if frame is None and self.taken:
                self.still += 1
            if self._count is not None and self.taken >= self._count:
                self.end = "all frames asked for were saved"
                self._stop.set()
            # relative to the last due time, so that a late frame does not slow the pace, but never in the past
            due = max(due + self._every_s, monotonic())

    def _take(self, pixels: Pixels) -> None:
        if self._lost:
            self._lost = False
            self._report("recording continues")
        now, size = monotonic(), get_size(pixels)
        if size != self._size:
            self._report_size(size)
        if size != self._size or now >= self._stretch_due:
            self._stretch += 1
            self._stretch_due = now + self._stretch_s
        self._size = size
        if self._still_detector.is_still(pixels):
            self.still += 1
            self._spare.put(pixels)
            return
        try:
            self._queue.put_nowait(RecordedFrame(pixels, self._stretch, datetime.now(UTC)))
        except queue.Full:
            self.dropped += 1
            self._still_detector.reset()
            self._spare.put(pixels)
        else:
            self.taken += 1

    def _report_size(self, size: Size) -> None:
        if self._size is not None:
            self._report(f"the picture size changed from {self._size} to {size}; recording continues at the new size")
        if size.width < LARGE.width or size.height < LARGE.height:
            self._report(
                f"{size} is small to learn from: training needs the game larger than it will be played; "
                f"make its window {LARGE} or more"
            )

    def _borrow(self) -> Pixels | None:
        with suppress(queue.Empty):
            return self._spare.get_nowait()
        return None

    # The encode thread's

    def _write(self) -> None:
        while not (self._captured.is_set() and self._queue.empty()):
            with suppress(queue.Empty):
                frame = self._queue.get(timeout=WAIT_S)
                self._folder.save(frame)
                self._spare.put(frame.pixels)


class StillDetector:
    """Detects pictures that hardly differ from the last one that was saved."""

    def __init__(self) -> None:
        self._last: npt.NDArray[np.uint8] | None = None

    def is_still(self, pixels: Pixels) -> bool:
        """Compares one pixel in sixteen, which is enough to notice anything that moves."""
        sample = pixels[::GRID, ::GRID, :3]
        if self._last is not None and self._last.shape == sample.shape:
            apart = np.maximum(sample, self._last) - np.minimum(sample, self._last)
            if float((apart.max(2) > NOTICED).mean()) < MOVED:
                return True
        self._last = sample.copy()
        return False

    def reset(self) -> None:
        """Forget the last picture, because it was not saved."""
        self._last = None
