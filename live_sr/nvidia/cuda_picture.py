"""A picture of the double buffer that stays in the GPU's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from live_sr.errors import EngineError
from live_sr.nvidia.buffer_slot import Slot
from live_sr.pipeline.frame import Pixels, Size

if TYPE_CHECKING:
    from live_sr.nvidia.double_buffer import DoubleBuffer


class CudaPicture:
    """Fulfils `DisplayPicture` on the GPU. Holds a slot until it is released; empty once its engine was closed."""

    on_device = True

    def __init__(self, buffer: DoubleBuffer, slot: Slot, size: Size) -> None:
        self.size = size
        self.cuda = buffer.cuda
        self.slot: Slot | None = slot
        self._buffer = buffer

    def read(self, copy: Callable[[int, int], None], stream: int) -> bool:
        """Calls `copy(address, pitch)`, which gives `stream` the work that reads rows `pitch` bytes apart.

        The work runs when the picture is complete, and nothing overwrites the picture before it ends. False: the
        picture is empty, and nothing was called.
        """
        slot = self._buffer.begin_read(self)
        if slot is None:
            return False
        events = slot.events
        try:
            self.cuda.make_stream_wait(stream, events.computed)
            self.cuda.record_event(events.read_begun, stream)
            try:
                copy(slot.output.address, slot.output.pitch)
            finally:  # even half done, it reads
                self.cuda.record_event(events.read, stream)
                events.was_read = True
        finally:
            self._buffer.end_read()
        return True

    def to_host(self) -> Pixels:
        """A copy in main memory. Raises EngineError when the picture is empty."""
        slot = self._buffer.begin_read(self)
        if slot is None:
            raise EngineError("the picture is gone with the engine that made it", "take the next one")
        stream, host_event = self._buffer.copy_out, self._buffer.host_event
        try:
            self.cuda.make_current()
            pinned = self.cuda.allocate_pinned(self.size)
            self.cuda.make_stream_wait(stream, slot.events.computed)
            self.cuda.download(pinned, slot.output, stream)
            self.cuda.record_event(host_event, stream)
            self.cuda.wait_for_event(host_event)
        finally:
            self._buffer.end_read()
        return np.array(pinned)

    def copy(self) -> Pixels:
        return self.to_host()

    def release(self) -> None:
        """Frees the slot. Harmless if repeated, and after the engine was closed."""
        slot, self.slot = self.slot, None
        if slot is not None:
            self._buffer.release(slot)

    def __del__(self) -> None:
        self.release()  # a forgotten picture would hold its slot for ever, and two of them freeze the screen
