"""What live-sr writes for people: results on stdout; notices, errors and progress on stderr.

Results go through `print_result`, notices through Python's logging (logger "live_sr"). Writing never raises: what an
encoding lacks is replaced, and a stream that cannot be written any more (a closed pipe, a full disk) is given up with
one warning, so that no output ends the work that it is about.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Literal, Never, Protocol

from live_sr.errors import LiveSRError

if TYPE_CHECKING:
    from tqdm import tqdm

LOG = logging.getLogger("live_sr")

REDRAW_S = 0.2  # between two states of a progress bar
PLAIN_S = 10.0  # between two lines of progress where no bar can be drawn
RECENT_S = 15.0  # the rate in such a line is that of so many seconds


def set_up_streams() -> None:
    """Makes stdout and stderr replace what their encoding lacks, and write every line at once.

    Windows gives a pipe or an old console a code page such as cp1252, which has no arrows and no Japanese letters.
    Every process that live-sr starts calls this first.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace", line_buffering=True)


def flush_streams() -> None:
    """Before the program ends: what cannot be written is given up here, not with a traceback of the interpreter."""
    STDOUT.flush()
    STDERR.flush()


class Stream(Protocol):
    """What `Progress` writes to: STDERR, or any text file."""

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...

    def isatty(self) -> bool: ...


class SafeStream:
    """sys.stdout or sys.stderr, whichever file that is at the time, written without ever raising."""

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        self._name = name

    def write(self, text: str, /) -> int:
        stream = getattr(sys, self._name)
        if stream is not None:  # as in a Windows program without a console
            try:
                stream.write(text)
            except (OSError, ValueError) as error:  # ValueError: the file is closed
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        stream = getattr(sys, self._name)
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def isatty(self) -> bool:
        stream = getattr(sys, self._name)
        with suppress(ValueError):
            return stream is not None and bool(stream.isatty())
        return False

    def fileno(self) -> int:
        """Raises OSError where there is no file."""
        stream = getattr(sys, self._name)
        if stream is None:
            raise OSError(f"no {self._name}")
        return int(stream.fileno())

    @property
    def encoding(self) -> str:
        return getattr(getattr(sys, self._name), "encoding", None) or "ascii"

    def _give_up(self, error: Exception) -> None:
        """From now on, what is written disappears: the file becomes the null device. Warns once, about stdout."""
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(null, self.fileno())
            finally:
                os.close(null)
        if self is STDOUT:
            why = getattr(error, "strerror", None) or error
            LOG.warning("the output cannot be written any more (%s); the rest of it is lost, the work goes on", why)


STDOUT = SafeStream("stdout")
STDERR = SafeStream("stderr")


def print_result(text: str) -> None:
    """One or more lines of what the user asked for, on stdout."""
    _print(STDOUT, text)


def print_error(error: LiveSRError, about: str = "") -> None:
    """The sentence and the remedy of a failure, on stderr; `about`: what it happened to, if that needs saying."""
    _print(STDERR, f"live-sr: {about + ': ' if about else ''}{format_error(error)}")


def format_error(error: LiveSRError) -> str:
    """The sentence, and the remedy in a line of its own."""
    return f"{error.message}\n  {error.remedy}" if error.remedy else error.message


def _print(stream: SafeStream, text: str) -> None:
    with _no_bar():
        stream.write(f"{text}\n")
        stream.flush()


@contextmanager
def log_to_stderr(*, verbose: bool) -> Iterator[None]:
    """While it lasts, notices (INFO and above) appear on stderr as "live-sr: sentence"; with `verbose`, DEBUG too."""
    handler = _StderrHandler()
    level, propagate = LOG.level, LOG.propagate
    LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    LOG.propagate = False  # a library that sets up the root logger would print each notice again
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(level)
        LOG.propagate = propagate


