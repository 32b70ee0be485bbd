"""What `live-sr pairs engine` needs to know of a game engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from live_sr.imaging.degradation import Picture
from live_sr.pipeline.frame import Size

NumberedFrames = Iterator[tuple[int, Picture]]
"""Frame numbers and BGR uint8 pictures (H, W, 3)."""


@dataclass(frozen=True)
class FrameTimes:
    """Which frames of a scene are kept: `most` of them, from number `first` on, one of each `every`."""

    first: int
    every: int
    most: int


@dataclass(frozen=True)
class GameEngine:
    """One engine with its scenes: levels, tracks, demos or examples. Each scene is a place of pairs.

    `licence`: of what is drawn, an SPDX expression. `use`: networks of this project are trained on "train", and only
    tested on "test", so that the figures speak of engines that no training saw. `list_scenes`: raises MissingPart where
    the engine is not installed. `draw(scene, size, times, scale)`: must give the same instants at every size, under the
    same frame numbers; raises LiveSRError. `scale`: 1 for what a game shows, more for a picture that is so many times
    larger, in which text and lines grow as well. `times`: the frames that suit its scenes.
    `sizes`: the small sizes that it can draw, where those are few.
    """

    name: str
    licence: str
    use: Literal["train", "test"]
    list_scenes: Callable[[], Sequence[str]]
    draw: Callable[[str, Size, FrameTimes, int], NumberedFrames]
    times: FrameTimes
    sizes: tuple[Size, ...] = ()
