"""Finds an engine in the cache or builds it in a process of its own, one at a time, with progress and cancelling."""

from __future__ import annotations

import dataclasses
import json
import logging
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic, sleep
from typing import IO, TYPE_CHECKING

from live_sr.engines.cache.key import EngineKey
from live_sr.engines.cache.store import EngineCache
from live_sr.errors import EngineError
from live_sr.pipeline.engine_contracts import BuildMonitor
from live_sr.system import child_process
from live_sr.terminal import format_error

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

log = logging.getLogger(__name__)

TIMEOUT_S = 15 * 60.0
POLL_S = 0.05  # between two checks whether the build was cancelled
PROGRESS_S = 0.5  # between two progress messages
EXIT_TIMEOUT_S = 5.0  # for a killed process to end
STDERR_BYTES = 1 << 16  # kept of what the process printed to standard error

REMEDY = "try again; if it fails again, choose another engine or model"


class BuildCancelled(EngineError):
    """The engine is no longer wanted. Nothing failed, and no part of the engine remains."""


def find_or_build(
    key: EngineKey,
    command: Sequence[str],
    spec: DataclassInstance,
    store: EngineCache,
    watch: BuildMonitor,
    timeout_s: float = TIMEOUT_S,
) -> bytes:
    """The engine for this key: from the cache, or built by `command` and kept there. Blocks; call it on any thread.

    command: starts a process that calls `build_worker.run_worker`. It receives `spec` as JSON, so its fields must be
    strings, numbers, booleans, and lists of these. While another process builds the same engine, this one waits for its
    result. An engine that cannot be kept is returned all the same, and `store.notify` is called.

    Calls `watch.cancelled()` at least ten times a second, and raises BuildCancelled. Raises EngineError when the
    process fails, dies or takes longer than `timeout_s` seconds. Whatever is raised, also KeyboardInterrupt, no process
    and no file remains.
    """
    started = monotonic()
    report = _ThrottledProgress(watch)
    while True:
        found = store.find(key)
        if found is not None:
            return found
        with store.lock(key) as is_ours:
            if is_ours:
                found = store.find(key)  # it may have been finished meanwhile
                return found if found is not None else _build(key, command, spec, store, watch, timeout_s)
        report(f"another live-sr is building {key.label}: {monotonic() - started:.0f} s")
        if watch.cancelled():
            raise _make_cancelled(key)
        sleep(POLL_S)


def describe_progress(key: EngineKey, seconds: float, before: float, stage: str) -> str:
    """The progress message after that many seconds. before: how long the last build took; 0: not known."""
    what = f"building {key.label}" + (f", {stage}" if stage else "")
    if not before:
        return f"{what}: {seconds:.0f} s"
    return f"{what}: {min(99, round(100 * seconds / before))} % ({seconds:.0f} s of some {before:.0f} s)"


def _build(
    key: EngineKey,
    command: Sequence[str],
    spec: DataclassInstance,
    store: EngineCache,
    watch: BuildMonitor,
    timeout_s: float,
) -> bytes:
    before = store.estimate_seconds(key)
    report = _ThrottledProgress(watch)
    started = monotonic()
    with _BuildProcess(key, command, spec) as process:
        finished = False
        while not finished:
            seconds = monotonic() - started
            if watch.cancelled():
                raise _make_cancelled(key)
            if seconds > timeout_s:
                raise EngineError(f"building {key.label} was ended after {timeout_s:.0f} s", REMEDY)
            report(describe_progress(key, seconds, before, process.stage))
            finished = process.wait(POLL_S)
        engine = process.get_result()
    log.debug("%s was built in %.1f s, %d bytes", key.label, monotonic() - started, len(engine))
    try:
        store.keep(key, engine, monotonic() - started)
    except EngineError as error:
        store.notify(f"the engine for {key.label} is used, but not kept: {format_error(error)}")
    return engine


