"""What is needed to try whether a part of a picture drawn alone equals the same part of the whole, and to time it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from live_sr.pipeline.frame import Pixels, Rect, Size, make_black

TRIED_VALUES = 4_000_000
"""How many values of the result are compared before a size counts as exact.

Where OpenVINO sums in another order, 20 of a million values differ by one in the test picture (fast x2 in bf16 with
AMX, in windows of up to 88 pixels width). The first one was found within 300,000. In plain noise it was less than one
of a million for some sizes.
"""

BLOCK = 32  # pixels; side of the blocks of the test picture
SAMPLES = 3  # of which the shortest time counts
FINE_S = 0.0001  # a clock with coarser steps cannot time an engine
LEARN = 0.1  # how much the newest frame weighs in a `CostRatio`
RELAX = 0.01  # how far it goes back towards 1 with each frame that does not add to it
MAX_RATIO = 4.0  # of one frame; more is an accident


def make_test_picture(size: Size) -> Pixels:
    """Blocks of noise: of all colours, of weak and dark ones, of greys, and of the extremes."""
    random = np.random.default_rng(0)
    picture = make_black(size)
    kinds = ((0, 256, 3), (120, 136, 3), (0, 40, 3), (0, 256, 1), (0, 2, 3))  # from, to, channels
    for y in range(0, size.height, BLOCK):
        for x in range(0, size.width, BLOCK):
            low, high, channels = kinds[(y // BLOCK + x // BLOCK) % len(kinds)]
            block = picture[y : y + BLOCK, x : x + BLOCK, :3]
            noise = random.integers(low, high, (*block.shape[:2], channels), np.uint8)
            block[...] = noise * 255 if high == 2 else noise
    return picture


def is_same(part: Rect, done: Pixels, expected: Pixels) -> bool:
    """Whether both enlarged pictures are equal in that part of them, which is in their pixels."""
    return np.array_equal(part.cut_from(done), part.cut_from(expected))


ReadClock = Callable[[], int]
"""Reads a clock, in nanoseconds."""

read_thread_ns: ReadClock = (
    time.thread_time_ns if time.get_clock_info("thread_time").resolution < FINE_S else time.perf_counter_ns
)
"""The calling thread's processor time in nanoseconds.

Unlike the time by the clock, it is about the same beside a game that keeps the processor busy, and an engine with
several threads works in the calling one too. On Windows its steps are too coarse, and the other one counts.
"""


def measure_ms(*acts: Callable[[], object], read_ns: ReadClock) -> list[float]:
    """How long each of these takes at least, in milliseconds. They take turns, so that other work hits all alike."""
    times: list[list[int]] = [[] for _ in acts]
    for _ in range(SAMPLES):
        for act, spent in zip(acts, times, strict=True):
            begun = read_ns()
            act()
            spent.append(read_ns() - begun)
    return [min(spent) / 1e6 for spent in times]


class CostRatio:
    """What frames cost in comparison to what was expected, as a mean that follows the load of the machine."""

    def __init__(self) -> None:
        self.value = 1.0

    def learn(self, spent_ms: float, expected_ms: float) -> None:
        if expected_ms > 0:
            self.value += LEARN * (min(spent_ms / expected_ms, MAX_RATIO) - self.value)

    def relax(self) -> None:
        """Goes towards what was expected: what is not done any more is tried again some time."""
        self.value += RELAX * (1.0 - self.value)
