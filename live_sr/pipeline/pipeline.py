"""Source -> mailbox -> engine -> display, on two threads. Knows its parts by their contracts only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from time import perf_counter_ns
from typing import Generic

import numpy as np
import numpy.typing as npt

from live_sr.errors import MissingPart, SourceClosed, UsageError, reason
from live_sr.pipeline.contracts import Display, FrameSource, P, Upscaler
from live_sr.pipeline.frame import Frame, Pixels, Stamps
from live_sr.pipeline.latency import Latency
from live_sr.pipeline.mailbox import Mailbox, MailboxClosed

WAIT_S = 0.1  # no wait is longer, so that a stop takes effect
FRESH_S = 0.03  # how long a source may take for a fresh frame before the last one counts as that
REOPEN_S = (0.1, 0.25, 0.5, 1.0, 2.0)  # waits before each try to reopen a lost source; the last one repeats
SPARES = 3  # captured pictures to keep: one captured into, one in the mailbox, one being upscaled


class SourceState(Enum):
    OPENING = "opening"
    RUNNING = "running"
    LOST = "lost"


@dataclass(frozen=True)
class PipelineEvents:
    """Called on the threads of the pipeline; must not block.

    source: with the state of the source, and the reason. ended: with what ended the run (None: it was stopped).
    """

    source: Callable[[SourceState, str], None] = lambda state, why: None
    ended: Callable[[BaseException | None], None] = lambda cause: None


class RepeatDetector:
    """Finds pictures equal to the one before them, without allocating."""

    def __init__(self) -> None:
        self._last = np.empty((0, 0), np.uint32)
        self._differs = np.empty((0, 0), np.bool_)

    def is_repeat(self, pixels: Pixels) -> bool:
        words: npt.NDArray[np.uint32] = pixels.reshape(pixels.shape[0], -1).view(np.uint32)
        if self._last.shape != words.shape:
            self._last, self._differs = words.copy(), np.empty(words.shape, np.bool_)
            return False
        np.not_equal(words, self._last, out=self._differs)
        if not self._differs.any():
            return True
        np.copyto(self._last, words)
        return False


class Pipeline(Generic[P]):
    """Runs until its source ends, `stop` is called, or something fails for good.

    open_source: called on the source thread, and again after each loss. reopen: False for benchmarks and files, where
    any loss ends the run. patient: reopen even a source that was closed for good. every_frame: the source waits for the
    engine and nothing is dropped, which gives throughput instead of latency. The display and the engine outlive the
    pipeline; their owner closes them.
    """

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        engine: Upscaler[P],
        display: Display[P],
        latency: Latency,
        *,
        events: PipelineEvents | None = None,
        reopen: bool = True,
        patient: bool = False,
        every_frame: bool = False,
    ) -> None:
        self._open_source = open_source
        self._engine = engine
        self._display = display
        self._latency = latency
        self._events = events or PipelineEvents()
        self._reopen = reopen
        self._patient = patient
        self._every_frame = every_frame
        self._mailbox: Mailbox[Frame[Pixels]] = Mailbox()
        self._stop = threading.Event()
        self._retry = threading.Event()  # ends the wait before the next try to reopen
        self._running = threading.Event()  # cleared while paused
        self._running.set()
        self._fresh_wanted = threading.Event()  # no frame has been captured since `refresh`
        self._lock = threading.Lock()
        # guarded by _lock:
        self._pauses: set[str] = set()
        self._spare: list[Pixels] = []
        self._redraw = False
        self._snapshot: tuple[Callable[[Pixels, Pixels], None], Callable[[Exception], None]] | None = None
        # used by the source thread:
        self._losses = 0  # in a row, without a frame between them
        self._delivered = False  # there has been a frame
        # written by the upscale thread, read by others after it ended:
        self._cause: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._source_thread, name="live-sr source", daemon=True),
            threading.Thread(target=self._upscale_thread, name="live-sr upscale", daemon=True),
        ]

    # Called from any thread

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends both threads and waits for them."""
        self._stop.set()
        self._retry.set()
        self._running.set()
        self._mailbox.close()
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join()

    def wait(self, timeout_s: float) -> bool:
        """Waits up to `timeout_s`; returns whether the run has ended. Raises what ended it, except SourceClosed."""
        self._threads[1].join(timeout_s)
        if self._cause is not None and not isinstance(self._cause, SourceClosed):
            raise self._cause
        return not self._threads[1].is_alive()

    def pause(self, paused: bool, why: str = "") -> None:
        """While there is a reason to pause, the last picture stays, and nothing is captured.

        The end of the last reason brings a fresh frame, even of a game that stands still. The end of another one
        upscales the last frame again.
        """
        with self._lock:
            if paused:
                self._pauses.add(why)
                self._running.clear()
                return
            if why not in self._pauses:
                return
            self._pauses.remove(why)
            last = not self._pauses
        if last:
            self.refresh()
            self._running.set()
        else:
            self.redraw()

    def refresh(self) -> None:
        """Upscales a fresh frame, once there is a source and no reason to pause, even if the game stands still."""
        self._fresh_wanted.set()

    def reopen_now(self) -> None:
        """Tries at once to reopen a lost source, since its window is back, and starts over with short waits."""
        self._retry.set()

    def redraw(self) -> None:
        """Upscales the last frame again, so that a change shows even if the game stands still."""
        with self._lock:
            self._redraw = True
        self._mailbox.wake()

    def request_snapshot(
        self, take: Callable[[Pixels, Pixels], None], fail: Callable[[Exception], None] = lambda error: None
    ) -> None:
        """Calls `take(before, after)` with copies of the next upscaled frame and its source, on the upscale thread.

        `fail` gets what `take` or the copying raises, which does not disturb the run.
        """
        with self._lock:
            self._snapshot = (take, fail)
        self.redraw()

    # Called on the source thread

    def _source_thread(self) -> None:
        cause: BaseException | None = None
        try:
            self._capture()
        except BaseException as error:  # the upscale thread must get whatever ends this one
            cause = error
        self._mailbox.close(cause)

    def _capture(self) -> None:
        while not self._stop.is_set():
            self._retry.clear()  # a `reopen_now` from here on counts for this try
            self._events.source(SourceState.OPENING, "")
            try:
                source = self._open_source()
                try:
                    self._capture_frames(source)
                finally:
                    source.close()
            except Exception as error:
                if not self._is_recoverable(error):
                    raise
                self._events.source(SourceState.LOST, reason(error))
                if self._stop.is_set() or self._retry.wait(REOPEN_S[min(self._losses, len(REOPEN_S) - 1)]):
                    self._losses = 0
                else:
                    self._losses += 1

    def _is_recoverable(self, error: Exception) -> bool:
        """Whether another try may help. It does not for a closed window, or for a source that could never be opened."""
        if isinstance(error, SourceClosed):
            return self._reopen and self._patient
        if isinstance(error, UsageError | MissingPart):
            return self._reopen and self._delivered
        return self._reopen

    def _capture_frames(self, source: FrameSource) -> None:
        """Posts the distinct frames of an open source, until the stop."""
        repeats = RepeatDetector()
        number = 0
        while not self._stop.is_set():
            if not self._running.wait(WAIT_S):
                continue
            spare = self._borrow()
            frame = source.next_frame(FRESH_S if self._fresh_wanted.is_set() else WAIT_S, spare)
            if frame is None or frame.pixels is not spare:
                self._give_back(spare)
            if frame is None:
                self._redraw_if_fresh_wanted()
                continue
            if number == 0:
                self._losses, self._delivered = 0, True
                self._events.source(SourceState.RUNNING, "")
            if repeats.is_repeat(frame.pixels):
                self._latency.count_duplicate()
                self._give_back(frame.pixels)
                self._redraw_if_fresh_wanted()
                continue
            self._fresh_wanted.clear()
            number += 1
            frame.number = number
            self._latency.count_captured()
            while self._every_frame and not self._mailbox.wait_until_empty(WAIT_S) and not self._stop.is_set():
                pass
            dropped = self._mailbox.post(frame)
            if dropped is not None:
                self._latency.count_dropped()
                self._give_back(dropped.pixels)

    def _redraw_if_fresh_wanted(self) -> None:
        """The last frame is the fresh one if the game has drawn nothing since."""
        if self._fresh_wanted.is_set():
            self._fresh_wanted.clear()
            self.redraw()

    # Called on the upscale thread

    def _upscale_thread(self) -> None:
        try:
            self._upscale_frames()
        except MailboxClosed as closed:
            self._cause = closed.__cause__
        except BaseException as error:  # and the owner must get whatever ends this one
            self._cause = error
        self._stop.set()
        self._events.ended(self._cause)

    def _upscale_frames(self) -> None:
        last: Frame[Pixels] | None = None  # kept for a redraw; its pixels go back when the next one comes
        spare: P | None = None
        while not self._stop.is_set():
            frame = self._mailbox.take(WAIT_S)
            with self._lock:
                redraw, self._redraw = self._redraw, False
            if frame is not None:
                if last is not None:
                    self._give_back(last.pixels)
                last = frame
            elif last is not None and redraw:
                now = perf_counter_ns()
                frame = Frame(last.pixels, Stamps(seen=now, captured=now), last.number)
            else:
                continue
            spare = self._upscale_one(frame, spare)

    def _upscale_one(self, frame: Frame[Pixels], spare: P | None) -> P | None:
        """Upscales one frame into `spare` and shows it. Returns the picture to draw into next, if there is one."""
        frame.stamps.begun = perf_counter_ns()
        done = self._engine.upscale(frame, spare)
        if done is None:  # the GPU's memory was in use: this frame again, unless a newer one comes
            self._latency.count_dropped()
            self.redraw()
            return None
        done.stamps.upscaled = perf_counter_ns()
        self._latency.count_upscaled()
        with self._lock:
            snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            take, fail = snapshot
            try:
                take(frame.pixels.copy(), done.pixels.copy())
            except Exception as error:
                fail(error)
        given_back = self._display.show(done)
        return given_back.pixels if given_back is not None else None

    # Called on both threads

    def _borrow(self) -> Pixels | None:
        with self._lock:
            return self._spare.pop() if self._spare else None

    def _give_back(self, pixels: Pixels | None) -> None:
        if pixels is not None:
            with self._lock:
                if len(self._spare) < SPARES:
                    self._spare.append(pixels)
