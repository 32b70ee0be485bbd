"""One of the two slots: page-locked input, an inference step with memory of its own, and the events between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from live_sr.nvidia.cuda_api import CudaLike
from live_sr.nvidia.inference_step import InferenceStep
from live_sr.pipeline.frame import Pixels

STAGES = ("copy in", "compute", "copy out")


@dataclass(slots=True)
class SlotEvents:
    """The CUDA events of one frame in a slot, in the order in which they are recorded, and which of them were."""

    upload_begun: int
    uploaded: int
    compute_begun: int
    computed: int
    read_begun: int
    read: int
    submitted: bool = field(default=False, kw_only=True)  # the first four were recorded
    was_read: bool = field(default=False, kw_only=True)  # the last two were recorded

    def measure_ms(self, cuda: CudaLike) -> dict[str, float]:
        """Milliseconds of each stage that was recorded. All of them must be complete."""
        times: dict[str, float] = {}
        if self.submitted:
            times["copy in"] = cuda.elapsed_ms(self.upload_begun, self.uploaded)
            times["compute"] = cuda.elapsed_ms(self.compute_begun, self.computed)
        if self.was_read:
            times["copy out"] = cuda.elapsed_ms(self.read_begun, self.read)
        return times


class Slot:
    """What one frame needs. Used by the upscale thread, then by the reader of the picture, until it is free again."""

    def __init__(
        self, cuda: CudaLike, pinned: Pixels, step: InferenceStep, events: tuple[SlotEvents, SlotEvents]
    ) -> None:
        self.step = step
        self.all_events = events  # used in turn, so that one frame can be measured when all of it is long complete
        self.frames = 0  # submitted so far
        self.held = False  # guarded by the double buffer's condition
        self._cuda = cuda
        self._pinned = pinned

    @property
    def events(self) -> SlotEvents:
        """Those of the newest frame."""
        return self.all_events[self.frames % 2]

    def submit(self, pixels: Pixels, copy_in: int, compute: int) -> dict[str, float]:
        """Hands a frame to the GPU. The frame before it in this slot must have been computed.

        Where the frame is smaller than the input, its edge is repeated. Returns milliseconds by stage of the frame
        before the last: the last one was computed after that one had been read, so nothing waits for the figures.
        """
        height, width = pixels.shape[:2]
        self._pinned[:height, :width] = pixels
        self._pinned[:height, width:] = pixels[:, -1:]
        self._pinned[height:] = self._pinned[height - 1]
        cuda, before = self._cuda, self.events
        self.frames += 1
        events = self.events
        took_ms = events.measure_ms(cuda)
        events.submitted = events.was_read = False
        cuda.record_event(events.upload_begun, copy_in)
        cuda.upload(self.step.input, self._pinned, copy_in)
        cuda.record_event(events.uploaded, copy_in)
        cuda.make_stream_wait(compute, events.uploaded)
        if before.was_read:
            cuda.make_stream_wait(compute, before.read)
        cuda.record_event(events.compute_begun, compute)
        self.step.enqueue(compute)
        cuda.record_event(events.computed, compute)
        events.submitted = True
        return took_ms
