"""Pictures that stay on the card: never a gap, never black, whatever is switched, compared, lost or slow."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from fake_cuda import FakeCuda, FakeStep

from live_sr.contracts import Engine, Job, Watch
from live_sr.cuda.shown import Shown, copied
from live_sr.cuda.slots import Picture, Slots
from live_sr.engine.compare import Compare, View
from live_sr.engine.direct import Direct
from live_sr.engine.filters import FilterEngine, resizer
from live_sr.engine.fitted import Fitted
from live_sr.engine.orders import Wish
from live_sr.engine.relay import Relay, Workshop
from live_sr.frame import Frame, Pixels, Size, fresh, size_of
from live_sr.latency import Latency
from live_sr.overlay.exchange import Exchange
from live_sr.pipeline import Pipeline

SIZE = Size(8, 6)


class CardEngine:
    """An engine on the fake card, through the real slots."""

    def __init__(self, name: str, scale: int, cuda: FakeCuda) -> None:
        self.scale = scale
        self.job = Job(name, scale, "fake card")
        self._cuda = cuda
        self._slots: Slots | None = None

    def warm_up(self, size: Size) -> None:
        self._slots = Slots(self._cuda, lambda stream: FakeStep(self._cuda, size, self.scale), size, self.scale)

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        assert self._slots is not None
        return self._slots.upscale(frame, into)

    def draw(self, frame: Frame[Pixels]) -> Frame[Picture] | None:
        assert self._slots is not None
        return self._slots.draw(frame)

    def close(self) -> None:
        if self._slots is not None:
            self._slots.close()


class Card:
    """A workshop on the fake card. Its builds wait for `gate`, and a lost card is lost to every new engine, too."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.lost = False
        self.cudas: list[FakeCuda] = []
        self.notes: list[str] = []

    def make(self, name: str, scale: int, watch: Watch = Watch()) -> Engine:  # noqa: B008  # immutable
        assert self.gate.wait(10)
        cuda = FakeCuda()
        cuda.lost = self.lost
        self.cudas.append(cuda)
        return CardEngine(name, scale, cuda)

    def workshop(self) -> Workshop:
        return Workshop(
            plain=lambda scale: FilterEngine("nearest", scale),
            make=self.make,
            scales=lambda model: (2, 3),
            tell=self.notes.append,
        )


class Chain:
    """Relay to Direct, as the session wires them."""

    def __init__(self, card: Card) -> None:
        self.relay = Relay(card.workshop(), Wish("fast", 2))
        self.compare = Compare(Fitted(self.relay, resizer("nearest")), resizer("nearest"))
        self.direct = Direct(self.compare, self.relay)
        self.direct.allowed = True
        self.relay.warm_up(SIZE)


@pytest.fixture
def card() -> Card:
    return Card()


def level(value: int) -> Frame[Pixels]:
    frame = Frame(fresh(SIZE))
    frame.pixels[..., :3] = value
    return frame


def of(picture: Shown) -> tuple[int, bool]:
    """The level of a flat picture, and whether it is on the card. It may be shown afterwards, not used."""
    pixels = copied(picture)
    assert (pixels[..., :3] == pixels[0, 0, 0]).all(), "two frames in one picture"
    on_card = isinstance(picture, Picture)
    if isinstance(picture, Picture):
        picture.release()
    return int(pixels[0, 0, 0]), on_card


def upscaled(chain: Chain, value: int) -> tuple[int, bool]:
    done = chain.direct.upscale(level(value))
    assert done is not None, "a frame without a picture"
    return of(done.pixels)


def until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come to pass within 5 s")


def test_pictures_stay_on_the_card_until_something_needs_them_in_main_memory(card: Card) -> None:
    chain = Chain(card)
    assert upscaled(chain, 50) == (50, True)
    assert chain.compare.sizes == (SIZE, SIZE.times(2))
    chain.compare.view = View.UNPROCESSED
    assert upscaled(chain, 60) == (60, False)
    chain.compare.view = View.UPSCALED
    assert upscaled(chain, 70) == (70, True)
    chain.direct.allowed = False
    assert upscaled(chain, 80) == (80, False)
    chain.direct.close()
    assert not card.cudas[0].live - set(card.cudas[0].gl.fences)


