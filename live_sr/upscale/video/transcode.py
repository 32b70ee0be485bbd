"""Decodes, upscales and encodes on three threads with short queues between them, so that memory use stays constant.

The engine runs on the calling thread, which also receives Ctrl-C. Buffers are reused: the later stage returns them to
the earlier one. No wait lasts longer than a tenth of a second without checking whether to stop.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from live_sr.errors import EngineError
from live_sr.imaging import video_colour as colour
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.engine_contracts import FrameSequence, SequenceEngine
from live_sr.pipeline.frame import Frame, Pixels, make_black
from live_sr.upscale.video.decode import EndOfSegment, decode_segments
from live_sr.upscale.video.encode import SegmentSettings
from live_sr.upscale.video.segment_encoder import SegmentEncoder
from live_sr.upscale.video.segment_file import FrameCounts
from live_sr.upscale.video.segments import Segment
from live_sr.upscale.video.sequence_state import SequenceStates
from live_sr.upscale.video.source_info import VideoInfo

WAIT_S = 0.1
QUEUE_LENGTH = 4  # frames that may wait in each queue

T = TypeVar("T")


class Stopped(Exception):
    """The pipeline is stopping. The thread that stopped it reports why."""


class BoundedQueue(Generic[T]):
    """A bounded queue between two threads. `put` and `get` raise Stopped once `stop` is set."""

    def __init__(self, stop: threading.Event, length: int = QUEUE_LENGTH) -> None:
        self._stop = stop
        self._items: queue.Queue[T] = queue.Queue(length)

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
class QueuedFrame:
    """A frame between two stages. pixels: None if it equals the frame before. Times are in the source's time base."""

    segment: Segment
    time: int
    duration: int
    pixels: Pixels | None


@dataclass(frozen=True)
class TranscodeCallbacks:
    """Functions that report progress. The engine's thread calls `on_frame`, the encoder's thread `on_segment`."""

    on_frame: Callable[[Pixels | None], None] = lambda pixels: None
    on_segment: Callable[[Segment, FrameCounts], None] = lambda segment, counts: None


