"""RVRT's guided deformable attention (rvrt.py): looks where the motion points, and at places learned around it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from live_sr.models.architectures.shifted_windows import FrameConv, Perceptron
from live_sr.models.architectures.tecogan import widen

CLIP = 2  # frames that are refined together
HEADS = 12
PLACES = 9  # 3x3, in each of the two frames
LARGEST_CORRECTION = 10.0  # pixels by which a place may differ from where the motion points
CHUNK_BYTES = 64 << 20  # of what is sampled at once


class GuidedAttention(nn.Module):
    """Brings what is known of a clip to where things are in the next one, by attention to 18 places for each pixel.

    They lie around where the motion points: nine in each frame of the clip before.
    """

    def __init__(self, width: int, groups: int, hidden: int) -> None:
        super().__init__()
        self.groups = groups
        steps: list[nn.Module] = [FrameConv(width * (1 + CLIP) + 2 * CLIP, hidden, 1), nn.LeakyReLU(0.1)]
        for _ in range(4):
            steps += [FrameConv(hidden, hidden), nn.LeakyReLU(0.1)]
        self.conv_offset = nn.Sequential(*steps, FrameConv(hidden, CLIP * groups * PLACES * 2, 1))
        self.proj_q, self.proj_k, self.proj_v = (nn.ModuleDict({"1": nn.Linear(width, 2 * width)}) for _ in range(3))
        self.proj = nn.ModuleDict({"1": nn.Linear(2 * width, width)})
        self.mlp = nn.ModuleDict({"1": Perceptron(width, 2 * width)})

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, warped: list[Tensor], flows: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The value where things are now, (2, width, H, W), and both motions as corrected.

        query, key: features of this clip and of the one before. value: what was found for that one. flows: from each
        frame of this clip to the one of its own number in the clip before, and to the other one. warped: the value,
        warped by each of them.
        """
        found = self.conv_offset(torch.cat([query, *warped, *flows], 1))
        corrections = LARGEST_CORRECTION * torch.tanh(found)
        down_right = torch.stack(flows, 1).flip(2)  # places are stored as rows and columns
        shape = (len(query), CLIP, self.groups, PLACES, 2, *query.shape[2:])
        places = corrections.reshape(shape) + down_right[:, :, None, None]
        keys = torch.cat([_apply(self.proj_k["1"], key), _apply(self.proj_v["1"], value)], 1)
        attended = attend_to_places(_apply(self.proj_q["1"], query), keys, places, HEADS)
        made = _apply(self.proj["1"], attended)
        moved = places.mean((2, 3)).flip(2)
        return made + _apply(self.mlp["1"], made), (moved[:, 0], moved[:, 1])


def attend_to_places(query: Tensor, keys_values: Tensor, places: Tensor, heads: int) -> Tensor:
    """Attention of every pixel to places in two frames: (2, P, H, W).

    query: (2, P, H, W). keys_values: of the two frames that are attended to, (2, 2 P, H, W), keys first. places: how
    far each place is below and to the right of its pixel of the 3x3 around the query, (2 queries, 2 frames, groups, 9,
    2, H, W). The first frame is the one of the query's own number, the second the other one. The groups share the
    channels of keys and values evenly, so that keys and values have places of their own.
    """
    count, width, height, breadth = query.shape
    row_bytes = query.element_size() * 2 * width * CLIP * PLACES * breadth
    rows = max(1, min(height, CHUNK_BYTES // row_bytes))
    scaled = query * (width // heads) ** -0.5
    done = torch.empty_like(query)
    for number in range(count):
        for top in range(0, height, rows):
            part = slice(top, top + rows)
            seen = [
                sample_places(keys_values[(number + other) % CLIP], places[number, other, ..., part, :], top)
                for other in range(CLIP)
            ]
            both = torch.cat(seen, 1)
            key, value = both.reshape(2, heads, width // heads, *both.shape[1:])
            asked = scaled[number, :, part].reshape(heads, width // heads, -1, breadth)
            shares = torch.einsum("hdrw,hdsrw->hsrw", asked, key).softmax(1)
            done[number, :, part] = torch.einsum("hsrw,hdsrw->hdrw", shares, value).flatten(0, 1)
    return done


def sample_places(picture: Tensor, places: Tensor, top: int = 0) -> Tensor:
    """The picture (C, H, W) at places (groups, 9, 2, R, W), bilinearly and 0 outside: (C, 9, R, W).

    A place is given by its distance, down and right, from a pixel of the 3x3 around each one of the R rows from `top`.
    """
    groups, _, _, rows, breadth = places.shape
    height, width = picture.shape[1:]
    around = torch.arange(PLACES, device=places.device)
    below = (
        widen(places[:, :, 0])
        + (around // 3 - 1)[:, None, None]
        + torch.arange(top, top + rows, device=places.device).reshape(-1, 1)
    )
    right = widen(places[:, :, 1]) + (around % 3 - 1)[:, None, None] + torch.arange(breadth, device=places.device)
    grid = torch.stack([2 * right / (width - 1) - 1, 2 * below / (height - 1) - 1], -1)
    parts = widen(picture).reshape(groups, -1, height, width)
    sampled = functional.grid_sample(parts, grid.flatten(1, 2), padding_mode="zeros", align_corners=True)
    return sampled.reshape(-1, PLACES, rows, breadth).to(picture)


def _apply(layer: nn.Module, frames: Tensor) -> Tensor:
    """A layer for the channels of each pixel, on (T, C, H, W)."""
    made: Tensor = layer(frames.permute(0, 2, 3, 1))
    return made.permute(0, 3, 1, 2)