class _StderrHandler(logging.Handler):
    _notice = logging.Formatter("live-sr: %(message)s")
    _detail = logging.Formatter("%(relativeCreated)8.0f ms  %(name)s: %(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        formatter = self._notice if record.levelno > logging.DEBUG else self._detail
        _print(STDERR, formatter.format(record))


class Progress:
    """How far a long job is, on stderr: tqdm's bar on a terminal, else a plain line every ten seconds.

    For one thread. Nothing may be printed meanwhile but through this module, which keeps bar and lines apart.
    """

    def __init__(
        self,
        name: str,
        total: int | None = None,
        done: int = 0,
        *,
        unit: str = "frames",
        step_s: float = 0.0,
        stream: Stream | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`done` of `total` were there before; `step_s`: what a step may take, for as long as none is over."""
        self._name = name
        self._total = total
        self._done = done
        self._unit = unit
        self._step_s = step_s
        self._stream = stream or STDERR
        self._clock = clock
        self._doing = ""
        self._begun = (clock(), done)
        self._due = self._begun[0] + PLAIN_S
        self._marks = deque([self._begun])  # when, and how many were done; of the last RECENT_S at least
        self._bar = _show_bar(name, total, done, unit, self._stream) if self._stream.isatty() else None

    def step(self, count: int = 1) -> None:
        """So many more are done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._clock() >= self._due:
            self._write_line()

    def describe(self, doing: str, *, at_once: bool = False) -> None:
        """What it is doing now. `at_once`: where there is no bar, in a line of its own and not with the next one."""
        self._doing = doing
        if self._bar is not None:
            left = "" if self._done > self._begun[1] else self._time_left()  # after that, the bar knows
            self._bar.set_postfix_str(", ".join(filter(None, (left, doing))))
        elif at_once or self._clock() >= self._due:
            self._write_line()

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None and self._bar in _bars:
            _bars.remove(self._bar)
            self._bar.close()

    def _write_line(self) -> None:
        now = self._clock()
        self._due = now + PLAIN_S
        self._marks.append((now, self._done))
        while len(self._marks) > 2 and now - self._marks[1][0] >= RECENT_S:
            self._marks.popleft()
        words = [f"{self._done} {self._unit}"]
        if self._total is not None:
            share = min(100, 100 * self._done // max(self._total, 1))
            words = [f"{share} %", f"{self._done} of {max(self._total, self._done)} {self._unit}"]
        if self._unit == "frames":
            words.append(f"{self._rate():.1f} fps")
        line = ", ".join(filter(None, [*words, self._time_left()]))
        self._stream.write(f"{self._name}: {line}{': ' if self._doing else ''}{self._doing}\n")
        self._stream.flush()

    def _rate(self) -> float:
        """Steps per second: recently, or since the beginning where a step takes longer than that."""
        since, before = self._marks[0] if self._done > self._marks[0][1] else self._begun
        return (self._done - before) / max(self._clock() - since, 1e-9)

    def _time_left(self) -> str:
        steps = (self._total or 0) - self._done
        rate = self._rate()
        seconds = steps / rate if rate else steps * self._step_s
        return f"{format_duration(seconds)} left" if steps > 0 and seconds else ""


_bars: list[tqdm[Never]] = []  # that are shown now


def _show_bar(name: str, total: int | None, done: int, unit: str, stream: Stream) -> tqdm[Never]:
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # else it starts a thread
    tqdm.set_lock(threading.RLock())  # its own is for several processes, and starts one more on some systems
    bar: tqdm[Never] = tqdm(
        desc=name,
        total=total,
        initial=done,
        unit=f" {unit}",
        file=stream,
        dynamic_ncols=True,
        leave=False,
        mininterval=REDRAW_S,
    )
    _bars.append(bar)
    return bar


@contextmanager
def _no_bar() -> Iterator[None]:
    """Takes the bar away for a moment, so that a line can be printed in its place."""
    shown = list(_bars)
    for bar in shown:
        bar.clear()
    try:
        yield
    finally:
        for bar in shown:
            bar.refresh()  # does nothing once it is closed


def format_duration(seconds: float) -> str:
    """45 s, 12 min or 3 h 05."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02}"


def format_table(rows: Sequence[Sequence[str]], align: str = "", *, gap: int = 2) -> list[str]:
    """A line for each row, its cells under those of the others and `gap` spaces apart.

    align: "<" (left) or ">" (right) for each column; columns beyond it are as its last one, or left without any. A row
    may have fewer cells than others.
    """
    columns = max(map(len, rows), default=0)
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(columns)]
    signs = align.ljust(columns, align[-1:] or "<")
    return [
        (" " * gap)
        .join(f"{cell:{sign}{width}}" for cell, sign, width in zip(row, signs, widths, strict=False))
        .rstrip()
        for row in rows
    ]
