"""CUDA in plain Python: streams are queues, and a scheduler decides which of them moves next.

`FakeCuda` has the calls of `CudaLike`. A copy or a network moves pixels when its turn comes, and not
before; recording an event and waiting for one take no time. Two streams that could work at the same moment, one of them
writing what the other one reads or writes, are a Violation at once: whatever came of it would be torn.

`explore` runs a scenario again and again, once for every order in which its two threads and all streams can take turns,
depth first. A state that was reached before (same place in both threads, same queues, same memory) is left at once:
what can follow it was or will be seen from there.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np

from live_sr.errors import EngineError
from live_sr.nvidia.cuda_api import DevicePlace
from live_sr.pipeline.frame import Pixels, Size

GL = 1  # the queue of OpenGL's own commands


class Violation(AssertionError):
    """Something that must never happen did."""


class Cut(BaseException):
    """This run ends here; unwinds both threads."""


@dataclass(eq=False)
class Op:
    """What a stream does: work on memory, or wait for an event, or complete one."""

    name: str
    work: Callable[[], None] | None = None
    reads: tuple[object, ...] = ()
    writes: tuple[object, ...] = ()
    event: tuple[int, int] | None = None  # (event, which of its records)
    completes: bool = False


def shut() -> threading.Lock:
    """A lock that the next `acquire` waits for, until somebody else calls `release`."""
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass
class Thread:
    """One of the two threads, where it stands, and whether it could go on."""

    name: str
    go: threading.Lock = field(default_factory=shut)
    at: tuple[object, ...] = ()
    turns: int = 0
    ready: Callable[[], bool] = lambda: True
    late: bool = False  # it stands in a wait whose time can run out
    ended: bool = False


class World:
    """Takes turns: one thread or one stream moves, then the next is chosen. `path` are the choices to begin with."""

    def __init__(self, path: list[int], seen: set[object]) -> None:
        self.path = path
        self.taken: list[tuple[int, int]] = []  # (choice, out of how many)
        self.seen = seen
        self.streams: dict[int, deque[Op]] = {GL: deque()}
        self.recorded: dict[int, int] = {}
        self.completed: dict[int, int] = {}
        self.memory: dict[object, np.ndarray] = {}
        self.threads: dict[str, Thread] = {}
        self.local = threading.local()
        self.failure: BaseException | None = None
        self.cut = False
        self.timeouts = False
        self.state: Callable[[], object] = lambda: None
        self.over = shut()

    # Threads

    def turn(self, *at: object, ready: Callable[[], bool] = lambda: True, late: bool = False) -> bool:
        """The calling thread stops here until it is chosen. False: its wait ran out before it was ready."""
        me: Thread | None = getattr(self.local, "me", None)
        if me is None:
            return self._alone(ready)
        if self.cut:
            raise Cut
        me.at, me.ready, me.late = at, ready, late and self.timeouts
        me.turns += at[0] != "wait"  # a wait for what is there already takes no turn
        self._choose(me)
        return ready()

    def _alone(self, ready: Callable[[], bool]) -> bool:
        """Outside an exploration: the streams move only when somebody waits, oldest work first."""
        while not ready():
            stream = next((s for s, ops in self.streams.items() if ops and ops[0].work), None)
            if stream is None:
                return False
            self.advance(stream)
        return True

    def _choose(self, me: Thread) -> None:
        try:
            chosen = self._next(me)
        except BaseException as error:
            self._end(error)
            chosen = None
        if chosen is None:
            raise Cut
        if chosen is not me:
            chosen.go.release()
            if not me.ended:
                me.go.acquire()
                if self.cut:
                    raise Cut

    def _next(self, me: Thread) -> Thread | None:
        """Moves streams until a thread is chosen, `me` before the other one; None: all is done."""
        while True:
            threads = sorted(self.threads.values(), key=lambda thread: thread is not me)
            options: list[Thread | int] = [t for t in threads if not t.ended and (t.ready() or t.late)]
            options += [stream for stream, ops in self.streams.items() if ops and ops[0].work]
            if not options:
                if any(not t.ended for t in self.threads.values()):
                    raise Violation(f"nothing can go on: {[(t.name, t.at) for t in self.threads.values()]}")
                return None
            chosen = options[self._decide(len(options))]
            if isinstance(chosen, Thread):
                return chosen
            self.advance(chosen)

    def _decide(self, count: int) -> int:
        step = len(self.taken)
        if step < len(self.path):
            choice = self.path[step]
        else:
            key = self._key()
            if key in self.seen:
                raise Cut
            self.seen.add(key)
            choice = 0
        self.taken.append((choice, count))
        return choice

    def _key(self) -> object:
        return (
            tuple((t.turns, t.at, t.ended) for t in self.threads.values()),
            tuple(tuple((op.name, op.event) for op in ops) for ops in self.streams.values()),
            tuple(sorted(self.completed.items())),
            tuple(array.tobytes() for array in self.memory.values()),
            self.state(),
        )

    def _end(self, error: BaseException | None) -> None:
        self.failure = self.failure or (None if isinstance(error, Cut) else error)
        self.cut = True
        for lock in (self.over, *(thread.go for thread in self.threads.values())):
            with suppress(RuntimeError):  # open already
                lock.release()

    def run(self, first: Callable[[], None], second: Callable[[], None]) -> None:
        """Both at once, in one of all possible orders."""

        gui = self.threads["gui"] = Thread("gui")
        worker = threading.Thread(target=self._body, args=(gui, second), daemon=True)
        worker.start()
        upscale = self.threads["upscale"] = Thread("upscale")
        upscale.go.release()
        self._body(upscale, first)
        self.over.acquire()
        worker.join()
        if self.failure is not None:
            raise self.failure

    def _body(self, thread: Thread, work: Callable[[], None]) -> None:
        self.local.me = thread
        thread.go.acquire()
        try:
            if not self.cut:
                work()
            thread.ended = True
            if not self.cut:
                following = self._next(thread)
                (self.over if following is None else following.go).release()
        except BaseException as error:
            self._end(error)
        self.local.me = None

    # Streams

    def give(self, stream: int, op: Op) -> None:
        self.streams[stream].append(op)
        self._settle()

    def advance(self, stream: int) -> None:
        """What the stream is at."""
        work = self.streams[stream].popleft().work
        assert work is not None
        work()
        self._settle()

    def _settle(self) -> None:
        """Complete events and end waits as far as they are next in line."""
        moved = True
        while moved:
            moved = False
            for ops in self.streams.values():
                while ops and not ops[0].work and (ops[0].completes or self.complete(ops[0].event)):
                    op = ops.popleft()
                    if op.completes and op.event is not None:
                        self.completed[op.event[0]] = max(self.completed.get(op.event[0], 0), op.event[1])
                    moved = True
        working = [ops[0] for ops in self.streams.values() if ops]
        for one, other in permutations(working, 2):
            if any(written is touched for written in one.writes for touched in (*other.reads, *other.writes)):
                raise Violation(f"{one.name} may write what {other.name} is using")

    def complete(self, record: tuple[int, int] | None) -> bool:
        return record is None or self.completed.get(record[0], 0) >= record[1]


class Turns:
    """A condition for `World`: entering it is a turn, and waiting ends when chosen."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._owner: object = None

    def __enter__(self) -> Turns:
        world = self._world
        if not world.cut and self._owner is not threading.current_thread():
            world.turn("lock", ready=lambda: self._owner is None)
            self._owner = threading.current_thread()
        return self

    def __exit__(self, *why: object) -> None:
        self._owner = None

    def wait_for(self, ready: Callable[[], Any], timeout: float) -> bool:
        if ready():
            return True
        self._owner = None
        self._world.turn("wait", ready=lambda: self._owner is None and bool(ready()), late=True)
        self._owner = threading.current_thread()
        return bool(ready())

    def notify_all(self) -> None:
        pass