class _BuildProcess:
    """The process and its messages. Enter and leave it on one thread; leaving kills it and all processes it started."""

    def __init__(self, key: EngineKey, command: Sequence[str], spec: DataclassInstance) -> None:
        self._key = key
        self._command = list(command)
        self._request = json.dumps(dataclasses.asdict(spec)).encode() + b"\n"
        # written by the reading threads; any thread may read them once `_finished` is set
        self.stage = ""
        self._engine: bytes | None = None
        self._failure: EngineError | None = None
        self._errors = b""
        self._finished = threading.Event()

    def __enter__(self) -> _BuildProcess:
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # the terminal's Ctrl-C does not reach it, and its group can be killed
                creationflags=child_process.get_creation_flags(),
            )
        except OSError as error:
            raise EngineError(f"building {self._key.label} cannot start: {error}", REMEDY) from error
        process = self._process
        assert process.stdin and process.stdout and process.stderr
        self._threads = [
            threading.Thread(target=self._listen, args=(process.stdout,), name="builder", daemon=True),
            threading.Thread(target=self._collect_errors, args=(process.stderr,), name="builder-errors", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        with suppress(OSError):  # it has already died, which `get_result` reports
            process.stdin.write(self._request)
            process.stdin.flush()
        return self

    def __exit__(self, *_: object) -> None:
        child_process.kill(self._process)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_TIMEOUT_S)
        for thread in self._threads:
            thread.join(EXIT_TIMEOUT_S)
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def wait(self, timeout_s: float) -> bool:
        """Waits up to `timeout_s` for the process's last message; whether it came, or the process ended."""
        return self._finished.wait(timeout_s) or self._process.poll() is not None

    def get_result(self) -> bytes:
        """The engine. Raises EngineError."""
        with suppress(subprocess.TimeoutExpired):
            if self._engine is None and self._failure is None:
                self._process.wait(EXIT_TIMEOUT_S)  # its exit code tells why
        self._finished.wait(EXIT_TIMEOUT_S)
        if self._engine is not None:
            return self._engine  # however the process ends: some libraries crash when they are unloaded
        if self._failure is not None:
            raise self._failure
        self._threads[1].join(EXIT_TIMEOUT_S)
        lines = [line.strip() for line in self._errors.decode(errors="replace").splitlines() if line.strip()]
        error = EngineError(f"building {self._key.label} failed: {_describe_exit(self._process.poll(), lines)}", REMEDY)
        error.add_note("\n".join(lines))
        raise error

    # The reading threads close their pipes themselves: while a thread reads, no other thread can close its pipe, and a
    # process that inherited the pipe may keep it open.

    def _listen(self, out: IO[bytes]) -> None:
        with out:
            try:
                self._engine = self._read_messages(out)
            finally:
                self._finished.set()

    def _read_messages(self, out: IO[bytes]) -> bytes | None:
        """The engine; None where it does not arrive completely."""
        for line in out:
            match _parse_message(line):
                case ["stage", str(stage)]:
                    self.stage = stage
                case ["failed", str(message), str(remedy)]:
                    self._failure = EngineError(message, remedy)
                case ["engine", int(length)]:
                    engine = out.read(length)
                    return engine if len(engine) == length else None
        return None

    def _collect_errors(self, errors: IO[bytes]) -> None:
        with errors:
            while more := errors.read1(STDERR_BYTES):  # type: ignore[attr-defined]  # it is a BufferedReader
                self._errors = (self._errors + more)[-STDERR_BYTES:]


class _ThrottledProgress:
    """Passes messages on to the monitor, at most one every PROGRESS_S."""

    def __init__(self, watch: BuildMonitor) -> None:
        self._progress: Callable[[str], None] = watch.progress
        self._due = 0.0

    def __call__(self, message: str) -> None:
        now = monotonic()
        if now >= self._due:
            self._due = now + PROGRESS_S
            self._progress(message)


def _parse_message(line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None  # printed by something that does not use this protocol


def _make_cancelled(key: EngineKey) -> BuildCancelled:
    return BuildCancelled(f"building {key.label} was cancelled", "")


def _describe_exit(code: int | None, errors: Sequence[str]) -> str:
    """Why a process ended without an engine: the last line that it printed, or else its exit code."""
    if errors and (code is None or code >= 0):
        return errors[-1]
    return child_process.describe_exit(code)
