"""One of the two slots: page-locked input, a network bound to memory of its own, and the events between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from live_sr.cuda.calls import CudaLike
from live_sr.cuda.step import Step
from live_sr.frame import Pixels

STAGES = ("copy in", "compute", "copy out")


@dataclass(slots=True)
class Use:
    """One use of a slot: its events, in the order in which they are recorded, and which of them were."""

    copying: int
    taken: int
    computing: int
    computed: int
    leaving: int
    read: int
    submitted: bool = field(default=False, kw_only=True)  # the first four
    left: bool = field(default=False, kw_only=True)  # the last two

    def took_ms(self, cuda: CudaLike) -> dict[str, float]:
        """What was recorded, by stage. All of it must be complete."""
        times: dict[str, float] = {}
        if self.submitted:
            times["copy in"] = cuda.elapsed_ms(self.copying, self.taken)
            times["compute"] = cuda.elapsed_ms(self.computing, self.computed)
        if self.left:
            times["copy out"] = cuda.elapsed_ms(self.leaving, self.read)
        return times


class Slot:
    """What one frame needs. Belongs to the upscale thread, then to who reads the picture, until it is free again."""

    def __init__(self, cuda: CudaLike, pinned: Pixels, step: Step, uses: tuple[Use, Use]) -> None:
        self.step = step
        self.uses = uses  # in turn, so that one can be measured when all of it is long complete
        self.count = 0  # of uses
        self.held = False  # guarded by Slots._changed
        self._cuda = cuda
        self._pinned = pinned

    @property
    def use(self) -> Use:
        """The newest one."""
        return self.uses[self.count % 2]

    def submit(self, pixels: Pixels, copy_in: int, compute: int) -> dict[str, float]:
        """Give the card a frame, the edge repeated over the rest of the room. The last use must be computed.

        Returns what the use before the last took: the last one was computed after that one had been read, so nothing
        waits for it.
        """
        height, width = pixels.shape[:2]
        self._pinned[:height, :width] = pixels
        self._pinned[:height, width:] = pixels[:, -1:]
        self._pinned[height:] = self._pinned[height - 1]
        cuda, before = self._cuda, self.use
        self.count += 1
        use = self.use
        took_ms = use.took_ms(cuda)
        use.submitted = use.left = False
        cuda.record(use.copying, copy_in)
        cuda.upload(self.step.input, self._pinned, copy_in)
        cuda.record(use.taken, copy_in)
        cuda.after(compute, use.taken)
        if before.left:
            cuda.after(compute, before.read)
        cuda.record(use.computing, compute)
        self.step.enqueue(compute)
        cuda.record(use.computed, compute)
        use.submitted = True
        return took_ms