class FakeCuda:
    """The card. `skip` are calls that do nothing, as (call, what `role` says of its event), for mutations."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World([], set())
        self.lost = False
        self.skip: tuple[tuple[str, str], ...] = ()
        self.role: Callable[[int], str] = lambda event: ""
        self.pinned_made = 0
        self.live: set[int] = set()  # streams, events and addresses not given back
        self._number = GL
        self.gl = FakeInterop(self)

    def new_handle(self) -> int:
        """A number for a new stream, event or address."""
        self._number += 1
        self.live.add(self._number)
        return self._number

    def finish(self) -> None:
        """Let all streams work to their ends."""
        self.world.turn("finish", ready=lambda: not any(self.world.streams.values()))

    def _skipped(self, call: str, event: int) -> bool:
        return (call, self.role(event)) in self.skip

    def _turn(self, call: str, event: int) -> None:
        """Only here can it matter which thread calls first: the other events are one thread's, or not yet out."""
        if self.role(event) == "read":
            self.world.turn(call, event)

    def _check(self) -> None:
        if self.lost:
            raise EngineError("the GPU was lost", "start again")

    def make_current(self) -> None:
        self._check()

    # Memory; an address is the number of an array

    def allocate_pinned(self, size: Size) -> Pixels:
        self.pinned_made += 1
        made = np.zeros((size.height, size.width, 4), np.uint8)
        self.world.memory["pinned", self.pinned_made] = made
        return made

    def allocate(self, size: Size) -> int:
        address = self.new_handle()
        self.world.memory[address] = np.zeros((size.height, size.width, 4), np.uint8)
        return address

    def free(self, address: int) -> None:
        self.live.remove(address)

    def at(self, address: int) -> np.ndarray:
        if address not in self.live:
            raise Violation("freed memory is used")
        return self.world.memory[address]

    # Streams and events

    def create_stream(self, *, urgent: bool = False) -> int:
        stream = self.new_handle()
        self.world.streams[stream] = deque()
        return stream

    def destroy_stream(self, stream: int) -> None:
        self.live.remove(stream)

    def create_event(self, *, timing: bool = False) -> int:
        return self.new_handle()

    def destroy_event(self, event: int) -> None:
        self.live.remove(event)

    def record_event(self, event: int, stream: int) -> None:
        self._check()
        self._turn("record", event)
        if self._skipped("record", event):
            return
        self.world.recorded[event] = count = self.world.recorded.get(event, 0) + 1
        self.world.give(stream, Op("record", event=(event, count), completes=True))

    def make_stream_wait(self, stream: int, event: int) -> None:
        self._check()
        self._turn("after", event)
        if not self._skipped("after", event):
            self.world.give(stream, Op("after", event=(event, self.world.recorded.get(event, 0))))

    def wait_for_event(self, event: int) -> None:
        self._check()
        if self._skipped("wait", event):
            return
        record = (event, self.world.recorded.get(event, 0))
        if not self.world.complete(record) and not self.world.turn(
            "wait", event, ready=lambda: self.lost or self.world.complete(record)
        ):
            raise Violation("a wait for what was never to come")
        self._check()

    def elapsed_ms(self, begun: int, ended: int) -> float:
        for event in (begun, ended):
            if not self.world.complete((event, self.world.recorded[event])):
                raise Violation("a time was read that is still running")
        return 1.0

    # Work

    def enqueue_work(self, name: str, stream: int, source: object, target: object, work: Callable[[], None]) -> None:
        """Appends work to a stream. `source` and `target`: what it reads and what it writes."""
        self._check()
        self.world.give(stream, Op(name, work, (source,), (target,)))

    def upload(self, address: int, pixels: Pixels, stream: int) -> None:
        def work() -> None:
            self.at(address)[...] = pixels

        self.enqueue_work("copy in", stream, pixels, self.at(address), work)

    def download(self, into: Pixels, source: DevicePlace, stream: int) -> None:
        self.crop("copy out", into, source, stream)

    def crop(self, name: str, into: np.ndarray, source: DevicePlace, stream: int) -> None:
        def work() -> None:
            into[...] = self._part(source, Size(into.shape[1], into.shape[0])).reshape(into.shape)

        self.enqueue_work(name, stream, self.at(source.address), into, work)

    def copy(self, target: DevicePlace, source: DevicePlace, size: Size, stream: int) -> None:
        def work() -> None:
            self._part(target, size)[...] = self._part(source, size)

        self.enqueue_work("copy", stream, self.at(source.address), self.at(target.address), work)

    def _part(self, place: DevicePlace, size: Size) -> np.ndarray:
        """The rows of a part, in bytes."""
        rows = self.at(place.address).reshape(-1, place.pitch)
        part = rows[place.y : place.y + size.height, 4 * place.x : 4 * (place.x + size.width)]
        if part.shape != (size.height, 4 * size.width):
            raise Violation("a part reaches beyond its picture")
        return part

    def network(self, address: int, output: int, scale: int, stream: int) -> None:
        """Nearest enlargement of what is there when it runs."""

        def work() -> None:
            self.at(output)[...] = self.at(address).repeat(scale, 0).repeat(scale, 1)

        self.enqueue_work("network", stream, self.at(address), self.at(output), work)


