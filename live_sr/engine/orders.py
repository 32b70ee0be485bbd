"""What is wished for, and which engine the frames of this moment need for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from live_sr.frame import Size

SETTLE_S = 0.5  # a window that has kept its size for so long is not being dragged
BUCKET = 64  # pixels: sizes of a dragged window are rounded up to multiples of this
RETRY_S = (1.0, 2.0, 5.0, 15.0, 60.0)  # waits before an engine that failed at work is built again; the last repeats


@dataclass(frozen=True)
class Wish:
    """What should do the work. `scale` None: the smallest that fills the room on the screen."""

    model: str
    scale: int | None

    def __str__(self) -> str:
        return f"{self.model} {'fit' if self.scale is None else f'×{self.scale}'}"

    def at(self, size: Size, room: Size | None, scales: tuple[int, ...]) -> int:
        """The scale for frames of `size` shown in `room`, out of those the model has (ascending)."""
        if self.scale is not None:
            return self.scale
        if room is None:
            return scales[-1]
        wanted = size.fitted(room).width / size.width
        return next((s for s in scales if s >= wanted - 1e-6), scales[-1])


@dataclass(frozen=True)
class Order:
    """What the builder thread is to make. Engines have static shapes, so there is one for each size of the window.

    rough: the window is being dragged; `size` is rounded up, and an engine that takes smaller frames will do until it
    rests. attempt: how often it has failed at work before.
    """

    model: str
    scale: int
    size: Size
    rough: bool = False
    attempt: int = 0

    def serves(self, size: Size) -> bool:
        """Whether what was built for this order takes frames of `size`."""
        return self.size == size or (self.rough and size.width <= self.size.width and size.height <= self.size.height)


class Orders:
    """Asked for every frame, by one thread. patient: building is slow, so it waits for a dragged window to rest."""

    def __init__(
        self, scales: Callable[[str], tuple[int, ...]], *, patient: bool = False, clock: Callable[[], float] = monotonic
    ) -> None:
        self._scales = scales
        self._patient = patient
        self._clock = clock
        self._size: Size | None = None
        self._resized = 0.0  # when the size changed last
        self._attempt = 0
        self._losses = 0  # in a row
        self._retry: float | None = None  # when to build again what failed
        self._failed = 0.0  # when it did
        self._asked: tuple[object, ...] = ()
        self._order: Order | None = None

    def order(self, wish: Wish, size: Size, room: Size | None) -> Order:
        """What the wish means for frames of `size`; equal to the one before as long as nothing has changed."""
        now = self._clock()
        if size != self._size:
            self._resized = now if self._size is not None else now - SETTLE_S
            self._size = size
        if self._retry is not None and now >= self._retry:
            self._retry = None
            self._attempt += 1
        rough = self._patient and now - self._resized < SETTLE_S
        asked = (wish, size, room, rough, self._attempt)
        if self._order is None or asked != self._asked:  # what scales a model has is read from its card: not every time
            scale = wish.at(size, room, self._scales(wish.model))
            self._order = Order(wish.model, scale, bucket(size) if rough else size, rough, self._attempt)
            self._asked = asked
        return self._order

    def failed(self) -> None:
        """The engine of the last order failed at work, or could not be built again: another try after a while."""
        now = self._clock()
        if now - self._failed > 2 * RETRY_S[-1]:
            self._losses = 0  # it has worked for long
        self._failed = now
        self._retry = now + RETRY_S[min(self._losses, len(RETRY_S) - 1)]
        self._losses += 1


def bucket(size: Size) -> Size:
    """The size whose engine also serves `size` while the window is being dragged."""
    return Size(-(-size.width // BUCKET) * BUCKET, -(-size.height // BUCKET) * BUCKET)
