"""The two slots: a few frames in every possible order, proof that a missing wait is found; then sizes and ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fake_cuda import FakeCuda, FakeStep, Turns, Violation, World, explore

from live_sr.cuda.slots import Picture, Slots
from live_sr.cuda.texture import CardTexture
from live_sr.errors import EngineError
from live_sr.frame import Frame, Pixels, Size

ROOM = Size(1, 1)
TEXTURE = 7
EVENTS = ("copying", "taken", "computing", "computed", "leaving", "read")


def picture(number: int, size: Size = ROOM) -> Frame[Pixels]:
    return Frame(np.full((size.height, size.width, 4), number, np.uint8), number=number)


def number_in(pixels: Pixels) -> int:
    """What frame this is; no frame is part of two."""
    assert pixels.min() == pixels.max(), f"two frames in one picture: {np.unique(pixels)}"
    return int(pixels.flat[0])


class Play:
    """One run: slots, a texture, and between the threads a box for the newest picture, as the display has one."""

    def __init__(self, world: World, queue: int, skip: tuple[tuple[str, str], ...], kind: type[Slots]) -> None:
        self.world = world
        self.cuda = cuda = FakeCuda(world)
        self.slots = slots = kind(cuda, lambda stream: FakeStep(cuda, ROOM, 1), ROOM, 1, queue)
        slots._changed = Turns(world)  # type: ignore[assignment]
        roles = {getattr(use, name): name for slot in slots._slots for use in slot.uses for name in EVENTS}
        cuda.role = lambda event: roles.get(event, "home" if event == slots.home else "")
        cuda.skip = skip
        cuda.gl.textures[TEXTURE] = world.memory["texture"] = np.zeros((1, 1, 4), np.uint8)
        self.texture = CardTexture()
        self.texture._ready(cuda, TEXTURE, ROOM)
        self.queue = queue
        self.box: Frame[Picture] | None = None
        self.over = False
        self.drawing = self.showing = 0  # which frame each thread is at
        self.last_drawn = 0
        self.dropped = 0
        world.state = self.state

    def state(self) -> object:
        slots = self.slots
        return (
            (self.drawing, self.showing, self.box and self.box.number, self.over, self.last_drawn),
            tuple(
                (slot.count, slot.held, tuple((use.submitted, use.left) for use in slot.uses)) for slot in slots._slots
            ),
            tuple(slot is slots._slots[0] for slot in slots._unfinished),
            (slots._reading, slots._closed),
            tuple(self.shown()[-1:]),
        )

    def draw(self, frames: int) -> None:
        """The upscale thread."""
        for self.drawing in range(1, frames + 1):
            drawn = self.slots.draw(picture(self.drawing))
            if drawn is None:
                self.dropped += 1
                continue
            running = sum(op.name == "network" for ops in self.world.streams.values() for op in ops)
            assert running <= self.queue, f"{running} inferences wait, and {self.queue} may"
            replaced, self.box, self.last_drawn = self.box, drawn, self.drawing
            if replaced is not None:
                replaced.pixels.release()
        self.over = True

    def take(self) -> Frame[Picture] | None:
        self.world.turn("take", ready=lambda: self.box is not None or self.over)
        taken, self.box = self.box, None
        self.showing = taken.number if taken else 0
        return taken

    def show(self) -> None:
        """The GUI thread: like the display, it keeps what is on screen until the next picture, and releases it then."""
        on_screen: Frame[Picture] | None = None
        while (taken := self.take()) is not None:
            if on_screen is not None:
                on_screen.pixels.release()
            if self.texture.fill(TEXTURE, taken.pixels):
                self.cuda.gl.draw(TEXTURE)
            on_screen = taken

    def shown(self) -> list[int]:
        return [number_in(shown) for shown in self.cuda.gl.shown]


Scenario = Callable[[Play], None]


def shows(play: Play, frames: int = 3) -> None:
    """Three frames on their way to the screen."""
    play.world.run(lambda: play.draw(frames), play.show)
    if not play.world.cut:
        shown = play.shown()
        assert shown == sorted(set(shown)), f"the order went back: {shown}"
        assert shown[-1:] == [play.last_drawn], "the newest picture is not on screen"
        assert not play.dropped


def shows_four(play: Play) -> None:
    """A slot given back too often does harm with the fourth."""
    shows(play, 4)


def drops(play: Play) -> None:
    """The same where a wait for a slot may run out: a frame is lost, and nothing else."""
    play.world.timeouts = True
    play.world.run(lambda: play.draw(3), play.show)
    if not play.world.cut:
        shown = play.shown()
        assert shown == sorted(set(shown))
        assert shown[-1:] == [play.last_drawn]
        assert not any(slot.held for slot in play.slots._slots)


def snaps(play: Play) -> None:
    """Pictures that the GUI thread copies to main memory."""

    def show() -> None:
        while (taken := play.take()) is not None:
            assert number_in(taken.pixels.on_host()) == taken.number
            taken.pixels.release()

    play.world.run(lambda: play.draw(3), show)


def closes(play: Play) -> None:
    """The engine is closed after two frames, while pictures are still out."""

    def draw() -> None:
        play.draw(2)
        play.slots.close()

    before = play.cuda.live - _of(play.slots)
    play.world.run(draw, play.show)
    if not play.world.cut:
        assert play.cuda.live == before
        assert play.shown() == sorted(set(play.shown()))


def reads_back(play: Play) -> None:
    """Four frames to main memory, two pictures in circulation."""

    def upscale() -> None:
        given: list[Pixels] = []
        for n in range(1, 5):
            play.drawing = n
            done = play.slots.upscale(picture(n), given.pop(0) if len(given) > 1 else None)
            assert done is not None
            given.append(done.pixels)
            assert [number_in(pixels) for pixels in given] == [n - 1, n][-len(given) :]

    made = play.cuda.pinned_made
    play.world.run(upscale, lambda: None)
    assert play.cuda.pinned_made <= made + 2


def _of(slots: Slots) -> set[int]:
    """What the slots have from the card."""
    events = {getattr(use, name) for slot in slots._slots for use in slot.uses for name in EVENTS}
    memory = {address for slot in slots._slots for address in (slot.step.input, slot.step.output)}
    return events | memory | {slots._copy_in, slots._compute, slots.copy_out, slots.home}


def tried(
    scenario: Scenario, queue: int, skip: tuple[tuple[str, str], ...] = (), kind: type[Slots] = Slots
) -> tuple[int, int]:
    explored = explore(lambda world: scenario(Play(world, queue, skip, kind)))
    return explored.schedules, explored.states


@pytest.mark.parametrize(
    ("scenario", "queue", "least"),
    [
        (shows, 0, 400),
        (shows, 1, 1500),
        (shows, 2, 1800),
        (drops, 0, 400),
        (snaps, 1, 300),
        (closes, 0, 200),
        (closes, 1, 800),
        (reads_back, 0, 50),
    ],
)
def test_in_no_order_is_a_picture_torn_late_or_stuck(scenario: Scenario, queue: int, least: int) -> None:
    schedules, states = tried(scenario, queue)
    assert schedules >= least and states >= least / 2


class GivesBackEarly(Slots):
    """A slot is free while its picture is still being read."""

    def open(self, picture: Picture) -> Any:
        slot = super().open(picture)
        if slot is not None:
            self.give_back(slot)
        return slot


class TakesHeld(Slots):
    """A slot is used again while somebody holds its picture."""

    def _free(self) -> Any:
        return sorted(self._slots, key=lambda slot: slot.count)


class ForgetsReaders(Slots):
    """Closing does not wait for whoever reads a picture."""

    def open(self, picture: Picture) -> Any:
        return None if self._closed else picture.slot

    def shut(self) -> None:
        pass


class ReleasesAgain(Slots):
    """A second release of a picture frees the slot for a second time."""

    def draw(self, frame: Frame[Pixels]) -> Any:
        drawn = super().draw(frame)
        if drawn is not None:
            self.kept = [*getattr(self, "kept", []), drawn]  # or the third release comes when nobody expects it
            slot, release = drawn.pixels.slot, drawn.pixels.release

            def again() -> None:
                release()
                self.give_back(slot)  # type: ignore[arg-type]

            drawn.pixels.release = again  # type: ignore[method-assign]
        return drawn


@pytest.mark.parametrize(
    ("scenario", "queue", "missing"),
    [
        (shows, 0, ("after", "taken")),
        (shows, 0, ("after", "read")),
        (shows, 0, ("record", "read")),
        (shows, 0, ("record", "computed")),
        (shows, 0, ("wait", "computed")),
        (shows, 1, ("wait", "computed")),
        (shows, 2, ("wait", "computed")),
        (shows, 1, ("after", "computed")),
        (shows, 0, ("map", "")),
        (shows, 0, ("unmap", "")),
        (snaps, 1, ("after", "computed")),
        (snaps, 1, ("wait", "home")),
        (reads_back, 0, ("after", "computed")),
        (reads_back, 0, ("wait", "read")),
        (closes, 1, ("wait", "home")),
        (closes, 0, ("wait", "read")),
        (shows, 0, GivesBackEarly),
        (shows, 0, TakesHeld),
        (shows_four, 0, ReleasesAgain),
        (closes, 0, ForgetsReaders),
    ],
)
def test_one_missing_precaution_is_found(scenario: Scenario, queue: int, missing: Any) -> None:
    skip, kind = ((missing,), Slots) if isinstance(missing, tuple) else ((), missing)
    with pytest.raises(AssertionError):
        tried(scenario, queue, skip, kind)


def test_a_wait_that_nothing_can_end_is_found() -> None:
    def stuck(world: World) -> None:
        world.run(lambda: world.turn("for ever", ready=lambda: False) and None, lambda: None)

    with pytest.raises(Violation, match="nothing can go on"):
        explore(stuck)


# One thread, without an exploration


def noise(size: Size, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (size.height, size.width, 4), np.uint8)


def slots_for(room: Size, scale: int = 2, queue: int = 0) -> tuple[FakeCuda, Slots]:
    cuda = FakeCuda()
    return cuda, Slots(cuda, lambda stream: FakeStep(cuda, room, scale), room, scale, queue)


@pytest.mark.parametrize("size", [Size(5, 3), Size(4, 3), Size(5, 2), Size(3, 1), Size(1, 1)], ids=str)
def test_a_frame_smaller_than_the_room_comes_back_cropped(size: Size) -> None:
    _, slots = slots_for(Size(5, 3))
    pixels = noise(size)
    enlarged = pixels.repeat(2, 0).repeat(2, 1)
    upscaled, drawn = slots.upscale(Frame(pixels)), slots.draw(Frame(pixels))
    assert upscaled is not None and drawn is not None
    assert np.array_equal(upscaled.pixels, enlarged)
    assert drawn.pixels.size == size.times(2)
    assert np.array_equal(drawn.pixels.on_host(), enlarged)


def test_the_network_sees_the_edge_repeated_where_the_frame_ends() -> None:
    cuda, slots = slots_for(Size(4, 3))
    pixels = noise(Size(2, 2))
    slots.upscale(Frame(noise(Size(4, 3), seed=1)))
    slots.upscale(Frame(pixels))
    seen = cuda.at(slots._slots[1].step.input)
    assert np.array_equal(seen, np.pad(pixels, ((0, 1), (0, 2), (0, 0)), mode="edge"))


def test_a_frame_that_does_not_fit_is_refused_and_harms_nothing() -> None:
    _, slots = slots_for(Size(4, 3))
    with pytest.raises(EngineError, match="5x3 does not fit into 4x3"):
        slots.upscale(picture(1, Size(5, 3)))
    assert slots.upscale(picture(2, Size(4, 3))) is not None


def test_a_frame_keeps_its_number_and_its_journey() -> None:
    _, slots = slots_for(ROOM)
    frame = picture(3)
    for done in (slots.upscale(frame), slots.draw(frame)):
        assert done is not None and done.number == 3 and done.stamps is frame.stamps


def test_pictures_circulate_without_new_memory() -> None:
    cuda, slots = slots_for(Size(4, 3))
    into: Pixels | None = None
    for number in range(1, 20):
        done = slots.upscale(picture(number, Size(4, 3)), into)
        assert done is not None and number_in(done.pixels) == number
        assert into is None or done.pixels is into
        if into is None:
            made = cuda.pinned_made
        into = done.pixels
    assert cuda.pinned_made == made


@pytest.mark.parametrize("other", [Size(8, 6), Size(6, 6)], ids=["not page-locked", "another size"])
def test_a_picture_from_elsewhere_is_not_written_into(other: Size) -> None:
    _, slots = slots_for(Size(4, 3))
    into = np.zeros((other.height, other.width, 4), np.uint8)
    done = slots.upscale(picture(5, Size(4, 3)), into)
    assert done is not None and done.pixels is not into and not into.any()


def test_a_frame_that_finds_no_slot_is_dropped_until_one_is_released() -> None:
    _, slots = slots_for(ROOM)
    first, second = slots.draw(picture(1)), slots.draw(picture(2))
    assert first is not None and second is not None
    assert slots.draw(picture(3)) is None
    assert slots.upscale(picture(3)) is None
    first.pixels.release()
    first.pixels.release()
    third = slots.draw(picture(4))
    assert third is not None
    first.pixels.release()
    assert slots.draw(picture(5)) is None
    assert number_in(second.pixels.on_host()) == 2 and number_in(third.pixels.on_host()) == 4


def test_a_release_on_another_thread_frees_the_slot() -> None:
    _, slots = slots_for(ROOM)
    pictures = [slots.draw(picture(number)) for number in (1, 2)]
    assert pictures[0] is not None
    gui = threading.Timer(0.01, pictures[0].pixels.release)
    gui.start()
    while slots.draw(picture(3)) is None:  # at the first try, unless this machine is very busy
        pass
    gui.join()


def test_a_forgotten_picture_gives_its_slot_back() -> None:
    _, slots = slots_for(ROOM)
    for number in range(5):
        assert slots.draw(picture(number)) is not None


def test_what_the_card_took_is_told_by_stage() -> None:
    _, slots = slots_for(ROOM)
    assert slots.device_ms() == {"copy in": [], "compute": [], "copy out": []}
    for number in range(10):
        slots.upscale(picture(number))
    assert slots.device_ms() == {"copy in": [1.0] * 6, "compute": [1.0] * 6, "copy out": [1.0] * 6}
    for number in range(6):
        slots.draw(picture(number))  # never read
    times = slots.device_ms()
    assert (len(times["compute"]), len(times["copy out"])) == (12, 10)


def test_closing_frees_everything_but_pictures_in_main_memory() -> None:
    cuda = FakeCuda()
    before = set(cuda.live)
    slots = Slots(cuda, lambda stream: FakeStep(cuda, ROOM, 2), ROOM, 2)
    done, drawn = slots.upscale(picture(1)), slots.draw(picture(2))
    assert done is not None and drawn is not None
    slots.close()
    slots.close()
    assert cuda.live == before
    assert number_in(done.pixels) == 1
    with pytest.raises(EngineError, match="gone with the engine"):
        drawn.pixels.on_host()
    assert not drawn.pixels.read(lambda address, pitch: pytest.fail("it was read"), 0)
    drawn.pixels.release()


def test_a_step_that_cannot_be_made_leaves_nothing_behind() -> None:
    cuda = FakeCuda()
    before = set(cuda.live)
    steps = [FakeStep(cuda, ROOM, 2)]
    with pytest.raises(IndexError):
        Slots(cuda, lambda stream: steps.pop(), ROOM, 2)
    assert cuda.live == before


@pytest.mark.parametrize("queue", [0, 1, 2])
def test_a_lost_card_is_told_at_once_and_leaves_closing_and_pictures_harmless(queue: int) -> None:
    cuda, slots = slots_for(ROOM, queue=queue)
    done, drawn = slots.upscale(picture(1)), slots.draw(picture(2))
    assert done is not None and drawn is not None
    cuda.lost = True
    for work in (slots.upscale, slots.draw):
        with pytest.raises(EngineError):
            work(picture(3))
    with pytest.raises(EngineError):
        drawn.pixels.on_host()
    held = set(cuda.live)
    drawn.pixels.release()
    slots.close()
    assert cuda.live == held, "a call to free memory on a card that hangs never returns"
    assert number_in(done.pixels) == 1


def test_after_a_failure_no_further_frame_is_taken() -> None:
    cuda, slots = slots_for(ROOM)
    step = slots._slots[0].step
    step.enqueue = lambda stream: _fail()  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="out of order"):
        slots.upscale(picture(1))
    for work in (slots.upscale, slots.draw):
        with pytest.raises(EngineError, match="failed on an earlier frame"):
            work(picture(2))
    before = cuda.live - _of(slots)
    slots.close()
    assert cuda.live == before


def _fail() -> None:
    raise EngineError("the network is out of order")
