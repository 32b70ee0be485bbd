"""Trains in a process of its own and waits for it. Whatever ends the wait, also Ctrl-C, ends that process too."""

from __future__ import annotations

import dataclasses
import json
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO

from live_sr.errors import LiveSRError
from live_sr.system import child_process
from live_sr.training.learn.figures import LearnedFigures, TrainRequest

EXIT_TIMEOUT_S = 5.0  # for a killed process to end
INTERRUPT_S = 0.2  # after which Ctrl-C is noticed on Windows


class TrainingFailed(LiveSRError):
    """The training ended without a network. Its exit code is that of the failure."""

    def __init__(self, message: str, remedy: str, exit_code: int) -> None:
        super().__init__(message, remedy)
        self.exit_code = exit_code


def train(request: TrainRequest) -> LearnedFigures:
    """Blocks until the network is trained and measured. Raises TrainingFailed."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "live_sr.training.learn.train_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # the terminal's Ctrl-C does not reach it, and its group can be killed
            creationflags=child_process.get_creation_flags(*(["IDLE_PRIORITY_CLASS"] if request.idle else [])),
        )
    except OSError as error:
        what = f"no process for the training can be started: {error.strerror}"
        raise TrainingFailed(what, "", LiveSRError.exit_code) from None
    try:
        assert process.stdin and process.stdout
        with suppress(OSError):  # it has already died, which the empty answer reports
            process.stdin.write(json.dumps(dataclasses.asdict(request)).encode() + b"\n")
            process.stdin.flush()
        answer = _read_answer(process.stdout)
        if not answer.endswith(b"\n"):
            how = child_process.describe_exit(_wait(process))
            raise TrainingFailed(f"the training failed: {how}", "", LiveSRError.exit_code)
    finally:
        child_process.kill(process)
        _wait(process)
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                pipe and pipe.close()
    match json.loads(answer):
        case ["learned", dict(figures)]:
            return LearnedFigures(**figures)
        case ["failed", str(message), str(remedy), int(code)]:
            raise TrainingFailed(message, remedy, code)
        case other:
            raise AssertionError(other)


def _read_answer(pipe: IO[bytes]) -> bytes:
    """A line. Another thread waits for it: on Windows, Ctrl-C does not end the wait for a pipe."""
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=lambda: lines.put(pipe.readline()), daemon=True).start()
    while True:
        with suppress(queue.Empty):
            return lines.get(timeout=INTERRUPT_S)


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    """Its exit code. None: it is being killed, and the system has not come to that yet."""
    with suppress(subprocess.TimeoutExpired):
        return process.wait(EXIT_TIMEOUT_S)
    return None
