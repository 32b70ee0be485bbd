"""TecoGAN's generator (Chu, Xie, Mayer, Leal-Taixé and Thuerey, ACM TOG 39(4), 2020, arXiv 1811.09393): for videos.

It enlarges a frame with the help of what it made of the frame before, so that details stay where they are. That is
the frame-recurrent network of Sajjadi, Vemulapalli and Brown (FRVSR, 2018, arXiv 1801.04590): one network tells where
each pixel was in the frame before, the enlarged frame before is moved accordingly, and a second network makes the
new frame from both. Files of FRVSR and of TecoGAN differ in their training only, and both load here.

Written here from what the PyTorch repository skycrapers/TecoGAN-PyTorch tells of operations, names, shapes and settings
(10 residual blocks of 64 features, x4 and x2); no line is theirs. The names of the weights are those of that
repository, whose checkpoints (TecoGAN_4x_BD_Vimeo_iter500K.pth and so on) are the weights by name, without a wrapper.
The authors' own checkpoints, in thunil/TecoGAN, are TensorFlow's and are not read.
Licence: the authors' code is under Apache 2.0, and whether their weights are, they have not said (their issue 39);
no licence was found in skycrapers/TecoGAN-PyTorch, so ask before passing on what its weights have made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from live_sr.models.archs.recurrent import State

FASTEST = 24.0
"""Pixels of the small picture that something may move from frame to frame, as in the authors' code."""

KEYS = -0.75
"""The free parameter of cubic convolution (Keys 1981), as TensorFlow has it."""


@dataclass(frozen=True)
class Shape:
    """The published networks have the default, with scale 4 or 2.

    blurred: trained on pictures that were blurred and then thinned out ("BD"), and enlarges by bicubic interpolation
    what it adds details to; otherwise on MATLAB's bicubic reductions ("BI"), and by bilinear interpolation.
    """

    scale: int = 4
    width: int = 64
    blocks: int = 10
    blurred: bool = True


class TecoGAN(nn.Module):
    """A frame, RGB in 0..1, (N, 3, H, W), and what was before it, to the frame enlarged, about 0..1, not clamped.

    H and W are any from `least` up. At multiples of `multiple` nothing is filled up inside.
    """

    least = 8
    multiple = 8

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.upsample_func = Bicubic(shape.scale) if shape.blurred else Bilinear(shape.scale)
        self.fnet = Motion()
        self.srnet = Enlarger(shape, self.upsample_func)

    @property
    def scale(self) -> int:
        return self.shape.scale

    def begin(self, picture: Tensor) -> State:
        """What is before the first frame: black, as in training."""
        return State(torch.zeros_like(picture), picture.new_zeros(_enlarged(picture.shape, self.scale)))

    def step(self, picture: Tensor, state: State) -> tuple[Tensor, State]:
        """The frame enlarged, and the state for the next one. Neither argument is changed."""
        enlarged = self(picture, state.picture, state.enlarged)
        return enlarged, State(picture, enlarged)

    def forward(self, picture: Tensor, before: Tensor, enlarged_before: Tensor) -> Tensor:
        motion = self.fnet(picture, before)
        missing = [picture.shape[side] % self.multiple for side in (3, 2)]
        if any(missing):  # what is left of the last 8 pixels is as the motion beside it, mirrored
            motion = functional.pad(motion, (0, missing[0], 0, missing[1]), "reflect")
        there = moved(enlarged_before, self.scale * self.upsample_func(motion))
        made: Tensor = self.srnet(picture, gathered(there, self.scale))
        return made