def test_a_switch_leaves_no_frame_without_its_picture(card: Card) -> None:
    chain = Chain(card)
    made = []
    for value in range(20, 220):
        if value % 10 == 0:
            chain.relay.wish(Wish("fast" if value % 20 else "other", 2 + value // 10 % 2))
        if value % 10 == 5:
            threading.Event().wait(0.02)  # let a build come to its end in between
        made.append(upscaled(chain, value)[0])
    assert made == list(range(20, 220)), "a black, stale or missing picture"
    until(lambda: len(card.cudas) > 5)
    chain.direct.close()


def test_while_a_switch_is_built_the_engine_before_goes_on_on_the_card(card: Card) -> None:
    chain = Chain(card)
    card.gate.clear()
    chain.relay.wish(Wish("other", 3))
    assert [upscaled(chain, value) for value in range(30, 40)] == [(value, True) for value in range(30, 40)]
    assert chain.direct.job.model == "fast"
    card.gate.set()
    until(lambda: upscaled(chain, 99) == (99, True) and chain.direct.job.model == "other")
    chain.direct.close()


def test_a_card_lost_at_work_costs_no_picture_and_is_used_again_when_it_is_back(card: Card) -> None:
    chain = Chain(card)
    assert upscaled(chain, 40) == (40, True)
    card.lost = card.cudas[-1].lost = True
    assert upscaled(chain, 41) == (41, False), "the plain engine makes the same frame's picture"
    assert "the graphics card was lost" in card.notes[0]
    until(lambda: upscaled(chain, 42) == (42, False) and len(card.cudas) > 1)
    card.lost = False
    until(lambda: upscaled(chain, 43) == (43, True))
    chain.direct.close()


class Screen:
    """Fulfils `contracts.Display` as the overlay does: a thread takes the newest picture when it comes to it."""

    def __init__(self, latency: Latency) -> None:
        self._exchange: Exchange[Shown] = Exchange(latency)
        self.shown: list[tuple[int, bool]] = []

    def show(self, frame: Frame[Shown]) -> Frame[Shown] | None:
        given_back, _ = self._exchange.put(frame)
        return given_back

    def paint(self) -> None:
        frame = self._exchange.take()
        if frame is not None:
            self.shown.append(of(frame.pixels))


class Levels:
    """A source of flat frames, rising by one each time; it stands still at the last."""

    def __init__(self, last: int) -> None:
        self.size = SIZE
        self._next, self._last = 1, last

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        if self._next > self._last:
            threading.Event().wait(timeout_s / 20)
            return None
        frame = level(self._next)
        self._next += 1
        return frame

    def close(self) -> None: ...


def test_a_display_that_is_slow_drops_pictures_and_still_ends_at_the_newest(card: Card) -> None:
    chain = Chain(card)
    latency = Latency()
    display = Screen(latency)
    pipeline = Pipeline(lambda: Levels(120), chain.direct, display, latency, copied=copied)
    pipeline.start()

    def newest() -> bool:
        display.paint()
        return bool(display.shown) and display.shown[-1][0] == 120

    until(newest)
    pipeline.stop()
    levels = [value for value, _ in display.shown]
    assert levels == sorted(levels)
    assert all(on_card for _, on_card in display.shown)
    assert latency.report().dropped > 0
    chain.direct.close()


def test_a_screenshot_of_a_picture_on_the_card_is_that_picture(card: Card) -> None:
    chain = Chain(card)
    latency = Latency()
    display = Screen(latency)
    pipeline = Pipeline(lambda: Levels(7), chain.direct, display, latency, copied=copied)
    taken: list[tuple[Pixels, Pixels]] = []
    pipeline.start()
    until(lambda: display.paint() or (bool(display.shown) and display.shown[-1][0] == 7))  # type: ignore[func-returns-value]
    pipeline.snapshot(lambda before, after: taken.append((before, after)))
    until(lambda: bool(taken))
    pipeline.stop()
    chain.direct.close()
    before, after = taken[0]
    assert size_of(after) == SIZE.times(2)
    assert np.array_equal(after[::2, ::2], before)
