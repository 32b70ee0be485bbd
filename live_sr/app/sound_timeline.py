"""Puts pieces of sound at their times: silence where there is none, and the clock of the sound card made ours."""

from __future__ import annotations

import numpy as np

from live_sr.pipeline.sound import RATE, Samples, make_silence

JUMP = RATE // 50  # samples, 20 ms: from here on a piece is moved by silence, or by leaving out what is late
DRIFT = RATE // 500  # samples, 2 ms: from here on it is stretched, because the clocks of card and system differ
STRETCH = 500  # one sample more or less in about so many, which nobody hears
SMOOTHING = 0.1


class SoundTimeline:
    """Makes one stream without gaps out of pieces; its first sample is that of time 0.

    Each method returns what to append to the stream, so that a piece lies within 20 ms of its time.
    """

    def __init__(self) -> None:
        self._length = 0  # samples in the stream
        self._drift = 0.0  # samples that the newest pieces lay too early; smoothed, because their times are not exact

    def place(self, samples: Samples, time_ns: int) -> Samples:
        """Appends a piece that is heard from `time_ns` on."""
        ahead = _count_samples(time_ns) - self._length
        if ahead >= JUMP:
            self._drift = 0.0
            return self._append(np.concatenate([make_silence(ahead), samples]))
        if ahead <= -JUMP:
            self._drift = 0.0
            return self._append(samples[-ahead:])
        self._drift += SMOOTHING * (ahead - self._drift)
        change = round(len(samples) / STRETCH) * (1 if self._drift > 0 else -1)
        if abs(self._drift) < DRIFT or not change:
            return self._append(samples)
        self._drift -= change
        return self._append(_stretch(samples, len(samples) + change))

    def fill(self, time_ns: int) -> Samples:
        """Appends silence up to `time_ns`, where no piece is expected any more."""
        return self._append(make_silence(max(0, _count_samples(time_ns) - self._length)))

    def _append(self, samples: Samples) -> Samples:
        self._length += len(samples)
        return samples


def _count_samples(time_ns: int) -> int:
    return round(time_ns * RATE / 1e9)


def _stretch(samples: Samples, number: int) -> Samples:
    """The same sound in that number of samples."""
    old, new = np.arange(len(samples)), np.linspace(0, len(samples) - 1, number)
    return np.stack([np.interp(new, old, channel) for channel in samples.T], -1).astype(np.float32)
