"""The sound of a game: pieces of it, each with the time at which it is heard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RATE = 48_000
"""Samples a second of everything here."""

Samples = npt.NDArray[np.float32]
"""Left and right, shape (number, 2), from -1 to 1."""


@dataclass(frozen=True, eq=False)
class SoundBlock:
    """A piece of sound without a gap. `time_ns`: of `time.perf_counter_ns`, when its first sample is heard."""

    samples: Samples
    time_ns: int


def make_silence(number: int) -> Samples:
    return np.zeros((number, 2), np.float32)
