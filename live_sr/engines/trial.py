"""Tries an engine against another: it is used where it makes the same picture, and makes it clearly faster.

What an engine won is kept in a file, so that the next start needs no trial. What it lost is kept for this process only,
since another program may have kept the processor busy. Both are kept where each start would pay for trying again: of a
graphics card, whose trial takes seconds, and of two graphs of one engine, where little is to be gained. A result is
found by a key that names all it depends on, such as the versions of a driver and a library.
"""

from __future__ import annotations

import json
import logging
import statistics
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from live_sr.engines.trial_picture import make_trial_picture
from live_sr.errors import LiveSRError
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Frame, Pixels, Size, make_black
from live_sr.system import atomic_file
from live_sr.system.processor_time import read_processor_s

log = logging.getLogger(__name__)

SIZE = Size(320, 180)
NEEDED_GAIN = 1.2
"""How many times as fast an engine must be, so that it is not chosen by chance."""
ROUNDS, LEAST_ROUNDS, ENOUGH_S = 9, 5, 0.5  # the engines take turns; only the least rounds once these seconds are over

MAX_DEVIATION = 8
"""Levels of 255 that any value may differ by default. Two engines that compute in bf16 differ by at most 3."""
MAX_MEAN_DEVIATION = 0.5
"""Levels that values may differ on average. Two engines that compute in bf16: 0.2."""


@dataclass(frozen=True)
class TrialResult:
    """won: whether to use the engine. says: why, as a clause."""

    won: bool
    says: str


class TrialMemory:
    """The results of trials by key. `file` keeps them for the next start; None: nothing is kept. Any thread may use it.

    running: held by who tries engines, since what another trial does meanwhile would count as theirs.
    """

    def __init__(self, file: Path | None) -> None:
        self.running = threading.RLock()
        self._file = file
        self._lock = threading.Lock()
        # guarded by _lock:
        self._results = self._read()

    def find(self, key: str) -> TrialResult | None:
        with self._lock:
            return self._results.get(key)

    def keep(self, key: str, result: TrialResult, *, in_file: bool = True, lost_too: bool = False) -> None:
        with self._lock:
            self._results[key] = result
            if self._file is None or not in_file or not (result.won or lost_too):
                return
            kept = {**self._read(), key: result}  # another process may have added some
            with suppress(LiveSRError, OSError):
                self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # a compiled library may follow
                rows = {name: asdict(one) for name, one in kept.items()}
                atomic_file.write(self._file, json.dumps(rows, indent=1).encode())

    def _read(self) -> dict[str, TrialResult]:
        """What is kept; nothing if the file is missing or damaged."""
        try:
            kept = json.loads(self._file.read_bytes()) if self._file is not None else {}
        except (OSError, ValueError):
            return {}
        rows = kept.items() if isinstance(kept, dict) else ()
        return {key: TrialResult(**row) for key, row in rows if _is_result(row)}


def _is_result(row: object) -> bool:
    fields = {"won": bool, "says": str}
    return isinstance(row, dict) and {name: type(value) for name, value in row.items()} == fields


def compare(
    engine: Engine,
    reference: Engine,
    *,
    needed_gain: float = NEEDED_GAIN,
    rival: str = "",
    max_deviation: int = MAX_DEVIATION,
    of_processor: bool = True,
) -> TrialResult:
    """Lets both enlarge the same picture in turns. Warms both up for SIZE. Raises what they raise.

    needed_gain: how many times as fast the engine must be to win. rival: what the result calls the reference.
    max_deviation: levels of 255 that any value may differ.
    of_processor: counts the processor's time, which other programs do not change; else the time that passes.
    """
    rival = rival or reference.info.engine
    pixels = make_trial_picture(SIZE)
    pictures: list[Pixels] = []
    for one in (engine, reference):
        one.warm_up(SIZE)
        done = one.upscale(Frame(pixels))
        assert done is not None, "an engine drops no picture that comes alone"
        pictures.append(done.pixels)
    trouble = describe_deviation(pictures[0], pictures[1], max_deviation)
    if trouble:
        return TrialResult(False, f"{trouble} from that of {rival}")
    times = _time_in_turns(engine, reference, pixels, read_processor_s if of_processor else perf_counter)
    # what else this process does meanwhile only adds to a time: the least ones have least of it
    ours, theirs = (min(column) * 1000 for column in zip(*times, strict=True))
    gain = min(theirs / max(ours, 1e-6), statistics.median(theirs / max(ours, 1e-9) for ours, theirs in times))
    unit = "ms of the processor" if of_processor else "ms"
    figures = f"{ours:.1f} {unit} for a frame of {SIZE}, and {rival} {theirs:.1f} ms"
    says = f"{gain:.2f} times as fast as {rival}: it takes {figures}"
    return TrialResult(True, says) if gain >= needed_gain else TrialResult(False, f"it is {says}")


def describe_deviation(made: Pixels, expected: Pixels, max_deviation: int = MAX_DEVIATION) -> str:
    """How a picture differs too much from the expected one, or an empty string."""
    if made.shape != expected.shape:
        return f"its picture is of {made.shape}, not {expected.shape}: another size"
    difference = np.abs(made.astype(np.int16) - expected)
    worst, mean = int(difference.max()), float(difference.mean())
    if worst > max_deviation or mean > MAX_MEAN_DEVIATION:
        return f"its picture is up to {worst} levels and on average {mean:.2f} levels different"
    return ""


def _time_in_turns(
    engine: Engine, reference: Engine, pixels: Pixels, read_s: Callable[[], float]
) -> list[tuple[float, float]]:
    """Seconds on the clock `read_s` that both take for the picture, in each round."""
    end = perf_counter() + ENOUGH_S
    into = [make_black(SIZE.times(one.scale)) for one in (engine, reference)]
    times: list[tuple[float, float]] = []
    while len(times) < LEAST_ROUNDS or (len(times) < ROUNDS and perf_counter() < end):
        stops = [read_s()]
        for one, target in zip((engine, reference), into, strict=True):
            one.upscale(Frame(pixels), target)
            stops.append(read_s())
        times.append((stops[1] - stops[0], stops[2] - stops[1]))
    return times
