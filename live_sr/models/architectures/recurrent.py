"""Networks that enlarge a frame with the help of the frames before it: for video files, frame by frame.

Pass the frames of a video to `upscale_shot`, or use `begin` and `step` and keep the state yourself; begin anew after a
cut, and where a job resumes. These are not image models: spandrel does not know them, and a single frame cannot show
what they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Protocol

import torch
from torch import Tensor

LEAD_FRAMES = 5
"""Frames that run backwards before the first one, so that it has a past; as published."""


@dataclass(frozen=True)
class RecurrentState:
    """What a network keeps from one frame to the next. It may be moved to another device, or saved.

    picture: the frame, (N, 3, H, W). enlarged: the result, (N, 3, H * scale, W * scale), not clamped.
    """

    picture: Tensor
    enlarged: Tensor


class RecurrentNetwork(Protocol):
    """Frames are RGB in 0..1, (N, 3, H, W), each side at least `least`, and all of one size."""

    least: int

    @property
    def scale(self) -> int: ...

    def begin(self, picture: Tensor) -> RecurrentState:
        """The state before the first frame. Only the size of `picture` matters."""

    def step(self, picture: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """The frame enlarged, about 0..1, not clamped, and the state for the next frame."""


class RecurrentRunner:
    """Runs a recurrent network frame by frame, and keeps its state until the shot ends.

    A frame of another size begins a new shot.
    """

    def __init__(self, net: RecurrentNetwork) -> None:
        self._net = net
        self._state: RecurrentState | None = None

    @property
    def state(self) -> RecurrentState | None:
        """What was kept of the last frame. None: there was none yet."""
        return self._state

    def begin(self, state: RecurrentState | None = None) -> None:
        """The next frame is the first of a shot, or follows the one that left that state."""
        self._state = state

    def run(self, picture: Tensor) -> Tensor:
        """The frame enlarged, not clamped."""
        state = self._state
        if state is None or state.picture.shape != picture.shape:
            state = self._net.begin(picture)
        made, self._state = self._net.step(picture, state)
        return made


def upscale_shot(net: RecurrentNetwork, frames: Iterable[Tensor], lead: int = LEAD_FRAMES) -> Iterator[Tensor]:
    """Yields each frame of a shot enlarged, clamped to 0..1. Reads `lead` frames ahead and holds one state.

    The network first sees up to `lead` frames after the first one, backwards; their results are dropped.
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
