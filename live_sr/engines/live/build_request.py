"""What the user has selected, and which engine has to be built for the frames of this moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from live_sr.models.resolve import Model
from live_sr.pipeline.frame import Size

SETTLE_S = 0.5  # a window that has kept its size for this long is not being dragged
BUCKET = 64  # pixels: sizes of a dragged window are rounded up to multiples of this
RETRY_S = (1.0, 2.0, 5.0, 15.0, 60.0)  # waits before an engine that failed at work is built again; the last repeats


@dataclass(frozen=True)
class Selection:
    """The model and scale that the user wants. `scale` None: the smallest one that fills the room on the screen."""

    model: Model
    scale: int | None

    def __str__(self) -> str:
        return f"{self.model.name} {'fit' if self.scale is None else f'×{self.scale}'}"

    def choose_scale(self, size: Size, room: Size | None, aspect: float | None = None) -> int:
        """The scale, out of those the model has, for frames of `size` shown in `room` with that aspect."""
        if self.scale is not None:
            return self.scale
        scales = self.model.scales
        if room is None:
            return scales[-1]
        shape = size.with_aspect(aspect)
        wanted = shape.fit_into(room).width / shape.width
        return next((s for s in scales if s >= wanted - 1e-6), scales[-1])


@dataclass(frozen=True)
class BuildRequest:
    """What the builder thread is to make. Engines have static shapes, so there is one for each size of the window.

    provisional: the window is being dragged; `size` is rounded up, and an engine that takes smaller frames works until
    the window rests. attempt: how many times this engine has failed at work before.
    """

    model: Model
    scale: int
    size: Size
    provisional: bool = False
    attempt: int = 0

    def fits(self, size: Size) -> bool:
        """Whether the engine built for this request takes frames of `size`."""
        if not self.provisional:
            return size == self.size
        return size.width <= self.size.width and size.height <= self.size.height


class BuildPlanner:
    """Turns selections into build requests, for every frame, on one thread.

    builds_slowly: an engine is built for exactly the window's size only when the window is not being dragged. aspect:
    the ratio of width to height that the picture has on the screen; None: that of the frames.
    """

    def __init__(
        self, *, builds_slowly: bool = False, aspect: float | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._builds_slowly = builds_slowly
        self._aspect = aspect
        self._clock = clock
        self._size: Size | None = None
        self._resized_s = 0.0  # when the size changed last
        self._attempt = 0
        self._failures = 0  # in a row
        self._failed_s = 0.0  # when the last one was
        self._retry_s: float | None = None  # when to build again what failed
        self._inputs: tuple[object, ...] = ()  # of the newest request
        self._request: BuildRequest | None = None

    def plan(self, selection: Selection, size: Size, room: Size | None) -> BuildRequest:
        """The engine that frames of `size` need; equal to the last request as long as nothing has changed."""
        now = self._clock()
        if size != self._size:
            self._resized_s = now if self._size is not None else now - SETTLE_S
            self._size = size
        if self._retry_s is not None and now >= self._retry_s:
            self._retry_s = None
            self._attempt += 1
        provisional = self._builds_slowly and now - self._resized_s < SETTLE_S
        inputs = (selection, size, room, provisional, self._attempt)
        if self._request is None or inputs != self._inputs:
            self._inputs = inputs
            built_for = round_up_to_bucket(size) if provisional else size
            scale = selection.choose_scale(size, room, self._aspect)
            self._request = BuildRequest(selection.model, scale, built_for, provisional, self._attempt)
        return self._request

    def record_failure(self) -> None:
        """The engine of the last request failed at work, or could not be built again: plan another try, later."""
        now = self._clock()
        if now - self._failed_s > 2 * RETRY_S[-1]:
            self._failures = 0  # it has worked for long
        self._failed_s = now
        self._retry_s = now + RETRY_S[min(self._failures, len(RETRY_S) - 1)]
        self._failures += 1


def round_up_to_bucket(size: Size) -> Size:
    """The size whose engine also takes frames of `size` while the window is being dragged."""
    return size.round_up(BUCKET)
