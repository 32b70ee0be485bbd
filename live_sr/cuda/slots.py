"""The double buffer on the card: one picture is computed while the one before it is shown or read back.

One event stands for every time that memory changes hands. What writes waits for what reads, and the reverse:

    page-locked input   the host fills, the copy-in stream reads     the host waits for `computed` of the use before
    step.input          copy-in writes, the compute stream reads     `taken`; and back: the host's wait again
    step.output         compute writes, a reader's stream reads      `computed`; and back: `read` of the use before

The reader is the copy-out stream (`upscale`) or the stream of whoever draws (`draw`, `Picture.read`). A slot is held
from the moment its frame is chosen until the picture was read back or released, so no event is recorded anew while
somebody may still have to wait for it. tests/test_slots.py tries every order in which all this can happen.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np

from live_sr.cuda.calls import CudaLike as CudaLike
from live_sr.cuda.slot import STAGES, Slot, Use
from live_sr.cuda.step import MakeStep
from live_sr.errors import EngineError
from live_sr.frame import Frame, Pixels, Size, size_of

WAIT_S = 0.1  # for a free slot; a frame that finds none is dropped
READERS_S = 10.0  # longer than any read of a picture may wait for the card
SAMPLES = 4096


class Slots:
    """Two slots for frames of up to `room`. One thread upscales and draws; afterwards any thread may close.

    `draw` returns when at most `queue` inferences are unfinished (0: when its own is complete). Raises EngineError, and
    goes on raising it after the first failure: then nobody knows any more what the memory holds.
    """

    def __init__(self, cuda: CudaLike, make_step: MakeStep, room: Size, scale: int, queue: int = 0) -> None:
        self.cuda = cuda
        self.pitch = room.width * scale * 4  # bytes from row to row of a picture on the card
        self._room = room
        self._scale = scale
        self._queue = queue
        self._changed = threading.Condition()
        # guarded by _changed:
        self._reading = 0  # how many pictures are being read this moment
        self._closed = False
        # the upscale thread's:
        self._unfinished: deque[Slot] = deque()  # computing, oldest first
        self._failed = False
        self._lent: weakref.WeakValueDictionary[int, Pixels] = weakref.WeakValueDictionary()  # by id
        # written by the upscale thread, copied by any: to append and to copy are single operations of a deque
        self._times: dict[str, deque[float]] = {stage: deque(maxlen=SAMPLES) for stage in STAGES}
        cuda.use()
        with ExitStack() as making:
            self._copy_in = self._stream(making)
            self._compute = self._stream(making, urgent=True)
            self.copy_out = self._stream(making)
            self.home = self._event(making)
            self._slots = tuple(self._slot(making, make_step, room) for _ in range(2))
            self._owned = making.pop_all()

    def _stream(self, owned: ExitStack, *, urgent: bool = False) -> int:
        stream = self.cuda.stream(urgent=urgent)
        owned.callback(self.cuda.end_stream, stream)
        return stream

    def _event(self, owned: ExitStack, *, timing: bool = False) -> int:
        event = self.cuda.event(timing=timing)
        owned.callback(self.cuda.end_event, event)
        return event

    def _slot(self, owned: ExitStack, make_step: MakeStep, room: Size) -> Slot:
        first, second = ([self._event(owned, timing=True) for _ in range(6)] for _ in range(2))
        step = make_step(self._compute)
        owned.callback(step.close)
        return Slot(self.cuda, self.cuda.pinned(room), step, (Use(*first), Use(*second)))

    # The upscale thread's

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        """The picture in page-locked main memory, complete: in `into` when that came from here and fits.

        It belongs to the caller, and stays valid after `close`. None: both slots are held by pictures on the card.
        """
        size = size_of(frame.pixels)
        slot = self._claim(size)
        if slot is None:
            return None
        with self._all_or_nothing():
            done = self._receiver(into, size.times(self._scale))
            self._submit(slot, frame.pixels)
            use = slot.use
            self.cuda.after(self.copy_out, use.computed)
            self.cuda.record(use.leaving, self.copy_out)
            self.cuda.download(done, slot.step.output, self.pitch, self.copy_out)
            self.cuda.record(use.read, self.copy_out)
            use.left = True
            self.cuda.wait(use.read)
            self._unfinished.clear()  # they were computed one after the other, and this one was the last
        self.give_back(slot)
        return frame.redrawn(done)

    def draw(self, frame: Frame[Pixels]) -> Frame[Picture] | None:
        """The picture on the card; the caller releases it. None: no slot came free in time, the frame is dropped."""
        size = size_of(frame.pixels)
        slot = self._claim(size)
        if slot is None:
            return None
        with self._all_or_nothing():
            self._submit(slot, frame.pixels)
            while len(self._unfinished) > self._queue:
                self._finish_oldest()
        return frame.redrawn(Picture(self, slot, size.times(self._scale)))

    def takes(self, size: Size) -> bool:
        """Whether frames of that size fit into what the engine was built for."""
        return size.width <= self._room.width and size.height <= self._room.height

    def _claim(self, size: Size) -> Slot | None:
        """The free slot that was used longest ago."""
        if self._failed:
            raise EngineError(
                "the card failed on an earlier frame", "choose another engine or model, and this one again"
            )
        if not self.takes(size):
            raise EngineError(f"a frame of {size} does not fit into {self._room}", "build the engine for that size")
        self.cuda.use()
        with self._changed:
            if not self._changed.wait_for(self._free, WAIT_S):
                return None
            slot = self._free()[0]
            slot.held = True
        return slot

    def _free(self) -> list[Slot]:
        return sorted((slot for slot in self._slots if not slot.held), key=lambda slot: slot.count)

    def _submit(self, slot: Slot, pixels: Pixels) -> None:
        while slot in self._unfinished:  # until then the card may read its input
            self._finish_oldest()
        for stage, milliseconds in slot.submit(pixels, self._copy_in, self._compute).items():
            self._times[stage].append(milliseconds)
        self._unfinished.append(slot)

    def _finish_oldest(self) -> None:
        self.cuda.wait(self._unfinished[0].use.computed)
        self._unfinished.popleft()

    def _receiver(self, into: Pixels | None, size: Size) -> Pixels:
        """`into` if it is ours and of that size, else a new page-locked picture: the one allocation of a frame."""
        if into is not None and self._lent.get(id(into)) is into and size_of(into) == size:
            return into
        made = self.cuda.pinned(size)
        self._lent[id(made)] = made
        return made

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Remembers a failure on its way through: the work may be half given to the card."""
        self._failed, before = True, self._failed
        yield
        self._failed = before

    # Any thread's

    def device_ms(self) -> dict[str, list[float]]:
        """What the newest 4096 frames took on the card, in milliseconds, oldest first, by stage.

        The newest four are still to come. "copy out" is the way to main memory or into the texture; the latter includes
        the wait for what OpenGL is drawing.
        """
        return {stage: list(times.copy()) for stage, times in self._times.items()}

    def open(self, picture: Picture) -> Slot | None:
        """The memory of a picture to read, until `shut`; None: it is gone."""
        with self._changed:
            if self._closed or picture.slot is None:
                return None
            self._reading += 1
            return picture.slot

    def shut(self) -> None:
        with self._changed:
            self._reading -= 1
            self._changed.notify_all()

    def give_back(self, slot: Slot) -> None:
        with self._changed:
            slot.held = False
            self._changed.notify_all()

    def close(self) -> None:
        """Waits for what the card is at, some seconds at most, and frees all but pictures in main memory.

        Pictures still out are empty from now on. After a failure of the card its memory is left to the process's end.
        """
        with self._changed:
            if self._closed:
                return
            self._closed = True
            read = self._changed.wait_for(lambda: not self._reading, READERS_S)
        owned = self._owned.pop_all()
        if not read or self.cuda.lost:
            return
        self.cuda.use()
        try:
            self._quiet()
        except EngineError:
            return  # it was lost or hangs: to free anything would fail, or never return
        owned.close()

    def _quiet(self) -> None:
        """Returns when nothing that was given to the card touches a slot any more."""
        for stream in (self._copy_in, self._compute, self.copy_out):
            self.cuda.record(self.home, stream)
            self.cuda.wait(self.home)
        for use in (use for slot in self._slots for use in slot.uses if use.left):
            self.cuda.wait(use.read)


