"""Measures the speed of networks in a process of its own, where a slow one can be given up in the middle of a frame."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Protocol, Self

from live_sr.engines.options import EngineOptions
from live_sr.errors import LiveSRError
from live_sr.models.card import ModelCard
from live_sr.pipeline.frame import Size
from live_sr.terminal import format_error

POLL_S = 0.1  # between two looks whether to stop


class MeasuringStopped(Exception):
    """It should stop, and has stopped."""


@dataclass(frozen=True)
class Speed:
    """Frames a second and the engine that made them; or, with fps None, why the network was left out."""

    fps: float | None
    engine: str = ""
    left_out: str = ""


class PipeEnd(Protocol):
    """One end of a pipe, whose class is another one on each system."""

    def send(self, obj: Any, /) -> None: ...
    def recv(self) -> Any: ...
    def poll(self, timeout: float = 0.0, /) -> bool: ...
    def close(self) -> None: ...


class MeasuringProcess:
    """Begins with the first network, and anew after one that was given up. Leaving it kills it."""

    def __init__(self, options: EngineOptions, must_stop: Callable[[], bool]) -> None:
        """must_stop: called ten times a second."""
        self._options = options
        self._must_stop = must_stop
        self._running: tuple[BaseProcess, PipeEnd] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._kill()

    def measure(self, card: ModelCard, size: Size, limit_s: float) -> tuple[Speed, str]:
        """The speed with frames of `size`, and what is to be logged about a failure. Raises MeasuringStopped.

        limit_s: for all of it, loading and the first frame included.
        """
        try:
            connection = self._get_connection()
            connection.send((card, size))
            if not self._wait(connection, limit_s):
                self._kill()
                return Speed(None, left_out=f"it takes more than {limit_s:g} s"), ""
            answer: Speed | str = connection.recv()
        except (EOFError, OSError):  # as by a library that crashes, or for want of memory
            self._kill()
            answer = "its process ended"
        if isinstance(answer, Speed):
            return answer, ""
        return Speed(None, left_out="it does not run here"), answer

    def _get_connection(self) -> PipeEnd:
        if self._running is None:
            ours, theirs = multiprocessing.Pipe()
            context = multiprocessing.get_context("spawn")  # a fork would have copies of locks that nobody releases
            process = context.Process(target=_work, args=(theirs, self._options), name="live-sr measuring", daemon=True)
            process.start()
            theirs.close()  # so that the end of the process ends the connection
            self._running = process, ours
            self._wait(ours, None)
            ours.recv()  # the time of a network begins when everything is imported
            return ours
        return self._running[1]

    def _wait(self, connection: PipeEnd, limit_s: float | None) -> bool:
        """Whether there is an answer within the limit. Raises MeasuringStopped."""
        end = None if limit_s is None else time.monotonic() + limit_s
        while not connection.poll(POLL_S):
            if self._must_stop():
                raise MeasuringStopped
            if end is not None and time.monotonic() > end:
                return False
        return True

    def _kill(self) -> None:
        if self._running is not None:
            process, connection = self._running
            self._running = None
            process.kill()
            process.join()
            process.close()
            connection.close()


def _work(connection: PipeEnd, options: EngineOptions) -> None:
    """The process: answers each network with its Speed, or with a sentence why there is none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which ends this one
    from live_sr.manage.model_speed import measure_speed

    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):  # the service has ended
        connection.send(None)
        while True:
            card, size = connection.recv()
            try:
                connection.send(Speed(*measure_speed(card, size, options)))
            except LiveSRError as error:
                connection.send(format_error(error))


def _end_with_parent() -> None:
    """Also where the service was killed, and a network is at work."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
