"""Source -> [mailbox] -> engine -> display: two threads, one stop. Knows contracts only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from time import perf_counter_ns
from typing import Generic

import numpy as np
import numpy.typing as npt

from live_sr.contracts import Display, FrameSource, P, Upscaler
from live_sr.errors import MissingPart, SourceClosed, UsageError, reason
from live_sr.frame import Frame, Pixels, Stamps
from live_sr.latency import Latency
from live_sr.mailbox import Closed, Mailbox

WAIT_S = 0.1  # no wait outlasts this, so that a stop is heard
REOPEN_S = (0.1, 0.25, 0.5, 1.0, 2.0)  # waits before each try to reopen a lost source; the last one repeats
SPARES = 3  # captured pictures at rest: one captured into, one in the mailbox, one being upscaled


class SourceState(Enum):
    OPENING = "opening"
    RUNNING = "running"
    LOST = "lost"


@dataclass(frozen=True)
class Events:
    """What the pipeline tells its owner, on one of its own threads; must not block.

    source: the state of the source, and why. ended: what ended the run (None: it was stopped).
    """

    source: Callable[[SourceState, str], None] = lambda state, why: None
    ended: Callable[[BaseException | None], None] = lambda cause: None


class Repeats:
    """Tells whether a picture equals the one before it, without allocating."""

    def __init__(self) -> None:
        self._last = np.empty((0, 0), np.uint32)
        self._differs = np.empty((0, 0), np.bool_)

    def seen(self, pixels: Pixels) -> bool:
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
    """Runs until its source ends, `stop` is called, or something fails that cannot be mended.

    `open_source` is called on the source thread, and again after each loss. With `reopen` off (benchmarks, files) any
    loss ends the run; a `patient` pipeline reopens even a source that is closed for good. With `every_frame` on, the
    source waits for the engine and nothing is dropped: throughput instead of latency. `copied` makes a copy in main
    memory of an upscaled picture, for snapshots. The display and the engine outlive the pipeline; their owner closes
    them.
    """

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        engine: Upscaler[P],
        display: Display[P],
        latency: Latency,
        *,
        events: Events | None = None,
        reopen: bool = True,
        patient: bool = False,
        every_frame: bool = False,
        copied: Callable[[P], Pixels] = np.array,
    ) -> None:
        self._copied = copied
        self._open_source = open_source
        self._engine = engine
        self._display = display
        self._latency = latency
        self._events = events or Events()
        self._reopen = reopen
        self._patient = patient
        self._every_frame = every_frame
        self._mailbox: Mailbox[Frame[Pixels]] = Mailbox()
        self._stop = threading.Event()
        self._retry = threading.Event()  # cuts the wait before the next try to reopen short
        self._running = threading.Event()  # cleared while paused
        self._running.set()
        self._lock = threading.Lock()
        # guarded by _lock:
        self._spare: list[Pixels] = []
        self._redraw = False
        self._snapshot: Callable[[Pixels, Pixels], None] | None = None
        # the source thread's:
        self._losses = 0  # in a row, without a frame between them
        self._delivered = False  # there has been a frame
        # the upscale thread's, read by others after it ended:
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
        """Flag, wake, join: after this nothing of the pipeline runs."""
        self._stop.set()
        self._retry.set()
        self._running.set()
        self._mailbox.close()
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join()

    def wait(self, timeout_s: float) -> bool:
        """Whether the run has ended, waiting up to `timeout_s`. Raises what ended it, but for a source at its end."""
        self._threads[1].join(timeout_s)
        if self._cause is not None and not isinstance(self._cause, SourceClosed):
            raise self._cause
        return not self._threads[1].is_alive()

    def pause(self, paused: bool) -> None:
        """The last picture stays; nothing is captured or upscaled meanwhile."""
        if paused:
            self._running.clear()
        else:
            self._running.set()

    def retry(self) -> None:
        """Try to reopen a lost source now, and often again: the window was seen to be back."""
        self._retry.set()

    def redraw(self) -> None:
        """Upscale the last frame again after a change of what the engine does, even if the game stands still."""
        with self._lock:
            self._redraw = True
        self._mailbox.wake()

    def snapshot(self, take: Callable[[Pixels, Pixels], None]) -> None:
        """Calls `take(before, after)` with copies of the next upscaled frame and its source, on the upscale thread."""
        with self._lock:
            self._snapshot = take
        self.redraw()

    # The source thread's

    def _source_thread(self) -> None:
        cause: BaseException | None = None
        try:
            self._capture()
        except BaseException as error:  # whatever ends this thread must reach its reader
            cause = error
        self._mailbox.close(cause)

    def _capture(self) -> None:
        while not self._stop.is_set():
            self._retry.clear()  # one that comes from here on counts for this try's failure
            self._events.source(SourceState.OPENING, "")
            try:
                source = self._open_source()
                try:
                    self._pump(source)
                finally:
                    source.close()
            except Exception as error:
                if not self._mendable(error):
                    raise
                self._events.source(SourceState.LOST, reason(error))
                if self._stop.is_set() or self._retry.wait(REOPEN_S[min(self._losses, len(REOPEN_S) - 1)]):
                    self._losses = 0
                else:
                    self._losses += 1

    def _mendable(self, error: Exception) -> bool:
        """Whether another try may help: not for a closed window, nor for what could never be opened."""
        if isinstance(error, SourceClosed):
            return self._reopen and self._patient
        if isinstance(error, UsageError | MissingPart):
            return self._reopen and self._delivered
        return self._reopen

    def _pump(self, source: FrameSource) -> None:
        """Distinct frames from an open source into the mailbox, until the stop."""
        repeats = Repeats()
        number = 0
        while not self._stop.is_set():
            if not self._running.wait(WAIT_S):
                continue
            spare = self._borrow()
            frame = source.next_frame(WAIT_S, spare)
            if frame is None or frame.pixels is not spare:
                self._give_back(spare)
            if frame is None:
                continue
            if number == 0:
                self._losses, self._delivered = 0, True
                self._events.source(SourceState.RUNNING, "")
            if repeats.seen(frame.pixels):
                self._latency.duplicate()
                self._give_back(frame.pixels)
                continue
            number += 1
            frame.number = number
            self._latency.captured()
            while self._every_frame and not self._mailbox.emptied(WAIT_S) and not self._stop.is_set():
                pass
            dropped = self._mailbox.post(frame)
            if dropped is not None:
                self._latency.dropped()
                self._give_back(dropped.pixels)

    # The upscale thread's

    def _upscale_thread(self) -> None:
        try:
            self._upscale()
        except Closed as closed:
            self._cause = closed.__cause__
        except BaseException as error:  # and whatever ends this one must reach the owner
            self._cause = error
        self._stop.set()
        self._events.ended(self._cause)

    def _upscale(self) -> None:
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
            spare = self._one(frame, spare)

    def _one(self, frame: Frame[Pixels], spare: P | None) -> P | None:
        """Upscales one frame into `spare` and shows it; returns a picture that may be written next."""
        frame.stamps.begun = perf_counter_ns()
        done = self._engine.upscale(frame, spare)
        if done is None:  # no room on the card: this frame again, unless a newer one comes
            self._latency.dropped()
            self.redraw()
            return None
        done.stamps.upscaled = perf_counter_ns()
        self._latency.upscaled()
        with self._lock:
            take, self._snapshot = self._snapshot, None
        if take is not None:
            take(frame.pixels.copy(), self._copied(done.pixels))
        given_back = self._display.show(done)
        return given_back.pixels if given_back is not None else None

    # Both threads'

    def _borrow(self) -> Pixels | None:
        with self._lock:
            return self._spare.pop() if self._spare else None

    def _give_back(self, pixels: Pixels | None) -> None:
        if pixels is not None:
            with self._lock:
                if len(self._spare) < SPARES:
                    self._spare.append(pixels)