class Picture:
    """An upscaled picture that stayed on the card: BGRA uint8. Used from one thread at a time.

    It holds a slot until it is released. When its engine was closed meanwhile it is empty.
    """

    def __init__(self, slots: Slots, slot: Slot, size: Size) -> None:
        self.size = size
        self.cuda = slots.cuda
        self.slot: Slot | None = slot
        self._slots = slots

    def read(self, copy: Callable[[int, int], None], stream: int) -> bool:
        """Calls `copy(address, pitch)`, which gives `stream` what reads the picture, rows `pitch` bytes apart.

        It runs on the card when the picture is complete, and nothing overwrites the picture before. False: it is empty,
        and nothing was called.
        """
        slot = self._slots.open(self)
        if slot is None:
            return False
        use = slot.use
        try:
            self.cuda.after(stream, use.computed)
            self.cuda.record(use.leaving, stream)
            try:
                copy(slot.step.output, self._slots.pitch)
            finally:  # even half done, it reads
                self.cuda.record(use.read, stream)
                use.left = True
        finally:
            self._slots.shut()
        return True

    def on_host(self) -> Pixels:
        """A copy in main memory, for a snapshot. Raises EngineError when it is empty."""
        slot = self._slots.open(self)
        if slot is None:
            raise EngineError("the picture is gone with the engine that drew it", "take the next one")
        stream, home = self._slots.copy_out, self._slots.home
        try:
            self.cuda.use()
            pinned = self.cuda.pinned(self.size)
            self.cuda.after(stream, slot.use.computed)
            self.cuda.download(pinned, slot.step.output, self._slots.pitch, stream)
            self.cuda.record(home, stream)
            self.cuda.wait(home)
        finally:
            self._slots.shut()
        return np.array(pinned)

    def release(self) -> None:
        """Its memory may be used for another picture. Once, again and after the engine was closed: no harm."""
        slot, self.slot = self.slot, None
        if slot is not None:
            self._slots.give_back(slot)

    def __del__(self) -> None:
        self.release()  # a forgotten picture would hold its slot for ever, and two of them freeze the screen
