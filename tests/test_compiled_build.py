"""An engine is built once, by a process that can be watched, cancelled and lost. Here with real processes."""

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
from test_compiled_store import ENGINE, KEY

from live_sr.compiled.build import Cancelled, build, words
from live_sr.compiled.key import Key
from live_sr.compiled.store import Store, card_of
from live_sr.contracts import Watch
from live_sr.errors import EngineError

HERE = Path(__file__).parent
LONG_S = 60.0  # for what must happen some time; the tests wait for events, and this only ends those that hang

# What a builder does. Each one first writes its process id into a file of its own in `folder`.
CHILD = """
import ctypes, os, subprocess, sys, time
from dataclasses import dataclass
from pathlib import Path
from live_sr.compiled import child
from live_sr.errors import EngineError

@dataclass
class Spec:
    what: str
    folder: str
    numbers: list

def make(spec, say):
    folder = Path(spec.folder)
    part = folder / f"{os.getpid()}.part"
    part.write_text(str(os.getpid()))
    part.replace(folder / f"{os.getpid()}.pid")
    print("a library greets", flush=True)
    os.write(1, b"also from C, without an end of line")
    say("optimising")
    match spec.what:
        case "wait":
            while not (folder / "go").exists():
                time.sleep(0.01)
        case "for ever":
            time.sleep(600)
        case "deaf":  # as a library that keeps Python from running
            ctypes.PyDLL(None).sleep(600)
        case "with helper":
            helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            (folder / f"{helper.pid}.pid").write_text(str(helper.pid))
            time.sleep(600)
        case "with daemon":  # which is in a group of its own and keeps the pipe of errors
            helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
            (folder / f"{helper.pid}.daemon").touch()
        case "fail":
            raise EngineError("the card is too old", "use the cuda engine")
        case "raise":
            raise ValueError("no kernel for this layer")
        case "kill":
            os.kill(os.getpid(), 9)
        case "crash":
            os.abort()
        case "exit":
            os._exit(7)
        case "short":
            os.write(3, b'["engine", 1000000]\\nonly this')  # 3: what `run` tells through
            os._exit(0)
        case "crash at exit":
            import atexit
            atexit.register(os.abort)
        case "chatter":
            sys.stderr.write("x" * 300_000 + "\\n")
            print("y" * 300_000)
    return bytes(range(256)) * spec.numbers[0]

sys.exit(child.run(Spec, make))
"""

BUILDER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_compiled_build import Workshop
from live_sr.contracts import Watch
engine = Workshop(Path(sys.argv[1])).build(sys.argv[3], Watch(progress=lambda words: print(words, flush=True)))
print("has", len(engine), flush=True)
"""


@dataclass(frozen=True)
class Spec:
    what: str
    folder: str
    numbers: tuple[int, ...] = (20,)


@dataclass
class Workshop:
    """A store and a builder in one folder."""

    folder: Path
    told: list[str] = field(default_factory=list)
    others: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return Store(self.folder / "engines", self.folder / "secret", self.told.append)

    def build(
        self,
        what: str,
        watch: Watch = Watch(),  # noqa: B008  # immutable
        key: Key = KEY,
        timeout_s: float = LONG_S,
    ) -> bytes:
        script = self.folder / "child.py"
        if not script.exists():
            script.write_text(CHILD)
        command = [sys.executable, str(script)]
        return build(key, command, Spec(what, str(self.folder)), self.store, watch, timeout_s)

    def go(self) -> None:
        """Lets those finish that wait."""
        (self.folder / "go").touch()

    def children(self, count: int) -> list[int]:
        """Their process ids, once so many have begun."""
        until(lambda: len(self.begun()) >= count)
        return self.begun()

    def begun(self) -> list[int]:
        return [int(path.stem) for path in self.folder.glob("*.pid")]

    def another(self, what: str = "wait") -> subprocess.Popen[str]:
        """Another live-sr that builds the same."""
        command = [sys.executable, "-c", BUILDER, str(self.folder), str(HERE), what]
        self.others.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return self.others[-1]

    def names(self) -> set[str]:
        """What is in the store but for locks."""
        return {path.name for path in self.store.folder.glob("*") if path.suffix != ".lock"}


WHOLE = {KEY.file_name, card_of(Path(KEY.file_name)).name}


def until(true: Callable[[], bool]) -> None:
    end = monotonic() + LONG_S
    while not true():
        assert monotonic() < end
        sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # nobody waits for orphans in a container
    except psutil.NoSuchProcess:
        return True


def reading() -> list[str]:
    """Threads that listen to a builder."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("builder")]


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(HERE.parent), str(HERE))))
    (tmp_path / "engines").mkdir()
    (tmp_path / "child.py").write_text(CHILD)
    workshop = Workshop(tmp_path)
    yield workshop
    for other in workshop.others:
        with other:
            other.kill()
    left = [pid for pid in workshop.begun() if not gone(pid)]
    for pid in left:
        os.kill(pid, 9)
    assert not left
    assert not reading()


