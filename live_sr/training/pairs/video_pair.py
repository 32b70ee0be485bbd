"""Two versions of one video, frame by frame, aligned in time and in space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from live_sr.imaging.degradation import Picture
from live_sr.training.pairs.registration import (
    CommonArea,
    RegistrationGuess,
    detect_features,
    find_common_area,
    guess_registration,
    refine_registration,
)
from live_sr.training.pairs.time_alignment import (
    SAME_INSTANT,
    SLACK_FRAMES,
    ClockMapping,
    VideoSummary,
    align_clocks,
    estimate_clocks,
    find_nearest,
    summarise_video,
)
from live_sr.training.pairs.video_frames import read_video_frames

REGISTRATION_FRAMES = 10  # that the registration is estimated from
LARGEST_TIME_GAP = 0.25  # of the shorter frame interval: frames of the same instant are never further apart


@dataclass(frozen=True)
class VideoMatch:
    """How two videos fit together. partner: for each frame of the smaller video the larger one's frame, or -1."""

    small: Path
    large: Path
    clock: ClockMapping
    common_area: CommonArea
    partner: npt.NDArray[np.int64]

    def __str__(self) -> str:
        drift = "" if self.clock.drift == 1 else f", clocks {self.clock.drift:.5f} to 1"
        box = self.common_area.box
        how = "cut" if self.common_area.exact else "resampled"
        return (
            f"{self.clock.offset:+.3f} s{drift}, {self.common_area.registration}; "
            f"{box.right - box.left}x{box.bottom - box.top} pixels in common, pairs of x{self.common_area.scale}, {how}"
        )


@dataclass(frozen=True)
class AlignedFrames:
    """A frame of the smaller video, and the larger video's frame of the same instant if there is one."""

    number: int
    seconds: float
    small: Picture
    large: Picture | None


def match_videos(small: Path, large: Path) -> VideoMatch:
    """Aligns two videos; reads each a few times. Raises UsageError, which says what does not fit.

    A picture that was cropped at its left looks like one from a moment later in a pan. So the clocks are first
    compared roughly, then by how well one registration fits all frames, and last exactly, on the area that both show.
    """
    one, other = summarise_video(small), summarise_video(large)
    common = _find_common_area(one, other, estimate_clocks(one, other))
    time = align_clocks(one.restrict_to(common.box), other.restrict_to(common.locate_in_large(other.size)))
    return VideoMatch(small, large, time, common, _find_partners(one, other, time, common))


@dataclass(frozen=True)
class _Attempt:
    """Frame numbers of both videos that may be of the same instants, and the registration that fits them best."""

    ours: tuple[int, ...]
    theirs: tuple[int, ...]
    guess: RegistrationGuess


def _find_common_area(one: VideoSummary, other: VideoSummary, clocks: list[ClockMapping]) -> CommonArea:
    """The area that both show, by the clock that fits best among the estimates and their neighbours."""
    best = max((_try_delays(one, other, rough) for rough in clocks), key=lambda tried: tried.guess.agreeing)
    small, large = dict(_read_frames(one.path, set(best.ours))), dict(_read_frames(other.path, set(best.theirs)))
    pairs = [(small[a], large[b]) for a, b in zip(best.ours, best.theirs, strict=True)]
    return find_common_area(refine_registration(best.guess, pairs), one.box, other.box)


def _try_delays(one: VideoSummary, other: VideoSummary, rough: ClockMapping) -> _Attempt:
    """The best of all clocks that differ from the estimate by up to SLACK_FRAMES frames."""
    picks = np.linspace(0, len(rough.anchors) - 1, REGISTRATION_FRAMES).round().astype(int)
    ours = sorted({rough.anchors[i][0] for i in picks})
    due = rough.convert(one.times[ours])
    by = (other.box.right - other.box.left) / (one.box.right - one.box.left)
    late = [
        find_nearest(other, due + delay * other.interval).tolist()
        for delay in sorted(range(-SLACK_FRAMES, SLACK_FRAMES + 1), key=abs)
    ]
    here = {n: detect_features(picture) for n, picture in _read_frames(one.path, set(ours))}
    there = {
        n: detect_features(picture, by)
        for n, picture in _read_frames(other.path, {n for theirs in late for n in theirs})
    }
    tries = [
        _Attempt(
            tuple(ours),
            tuple(theirs),
            guess_registration([(here[a], there[b]) for a, b in zip(ours, theirs, strict=True)]),
        )
        for theirs in late
    ]
    return max(tries, key=lambda tried: tried.guess.agreeing)


def _read_frames(path: Path, numbers: set[int]) -> Iterator[tuple[int, Picture]]:
    last = max(numbers)
    for number, (_, picture) in enumerate(read_video_frames(path)):
        if number in numbers:
            yield number, picture
        if number == last:
            return


def _find_partners(
    small: VideoSummary, large: VideoSummary, time: ClockMapping, common: CommonArea
) -> npt.NDArray[np.int64]:
    """For each small frame the nearest large one in time, or -1 where it is too far away or looks different."""
    due = time.convert(small.times)
    theirs = find_nearest(large, due)
    near = np.abs(large.times[theirs] - due) <= LARGEST_TIME_GAP * min(small.interval, large.interval)
    ours, others = (
        small.restrict_to(common.box).compute_descriptors(),
        large.restrict_to(common.locate_in_large(large.size)).compute_descriptors(),
    )
    alike = (ours * others[theirs]).sum(1) >= SAME_INSTANT
    return np.asarray(np.where(near & alike, theirs, -1), np.int64)


def iterate_frame_pairs(match: VideoMatch) -> Iterator[AlignedFrames]:
    """Every frame of the smaller video with its partner. Holds one picture of each video in memory."""
    larger = enumerate(read_video_frames(match.large))
    at, picture = -1, None
    for number, (seconds, frame) in enumerate(read_video_frames(match.small)):
        partner = int(match.partner[number]) if number < len(match.partner) else -1
        while at < partner:
            at, (_, picture) = next(larger, (len(match.partner) + partner + 1, (0.0, None)))
        yield AlignedFrames(number, seconds, frame, picture if at == partner >= 0 else None)
