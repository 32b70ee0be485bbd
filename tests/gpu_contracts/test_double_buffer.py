"""The double buffer: a few frames in every possible order, proof that a missing wait is found; then sizes and ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fake_cuda import FakeCuda, FakeStep, Turns, Violation, World, explore

from live_sr.errors import EngineError
from live_sr.nvidia.cuda_picture import CudaPicture
from live_sr.nvidia.double_buffer import DoubleBuffer
from live_sr.nvidia.gl_interop import InteropTexture
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, Tile

ROOM = Size(1, 1)
TEXTURE = 7
EVENTS = ("upload_begun", "uploaded", "compute_begun", "computed", "read_begun", "read")


def picture(number: int, size: Size = ROOM) -> Frame[Pixels]:
    return Frame(np.full((size.height, size.width, 4), number, np.uint8), number=number)


def number_in(pixels: Pixels) -> int:
    """What frame this is; no frame is part of two."""
    assert pixels.min() == pixels.max(), f"two frames in one picture: {np.unique(pixels)}"
    return int(pixels.flat[0])


PAIR = Size(2, 1)


def pair(number: int) -> Frame[Pixels]:
    """A frame of two pixels. The first frame has 1 in both, and each one after it has its number in one of them."""
    values = [max(number - (number + side) % 2, 1) for side in range(2)]
    return Frame(np.repeat(np.array([values], np.uint8)[..., None], 4, axis=2), number=number)


def pair_in(pixels: Pixels) -> int:
    """What frame this is; both pixels are right."""
    number = int(pixels.max())
    assert np.array_equal(pixels, pair(number).pixels), f"a picture of {pixels[..., 0].tolist()} was shown"
    return number


class Play:
    """One run: a double buffer, a texture, and a box for the newest picture between the threads, as the display has."""

    room = ROOM
    number_in = staticmethod(number_in)

    def __init__(self, world: World, queue: int, skip: tuple[tuple[str, str], ...], kind: type[DoubleBuffer]) -> None:
        self.world = world
        self.cuda = cuda = FakeCuda(world)
        before = set(cuda.live)
        turns = Turns(world)
        room = self.room
        self.buffer = buffer = kind(cuda, lambda stream: FakeStep(cuda, room, 1), room, 1, queue, turns)  # type: ignore[arg-type]
        self.created = cuda.live - before  # what the double buffer has of the GPU
        roles = {getattr(e, name): name for slot in buffer.slots for e in slot.all_events for name in EVENTS}
        cuda.role = lambda event: roles.get(event, "host" if event == buffer.host_event else "")
        cuda.skip = skip
        cuda.gl.textures[TEXTURE] = world.memory["texture"] = np.zeros((1, room.width, 4), np.uint8)
        self.texture = InteropTexture()
        self.texture.prepare(cuda, TEXTURE, room)
        self.queue = queue
        self.box: Frame[CudaPicture] | None = None
        self.over = False
        self.drawing = self.showing = 0  # which frame each thread is at
        self.last_drawn = 0
        self.dropped = 0
        world.state = self.state

    def state(self) -> object:
        buffer = self.buffer
        return (
            (self.drawing, self.showing, self.box and self.box.number, self.over, self.last_drawn),
            tuple(
                (
                    slot.frames,
                    slot.held,
                    slot.revision and slot.revision.number,
                    tuple((e.submitted, e.was_read) for e in slot.all_events),
                )
                for slot in buffer.slots
            ),
            tuple(slot is buffer.slots[0] for slot in buffer.unfinished),
            (buffer.reading, buffer.closed),
            tuple(self.shown()[-1:]),
        )

    def draw(self, frames: int) -> None:
        """The upscale thread."""
        for self.drawing in range(1, frames + 1):
            drawn = self.upscale(self.drawing)
            if drawn is None:
                self.dropped += 1
                continue
            running = sum(op.name == "network" for ops in self.world.streams.values() for op in ops)
            assert running <= self.queue, f"{running} inferences wait, and {self.queue} may"
            replaced, self.box, self.last_drawn = self.box, drawn, self.drawing
            if replaced is not None:
                replaced.pixels.release()
        self.over = True

    def upscale(self, number: int) -> Any:
        return self.buffer.upscale_on_device(picture(number))

    def take(self) -> Frame[CudaPicture] | None:
        self.world.turn("take", ready=lambda: self.box is not None or self.over)
        taken, self.box = self.box, None
        self.showing = taken.number if taken else 0
        return taken

    def show(self) -> None:
        """The GUI thread: like the display, it keeps what is on screen until the next picture, and releases it then."""
        on_screen: Frame[CudaPicture] | None = None
        while (taken := self.take()) is not None:
            if on_screen is not None:
                on_screen.pixels.release()
            if self.texture.fill(TEXTURE, taken.pixels):
                self.cuda.gl.draw(TEXTURE)
            on_screen = taken

    def shown(self) -> list[int]:
        return [self.number_in(shown) for shown in self.cuda.gl.shown]


class PlayInParts(Play):
    """Of each frame after the first, only the pixel that has changed is drawn, by a window of one pixel."""

    room = PAIR
    number_in = staticmethod(pair_in)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.buffer.windows.add(Size(1, 1), lambda stream: FakeStep(self.cuda, Size(1, 1), 1))

    def upscale(self, number: int) -> Any:
        changed = Rect(number % 2, 0, 1, 1)
        return self.buffer.upscale_tiles_on_device(pair(number), [Tile(changed, changed)])


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
        assert not any(slot.held for slot in play.buffer.slots)


def snaps(play: Play) -> None:
    """Pictures that the GUI thread copies to main memory."""

    def show() -> None:
        while (taken := play.take()) is not None:
            assert play.number_in(taken.pixels.to_host()) == taken.number
            taken.pixels.release()

    play.world.run(lambda: play.draw(3), show)


def closes(play: Play) -> None:
    """The engine is closed after two frames, while pictures are still out."""

    def draw() -> None:
        play.draw(2)
        play.buffer.close()

    textures = play.cuda.live - play.created
    play.world.run(draw, play.show)
    if not play.world.cut:
        assert play.cuda.live == textures
        assert play.shown() == sorted(set(play.shown()))


def reads_back(play: Play) -> None:
    """Four frames to main memory, two pictures in circulation."""

    def upscale() -> None:
        given: list[Pixels] = []
        for n in range(1, 5):
            play.drawing = n
            done = play.buffer.upscale(picture(n), given.pop(0) if len(given) > 1 else None)
            assert done is not None
            given.append(done.pixels)
            assert [number_in(pixels) for pixels in given] == [n - 1, n][-len(given) :]

    made = play.cuda.pinned_made
    play.world.run(upscale, lambda: None)
    assert play.cuda.pinned_made <= made + 2


def tried(
    scenario: Scenario,
    queue: int,
    skip: tuple[tuple[str, str], ...] = (),
    kind: type[DoubleBuffer] = DoubleBuffer,
    play: type[Play] = Play,
) -> tuple[int, int]:
    explored = explore(lambda world: scenario(play(world, queue, skip, kind)))
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


@pytest.mark.parametrize(("scenario", "queue"), [(shows, 0), (shows, 1), (snaps, 0), (drops, 0)])
def test_nor_is_one_of_which_only_a_part_is_drawn(scenario: Scenario, queue: int) -> None:
    schedules, _ = tried(scenario, queue, play=PlayInParts)
    assert schedules >= 100


class GivesBackEarly(DoubleBuffer):
    """A slot is free while its picture is still being read."""

    def begin_read(self, picture: CudaPicture) -> Any:
        slot = super().begin_read(picture)
        if slot is not None:
            self.release(slot)
        return slot


class TakesHeld(DoubleBuffer):
    """A slot is used again while somebody holds its picture."""

    def _free_slots(self) -> Any:
        return sorted(self.slots, key=lambda slot: slot.frames)


class ForgetsReaders(DoubleBuffer):
    """Closing does not wait for whoever reads a picture."""

    def begin_read(self, picture: CudaPicture) -> Any:
        return None if self.closed else picture.slot

    def end_read(self) -> None:
        pass


class ReleasesAgain(DoubleBuffer):
    """A second release of a picture frees the slot for a second time."""

    def upscale_on_device(self, frame: Frame[Pixels]) -> Any:
        drawn = super().upscale_on_device(frame)
        if drawn is not None:
            self.kept = [*getattr(self, "kept", []), drawn]  # or the third release comes when nobody expects it
            slot, release = drawn.pixels.slot, drawn.pixels.release

            def again() -> None:
                release()
                self.release(slot)  # type: ignore[arg-type]

            drawn.pixels.release = again  # type: ignore[method-assign]
        return drawn


@pytest.mark.parametrize(
    ("scenario", "queue", "missing"),
    [
        (shows, 0, ("after", "uploaded")),
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
        (snaps, 1, ("wait", "host")),
        (reads_back, 0, ("after", "computed")),
        (reads_back, 0, ("wait", "read")),
        (closes, 1, ("wait", "host")),
        (closes, 0, ("wait", "read")),
        (shows, 0, GivesBackEarly),
        (shows, 0, TakesHeld),
        (shows_four, 0, ReleasesAgain),
        (closes, 0, ForgetsReaders),
    ],
)
def test_one_missing_precaution_is_found(scenario: Scenario, queue: int, missing: Any) -> None:
    skip, kind = ((missing,), DoubleBuffer) if isinstance(missing, tuple) else ((), missing)
    with pytest.raises(AssertionError):
        tried(scenario, queue, skip, kind)


class ForgetsOlderChanges(DoubleBuffer):
    """A picture lacks what has changed in the one before it, which is in the other slot."""

    def _list_stale(self, slot: Any, size: Size) -> list[Rect]:
        return []


@pytest.mark.parametrize("missing", [("after", "read"), ("wait", "computed"), ForgetsOlderChanges])
def test_so_is_one_where_parts_are_drawn(missing: Any) -> None:
    skip, kind = ((missing,), DoubleBuffer) if isinstance(missing, tuple) else ((), missing)
    with pytest.raises(AssertionError):
        tried(shows, 0, skip, kind, PlayInParts)


def test_a_wait_that_nothing_can_end_is_found() -> None:
    def stuck(world: World) -> None:
        world.run(lambda: world.turn("for ever", ready=lambda: False) and None, lambda: None)

    with pytest.raises(Violation, match="nothing can go on"):
        explore(stuck)


# One thread, without an exploration


def noise(size: Size, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (size.height, size.width, 4), np.uint8)


class Bench:
    """A double buffer on a GPU that works when somebody waits for it, and the inference steps of its two slots."""

    def __init__(self, max_size: Size, scale: int = 2, queue: int = 0) -> None:
        self.cuda = FakeCuda()
        self.before = set(self.cuda.live)
        self.steps: list[FakeStep] = []
        self.buffer = DoubleBuffer(self.cuda, lambda stream: self._step(max_size, scale), max_size, scale, queue)

    def _step(self, max_size: Size, scale: int) -> FakeStep:
        self.steps.append(FakeStep(self.cuda, max_size, scale))
        return self.steps[-1]


@pytest.mark.parametrize("size", [Size(5, 3), Size(4, 3), Size(5, 2), Size(3, 1), Size(1, 1)], ids=str)
def test_a_frame_smaller_than_the_room_comes_back_cropped(size: Size) -> None:
    buffer = Bench(Size(5, 3)).buffer
    pixels = noise(size)
    enlarged = pixels.repeat(2, 0).repeat(2, 1)
    upscaled, drawn = buffer.upscale(Frame(pixels)), buffer.upscale_on_device(Frame(pixels))
    assert upscaled is not None and drawn is not None
    assert np.array_equal(upscaled.pixels, enlarged)
    assert drawn.pixels.size == size.times(2)
    assert np.array_equal(drawn.pixels.to_host(), enlarged)


def test_the_network_sees_the_edge_repeated_where_the_frame_ends() -> None:
    bench = Bench(Size(4, 3))
    cuda, buffer = bench.cuda, bench.buffer
    pixels = noise(Size(2, 2))
    buffer.upscale(Frame(noise(Size(4, 3), seed=1)))
    buffer.upscale(Frame(pixels))
    seen = cuda.at(bench.steps[1].input)
    assert np.array_equal(seen, np.pad(pixels, ((0, 1), (0, 2), (0, 0)), mode="edge"))


def test_a_frame_that_does_not_fit_is_refused_and_harms_nothing() -> None:
    buffer = Bench(Size(4, 3)).buffer
    with pytest.raises(EngineError, match="5x3 does not fit into 4x3"):
        buffer.upscale(picture(1, Size(5, 3)))
    assert buffer.upscale(picture(2, Size(4, 3))) is not None


def test_a_frame_keeps_its_number_and_its_journey() -> None:
    buffer = Bench(ROOM).buffer
    frame = picture(3)
    for done in (buffer.upscale(frame), buffer.upscale_on_device(frame)):
        assert done is not None and done.number == 3 and done.stamps is frame.stamps


def test_pictures_circulate_without_new_memory() -> None:
    bench = Bench(Size(4, 3))
    cuda, buffer = bench.cuda, bench.buffer
    into: Pixels | None = None
    for number in range(1, 20):
        done = buffer.upscale(picture(number, Size(4, 3)), into)
        assert done is not None and number_in(done.pixels) == number
        assert into is None or done.pixels is into
        if into is None:
            made = cuda.pinned_made
        into = done.pixels
    assert cuda.pinned_made == made


@pytest.mark.parametrize("other", [Size(8, 6), Size(6, 6)], ids=["not page-locked", "another size"])
def test_a_picture_from_elsewhere_is_not_written_into(other: Size) -> None:
    buffer = Bench(Size(4, 3)).buffer
    into = np.zeros((other.height, other.width, 4), np.uint8)
    done = buffer.upscale(picture(5, Size(4, 3)), into)
    assert done is not None and done.pixels is not into and not into.any()


def test_a_frame_that_finds_no_slot_is_dropped_until_one_is_released() -> None:
    buffer = Bench(ROOM).buffer
    first, second = buffer.upscale_on_device(picture(1)), buffer.upscale_on_device(picture(2))
    assert first is not None and second is not None
    assert buffer.upscale_on_device(picture(3)) is None
    assert buffer.upscale(picture(3)) is None
    first.pixels.release()
    first.pixels.release()
    third = buffer.upscale_on_device(picture(4))
    assert third is not None
    first.pixels.release()
    assert buffer.upscale_on_device(picture(5)) is None
    assert number_in(second.pixels.to_host()) == 2 and number_in(third.pixels.to_host()) == 4


def test_a_release_on_another_thread_frees_the_slot() -> None:
    buffer = Bench(ROOM).buffer
    pictures = [buffer.upscale_on_device(picture(number)) for number in (1, 2)]
    assert pictures[0] is not None
    gui = threading.Timer(0.01, pictures[0].pixels.release)
    gui.start()
    while buffer.upscale_on_device(picture(3)) is None:  # at the first try, unless this machine is very busy
        pass
    gui.join()


def test_a_forgotten_picture_gives_its_slot_back() -> None:
    buffer = Bench(ROOM).buffer
    for number in range(5):
        assert buffer.upscale_on_device(picture(number)) is not None


def test_what_the_card_took_is_told_by_stage() -> None:
    buffer = Bench(ROOM).buffer
    assert buffer.get_device_ms() == {"copy in": [], "compute": [], "copy out": []}
    for number in range(10):
        buffer.upscale(picture(number))
    assert buffer.get_device_ms() == {"copy in": [1.0] * 6, "compute": [1.0] * 6, "copy out": [1.0] * 6}
    for number in range(6):
        buffer.upscale_on_device(picture(number))  # never read
    times = buffer.get_device_ms()
    assert (len(times["compute"]), len(times["copy out"])) == (12, 10)


def test_closing_frees_everything_but_pictures_in_main_memory() -> None:
    cuda = FakeCuda()
    before = set(cuda.live)
    buffer = DoubleBuffer(cuda, lambda stream: FakeStep(cuda, ROOM, 2), ROOM, 2)
    done, drawn = buffer.upscale(picture(1)), buffer.upscale_on_device(picture(2))
    assert done is not None and drawn is not None
    buffer.close()
    buffer.close()
    assert cuda.live == before
    assert number_in(done.pixels) == 1
    with pytest.raises(EngineError, match="gone with the engine"):
        drawn.pixels.to_host()
    assert not drawn.pixels.read(lambda address, pitch: pytest.fail("it was read"), 0)
    drawn.pixels.release()


def test_a_step_that_cannot_be_made_leaves_nothing_behind() -> None:
    cuda = FakeCuda()
    before = set(cuda.live)
    steps = [FakeStep(cuda, ROOM, 2)]
    with pytest.raises(IndexError):
        DoubleBuffer(cuda, lambda stream: steps.pop(), ROOM, 2)
    assert cuda.live == before


@pytest.mark.parametrize("queue", [0, 1, 2])
def test_a_lost_card_is_told_at_once_and_leaves_closing_and_pictures_harmless(queue: int) -> None:
    bench = Bench(ROOM, queue=queue)
    cuda, buffer = bench.cuda, bench.buffer
    done, drawn = buffer.upscale(picture(1)), buffer.upscale_on_device(picture(2))
    assert done is not None and drawn is not None
    cuda.lost = True
    for work in (buffer.upscale, buffer.upscale_on_device):
        with pytest.raises(EngineError):
            work(picture(3))
    with pytest.raises(EngineError):
        drawn.pixels.to_host()
    held = set(cuda.live)
    drawn.pixels.release()
    buffer.close()
    assert cuda.live == held, "a call to free memory on a card that hangs never returns"
    assert number_in(done.pixels) == 1


def test_after_a_failure_no_further_frame_is_taken() -> None:
    bench = Bench(ROOM)
    cuda, buffer = bench.cuda, bench.buffer
    for step in bench.steps:
        step.enqueue = lambda stream: _fail()  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="out of order"):
        buffer.upscale(picture(1))
    for work in (buffer.upscale, buffer.upscale_on_device):
        with pytest.raises(EngineError, match="failed on an earlier frame"):
            work(picture(2))
    buffer.close()
    assert cuda.live == bench.before


def _fail() -> None:
    raise EngineError("the network is out of order")
