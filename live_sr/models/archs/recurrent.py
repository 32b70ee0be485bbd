"""Networks that enlarge a frame with the help of the frames before it: for videos from files, one frame after another.

Frames of a video go through `enlarged`, or through `begin` and `step` where the caller keeps the state: after a cut,
or where a job is taken up again, it begins anew. They are no image models: spandrel does not know them, and one frame
alone cannot show what they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Protocol

import torch
from torch import Tensor

LEAD = 5
"""Frames that are gone through backwards before the first one, so that it has something before it: as published."""


@dataclass(frozen=True)
class State:
    """What a network keeps from a frame for the next one; may be moved to another device, or saved.

    picture: the frame, (N, 3, H, W). enlarged: what was made of it, (N, 3, H * scale, W * scale), not clamped.
    """

    picture: Tensor
    enlarged: Tensor


class Recurrent(Protocol):
    """Frames are RGB in 0..1, (N, 3, H, W), each side at least `least`, and all of one size."""

    least: int

    @property
    def scale(self) -> int: ...

    def begin(self, picture: Tensor) -> State:
        """The state before the first frame; of `picture` only the size counts."""

    def step(self, picture: Tensor, state: State) -> tuple[Tensor, State]:
        """The frame enlarged, about 0..1, not clamped, and the state for the next frame."""


class Shot:
    """A network that is shown one frame after another, and keeps its state by itself until the shot is over.

    A frame of another size begins a new shot.
    """

    def __init__(self, net: Recurrent) -> None:
        self._net = net
        self._state: State | None = None

    def begin(self) -> None:
        """The next frame is the first of a shot."""
        self._state = None

    def run(self, picture: Tensor) -> Tensor:
        """The frame enlarged, not clamped."""
        state = self._state
        if state is None or state.picture.shape != picture.shape:
            state = self._net.begin(picture)
        made, self._state = self._net.step(picture, state)
        return made


def enlarged(net: Recurrent, frames: Iterable[Tensor], lead: int = LEAD) -> Iterator[Tensor]:
    """Each frame of a shot enlarged, clamped to 0..1. Reads `lead` frames ahead, and no more than one state is kept.

    The network first sees the frames after the first one backwards, up to `lead` of them, which gives no pictures.
    """
    coming = iter(frames)
    first = list(islice(coming, lead + 1))
    if not first:
        return
    state = net.begin(first[0])
    for picture in reversed(first[1:]):
        with torch.inference_mode():
            _, state = net.step(picture, state)
    for picture in chain(first, coming):
        with torch.inference_mode():
            done, state = net.step(picture, state)
        yield done.clamp(0, 1)