class Motion(nn.Module):
    """Where each pixel of a picture was in the one before: (N, 2, H, W), pixels to the right and down.

    H and W are those of the picture, less what is beyond a multiple of 8.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder1 = nn.Sequential(*_pair(6, 32), nn.MaxPool2d(2))
        self.encoder2 = nn.Sequential(*_pair(32, 64), nn.MaxPool2d(2))
        self.encoder3 = nn.Sequential(*_pair(64, 128), nn.MaxPool2d(2))
        self.decoder1 = nn.Sequential(*_pair(128, 256))
        self.decoder2 = nn.Sequential(*_pair(256, 128))
        self.decoder3 = nn.Sequential(*_pair(128, 64))
        self.flow = nn.Sequential(*_pair(64, 32, 2)[:-1])

    def forward(self, picture: Tensor, before: Tensor) -> Tensor:
        features = self.encoder3(self.encoder2(self.encoder1(torch.cat([picture, before], 1))))
        for decoder in (self.decoder1, self.decoder2, self.decoder3):
            features = functional.interpolate(decoder(features), scale_factor=2, mode="bilinear", align_corners=False)
        return torch.tanh(self.flow(features)) * FASTEST


class Enlarger(nn.Module):
    """The frame and the moved one before it, gathered to its size, to the enlarged frame: details on an interpolation.

    `interpolated` is the whole network's; its kernels are in published files under both names.
    """

    def __init__(self, shape: Shape, interpolated: nn.Module) -> None:
        super().__init__()
        width = shape.width
        self.conv_in = nn.Sequential(nn.Conv2d(3 * (shape.scale**2 + 1), width, 3, padding=1), nn.ReLU())
        self.resblocks = nn.Sequential(*(Residual(width) for _ in range(shape.blocks)))
        steps: list[nn.Module] = []
        for _ in range(shape.scale.bit_length() - 1):
            steps += [nn.ConvTranspose2d(width, width, 3, 2, 1, output_padding=1), nn.ReLU()]
        self.conv_up = nn.Sequential(*steps)
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)
        self.upsample_func = interpolated

    def forward(self, picture: Tensor, before: Tensor) -> Tensor:
        features = self.resblocks(self.conv_in(torch.cat([picture, before], 1)))
        made: Tensor = self.conv_out(self.conv_up(features)) + self.upsample_func(picture)
        return made


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, features: Tensor) -> Tensor:
        added: Tensor = self.conv(features) + features
        return added


class Bicubic(nn.Module):
    """Cubic convolution, with the first of each `scale` new pixels on the old one, as TensorFlow 1 has it."""

    kernels: Tensor

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        behind = torch.arange(scale)[:, None] / scale  # how far each new pixel is behind the old one
        self.register_buffer("kernels", _cubic((behind - torch.arange(-1, 3)).abs()))

    def forward(self, picture: Tensor) -> Tensor:
        around = functional.pad(picture, (1, 2, 1, 2), "replicate").flatten(0, 1).unsqueeze(1)  # each channel alone
        both = (self.kernels[:, None, :, None] * self.kernels[None, :, None, :]).reshape(-1, 1, 4, 4)
        enlarged = functional.pixel_shuffle(functional.conv2d(around, both), self.scale)
        return enlarged.reshape(picture.shape[0], -1, *enlarged.shape[2:])


class Bilinear(nn.Module):
    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, picture: Tensor) -> Tensor:
        return functional.interpolate(picture, scale_factor=self.scale, mode="bilinear", align_corners=False)


def moved(picture: Tensor, motion: Tensor) -> Tensor:
    """The picture looked up at each pixel's place plus its motion, between pixels bilinearly, beyond the edge its edge.

    picture: (N, C, H, W). motion: (N, 2, H, W), pixels to the right and down.
    """
    height, width = picture.shape[2:]
    right = torch.arange(width, device=motion.device, dtype=motion.dtype) + motion[:, 0]
    down = torch.arange(height, device=motion.device, dtype=motion.dtype)[:, None] + motion[:, 1]
    places = torch.stack([2 * right / (width - 1) - 1, 2 * down / (height - 1) - 1], 3)
    return functional.grid_sample(picture, places, mode="bilinear", padding_mode="border", align_corners=True)


def gathered(picture: Tensor, scale: int) -> Tensor:
    """(N, C, H, W) to (N, scale * scale * C, H / scale, W / scale): by row of the cell, column of the cell, channel.

    PyTorch's own pixel_unshuffle has the channel first.
    """
    count, channels = picture.shape[:2]
    cells = functional.pixel_unshuffle(picture, scale)
    sides = cells.shape[2:]
    return cells.reshape(count, channels, scale * scale, *sides).transpose(1, 2).reshape(count, -1, *sides)


def recognised(state: Mapping[str, object]) -> bool:
    """Whether weights with these names are TecoGAN's or FRVSR's."""
    return all(
        f"{name}.weight" in state for name in ("fnet.encoder1.0", "fnet.flow.2", "srnet.conv_in.0", "srnet.conv_out")
    )


def shape_of(state: Mapping[str, Tensor]) -> Shape:
    """What the weights are of. Raises KeyError for missing weights, ValueError for a scale that nothing enlarges by."""
    width, channels = state["srnet.conv_in.0.weight"].shape[:2]
    blocks = {name.split(".")[2] for name in state if name.startswith("srnet.resblocks.")}
    scale = math.isqrt(max(0, channels // 3 - 1))
    steps = sum(name.startswith("srnet.conv_up.") and name.endswith(".weight") for name in state)
    if scale != 2**steps or channels != 3 * (scale**2 + 1):
        raise ValueError(f"it enlarges {2**steps} times and takes {channels} channels, which do not belong together")
    return Shape(scale, width, len(blocks), "upsample_func.kernels" in state)


def built(state: Mapping[str, Tensor]) -> TecoGAN:
    """The network with these weights. Raises KeyError, RuntimeError or ValueError for weights that do not fit."""
    net = TecoGAN(shape_of(state))
    net.load_state_dict(dict(state))
    return net.eval()


def _pair(given: int, width: int, out: int = 0) -> list[nn.Module]:
    first, second = nn.Conv2d(given, width, 3, padding=1), nn.Conv2d(width, out or width, 3, padding=1)
    return [first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2)]


def _cubic(distance: Tensor) -> Tensor:
    """The weight of a pixel at a distance of 0 to 2 (Keys 1981, with `KEYS` for its -1/2)."""
    near = (KEYS + 2) * distance**3 - (KEYS + 3) * distance**2 + 1
    far = KEYS * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return torch.where(distance <= 1, near, far)


def _enlarged(shape: torch.Size, scale: int) -> tuple[int, ...]:
    return shape[0], shape[1], shape[2] * scale, shape[3] * scale