class FakeInterop:
    """OpenGL as a queue of commands; `draw` shows a texture, and `shown` is what a viewer saw."""

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda
        self.textures: dict[int, np.ndarray] = {}
        self.registered: list[int] = []
        self.shown: list[np.ndarray] = []
        self.refuses = ""
        self.fences = (cuda.new_handle(), cuda.new_handle())

    def check_device(self) -> None:
        if self.refuses:
            raise EngineError(self.refuses)

    def register_texture(self, texture: int) -> object:
        self.registered.append(texture)
        return texture

    def unregister_texture(self, resource: object) -> None:
        self.registered.remove(resource)  # type: ignore[arg-type]

    def map_texture(self, resource: object, stream: int) -> int:
        self._hand_over("map", GL, stream)
        return resource  # type: ignore[return-value]

    def unmap_texture(self, resource: object, stream: int) -> None:
        self._hand_over("unmap", stream, GL)

    def _hand_over(self, call: str, giver: int, taker: int) -> None:
        if (call, "") not in self._cuda.skip:
            fence = self.fences[call == "map"]
            self._cuda.record_event(fence, giver)
            self._cuda.make_stream_wait(taker, fence)

    def copy_to_texture(self, array: int, address: int, pitch: int, size: Size, stream: int) -> None:
        texture = self.textures[array]
        if texture.shape[:2] != (size.height, size.width):
            raise EngineError("the texture is of another size")
        self._cuda.crop("fill", texture, DevicePlace(address, pitch), stream)

    def draw(self, texture: int) -> None:
        pixels = self.textures[texture]
        self._cuda.enqueue_work("draw", GL, pixels, None, lambda: self.shown.append(pixels.copy()))


class FakeStep:
    def __init__(self, cuda: FakeCuda, room: Size, scale: int) -> None:
        self._cuda, self._scale = cuda, scale
        self.input, self.output = cuda.allocate(room), cuda.allocate(room.times(scale))

    def enqueue(self, stream: int) -> None:
        self._cuda.network(self.input, self.output, self._scale, stream)

    def close(self) -> None:
        self._cuda.free(self.input)
        self._cuda.free(self.output)


@dataclass
class Explored:
    schedules: int
    states: int


def explore(scenario: Callable[[World], None], most: int = 10**9) -> Explored:
    """Every order there is, or `most`. Raises the first Violation."""
    path: list[int] = []
    seen: set[object] = set()
    schedules = 0
    while schedules < most:
        world = World(path, seen)
        scenario(world)
        schedules += 1
        path = [choice for choice, _ in world.taken]
        while path and path[-1] + 1 == world.taken[len(path) - 1][1]:
            path.pop()
        if not path:
            break
        path[-1] += 1
    return Explored(schedules, len(seen))
