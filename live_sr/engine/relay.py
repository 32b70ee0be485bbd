"""The relay: a plain engine at once, the wished one when it is ready, changed over between two frames."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from live_sr.contracts import Engine, Job
from live_sr.errors import reason
from live_sr.frame import Frame, Pixels, Size, size_of

WAIT_S = 0.1


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
    """What the builder thread is to make: static shapes, so one engine for each size of the window."""

    model: str
    scale: int
    size: Size


@dataclass(frozen=True)
class Workshop:
    """Where the relay gets its engines, and whom it tells what became of them (on its own threads)."""

    plain: Callable[[int], Engine]
    """A ready engine of that scale that needs no building."""
    make: Callable[[str, int], Engine]
    """The engine for a model and scale, not yet warmed up."""
    scales: Callable[[str], tuple[int, ...]]
    tell: Callable[[str], None] = lambda note: None
    changed: Callable[[], None] = lambda: None


class Relay:
    """An Engine made of other engines. One thread upscales; `wish` and `room` may be set from any thread.

    Whatever happens, every frame is upscaled by something: the engine built for this size if there is one, else the
    plain one. A failing build leaves the present engine at work; an engine that fails at work is replaced by the plain
    one. Both are told to `Workshop.tell`.
    """

    def __init__(self, workshop: Workshop, wish: Wish) -> None:
        self._workshop = workshop
        self._changed = threading.Condition()
        # guarded by _changed:
        self._wish = wish
        self._room: Size | None = None
        self._order: Order | None = None  # the newest; the builder takes it away
        self._ready: tuple[Order, Engine] | None = None
        self._closed = False
        # the upscale thread's:
        self._asked: tuple[Wish, Size, Size | None] | None = None  # what the last order was made from
        self._placed: Order | None = None  # the last order given
        self._current: tuple[Order, Engine] | None = None
        self._plain: Engine = workshop.plain(wish.scale or 2)
        self._worker: Engine = self._plain
        self._builder = threading.Thread(target=self._build, name="live-sr builder", daemon=True)
        self._builder.start()

    @property
    def scale(self) -> int:
        return self._worker.scale

    @property
    def job(self) -> Job:
        return self._worker.job

    def wish(self, wish: Wish) -> None:
        with self._changed:
            self._wish = wish

    def room(self, room: Size | None) -> None:
        """How much room the picture has on the screen, for a scale of None."""
        with self._changed:
            self._room = room

    def warm_up(self, size: Size) -> None:
        """Waits for the wished engine: for those who need it from the first frame on, such as a benchmark."""
        self._place(size)
        with self._changed:
            while self._ready is None and self._order is not None and not self._closed:
                self._changed.wait(WAIT_S)

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        size = size_of(frame.pixels)
        order = self._place(size)
        self._take_over()
        worker = self._choose(size, order.scale)
        if worker is not self._worker:
            self._worker = worker
            self._workshop.changed()
        if worker is self._plain:
            return worker.upscale(frame, into)
        try:
            return worker.upscale(frame, into)
        except Exception as error:
            self._workshop.tell(f"{worker.job} failed ({reason(error)}); {self._plain.job} goes on")
            self._drop_current()
            return self._plain.upscale(frame, into)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._builder.join()
        self._take_over()
        self._drop_current()
        self._plain.close()

    # The upscale thread's

    def _place(self, size: Size) -> Order:
        """Orders what the wish means for this size, unless that was the last order. Asked for every frame."""
        with self._changed:
            asked = (self._wish, size, self._room)
            if self._placed is not None and asked == self._asked:
                return self._placed  # what scales a model has is read from its card: not once a frame
            scale = self._wish.at(size, self._room, self._workshop.scales(self._wish.model))
            order = Order(self._wish.model, scale, size)
            if order != self._placed:
                self._placed = self._order = order
                self._changed.notify_all()
            self._asked = asked
            return order

    def _take_over(self) -> None:
        with self._changed:
            ready, self._ready = self._ready, None
        if ready is not None:
            self._drop_current()
            self._current = ready

    def _choose(self, size: Size, scale: int) -> Engine:
        if self._current is not None and self._current[0].size == size:
            return self._current[1]
        if self._current is not None:
            self._drop_current()  # its shapes are static
        if self._plain.scale != scale:
            self._plain.close()
            self._plain = self._workshop.plain(scale)
        return self._plain

    def _drop_current(self) -> None:
        current, self._current = self._current, None
        if current is not None:
            current[1].close()

    # The builder thread's

    def _build(self) -> None:
        while True:
            with self._changed:
                while self._order is None and not self._closed:
                    self._changed.wait()
                order = self._order
                if order is None or self._closed:
                    return
            built = self._built(order)
            with self._changed:
                superseded = self._order != order or self._closed
                if not superseded:
                    self._order = None
                stale = (order, built) if superseded else self._ready
                if not superseded and built is not None:
                    self._ready = (order, built)
                self._changed.notify_all()
            if stale is not None and stale[1] is not None:
                stale[1].close()
            if not superseded:
                self._workshop.changed()

    def _built(self, order: Order) -> Engine | None:
        try:
            engine = self._workshop.make(order.model, order.scale)
            try:
                engine.warm_up(order.size)
            except Exception:
                engine.close()
                raise
        except Exception as error:
            self._workshop.tell(f"{order.model} x{order.scale} cannot be used: {reason(error)}")
            return None
        return engine
