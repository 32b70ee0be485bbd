"""An engine is built once, in a process that reports progress, can be cancelled, and may die. Uses real processes."""

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic

import psutil
import pytest
from cache_harness import ENGINE, KEY, WORKER, BuildHarness, Spec
from patience import until, wait

from live_sr.engines.cache.build_process import BuildCancelled, describe_progress, find_or_build
from live_sr.engines.cache.signature import EngineSigner
from live_sr.engines.cache.store import get_manifest_path
from live_sr.errors import EngineError
from live_sr.pipeline.engine_contracts import BuildMonitor

TESTS = Path(__file__).parents[1]

WHOLE = {KEY.file_name, get_manifest_path(Path(KEY.file_name)).name}


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # in a container nothing collects orphans
    except psutil.NoSuchProcess:
        return True


def find_reading_threads() -> list[str]:
    """Names of threads that read from a builder."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("builder")]


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BuildHarness]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(TESTS.parent), str(TESTS))))
    (tmp_path / "engines").mkdir()
    (tmp_path / "child.py").write_text(WORKER)
    harness = BuildHarness(tmp_path)
    yield harness
    for other in harness.others:
        with other:
            other.kill()
    left = [pid for pid in harness.list_workers() if not gone(pid)]
    for pid in left:
        os.kill(pid, 9)
    assert not left
    assert not find_reading_threads()


DEATHS = [  # as systems with signals report them
    ("kill", "its process was ended by SIGKILL, perhaps because memory ran out"),
    ("crash", "its process was ended by SIGABRT"),
]


def test_an_engine_is_built_kept_and_found_again(harness: BuildHarness) -> None:
    said: list[str] = []
    assert harness.build("build", BuildMonitor(said.append)) == ENGINE
    assert said
    assert harness.build("fail") == ENGINE  # nothing is built now
    assert len(harness.list_workers()) == 1
    assert harness.list_files() == WHOLE
    assert harness.notes == []


def test_output_of_a_library_is_not_taken_for_the_engine(harness: BuildHarness) -> None:
    assert harness.build("chatter") == ENGINE


def test_a_process_that_keeps_a_pipe_open_does_not_block_the_build(
    harness: BuildHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("live_sr.engines.cache.build_process.EXIT_TIMEOUT_S", 0.5)
    assert harness.build("with daemon") == ENGINE
    (daemon,) = harness.folder.glob("*.daemon")
    os.kill(int(daemon.stem), 9)
    until(lambda: not find_reading_threads())


def test_an_engine_is_used_even_if_its_builder_crashes_at_exit(harness: BuildHarness) -> None:
    assert harness.build("crash at exit") == ENGINE


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("fail", "the GPU is too old"),
        ("raise", "building fast x2 for 480x270 failed: ValueError: no kernel for this layer"),
        *(DEATHS if hasattr(os, "killpg") else ()),
        ("exit", "building fast x2 for 480x270 failed"),
        ("short", "building fast x2 for 480x270 failed"),
    ],
)
def test_a_builder_that_fails_or_dies_gives_one_sentence_and_leaves_nothing(
    what: str, sentence: str, harness: BuildHarness
) -> None:
    with pytest.raises(EngineError) as error:
        harness.build(what)
    assert sentence in error.value.message
    assert "\n" not in error.value.message
    assert error.value.remedy
    assert not isinstance(error.value, BuildCancelled)
    assert harness.list_files() == set()
    assert harness.build("build") == ENGINE  # the failure does not block the next build


def test_a_builder_that_cannot_start_is_reported(harness: BuildHarness) -> None:
    with pytest.raises(EngineError, match="cannot start"):
        find_or_build(KEY, ["/no/such/program"], Spec("", ""), harness.store, BuildMonitor())


def test_a_builder_that_takes_too_long_is_ended(harness: BuildHarness) -> None:
    with pytest.raises(EngineError, match="was ended after 1 s"):
        harness.build("for ever", timeout_s=1.0)
    assert harness.list_files() == set()


@pytest.mark.parametrize("what", ["for ever", "deaf", "with helper"])
def test_cancelling_ends_the_builder_and_all_processes_it_started(what: str, harness: BuildHarness) -> None:
    count = 2 if what == "with helper" else 1
    asked: list[float] = []

    def cancelled() -> bool:
        asked.append(monotonic())
        return len(harness.list_workers()) >= count

    with pytest.raises(BuildCancelled):
        harness.build(what, BuildMonitor(cancelled=cancelled))
    until(lambda: all(gone(pid) for pid in harness.list_workers()))
    assert harness.list_files() == set()


def test_any_exception_while_waiting_ends_the_builder(harness: BuildHarness) -> None:
    def interrupt(_: str) -> None:
        if harness.list_workers():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        harness.build("for ever", BuildMonitor(progress=interrupt))
    until(lambda: all(gone(pid) for pid in harness.list_workers()))
    with harness.store.lock(KEY) as free:
        assert free


def test_a_change_of_size_during_a_build_ends_it_and_builds_the_other(harness: BuildHarness) -> None:
    with pytest.raises(BuildCancelled):
        harness.build("for ever", BuildMonitor(cancelled=lambda: bool(harness.list_workers())))
    larger = replace(KEY, width=640, height=360)
    assert harness.build("build", key=larger) == ENGINE
    assert [entry.manifest.key for entry in harness.store.list_engines()] == [larger]
    until(lambda: all(gone(pid) for pid in harness.list_workers()))


def test_two_requests_at_once_build_one_engine_and_both_get_it(harness: BuildHarness) -> None:
    builders = [harness.start_another(), harness.start_another()]
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
    assert wait(waiting)
    harness.release()
    for thread in threads:
        thread.join()
    assert [builder.wait() for builder in builders] == [0, 0]
    assert lines.count(f"has {len(ENGINE)}\n") == 2
    assert len(harness.list_workers()) == 1
    assert harness.list_files() == WHOLE


def test_a_waiting_process_takes_over_when_the_builder_is_killed(harness: BuildHarness) -> None:
    first = harness.start_another()
    (child,) = harness.wait_for_workers(1)
    (harness.store.folder / f"{KEY.file_name}.1a2b.part").write_bytes(b"half")  # it was just storing it
    said: list[str] = []

    def progress(sentence: str) -> None:
        said.append(sentence)
        if "another live-sr is building fast x2 for 480x270" in sentence:
            first.kill()  # without ending its own child
            harness.release()

    assert harness.build("wait", BuildMonitor(progress)) == ENGINE
    until(lambda: gone(child))
    assert any("another" in sentence for sentence in said)
    assert len(harness.list_workers()) == 2
    assert harness.list_files() == WHOLE


def test_waiting_for_another_process_can_be_cancelled(harness: BuildHarness) -> None:
    first = harness.start_another()
    harness.wait_for_workers(1)
    with pytest.raises(BuildCancelled):
        harness.build("wait", BuildMonitor(cancelled=lambda: True))
    harness.release()
    assert first.communicate()[0].endswith(f"has {len(ENGINE)}\n")


def test_a_builder_ends_with_its_parent(harness: BuildHarness) -> None:
    first = harness.start_another()
    (child,) = harness.wait_for_workers(1)
    first.kill()
    first.wait()
    until(lambda: gone(child))
    assert harness.list_files() == set()


def test_on_every_system_a_builder_ends_when_its_input_closes(harness: BuildHarness) -> None:
    command = [sys.executable, str(harness.folder / "child.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        order = {"what": "for ever", "folder": str(harness.folder), "numbers": [1]}
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        harness.wait_for_workers(1)
        process.stdin.close()
        assert until(process.poll, "the end of the builder") == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a process with its parent")
def test_on_linux_a_builder_ends_with_its_parent_even_inside_a_library(harness: BuildHarness) -> None:
    first = harness.start_another("deaf")
    (child,) = harness.wait_for_workers(1)
    first.kill()
    first.wait()
    until(lambda: gone(child))


@pytest.mark.skipif(not hasattr(os, "nice"), reason="on Windows the parent sets the priority")
def test_a_builder_has_a_lower_priority_than_the_game(harness: BuildHarness) -> None:
    nice: list[int] = []

    def cancelled() -> bool:
        nice.extend(psutil.Process(pid).nice() for pid in harness.list_workers())
        return bool(nice)

    with pytest.raises(BuildCancelled):
        harness.build("for ever", BuildMonitor(cancelled=cancelled))
    assert nice[0] >= psutil.Process().nice() + 1


def test_an_engine_that_cannot_be_kept_is_used_and_that_is_reported(
    harness: BuildHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    EngineSigner(harness.folder / "secret").sign(KEY, b"")  # creates the secret, before the disk is full

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    assert harness.build("build") == ENGINE
    assert len(harness.notes) == 1
    assert "no room" in harness.notes[0]
    assert "engines prune" in harness.notes[0]
    assert harness.list_files() == set()


def test_a_damaged_engine_is_reported_and_built_again(harness: BuildHarness) -> None:
    harness.build("build")
    os.truncate(harness.store.folder / KEY.file_name, 10)
    assert harness.build("build") == ENGINE
    assert len(harness.notes) == 1
    assert harness.list_files() == {*WHOLE, f"{KEY.file_name}.rejected"}


@pytest.mark.parametrize(
    ("seconds", "before", "stage", "message"),
    [
        (0.2, 0.0, "", "building fast x2 for 480x270: 0 s"),
        (12.4, 0.0, "optimising", "building fast x2 for 480x270, optimising: 12 s"),
        (12.4, 35.2, "", "building fast x2 for 480x270: 35 % (12 s of some 35 s)"),
        (60.0, 35.2, "", "building fast x2 for 480x270: 99 % (60 s of some 35 s)"),
    ],
)
def test_progress_is_estimated_from_the_last_build_where_there_was_one(
    seconds: float, before: float, stage: str, message: str
) -> None:
    assert describe_progress(KEY, seconds, before, stage) == message


def test_progress_messages_name_the_current_stage(harness: BuildHarness) -> None:
    harness.store.keep(replace(KEY, driver="before"), ENGINE, 20.0)
    said: list[str] = []

    def progress(sentence: str) -> None:
        said.append(sentence)
        if "optimising" in sentence:
            harness.release()

    harness.build("wait", BuildMonitor(progress))
    assert said[0].startswith("building fast x2 for 480x270")
    assert said[-1].startswith("building fast x2 for 480x270, optimising: ")
    assert "of some 20 s" in said[-1]
