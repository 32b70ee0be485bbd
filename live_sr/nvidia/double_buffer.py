"""The double buffer on the GPU: one picture is computed while the one before it is shown or read back.

One event stands for each time that memory changes hands. What writes waits for what reads, and the reverse:

    page-locked input   the host fills, the copy-in stream reads     the host waits for `computed` of the frame before
    step.input          copy-in writes, the compute stream reads     `uploaded`; and back: the host's wait again
    step.output         compute writes, a reader's stream reads      `computed`; and back: `read` of the frame before

Where only parts of a picture are drawn (`upscale_tiles_on_device`), the page-locked input holds the sources of these
parts, and the compute stream does all of the rest, their copies in too: it also brings the output up to date from the
slot that has the newest picture, which no other stream writes.

The reader is the copy-out stream (`upscale`) or the stream of whoever draws the picture (`upscale_on_device`, then
`CudaPicture.read`). A slot is held from the moment its frame is chosen until the picture was read back or released, so
no event is recorded anew while somebody may still have to wait for it.
tests/gpu_contracts/test_double_buffer.py tries every order in which all this can happen.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from live_sr.errors import EngineError
from live_sr.nvidia.buffer_slot import STAGES, Slot, SlotEvents
from live_sr.nvidia.cuda_api import CudaLike
from live_sr.nvidia.cuda_picture import CudaPicture
from live_sr.nvidia.inference_step import MakeInferenceStep
from live_sr.nvidia.window_set import WindowSet
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Frame, Pixels, Rect, Revision, Size, Tile, get_size

SLOT_TIMEOUT_S = 0.1  # a frame that finds no free slot for so long is dropped
READERS_TIMEOUT_S = 10.0  # longer than any read of a picture may wait for the GPU
SAMPLES = 4096


class DoubleBuffer:
    """Two slots for frames of up to `max_size`. One thread upscales; afterwards any thread may close.

    `upscale_on_device` returns when at most `queue` inferences are unfinished (0: when its own is complete). Raises
    EngineError, and goes on raising it after the first failure, because then the contents of the memory are unknown.
    `changed` is a condition of its own unless a test brings one.
    """

    def __init__(
        self,
        cuda: CudaLike,
        make_step: MakeInferenceStep,
        max_size: Size,
        scale: int,
        queue: int = 0,
        changed: threading.Condition | None = None,
    ) -> None:
        self.cuda = cuda
        self.pitch = max_size.width * scale * 4  # bytes from row to row of a picture on the GPU
        self._max_size = max_size
        self._scale = scale
        self._queue = queue
        self._changed = changed or threading.Condition()
        # guarded by _changed:
        self.reading = 0  # how many pictures are being read this moment
        self.closed = False
        # the upscale thread's:
        self.unfinished: deque[Slot] = deque()  # computing, oldest first
        self._failed = False
        self._kept: tuple[Slot, Size] | None = None  # the newest picture that was left on the GPU, and of what frames
        self._revision = Revision(object(), 0)  # of that picture
        self._host_pictures: weakref.WeakValueDictionary[int, Pixels] = weakref.WeakValueDictionary()  # by id
        # written by the upscale thread, copied by any: to append and to copy are single operations of a deque
        self._times: dict[str, deque[float]] = {stage: deque(maxlen=SAMPLES) for stage in STAGES}
        cuda.make_current()
        with ExitStack() as making:
            self._copy_in = self._create_stream(making)
            self._compute = self._create_stream(making, urgent=True)
            self.copy_out = self._create_stream(making)
            self.host_event = self._create_event(making)  # for waits of the host
            self.slots = tuple(self._create_slot(making, make_step, max_size) for _ in range(2))
            self.windows = WindowSet(cuda, self._compute, self._create_event(making), scale)
            making.callback(self.windows.close)
            self._owned = making.pop_all()

    def _create_stream(self, owned: ExitStack, *, urgent: bool = False) -> int:
        stream = self.cuda.create_stream(urgent=urgent)
        owned.callback(self.cuda.destroy_stream, stream)
        return stream

    def _create_event(self, owned: ExitStack, *, timing: bool = False) -> int:
        event = self.cuda.create_event(timing=timing)
        owned.callback(self.cuda.destroy_event, event)
        return event

    def _create_slot(self, owned: ExitStack, make_step: MakeInferenceStep, max_size: Size) -> Slot:
        first, second = ([self._create_event(owned, timing=True) for _ in range(6)] for _ in range(2))
        step = make_step(self._compute)
        owned.callback(step.close)
        events = SlotEvents(*first), SlotEvents(*second)
        return Slot(self.cuda, self.cuda.allocate_pinned(max_size), step, events, self.pitch)

    # Called from the upscale thread

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        """The picture in page-locked main memory, complete: in `into` if that was made here and is of the right size.

        It belongs to the caller, and stays valid after `close`. None: both slots are held by pictures on the GPU.
        """
        size = get_size(frame.pixels)
        slot = self._acquire_slot(size)
        if slot is None:
            return None
        with self._remember_failure():
            done = self._reuse_or_allocate(into, size.times(self._scale))
            self._submit(slot, frame.pixels)
            self._kept = None  # nothing was left on the GPU
            events = slot.events
            self.cuda.make_stream_wait(self.copy_out, events.computed)
            self.cuda.record_event(events.read_begun, self.copy_out)
            self.cuda.download(done, slot.output, self.copy_out)
            self.cuda.record_event(events.read, self.copy_out)
            events.was_read = True
            self.cuda.wait_for_event(events.read)
            self.unfinished.clear()  # they were computed one after the other, and this one was the last
        self.release(slot)
        return frame.with_pixels(done)

    def upscale_on_device(self, frame: Frame[Pixels]) -> Frame[DisplayPicture] | None:
        """The picture on the GPU; the caller releases it. None: no slot came free in time, and the frame is dropped."""
        return self._upscale_on_device(frame, None)

    def upscale_tiles(self, pixels: Pixels, tiles: Sequence[Tile], into: Pixels) -> None:
        """Draws these tiles of a picture, each with the window of its size, where they belong in `into`."""
        self._check()
        self.windows.draw_to_host(pixels, tiles, into)

    def remove_window(self, size: Size) -> None:
        """Waits until the GPU has finished with the window of that size, if there is one, and frees its memory."""
        while self.unfinished:
            self._wait_for_oldest()
        self.windows.remove(size)

    def upscale_tiles_on_device(self, frame: Frame[Pixels], tiles: Sequence[Tile]) -> Frame[DisplayPicture] | None:
        """As `upscale_on_device`, with these tiles drawn, and the rest as in the picture before that stayed on the GPU.

        The whole picture is drawn where there is none of that size, or where the tiles are larger than it altogether.
        """
        return self._upscale_on_device(frame, tiles)

    def _upscale_on_device(self, frame: Frame[Pixels], tiles: Sequence[Tile] | None) -> Frame[DisplayPicture] | None:
        size = get_size(frame.pixels)
        slot = self._acquire_slot(size)
        if slot is None:
            return None
        with self._remember_failure():
            self._submit(slot, frame.pixels, tiles)
            while len(self.unfinished) > self._queue:
                self._wait_for_oldest()
        picture: DisplayPicture = CudaPicture(self, slot, size.times(self._scale))
        return frame.with_pixels(picture)

    def fits(self, size: Size) -> bool:
        """Whether frames of that size fit into what the engine was built for."""
        return size.width <= self._max_size.width and size.height <= self._max_size.height

    def _check(self) -> None:
        if self._failed:
            raise EngineError(
                "the GPU failed on an earlier frame", "choose another engine or model, and then this one again"
            )
        self.cuda.make_current()

    def _acquire_slot(self, size: Size) -> Slot | None:
        """The free slot that was used longest ago."""
        self._check()
        if not self.fits(size):
            raise EngineError(f"a frame of {size} does not fit into {self._max_size}", "build the engine for that size")
        with self._changed:
            if not self._changed.wait_for(self._free_slots, SLOT_TIMEOUT_S):
                return None
            slot = self._free_slots()[0]
            slot.held = True
        return slot

    def _free_slots(self) -> list[Slot]:
        return sorted((slot for slot in self.slots if not slot.held), key=lambda slot: slot.frames)

    def _submit(self, slot: Slot, pixels: Pixels, tiles: Sequence[Tile] | None = None) -> None:
        """tiles: None draws the whole picture."""
        while slot in self.unfinished:  # until then the GPU may read its input
            self._wait_for_oldest()
        size = get_size(pixels)
        kept = self._kept[0] if self._kept is not None and self._kept[1] == size else None
        changes: tuple[Rect, ...] | None = None
        if tiles is None or kept is None or not self.windows.has_room(tiles, slot.pinned):
            took_ms = slot.submit(pixels, self._copy_in, self._compute)
        else:
            draw = self.windows.prepare(pixels, tiles, slot.pinned, slot.output)
            stale = self._list_stale(slot, size)

            def work(stream: int) -> None:
                for part in stale:
                    self.cuda.copy(slot.output.go_to(part), kept.output.go_to(part), part.size, stream)
                draw()

            took_ms = slot.submit_work(work, self._compute)
            changes = tuple(tile.kept.times(self._scale) for tile in tiles)
        for stage, milliseconds in took_ms.items():
            self._times[stage].append(milliseconds)
        self.unfinished.append(slot)
        self._revision = slot.revision = self._revision.make_next(changes)
        self._kept = slot, size

    def _list_stale(self, slot: Slot, size: Size) -> list[Rect]:
        """Where the output of a slot differs from the newest picture, of frames of that size."""
        stale = self._revision.list_changes_since(slot.revision)
        return [Rect(0, 0, *size.times(self._scale))] if stale is None else stale

    def _wait_for_oldest(self) -> None:
        self.cuda.wait_for_event(self.unfinished[0].events.computed)
        self.unfinished.popleft()

    def _reuse_or_allocate(self, into: Pixels | None, size: Size) -> Pixels:
        """`into` if it was made here and is of that size, else a new page-locked picture."""
        if into is not None and self._host_pictures.get(id(into)) is into and get_size(into) == size:
            return into
        made = self.cuda.allocate_pinned(size)
        self._host_pictures[id(made)] = made
        return made

    @contextmanager
    def _remember_failure(self) -> Iterator[None]:
        """After an exception in the block nothing more is upscaled: only a part of the work may be with the GPU."""
        self._failed, before = True, self._failed
        yield
        self._failed = before

    # Called from any thread

    def get_device_ms(self) -> dict[str, list[float]]:
        """What the newest 4096 frames took on the GPU, in milliseconds, oldest first, by stage.

        The newest four are still missing. "copy out" is the way to main memory or into the texture; the latter includes
        the wait for what OpenGL is drawing.
        """
        return {stage: list(times.copy()) for stage, times in self._times.items()}

    def begin_read(self, picture: CudaPicture) -> Slot | None:
        """The slot of a picture, whose memory stays valid until `end_read`; None: the picture is empty."""
        with self._changed:
            if self.closed or picture.slot is None:
                return None
            self.reading += 1
            return picture.slot

    def end_read(self) -> None:
        with self._changed:
            self.reading -= 1
            self._changed.notify_all()

    def release(self, slot: Slot) -> None:
        """The slot is free for another frame."""
        with self._changed:
            slot.held = False
            self._changed.notify_all()

    def close(self) -> None:
        """Waits for unfinished work, some seconds at most, and frees everything but pictures in main memory.

        Pictures that are still on the GPU are empty from now on. After a failure of the GPU its memory is left to the
        end of the process.
        """
        with self._changed:
            if self.closed:
                return
            self.closed = True
            read = self._changed.wait_for(lambda: not self.reading, READERS_TIMEOUT_S)
        owned = self._owned.pop_all()
        if not read or self.cuda.lost:
            return
        self.cuda.make_current()
        try:
            self._wait_until_idle()
        except EngineError:
            return  # the GPU was lost or hangs: to free anything would fail, or never return
        owned.close()

    def _wait_until_idle(self) -> None:
        """Returns when nothing that was given to the GPU touches a slot any more."""
        for stream in (self._copy_in, self._compute, self.copy_out):
            self.cuda.record_event(self.host_event, stream)
            self.cuda.wait_for_event(self.host_event)
        for events in (events for slot in self.slots for events in slot.all_events if events.was_read):
            self.cuda.wait_for_event(events.read)
