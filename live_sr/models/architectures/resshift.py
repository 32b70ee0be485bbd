"""ResShift (Yue, Wang and Loy, "Efficient Diffusion Model for Image Super-resolution by Residual Shifting", NeurIPS
2023, arXiv 2307.12348): enlarges pictures by 4 with a diffusion model of a few steps.

It begins with the small picture, enlarged, in the latent space of an autoencoder, and with noise on it. In each step a
network estimates the sharp latent picture, and a part of what is missing is added, with less and less noise.

Our own code, written from the paper and from the operations, names, shapes and settings in the repository
zsyOAOA/ResShift; no line is theirs. Its checkpoints for super-resolution load here, each with the autoencoder beside
it: resshift_realsrx4_s15_v1.pth, _s15_v2.pth, resshift_realsrx4_s4_v3.pth and resshift_bicsrx4_s4.pth, and
autoencoder_vq_f4.pth. How many steps they take is not in the files: their names say it.
Licence: the authors' code and weights are under the S-Lab License 1.0, for use that is not commercial.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional

from live_sr.models.architectures.fading_tiles import cut_side, weigh
from live_sr.models.architectures.resshift_unet import UNet
from live_sr.models.architectures.vq_autoencoder import Autoencoder
from live_sr.pipeline.engine_contracts import Cost

SCALE = 4
AUTOENCODER = "autoencoder_vq_f4.pth"
KAPPA = 2.0  # the noise at the end, as a multiple of what the latent picture varies by
LAST_SHIFT = 0.99  # square root of how much of the difference to the small picture is there at the end
POWER = 0.3  # how soon it grows
LEAST_NOISE = {4: 0.2, 15: 0.04}  # by the number of steps
TILE = 192  # pixels of the side of a tile
WORK_BYTES = 150 << 10  # held for a pixel of a tile: measured
SEED = 12345  # the noise is the same for every picture, and for every run
STEPS_IN_NAME = re.compile(r"_s(\d+)(?=[_.]|$)")


@dataclass(frozen=True)
class Schedule:
    """How much of the difference to the small picture is there after each step, from the first step: in 0..1."""

    shifts: tuple[float, ...]

    @classmethod
    def from_steps(cls, steps: int) -> Schedule:
        """The published schedule. Raises ValueError for a number of steps that none was published for."""
        if steps not in LEAST_NOISE:
            raise ValueError(f"its name says {steps} steps, and not 4 or 15")
        first = LEAST_NOISE[steps] / KAPPA
        growth = math.log(LAST_SHIFT / first)
        return cls(tuple((first * math.exp(growth * (at / (steps - 1)) ** POWER)) ** 2 for at in range(steps)))


class ResShift(nn.Module):
    """From RGB in 0..1, (1, 3, H, W) of any size, to (1, 3, 4 H, 4 W), not clamped."""

    def __init__(self, unet: UNet, autoencoder: Autoencoder, schedule: Schedule, tile: int = TILE) -> None:
        """tile: the side of tiles, a multiple of the U-Net's `multiple`; 0: the picture is not cut."""
        super().__init__()
        if autoencoder.scale != SCALE or autoencoder.shape.channels != unet.shape.channels:
            raise ValueError("its autoencoder is not the one that belongs to it")
        self.unet = unet
        self.autoencoder = autoencoder
        self.schedule = schedule
        self.tile = tile

    def forward(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[2:]
        padded = _pad(2 * picture - 1, self.unet.multiple)
        spans = [cut_side(side, self.tile, self.unet.multiple) for side in padded.shape[2:]]
        noise = self.make_noise(padded)
        made = padded.new_zeros(1, 3, SCALE * padded.shape[2], SCALE * padded.shape[3])
        for row, (top, bottom) in enumerate(spans[0]):
            for column, (left, right) in enumerate(spans[1]):
                here = (..., slice(top, bottom), slice(left, right))
                share = weigh(spans[0], row, SCALE)[:, None] * weigh(spans[1], column, SCALE)
                there = (..., slice(SCALE * top, SCALE * bottom), slice(SCALE * left, SCALE * right))
                made[there] += share.to(made) * self._enlarge(padded[here], noise[here])
        return (made[..., : SCALE * height, : SCALE * width] + 1) / 2

    def measure_cost(self, height: int, width: int) -> Cost:
        """For a picture of that size. Runs one step, and the autoencoder, on a small tile."""
        side = self.unet.multiple
        tile = torch.zeros(1, 3, side, side).to(next(self.parameters()))
        with torch.inference_mode():
            began = perf_counter()
            self.unet(tile, 0, tile)
            between = perf_counter()
            self.autoencoder.decode(self.autoencoder.encode(functional.interpolate(tile, scale_factor=SCALE)))
            ended = perf_counter()
        seconds = len(self.schedule.shifts) * (between - began) + ended - between
        rows, columns = (cut_side(one + -one % side, self.tile, side) for one in (height, width))
        pixels = sum(end - begin for begin, end in rows) * sum(end - begin for begin, end in columns)
        largest = (rows[0][1] - rows[0][0]) * (columns[0][1] - columns[0][0])
        weights = sum(4 * parameter.numel() for parameter in self.parameters())
        return Cost(seconds * pixels / side**2, weights + WORK_BYTES * largest + 24 * SCALE**2 * height * width)

    def _enlarge(self, picture: Tensor, noise: Tensor) -> Tensor:
        """A tile, in -1..1. noise: (steps, 1, channels, H, W)."""
        shifts = self.schedule.shifts
        large = functional.interpolate(picture, scale_factor=SCALE, mode="bicubic", align_corners=False)
        latent = self.autoencoder.encode(large) + KAPPA * shifts[-1] ** 0.5 * noise[-1]
        for step in reversed(range(len(shifts))):
            given = latent / math.sqrt(KAPPA**2 * shifts[step] + 1)
            sharp = self.unet(given, step, picture)
            if not step:
                latent = sharp
                break
            kept = shifts[step - 1] / shifts[step]
            latent = kept * latent + (1 - kept) * sharp
            latent = latent + KAPPA * math.sqrt(kept * (shifts[step] - shifts[step - 1])) * noise[step - 1]
        return self.autoencoder.decode(latent)

    def make_noise(self, padded: Tensor) -> Tensor:
        """For the beginning and after each step but the last: the last first. It belongs to places of the picture."""
        random = torch.Generator().manual_seed(SEED)
        sides = padded.shape[2:]
        shape = (len(self.schedule.shifts), 1, self.unet.shape.channels, *sides)
        return torch.randn(shape, generator=random).to(padded)


def find_steps(name: str) -> int:
    """How many steps a checkpoint takes, from its name; 15 if that does not say it."""
    found = STEPS_IN_NAME.search(name)
    return int(found[1]) if found else 15


def _pad(picture: Tensor, multiple: int) -> Tensor:
    """Mirrored to the right and below, to multiples of `multiple`; repeated where there is not enough to mirror."""
    height, width = picture.shape[2:]
    missing = (-width % multiple, -height % multiple)
    mirrors = missing[0] < width and missing[1] < height
    return functional.pad(picture, (0, missing[0], 0, missing[1]), "reflect" if mirrors else "replicate")