DEATHS = [  # as systems with signals tell them
    ("kill", "its process was ended by SIGKILL, perhaps for want of memory"),
    ("crash", "its process was ended by SIGABRT"),
]


def test_an_engine_is_built_kept_and_found_again(workshop: Workshop) -> None:
    said: list[str] = []
    assert workshop.build("build", Watch(said.append)) == ENGINE
    assert said
    assert workshop.build("fail") == ENGINE  # nothing is built now
    assert len(workshop.begun()) == 1
    assert workshop.names() == WHOLE
    assert workshop.told == []


def test_what_a_library_prints_is_not_taken_for_the_engine(workshop: Workshop) -> None:
    assert workshop.build("chatter") == ENGINE


def test_who_keeps_a_pipe_open_is_not_waited_for_for_ever(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("live_sr.compiled.build.END_S", 0.5)
    assert workshop.build("with daemon") == ENGINE
    (daemon,) = workshop.folder.glob("*.daemon")
    os.kill(int(daemon.stem), 9)
    until(lambda: not reading())


def test_an_engine_counts_though_its_builder_crashes_at_exit(workshop: Workshop) -> None:
    assert workshop.build("crash at exit") == ENGINE


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("fail", "the card is too old"),
        ("raise", "building fast x2 for 480x270 failed: ValueError: no kernel for this layer"),
        *(DEATHS if hasattr(os, "killpg") else ()),
        ("exit", "building fast x2 for 480x270 failed"),
        ("short", "building fast x2 for 480x270 failed"),
    ],
)
def test_a_builder_that_fails_or_dies_is_told_in_a_sentence_and_leaves_nothing(
    what: str, sentence: str, workshop: Workshop
) -> None:
    with pytest.raises(EngineError) as error:
        workshop.build(what)
    assert sentence in error.value.message
    assert "\n" not in error.value.message
    assert error.value.remedy
    assert not isinstance(error.value, Cancelled)
    assert workshop.names() == set()
    assert workshop.build("build") == ENGINE  # the next one is not in its way


def test_a_builder_that_cannot_start_is_told(workshop: Workshop) -> None:
    with pytest.raises(EngineError, match="cannot start"):
        build(KEY, ["/no/such/program"], Spec("", ""), workshop.store, Watch())


def test_a_builder_that_takes_too_long_is_ended(workshop: Workshop) -> None:
    with pytest.raises(EngineError, match="was ended after 1 s"):
        workshop.build("for ever", timeout_s=1.0)
    assert workshop.names() == set()


@pytest.mark.parametrize("what", ["for ever", "deaf", "with helper"])
def test_cancelling_ends_the_builder_and_all_it_started(what: str, workshop: Workshop) -> None:
    count = 2 if what == "with helper" else 1
    asked: list[float] = []

    def cancelled() -> bool:
        asked.append(monotonic())
        return len(workshop.begun()) >= count

    with pytest.raises(Cancelled):
        workshop.build(what, Watch(cancelled=cancelled))
    until(lambda: all(gone(pid) for pid in workshop.begun()))
    assert workshop.names() == set()


def test_whatever_is_raised_while_it_waits_ends_the_builder(workshop: Workshop) -> None:
    def interrupt(_: str) -> None:
        if workshop.begun():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workshop.build("for ever", Watch(progress=interrupt))
    until(lambda: all(gone(pid) for pid in workshop.begun()))
    with workshop.store.locked(KEY) as free:
        assert free


def test_a_change_of_size_during_a_build_ends_it_and_builds_the_other(workshop: Workshop) -> None:
    with pytest.raises(Cancelled):
        workshop.build("for ever", Watch(cancelled=lambda: bool(workshop.begun())))
    larger = replace(KEY, width=640, height=360)
    assert workshop.build("build", key=larger) == ENGINE
    assert [entry.label.key for entry in workshop.store.entries()] == [larger]
    until(lambda: all(gone(pid) for pid in workshop.begun()))


def test_two_at_once_build_it_once_and_both_have_it(workshop: Workshop) -> None:
    builders = [workshop.another(), workshop.another()]
    lines = [""]
    waiting = threading.Event()

    def listen(builder: subprocess.Popen[str]) -> None:
        assert builder.stdout is not None
        for line in builder.stdout:
            lines.append(line)
            if "another live-sr is building" in line:
                waiting.set()

    threads = [threading.Thread(target=listen, args=(builder,)) for builder in builders]
    for thread in threads:
        thread.start()
    assert waiting.wait(LONG_S)
    workshop.go()
    for thread in threads:
        thread.join(LONG_S)
    assert [builder.wait(LONG_S) for builder in builders] == [0, 0]
    assert lines.count(f"has {len(ENGINE)}\n") == 2
    assert len(workshop.begun()) == 1
    assert workshop.names() == WHOLE


