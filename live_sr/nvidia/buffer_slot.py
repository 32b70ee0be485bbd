"""One of the two slots: page-locked input, an inference step with memory of its own, and the events between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from live_sr.nvidia.cuda_api import CudaLike, DevicePlace
from live_sr.nvidia.inference_step import InferenceStep
from live_sr.pipeline.frame import Pixels, Rect, Revision, copy_part, get_size

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
        self, cuda: CudaLike, pinned: Pixels, step: InferenceStep, events: tuple[SlotEvents, SlotEvents], pitch: int
    ) -> None:
        """pitch: bytes from row to row of the step's output."""
        self.pinned = pinned  # may be written once the newest frame was computed
        self.step = step
        self.all_events = events  # used in turn, so that one frame can be measured when all of it is long complete
        self.output = DevicePlace(step.output, pitch)
        self.revision: Revision | None = None  # of the picture in the output
        self.frames = 0  # submitted so far
        self.held = False  # guarded by the double buffer's condition
        self._cuda = cuda

    @property
    def events(self) -> SlotEvents:
        """Those of the newest frame."""
        return self.all_events[self.frames % 2]

    def submit(self, pixels: Pixels, copy_in: int, compute: int) -> dict[str, float]:
        """Hands a frame to the GPU. The frame before it in this slot must have been computed.

        Where the frame is smaller than the input, its edge is repeated. Returns milliseconds by stage of the frame
        before the last: the last one was computed after that one had been read, so nothing waits for the figures.
        """
        copy_part(pixels, Rect(0, 0, *get_size(self.pinned)), self.pinned)
        took_ms = self._begin(copy_in)
        self._cuda.upload(self.step.input, self.pinned, copy_in)
        self._compute(self.step.enqueue, copy_in, compute)
        return took_ms

    def submit_work(self, work: Callable[[int], None], compute: int) -> dict[str, float]:
        """As `submit`, but `work` gives the compute stream everything that makes the picture, with its copies."""
        took_ms = self._begin(compute)
        self._compute(work, compute, compute)
        return took_ms

    def _begin(self, copy_in: int) -> dict[str, float]:
        """Takes the other events. Returns what the frame took that had them before."""
        self.frames += 1
        events = self.events
        took_ms = events.measure_ms(self._cuda)
        events.submitted = events.was_read = False
        self._cuda.record_event(events.upload_begun, copy_in)
        return took_ms

    def _compute(self, work: Callable[[int], None], copy_in: int, compute: int) -> None:
        cuda, events, before = self._cuda, self.events, self.all_events[(self.frames - 1) % 2]
        cuda.record_event(events.uploaded, copy_in)
        if copy_in != compute:
            cuda.make_stream_wait(compute, events.uploaded)
        if before.was_read:
            cuda.make_stream_wait(compute, before.read)
        cuda.record_event(events.compute_begun, compute)
        work(compute)
        cuda.record_event(events.computed, compute)
        events.submitted = True
