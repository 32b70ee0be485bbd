"""Enlarges the frames of one video in order, with networks that need several of them at once.

Between two segments of a video, the state can be saved, and the work continued later with the same result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Protocol

import torch
from torch import Tensor, nn

from live_sr.models.architectures.fading_tiles import cut_side, weigh
from live_sr.models.architectures.recurrent import RecurrentRunner, RecurrentState
from live_sr.models.architectures.rvrt import RVRT
from live_sr.pipeline.engine_contracts import Cost

WINDOW_FRAMES = 20  # enlarged at once
CONTEXT_FRAMES = 4  # that are looked at before and after these; even, as two frames make a clip
RESULT_BYTES = 1 << 30  # of the frames that are enlarged at once
TILE = 128  # pixels of the side of a tile
LEAST_TILE = 64
TRIED_FRAMES = 4  # to see how long a frame takes
WORK_BYTES = 140 << 10  # that RVRT holds for a pixel of a tile beside its features: measured


class LevelSequence(Protocol):
    """Frames are RGB levels, uint8 (3, H, W), all of one size; results (3, H * scale, W * scale)."""

    def feed(self, frame: Tensor) -> Iterator[Tensor]:
        """Takes the next frame, and yields those that are done by now, in order.

        Raises FloatingPointError if the network makes NaN or infinity of them.
        """

    def finish(self) -> Iterator[Tensor]:
        """There are no more frames: yields the rest."""

    def get_state(self) -> dict[str, Tensor]:
        """All that later frames depend on."""

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Continues after the last frame that was fed when the state was taken. Raises KeyError for a wrong one."""

    def measure_cost(self, height: int, width: int) -> Cost:
        """Runs a few frames of that size, or a tile of them. The state stays as it is."""


class RecurrentSequence:
    """Each frame is made of itself and what was made of the one before."""

    def __init__(self, net: nn.Module, runner: RecurrentRunner) -> None:
        self._net = net
        self._runner = runner
        runner.begin()

    def feed(self, frame: Tensor) -> Iterator[Tensor]:
        with torch.inference_mode():
            done = _to_levels(self._runner.run(_to_picture(frame[None], self._net)))[0]
        yield done

    def finish(self) -> Iterator[Tensor]:
        yield from ()

    def get_state(self) -> dict[str, Tensor]:
        state = self._runner.state
        return {} if state is None else {"picture": state.picture.cpu(), "enlarged": state.enlarged.cpu()}

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        weights = next(self._net.parameters())
        self._runner.begin(RecurrentState(state["picture"].to(weights), state["enlarged"].to(weights)))

    def measure_cost(self, height: int, width: int) -> Cost:
        kept = self._runner.state
        frame = torch.zeros(3, height, width, dtype=torch.uint8)
        list(self.feed(frame))
        began = perf_counter()
        made = list(self.feed(frame))
        self._runner.begin(kept)
        return Cost(perf_counter() - began, 4 * made[0].numel() * 4 + 4 * 64 * 12 * height * width)


class ClipSequence:
    """RVRT, which looks at frames before and after: it waits for CONTEXT_FRAMES, and enlarges WINDOW_FRAMES together.

    Windows are counted from the video's first frame, so that they do not depend on where the work is interrupted.
    tile: the side of the tiles that each frame is cut into, in pixels; 0: it is not.
    """

    def __init__(self, net: RVRT, tile: int = TILE) -> None:
        self._net = net
        self._tile = max(tile, LEAST_TILE) // net.multiple * net.multiple if tile else 0
        self._frames: list[Tensor] = []  # from CONTEXT_FRAMES before the next window on
        self._before = 0  # how many of these are before it
        self._dropped = 0  # frames of the next windows that were made before the state was taken

    def feed(self, frame: Tensor) -> Iterator[Tensor]:
        self._frames.append(frame.clone())
        count = count_window_frames(*frame.shape[1:])
        if len(self._frames) == self._before + count + CONTEXT_FRAMES:
            yield from self._enlarge(count)

    def finish(self) -> Iterator[Tensor]:
        if len(self._frames) > self._before:
            yield from self._enlarge(len(self._frames) - self._before)

    def get_state(self) -> dict[str, Tensor]:
        if not self._frames:
            return {}
        return {"frames": torch.stack(self._frames), "before": torch.tensor(self._before)}

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        self._frames = list(state["frames"].unbind())
        self._before = int(state["before"])
        self._dropped = len(self._frames) - self._before

    def measure_cost(self, height: int, width: int) -> Cost:
        rows, columns = (cut_side(side, self._tile, self._net.multiple) for side in (height, width))
        sides = (rows[0][1], columns[0][1])
        frames = torch.zeros(TRIED_FRAMES, 3, *sides, dtype=torch.uint8)
        began = perf_counter()
        with torch.inference_mode():
            self._net(_to_picture(frames, self._net))
        seconds = (perf_counter() - began) / TRIED_FRAMES * len(rows) * len(columns)
        count = count_window_frames(height, width)
        seen = count + 2 * CONTEXT_FRAMES
        sample = next(self._net.parameters()).element_size()
        features = 5 * self._net.shape.width * sample * seen
        results = self._net.scale**2 * 12 * count * height * width
        return Cost(seconds * seen / count, sides[0] * sides[1] * (features + WORK_BYTES) + results)

    def _enlarge(self, count: int) -> Iterator[Tensor]:
        """The window of the next `count` frames."""
        frames = torch.stack(self._frames)
        if len(frames) % 2:
            frames = torch.cat([frames, frames[-1:]])
        numbers = range(self._before, self._before + count)
        with torch.inference_mode():
            results = _to_levels(self._draw_tiles(_to_picture(frames, self._net), numbers))
        done = self._before + count
        kept = max(0, done - CONTEXT_FRAMES)
        self._frames, self._before = self._frames[kept:], done - kept
        dropped, self._dropped = self._dropped, max(0, self._dropped - count)
        yield from results[dropped:]

    def _draw_tiles(self, pictures: Tensor, numbers: range) -> Tensor:
        """These frames, (T, 3, 4 H, 4 W), tile by tile. The motion is that of the whole frames."""
        net, scale = self._net, self._net.scale
        height, width = pictures.shape[2:]
        motions = net.find_motion(pictures)
        rows, columns = (cut_side(side, self._tile, net.multiple) for side in (height, width))
        done = torch.zeros(len(numbers), 3, height * scale, width * scale)
        for row, (top, bottom) in enumerate(rows):
            for column, (left, right) in enumerate(columns):
                part, *motion = (one[..., top:bottom, left:right] for one in (pictures, *motions))
                share = weigh(rows, row, scale)[:, None] * weigh(columns, column, scale)
                place = (slice(top * scale, bottom * scale), slice(left * scale, right * scale))
                features = net.refine(part, motion[0], motion[1])
                for at, made in enumerate(net.draw(part, features, numbers)):
                    done[at, :, *place] += share * made[0].float().cpu()
        return done


def count_window_frames(height: int, width: int) -> int:
    """How many frames of that size are enlarged at once."""
    fitting = RESULT_BYTES // (12 * RVRT.scale**2 * height * width)
    return max(CONTEXT_FRAMES, min(WINDOW_FRAMES, fitting) // 2 * 2)


def _to_picture(levels: Tensor, net: nn.Module) -> Tensor:
    return levels.to(next(net.parameters())) / 255


def _to_levels(pictures: Tensor) -> Tensor:
    if not bool(torch.isfinite(pictures).all()):
        raise FloatingPointError("it makes numbers that are none (NaN or infinite)")
    return pictures.float().mul(255).round_().clamp_(0, 255).byte().cpu()
