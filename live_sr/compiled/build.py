"""An engine, found or built: in a process of its own, by one at a time, watched and cancellable."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic, sleep
from typing import IO, TYPE_CHECKING

from live_sr.compiled.key import Key
from live_sr.compiled.store import Store
from live_sr.contracts import Watch
from live_sr.errors import EngineError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TIMEOUT_S = 15 * 60.0
POLL_S = 0.05  # between two looks whether it is still wanted
TELL_S = 0.5
END_S = 5.0  # for a killed process to be gone
TAIL = 1 << 16  # bytes kept of what it printed as an error

REMEDY = "try again; if it fails again, choose another engine or model"


class Cancelled(EngineError):
    """Nobody wants the engine any more: nothing failed, and nothing is left of it."""


def build(
    key: Key, command: Sequence[str], spec: DataclassInstance, store: Store, watch: Watch, timeout_s: float = TIMEOUT_S
) -> bytes:
    """The engine for this key: from the store, or made by `command` and kept there. Blocks; from any thread.

    command: starts a process that calls `child.run`, to which `spec` goes as JSON: its fields are texts, numbers,
    truth values, and lists of these. While another process builds the same engine its result is waited for. An engine
    that cannot be kept is told to `store.tell` and returned all the same.

    Asks `watch.cancelled()` at least ten times a second, and raises Cancelled. Raises EngineError when the process
    fails, dies or takes longer than `timeout_s` seconds. Neither then, nor when anything else is raised
    (KeyboardInterrupt), does a process or a file remain.
    """
    started = monotonic()
    told = _Teller(watch)
    while True:
        found = store.find(key)
        if found is not None:
            return found
        with store.locked(key) as ours:
            if ours:
                found = store.find(key)  # may have been finished since
                return found if found is not None else _built(key, command, spec, store, watch, timeout_s)
        told(f"another live-sr is building {key.label}: {monotonic() - started:.0f} s")
        if watch.cancelled():
            raise _cancelled(key)
        sleep(POLL_S)


def words(key: Key, seconds: float, before: float, stage: str) -> str:
    """What the user is told after so many seconds. before: how long it took the last time; 0: not known."""
    what = f"building {key.label}" + (f", {stage}" if stage else "")
    if not before:
        return f"{what}: {seconds:.0f} s"
    return f"{what}: {min(99, round(100 * seconds / before))} % ({seconds:.0f} s of some {before:.0f} s)"


def _built(
    key: Key, command: Sequence[str], spec: DataclassInstance, store: Store, watch: Watch, timeout_s: float
) -> bytes:
    before = store.seconds(key)
    told = _Teller(watch)
    started = monotonic()
    with _Builder(key, command, spec) as builder:
        ended = False
        while not ended:
            seconds = monotonic() - started
            if watch.cancelled():
                raise _cancelled(key)
            if seconds > timeout_s:
                raise EngineError(f"building {key.label} was ended after {timeout_s:.0f} s", REMEDY)
            told(words(key, seconds, before, builder.stage))
            ended = builder.ended(POLL_S)
        engine = builder.result()
    try:
        store.keep(key, engine, monotonic() - started)
    except EngineError as error:
        store.tell(f"the engine for {key.label} is used, but not kept: {error.message}\n  {error.remedy}")
    return engine


class _Builder:
    """The process and what it told. Entered and left on one thread; on leaving it is ended, with all it started."""

    def __init__(self, key: Key, command: Sequence[str], spec: DataclassInstance) -> None:
        self._key = key
        self._command = list(command)
        self._order = json.dumps(dataclasses.asdict(spec)).encode() + b"\n"
        # the reading threads', and after `_ended` is set any thread's
        self.stage = ""
        self._engine: bytes | None = None
        self._failed: EngineError | None = None
        self._errors = b""
        self._ended = threading.Event()

    def __enter__(self) -> _Builder:
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # not reached by the terminal's Ctrl-C, and killed with all that it starts
                creationflags=_creation_flags(),
            )
        except OSError as error:
            raise EngineError(f"building {self._key.label} cannot start: {error}", REMEDY) from error
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._threads = [
            threading.Thread(target=self._listen, args=(self._process.stdout,), name="builder", daemon=True),
            threading.Thread(target=self._collect, args=(self._process.stderr,), name="builder-errors", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        with suppress(OSError):  # it is dead already, which `result` tells
            self._process.stdin.write(self._order)
            self._process.stdin.flush()
        return self

    def __exit__(self, *_: object) -> None:
        _kill(self._process)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        for thread in self._threads:
            thread.join(END_S)
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def ended(self, timeout_s: float) -> bool:
        """Whether the process has told all, waiting for that so long at most."""
        return self._ended.wait(timeout_s) or self._process.poll() is not None

    def result(self) -> bytes:
        """The engine. Raises EngineError."""
        with suppress(subprocess.TimeoutExpired):
            if self._engine is None and self._failed is None:
                self._process.wait(END_S)  # how it ends tells why
        self._ended.wait(END_S)
        if self._engine is not None:
            return self._engine  # whatever becomes of the process: some libraries crash when they are unloaded
        if self._failed is not None:
            raise self._failed
        self._threads[1].join(END_S)
        lines = [line.strip() for line in self._errors.decode(errors="replace").splitlines() if line.strip()]
        error = EngineError(f"building {self._key.label} failed: {_last_words(self._process.poll(), lines)}", REMEDY)
        error.add_note("\n".join(lines))
        raise error

    # The reading threads close what they read: nobody else could while they wait, for something that kept it open

    def _listen(self, out: IO[bytes]) -> None:
        with out:
            try:
                self._engine = self._heard(out)
            finally:
                self._ended.set()

    def _heard(self, out: IO[bytes]) -> bytes | None:
        """The engine; None where it does not come, or not whole."""
        for line in out:
            match _message(line):
                case ["stage", str(stage)]:
                    self.stage = stage
                case ["failed", str(message), str(remedy)]:
                    self._failed = EngineError(message, remedy)
                case ["engine", int(length)]:
                    engine = out.read(length)
                    return engine if len(engine) == length else None
        return None

    def _collect(self, errors: IO[bytes]) -> None:
        with errors:
            while more := errors.read1(TAIL):  # type: ignore[attr-defined]  # it is a BufferedReader
                self._errors = (self._errors + more)[-TAIL:]


class _Teller:
    """Passes words on, but not more often than every TELL_S."""

    def __init__(self, watch: Watch) -> None:
        self._progress: Callable[[str], None] = watch.progress
        self._due = 0.0

    def __call__(self, what: str) -> None:
        now = monotonic()
        if now >= self._due:
            self._due = now + TELL_S
            self._progress(what)


def _message(line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None  # printed by who does not know that this is not for people


def _cancelled(key: Key) -> Cancelled:
    return Cancelled(f"building {key.label} was cancelled", "")


def _creation_flags() -> int:
    """For Windows; elsewhere there are none, and the child lowers its own priority."""
    names = ("CREATE_NO_WINDOW", "CREATE_NEW_PROCESS_GROUP", "BELOW_NORMAL_PRIORITY_CLASS")
    return sum(int(getattr(subprocess, name, 0)) for name in names)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it started, also where it has ended itself."""
    kill_group = getattr(os, "killpg", None)
    if kill_group is not None:
        with suppress(ProcessLookupError, PermissionError):
            kill_group(process.pid, signal.SIGKILL)
    elif process.poll() is None:  # Windows
        with suppress(OSError):
            subprocess.run(
                ["taskkill", "/T", "/F", "/PID", str(process.pid)],
                capture_output=True,
                check=False,
                creationflags=_creation_flags(),
            )
        process.kill()


def _last_words(code: int | None, errors: Sequence[str]) -> str:
    """Of a process that ended without an engine: what it printed last, else how it ended."""
    if errors and (code is None or code >= 0):
        return errors[-1]
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with code {code}"