def test_who_waits_takes_over_when_the_builder_is_killed(workshop: Workshop) -> None:
    first = workshop.another()
    (child,) = workshop.children(1)
    (workshop.store.folder / f"{KEY.file_name}.1a2b.part").write_bytes(b"half")  # it was just keeping it
    said: list[str] = []

    def progress(sentence: str) -> None:
        said.append(sentence)
        if "another live-sr is building fast x2 for 480x270" in sentence:
            first.kill()  # which says nothing to its child
            workshop.go()

    assert workshop.build("wait", Watch(progress)) == ENGINE
    until(lambda: gone(child))
    assert any("another" in sentence for sentence in said)
    assert len(workshop.begun()) == 2
    assert workshop.names() == WHOLE


def test_who_waits_for_another_can_cancel(workshop: Workshop) -> None:
    first = workshop.another()
    workshop.children(1)
    with pytest.raises(Cancelled):
        workshop.build("wait", Watch(cancelled=lambda: True))
    workshop.go()
    assert first.communicate()[0].endswith(f"has {len(ENGINE)}\n")


def test_a_builder_ends_with_who_started_it(workshop: Workshop) -> None:
    first = workshop.another()
    (child,) = workshop.children(1)
    first.kill()
    first.wait()
    until(lambda: gone(child))
    assert workshop.names() == set()


def test_a_builder_ends_when_nobody_listens_any_more_on_any_system(workshop: Workshop) -> None:
    command = [sys.executable, str(workshop.folder / "child.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        order = {"what": "for ever", "folder": str(workshop.folder), "numbers": [1]}
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        workshop.children(1)
        process.stdin.close()
        assert process.wait(LONG_S) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a process with its parent")
def test_on_linux_it_ends_with_its_parent_also_inside_a_library(workshop: Workshop) -> None:
    first = workshop.another("deaf")
    (child,) = workshop.children(1)
    first.kill()
    first.wait()
    until(lambda: gone(child))


@pytest.mark.skipif(not hasattr(os, "nice"), reason="Windows gives the priority at the start")
def test_a_builder_steps_back_behind_the_game(workshop: Workshop) -> None:
    nice: list[int] = []

    def cancelled() -> bool:
        nice.extend(psutil.Process(pid).nice() for pid in workshop.begun())
        return bool(nice)

    with pytest.raises(Cancelled):
        workshop.build("for ever", Watch(cancelled=cancelled))
    assert nice[0] >= psutil.Process().nice() + 1


def test_an_engine_that_cannot_be_kept_is_used_all_the_same_and_that_is_told(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.store._seal.stamp(KEY, b"")  # the secret is elsewhere

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    assert workshop.build("build") == ENGINE
    assert len(workshop.told) == 1
    assert "no room" in workshop.told[0]
    assert "engines prune" in workshop.told[0]
    assert workshop.names() == set()


def test_a_damaged_engine_is_told_and_built_again(workshop: Workshop) -> None:
    workshop.build("build")
    os.truncate(workshop.store.folder / KEY.file_name, 10)
    assert workshop.build("build") == ENGINE
    assert len(workshop.told) == 1
    assert workshop.names() == {*WHOLE, f"{KEY.file_name}.rejected"}


@pytest.mark.parametrize(
    ("seconds", "before", "stage", "told"),
    [
        (0.2, 0.0, "", "building fast x2 for 480x270: 0 s"),
        (12.4, 0.0, "optimising", "building fast x2 for 480x270, optimising: 12 s"),
        (12.4, 35.2, "", "building fast x2 for 480x270: 35 % (12 s of some 35 s)"),
        (60.0, 35.2, "", "building fast x2 for 480x270: 99 % (60 s of some 35 s)"),
    ],
)
def test_progress_is_told_by_the_last_build_where_there_was_one(
    seconds: float, before: float, stage: str, told: str
) -> None:
    assert words(KEY, seconds, before, stage) == told


def test_progress_comes_while_it_is_built_with_what_it_does(workshop: Workshop) -> None:
    workshop.store.keep(replace(KEY, driver="before"), ENGINE, 20.0)
    said: list[str] = []

    def progress(sentence: str) -> None:
        said.append(sentence)
        if "optimising" in sentence:
            workshop.go()

    workshop.build("wait", Watch(progress))
    assert said[0].startswith("building fast x2 for 480x270")
    assert said[-1].startswith("building fast x2 for 480x270, optimising: ")
    assert "of some 20 s" in said[-1]
