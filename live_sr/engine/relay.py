"""The relay: a plain engine at once, the wished one when it is ready, changed over between two frames."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from live_sr.contracts import Engine, Job, Watch
from live_sr.engine.orders import Order, Orders, Wish
from live_sr.errors import reason
from live_sr.frame import Frame, Pixels, Size, size_of

if TYPE_CHECKING:
    from live_sr.cuda.slots import Picture

WAIT_S = 0.1


@runtime_checkable
class Drawing(Protocol):
    """An Engine on a graphics card, which can leave its pictures there."""

    def draw(self, frame: Frame[Pixels]) -> Frame[Picture] | None:
        """As `upscale`; None: there was no room for this frame."""
        ...


@dataclass(frozen=True)
class Workshop:
    """Where the relay gets its engines, and whom it tells what became of them (on its own threads)."""

    plain: Callable[[int], Engine]
    """A ready engine of that scale that needs no building."""
    make: Callable[[str, int, Watch], Engine]
    """The engine for a model and scale, not yet warmed up."""
    scales: Callable[[str], tuple[int, ...]]
    quick: Callable[[str, int], Engine] | None = None
    """Where `make`'s engines take long to warm up: one for the same network that does not, to work meanwhile. Its
    engines take frames smaller than what they were warmed up for."""
    spare: Callable[[str, int], Engine] | None = None
    """For the same network on other hardware, where none of these can be built."""
    patient: bool = False
    """Whether building takes so long that a dragged window must come to rest first."""
    tell: Callable[[str], None] = lambda note: None
    progress: Callable[[str], None] = lambda words: None
    """How far a long build is; empty: it is over."""
    changed: Callable[[], None] = lambda: None


class Relay:
    """An Engine made of other engines. One thread upscales; `wish` and `room` may be set from any thread.

    Whatever happens, every frame is upscaled by something: the engine built for this size if there is one, else the
    plain one. A failing build leaves the present engine at work; an engine that fails at work is replaced by the plain
    one, and built again after a while: a card that was lost may be back. All of it is told to `Workshop.tell`.
    """

    def __init__(self, workshop: Workshop, wish: Wish) -> None:
        self._workshop = workshop
        self._changed = threading.Condition()
        # guarded by _changed:
        self._wish = wish
        self._room: Size | None = None
        self._order: Order | None = None  # the newest; the builder takes it away when it is done with it
        self._ready: tuple[Order, Engine | None] | None = None  # None: it could not be built
        self._closed = False
        # the upscale thread's:
        self._orders = Orders(workshop.scales, patient=workshop.patient)
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
            while self._order is not None and not self._closed:
                self._changed.wait(WAIT_S)

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        worker = self._at_work(size_of(frame.pixels))
        if worker is self._plain:
            return worker.upscale(frame, into)
        try:
            return worker.upscale(frame, into)
        except Exception as error:
            self._give_up(worker, error)
            return self._plain.upscale(frame, into)

    def draws(self, size: Size) -> bool:
        """Whether `draw` would leave a frame of this size on a card now."""
        return isinstance(self._at_work(size), Drawing)

    def draw(self, frame: Frame[Pixels]) -> Frame[Picture] | None:
        """None: there was no room for this frame, or the engine failed, and `draws` no longer holds."""
        worker = self._at_work(size_of(frame.pixels))
        if not isinstance(worker, Drawing):
            return None
        try:
            return worker.draw(frame)
        except Exception as error:
            self._give_up(self._worker, error)
            return None

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._builder.join()
        self._take_over()
        self._drop_current()
        self._plain.close()

    # The upscale thread's

    def _at_work(self, size: Size) -> Engine:
        """The engine for this frame."""
        order = self._place(size)
        self._take_over()
        worker = self._choose(size, order.scale)
        if worker is not self._worker:
            self._worker = worker
            self._workshop.changed()
        return worker

    def _place(self, size: Size) -> Order:
        """Orders what the wish means for this size, unless that was the last order."""
        with self._changed:
            wish, room = self._wish, self._room
        order = self._orders.order(wish, size, room)
        if order != self._placed:
            with self._changed:
                self._placed = self._order = order
                self._changed.notify_all()
        return order

    def _take_over(self) -> None:
        with self._changed:
            ready, self._ready = self._ready, None
        if ready is None:
            return
        order, engine = ready
        if engine is not None:
            self._drop_current()
            self._current = (order, engine)
        elif order.attempt:
            self._orders.failed()

    def _choose(self, size: Size, scale: int) -> Engine:
        if self._current is not None and self._current[0].serves(size):
            return self._current[1]
        if self._current is not None:
            self._drop_current()  # its shapes are static
        if self._plain.scale != scale:
            self._plain.close()
            self._plain = self._workshop.plain(scale)
        return self._plain

    def _give_up(self, worker: Engine, error: Exception) -> None:
        self._workshop.tell(f"{worker.job} failed ({reason(error)}); {self._plain.job} goes on")
        self._drop_current()
        self._orders.failed()

    def _drop_current(self) -> None:
        current, self._current = self._current, None
        if current is not None:
            current[1].close()

    # The builder thread's

    def _build(self) -> None:
        while (order := self._next()) is not None:
            self._fulfil(order)
            with self._changed:
                if self._order == order:
                    self._order = None
                self._changed.notify_all()
            self._workshop.progress("")
            self._workshop.changed()

    def _fulfil(self, order: Order) -> None:
        """One engine after the other; each takes over from the one before. The spare one if there is no other."""
        built = False
        for make in self._stages(order):
            built = self._hand_over(order, make) or built
            if self._superseded(order):
                return
        if not built and self._workshop.spare is not None and not order.rough:
            self._hand_over(order, partial(self._workshop.spare, order.model, order.scale))

    def _next(self) -> Order | None:
        """The order to work on; None: no more."""
        with self._changed:
            while self._order is None and not self._closed:
                self._changed.wait()
            return None if self._closed else self._order

    def _superseded(self, order: Order) -> bool:
        with self._changed:
            return self._order != order or self._closed

    def _stages(self, order: Order) -> list[Callable[[], Engine]]:
        """What to build for it."""
        quick = [partial(self._workshop.quick, order.model, order.scale)] if self._workshop.quick is not None else []
        if order.rough:
            return list(quick)
        watch = Watch(self._workshop.progress, partial(self._superseded, order))
        return [*quick, partial(self._workshop.make, order.model, order.scale, watch)]

    def _hand_over(self, order: Order, make: Callable[[], Engine]) -> bool:
        """Whether it could be built."""
        built = self._built(order, make)
        with self._changed:
            superseded = self._order != order or self._closed
            stale: Engine | None = built
            if not superseded and (built is not None or self._ready is None):
                stale = self._ready[1] if self._ready is not None else None
                self._ready = (order, built)
        if stale is not None:
            stale.close()
        if not superseded:
            self._workshop.changed()
        return built is not None

    def _built(self, order: Order, make: Callable[[], Engine]) -> Engine | None:
        try:
            engine = make()
            try:
                engine.warm_up(order.size)
            except Exception:
                engine.close()
                raise
        except Exception as error:
            if not self._superseded(order):
                self._workshop.tell(f"{order.model} x{order.scale} cannot be used: {reason(error)}")
            return None
        return engine
