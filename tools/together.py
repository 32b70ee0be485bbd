"""Two versions of one video, frame by frame: aligned in time and in place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from clips import video_frames
from instants import ALIKE, SLACK, Clock, Strip, clock, nearest, rough_clocks, strip
from laid import Cut, Guess, cut, features, guessed, laid

from live_sr.degradation import Picture

FRAMES = 10  # that the geometry is told by
APART = 0.25  # of the shorter frame's time: frames of the same instant are never further from each other


@dataclass(frozen=True)
class Match:
    """How two videos belong together. partner: the larger one's frame for each of the smaller one's, -1 for none."""

    small: Path
    large: Path
    clock: Clock
    cut: Cut
    partner: npt.NDArray[np.int64]

    def __str__(self) -> str:
        drift = "" if self.clock.drift == 1 else f", clocks {self.clock.drift:.5f} to 1"
        box = self.cut.box
        how = "cut" if self.cut.exact else "resampled"
        return (
            f"{self.clock.offset:+.3f} s{drift}, {self.cut.laid}; {box.right - box.left}x{box.bottom - box.top} "
            f"pixels in common, pairs of x{self.cut.scale}, {how}"
        )


@dataclass(frozen=True)
class Both:
    """A frame of the smaller video and the one of the same instant of the larger, if there is one."""

    number: int
    seconds: float
    small: Picture
    large: Picture | None


def matched(small: Path, large: Path) -> Match:
    """Reads both videos a few times. Raises UsageError with what does not fit.

    A picture that has lost its left side looks like one that has panned on. So the clocks are compared roughly, then by
    how well one place for all frames fits, and exactly by what is known to be in both.
    """
    one, other = strip(small), strip(large)
    common = _common(one, other, rough_clocks(one, other))
    time = clock(one.within(common.box), other.within(common.of_large(other.size)))
    return Match(small, large, time, common, _partners(one, other, time, common))


@dataclass(frozen=True)
class _Try:
    """Frames of both that may be of the same instants, and how well one place for all of them fits."""

    ours: tuple[int, ...]
    theirs: tuple[int, ...]
    guess: Guess


def _common(one: Strip, other: Strip, clocks: list[Clock]) -> Cut:
    """What both show, from frames that are the same instants by the clock that fits best near the rough ones."""
    best = max((_tried(one, other, rough) for rough in clocks), key=lambda tried: tried.guess.agreeing)
    small, large = dict(_picked(one.path, set(best.ours))), dict(_picked(other.path, set(best.theirs)))
    pairs = [(small[a], large[b]) for a, b in zip(best.ours, best.theirs, strict=True)]
    return cut(laid(best.guess, pairs), one.box, other.box)


def _tried(one: Strip, other: Strip, rough: Clock) -> _Try:
    """The best of all clocks that differ from the rough one by up to SLACK frames."""
    picks = np.linspace(0, len(rough.anchors) - 1, FRAMES).round().astype(int)
    ours = sorted({rough.anchors[i][0] for i in picks})
    due = rough.at(one.times[ours])
    by = (other.box.right - other.box.left) / (one.box.right - one.box.left)
    late = [
        nearest(other, due + delay * other.interval).tolist() for delay in sorted(range(-SLACK, SLACK + 1), key=abs)
    ]
    here = {n: features(picture) for n, picture in _picked(one.path, set(ours))}
    there = {n: features(picture, by) for n, picture in _picked(other.path, {n for theirs in late for n in theirs})}
    tries = [
        _Try(tuple(ours), tuple(theirs), guessed([(here[a], there[b]) for a, b in zip(ours, theirs, strict=True)]))
        for theirs in late
    ]
    return max(tries, key=lambda tried: tried.guess.agreeing)


def _picked(path: Path, numbers: set[int]) -> Iterator[tuple[int, Picture]]:
    last = max(numbers)
    for number, (_, picture) in enumerate(video_frames(path)):
        if number in numbers:
            yield number, picture
        if number == last:
            return


def _partners(small: Strip, large: Strip, time: Clock, common: Cut) -> npt.NDArray[np.int64]:
    """The nearest frames in time, where they are near and look alike."""
    due = time.at(small.times)
    theirs = nearest(large, due)
    near = np.abs(large.times[theirs] - due) <= APART * min(small.interval, large.interval)
    ours, others = small.within(common.box).looks(), large.within(common.of_large(large.size)).looks()
    alike = (ours * others[theirs]).sum(1) >= ALIKE
    return np.asarray(np.where(near & alike, theirs, -1), np.int64)


def both(match: Match) -> Iterator[Both]:
    """Every frame of the smaller video, beside it the larger one's; one picture of each is in memory."""
    larger = enumerate(video_frames(match.large))
    at, picture = -1, None
    for number, (seconds, frame) in enumerate(video_frames(match.small)):
        partner = int(match.partner[number]) if number < len(match.partner) else -1
        while at < partner:
            at, (_, picture) = next(larger, (len(match.partner) + partner + 1, (0.0, None)))
        yield Both(number, seconds, frame, picture if at == partner >= 0 else None)