class TranscodePipeline:
    """Turns segments of one video, in order, into one file each.

    Where a network needs several frames at once, they must follow each other. The first of them then continues with the
    state that is kept beside the segment before.
    """

    def __init__(
        self,
        info: VideoInfo,
        settings: SegmentSettings,
        get_path: Callable[[Segment], Path],
        callbacks: TranscodeCallbacks | None = None,
    ) -> None:
        """get_path: returns the file for a segment, which is created when the segment is complete."""
        self._info = info
        self._settings = settings
        self._get_path = get_path
        self._callbacks = callbacks or TranscodeCallbacks()
        self._states = SequenceStates(get_path)
        self._stop = threading.Event()
        self._small: BoundedQueue[QueuedFrame | EndOfSegment | None] = BoundedQueue(self._stop)
        self._large: BoundedQueue[QueuedFrame | EndOfSegment | None] = BoundedQueue(self._stop)
        self._free_small: BoundedQueue[Pixels] = BoundedQueue(self._stop, QUEUE_LENGTH + 2)
        self._free_large: BoundedQueue[Pixels] = BoundedQueue(self._stop, QUEUE_LENGTH + 2)
        self._cause: BaseException | None = None

    def run(self, engine: Engine, segments: Sequence[Segment]) -> None:
        """Returns when all segments are written. `engine` must be warm. Raises what failed, or KeyboardInterrupt."""
        size = self._info.size
        for _ in range(QUEUE_LENGTH + 2):
            self._free_small.put(make_black(size))
            self._free_large.put(make_black(size.times(engine.scale)))
        threads = [
            threading.Thread(target=self._run_guarded, args=(stage,), name=f"live-sr {name}", daemon=True)
            for name, stage in (("decode", lambda: self._decode(segments)), ("encode", self._encode))
        ]
        for thread in threads:
            thread.start()
        try:
            sequence = engine.open_sequence(self._settings.scaling.tile) if isinstance(engine, SequenceEngine) else None
            if sequence is None:
                self._upscale(engine)
            else:
                self._continue(sequence, segments)
                self._upscale_sequence(sequence)
            while threads[1].is_alive():
                threads[1].join(WAIT_S)  # a short wait, so that Ctrl-C is noticed
        except Stopped:
            pass
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        if self._cause is not None:
            raise self._cause

    def _run_guarded(self, stage: Callable[[], None]) -> None:
        try:
            stage()
        except Stopped:
            pass
        except BaseException as error:  # whatever ends this thread must reach the thread that waits
            self._cause = self._cause or error
            self._stop.set()

    # On the decoding thread

    def _decode(self, segments: Sequence[Segment]) -> None:
        info = self._info
        converter = colour.InputConverter(info.matrix_tags, info.size, info.geometry)
        last: Pixels | None = None  # may still be in a queue, where it is only read
        spare = self._free_small.get()
        for item in decode_segments(info, segments):
            if isinstance(item, EndOfSegment):
                last = None  # a segment's first frame is never a repetition
                self._small.put(item)
                continue
            converter.convert(item.frame, spare)
            if last is not None and np.array_equal(last.view(np.uint32), spare.view(np.uint32)):
                self._small.put(QueuedFrame(item.segment, item.time, item.duration, None))
                continue
            self._small.put(QueuedFrame(item.segment, item.time, item.duration, spare))
            last, spare = spare, self._free_small.get()
        self._small.put(None)

    # On the engine's thread, which is the caller's

    def _upscale(self, engine: Engine) -> None:
        while (item := self._small.get()) is not None:
            if isinstance(item, QueuedFrame) and item.pixels is not None:
                frame = engine.upscale(Frame(item.pixels, number=item.time), self._free_large.get())
                if frame is None or frame.number != item.time:
                    raise EngineError(f"{engine.info} lost a frame", "use another engine, or queue = 0")
                self._free_small.put(item.pixels)
                item = replace(item, pixels=frame.pixels)
            self._pass_on(item)
        self._large.put(None)

    def _continue(self, sequence: FrameSequence, segments: Sequence[Segment]) -> None:
        """Gives the sequence the state with which the first segment begins."""
        if segments and segments[0].number:
            state = self._states.read_before(segments[0])
            if state is None:
                raise EngineError("what the next segment depends on is missing", "start again with --discard")
            sequence.restore_state(state)

    def _upscale_sequence(self, sequence: FrameSequence) -> None:
        """Enlarges frames that are done later than they come in, and keeps the state after each segment."""
        waiting: deque[QueuedFrame | EndOfSegment] = deque()

        def pass_on_until_new() -> None:
            while waiting and not (isinstance(waiting[0], QueuedFrame) and waiting[0].pixels is not None):
                self._pass_on(waiting.popleft())

        item: QueuedFrame | EndOfSegment | None = self._small.get()
        while item is not None:
            waiting.append(item)
            if isinstance(item, EndOfSegment):
                self._states.save(item.segment, sequence.save_state())
            made = sequence.feed(item.pixels) if isinstance(item, QueuedFrame) and item.pixels is not None else ()
            pass_on_until_new()
            for pixels in made:
                self._pass_on_enlarged(waiting.popleft(), pixels)
                pass_on_until_new()
            if isinstance(item, QueuedFrame) and item.pixels is not None:
                self._free_small.put(item.pixels)
            item = self._small.get()
        for pixels in sequence.finish():
            self._pass_on_enlarged(waiting.popleft(), pixels)
            pass_on_until_new()
        self._large.put(None)

    def _pass_on_enlarged(self, item: QueuedFrame | EndOfSegment, pixels: Pixels) -> None:
        assert isinstance(item, QueuedFrame)
        into = self._free_large.get()
        np.copyto(into, pixels)
        self._pass_on(replace(item, pixels=into))

    def _pass_on(self, item: QueuedFrame | EndOfSegment) -> None:
        if isinstance(item, QueuedFrame):
            self._callbacks.on_frame(item.pixels)
        self._large.put(item)

    # On the encoding thread

    def _encode(self) -> None:
        encoder: SegmentEncoder | None = None
        try:
            while (item := self._large.get()) is not None:
                encoder = encoder or SegmentEncoder(self._info, self._settings, self._get_path(item.segment))
                if isinstance(item, QueuedFrame):
                    encoder.add(item.time, item.duration, item.pixels)
                    if item.pixels is not None:
                        self._free_large.put(item.pixels)
                else:
                    counts = encoder.finish(item.broken, item.mended)
                    self._states.delete_before(item.segment)
                    encoder = None
                    self._callbacks.on_segment(item.segment, counts)
        finally:
            if encoder is not None:
                encoder.abandon()
