"""SpyNet (Ranjan and Black, 2017, arXiv 1611.00850): where the pixels of one frame are in another.

It estimates the motion in a small copy of both frames, and corrects it in copies twice as large until the full size.
Our own code; the weights have the names under which video networks such as RVRT carry it.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from live_sr.models.architectures.tecogan import warp

LEVELS = 6
WIDTHS = (8, 32, 64, 32, 16, 2)  # channels between the convolutions of each level
MULTIPLE = 2 ** (LEVELS - 1)  # frames are resized to sides that can be halved so often


class SpyNet(nn.Module):
    """From two frames, RGB in 0..1, (N, 3, H, W), to (N, 2, H, W): pixels to the right and down."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.basic_module = nn.ModuleList(MotionCorrection() for _ in range(LEVELS))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1))

    def forward(self, frame: Tensor, other: Tensor) -> Tensor:
        height, width = frame.shape[2:]
        sides = (height + -height % MULTIPLE, width + -width % MULTIPLE)
        frames, others = (self._make_pyramid(one, sides) for one in (frame, other))
        motion = torch.zeros_like(frames[0][:, :2])
        for level, correct in enumerate(self.basic_module):
            if level:
                motion = 2 * functional.interpolate(motion, scale_factor=2, mode="bilinear", align_corners=True)
            there = warp(others[level], motion)
            motion = motion + correct(torch.cat([frames[level], there, motion], 1))
        motion = functional.interpolate(motion, size=(height, width), mode="bilinear", align_corners=False)
        return motion * motion.new_tensor([width / sides[1], height / sides[0]]).reshape(1, 2, 1, 1)

    def _make_pyramid(self, frame: Tensor, sides: tuple[int, int]) -> list[Tensor]:
        """The frame at all sizes, the smallest first."""
        resized = functional.interpolate(frame, size=sides, mode="bilinear", align_corners=False)
        sizes = [(resized - self.mean) / self.std]
        for _ in range(LEVELS - 1):
            sizes.append(functional.avg_pool2d(sizes[-1], 2))
        return sizes[::-1]


class MotionCorrection(nn.Module):
    """The motion that is still missing, from a frame, the warped other one and the motion so far."""

    def __init__(self) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for given, out in pairwise(WIDTHS):
            steps += [nn.Conv2d(given, out, 7, padding=3), nn.ReLU()]
        self.basic_module = nn.Sequential(*steps[:-1])

    def forward(self, both: Tensor) -> Tensor:
        missing: Tensor = self.basic_module(both)
        return missing
