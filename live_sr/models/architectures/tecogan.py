"""TecoGAN's generator (Chu, Xie, Mayer, Leal-Taixé and Thuerey, ACM TOG 39(4), 2020, arXiv 1811.09393): for videos.

It enlarges a frame with the help of its own result for the previous frame, so that details stay in place. This is the
frame-recurrent network of Sajjadi, Vemulapalli and Brown (FRVSR, 2018, arXiv 1801.04590): one network estimates where
each pixel was in the previous frame, the previous result is warped accordingly, and a second network makes the new
frame from both. FRVSR and TecoGAN differ only in their training, and files of both load here.

Our own code, written from the operations, names, shapes and settings in the PyTorch repository
skycrapers/TecoGAN-PyTorch (10 residual blocks of 64 features, x4 and x2); no line is theirs. The weights have the names
of that repository, whose checkpoints (TecoGAN_4x_BD_Vimeo_iter500K.pth and others) hold the weights by name, without a
wrapper. The authors' own checkpoints, in thunil/TecoGAN, are TensorFlow's and cannot be read.
Licence: the authors' code is under Apache 2.0. They have not said whether their weights are, too (their issue 39). No
licence was found in skycrapers/TecoGAN-PyTorch: ask before you pass on results of its weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from live_sr.models.architectures.recurrent import RecurrentState

LARGEST_MOTION = 24.0
"""Pixels of the small picture by which things may move from frame to frame, as in the authors' code."""

KEYS_PARAMETER = -0.75
"""The free parameter of cubic convolution (Keys 1981), as in TensorFlow."""


@dataclass(frozen=True)
class TecoGANShape:
    """The published networks have the default, with scale 4 or 2.

    blurred: the network was trained on pictures that were blurred and then subsampled ("BD"), and adds details to a
    bicubic interpolation. Otherwise on MATLAB's bicubic reductions ("BI"), and adds them to a bilinear one.
    """

    scale: int = 4
    width: int = 64
    blocks: int = 10
    blurred: bool = True


class TecoGAN(nn.Module):
    """From a frame, RGB in 0..1, (N, 3, H, W), and the state before it to the enlarged frame, about 0..1, not clamped.

    H and W are any from `least` up. At multiples of `multiple` nothing is padded inside.
    """

    least = 8
    multiple = 8

    def __init__(self, shape: TecoGANShape) -> None:
        super().__init__()
        self.shape = shape
        self.upsample_func = BicubicUpsample(shape.scale) if shape.blurred else BilinearUpsample(shape.scale)
        self.fnet = MotionNet()
        self.srnet = UpscaleNet(shape, self.upsample_func)

    @property
    def scale(self) -> int:
        return self.shape.scale

    def begin(self, picture: Tensor) -> RecurrentState:
        """The state before the first frame: black, as in training."""
        return RecurrentState(torch.zeros_like(picture), picture.new_zeros(_enlarge_shape(picture.shape, self.scale)))

    def step(self, picture: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """The frame enlarged, and the state for the next one. Neither argument is changed."""
        enlarged = self(picture, state.picture, state.enlarged)
        return enlarged, RecurrentState(picture, enlarged)

    def forward(self, picture: Tensor, before: Tensor, enlarged_before: Tensor) -> Tensor:
        motion = self.fnet(picture, before)
        missing = [picture.shape[side] % self.multiple for side in (3, 2)]
        if any(missing):  # the motion of the last, incomplete 8 pixels is mirrored from beside them
            motion = functional.pad(motion, (0, missing[0], 0, missing[1]), "reflect")
        there = warp(enlarged_before, self.scale * self.upsample_func(motion))
        made: Tensor = self.srnet(picture, space_to_depth(there, self.scale))
        return made


class MotionNet(nn.Module):
    """Where each pixel of a picture was in the previous one: (N, 2, H, W), pixels to the right and down.

    H and W are those of the picture, rounded down to multiples of 8.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder1 = nn.Sequential(*_make_conv_pair(6, 32), nn.MaxPool2d(2))
        self.encoder2 = nn.Sequential(*_make_conv_pair(32, 64), nn.MaxPool2d(2))
        self.encoder3 = nn.Sequential(*_make_conv_pair(64, 128), nn.MaxPool2d(2))
        self.decoder1 = nn.Sequential(*_make_conv_pair(128, 256))
        self.decoder2 = nn.Sequential(*_make_conv_pair(256, 128))
        self.decoder3 = nn.Sequential(*_make_conv_pair(128, 64))
        self.flow = nn.Sequential(*_make_conv_pair(64, 32, 2)[:-1])

    def forward(self, picture: Tensor, before: Tensor) -> Tensor:
        features = self.encoder3(self.encoder2(self.encoder1(torch.cat([picture, before], 1))))
        for decoder in (self.decoder1, self.decoder2, self.decoder3):
            features = functional.interpolate(decoder(features), scale_factor=2, mode="bilinear", align_corners=False)
        return torch.tanh(self.flow(features)) * LARGEST_MOTION


class UpscaleNet(nn.Module):
    """From the frame and the warped previous result, as cells of the frame's size, to the enlarged frame.

    It adds details to an interpolation. `interpolated` is shared with the whole network; published files hold its
    kernels under both names.
    """

    def __init__(self, shape: TecoGANShape, interpolated: nn.Module) -> None:
        super().__init__()
        width = shape.width
        self.conv_in = nn.Sequential(nn.Conv2d(3 * (shape.scale**2 + 1), width, 3, padding=1), nn.ReLU())
        self.resblocks = nn.Sequential(*(ResidualBlock(width) for _ in range(shape.blocks)))
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


class ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, features: Tensor) -> Tensor:
        added: Tensor = self.conv(features) + features
        return added


class BicubicUpsample(nn.Module):
    """Cubic convolution. The first of each `scale` new pixels is on the old one, as in TensorFlow 1."""

    kernels: Tensor

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        behind = torch.arange(scale)[:, None] / scale  # how far each new pixel is behind the old one
        self.register_buffer("kernels", _compute_cubic_weights((behind - torch.arange(-1, 3)).abs()))

    def forward(self, picture: Tensor) -> Tensor:
        around = functional.pad(picture, (1, 2, 1, 2), "replicate").flatten(0, 1).unsqueeze(1)  # each channel by itself
        both = (self.kernels[:, None, :, None] * self.kernels[None, :, None, :]).reshape(-1, 1, 4, 4)
        enlarged = functional.pixel_shuffle(functional.conv2d(around, both), self.scale)
        return enlarged.reshape(picture.shape[0], -1, *enlarged.shape[2:])


class BilinearUpsample(nn.Module):
    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, picture: Tensor) -> Tensor:
        return functional.interpolate(picture, scale_factor=self.scale, mode="bilinear", align_corners=False)


def warp(picture: Tensor, motion: Tensor, beyond: str = "border") -> Tensor:
    """Samples the picture at each pixel's position plus its motion: bilinearly.

    picture: (N, C, H, W). motion: (N, 2, H, W), pixels to the right and down. beyond: what is beyond the picture:
    "border", its edge repeated, or "zeros".
    """
    height, width = picture.shape[2:]
    right = torch.arange(width, device=motion.device) + widen(motion[:, 0])
    down = torch.arange(height, device=motion.device)[:, None] + widen(motion[:, 1])
    places = torch.stack([2 * right / max(width - 1, 1) - 1, 2 * down / max(height - 1, 1) - 1], 3)
    sampled = functional.grid_sample(widen(picture), places, mode="bilinear", padding_mode=beyond, align_corners=True)
    return sampled.to(picture)


def widen(numbers: Tensor) -> Tensor:
    """At least fp32: bf16 counts the columns of a picture only to 256, and fp16 to 2048."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))


def space_to_depth(picture: Tensor, scale: int) -> Tensor:
    """(N, C, H, W) to (N, scale * scale * C, H / scale, W / scale): by row of the cell, column of the cell, channel.

    PyTorch's own pixel_unshuffle has the channel first.
    """
    count, channels = picture.shape[:2]
    cells = functional.pixel_unshuffle(picture, scale)
    sides = cells.shape[2:]
    return cells.reshape(count, channels, scale * scale, *sides).transpose(1, 2).reshape(count, -1, *sides)


def is_tecogan(state: Mapping[str, object]) -> bool:
    """Whether weights with these names are TecoGAN's or FRVSR's."""
    return all(
        f"{name}.weight" in state for name in ("fnet.encoder1.0", "fnet.flow.2", "srnet.conv_in.0", "srnet.conv_out")
    )


def infer_shape(state: Mapping[str, Tensor]) -> TecoGANShape:
    """The shape of the network with these weights. Raises KeyError for missing weights, ValueError for wrong ones."""
    width, channels = state["srnet.conv_in.0.weight"].shape[:2]
    blocks = {name.split(".")[2] for name in state if name.startswith("srnet.resblocks.")}
    scale = math.isqrt(max(0, channels // 3 - 1))
    steps = sum(name.startswith("srnet.conv_up.") and name.endswith(".weight") for name in state)
    if scale != 2**steps or channels != 3 * (scale**2 + 1):
        raise ValueError(f"it enlarges {2**steps} times and takes {channels} channels, which do not belong together")
    return TecoGANShape(scale, width, len(blocks), "upsample_func.kernels" in state)


def build(state: Mapping[str, Tensor]) -> TecoGAN:
    """The network with these weights. Raises KeyError, RuntimeError or ValueError for weights that do not fit."""
    net = TecoGAN(infer_shape(state))
    net.load_state_dict(dict(state))
    return net.eval()


def _make_conv_pair(given: int, width: int, out: int = 0) -> list[nn.Module]:
    first, second = nn.Conv2d(given, width, 3, padding=1), nn.Conv2d(width, out or width, 3, padding=1)
    return [first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2)]


def _compute_cubic_weights(distance: Tensor) -> Tensor:
    """The weight of a pixel at a distance of 0 to 2 (Keys 1981, with KEYS_PARAMETER for its -1/2)."""
    near = (KEYS_PARAMETER + 2) * distance**3 - (KEYS_PARAMETER + 3) * distance**2 + 1
    far = KEYS_PARAMETER * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return torch.where(distance <= 1, near, far)


def _enlarge_shape(shape: torch.Size, scale: int) -> tuple[int, ...]:
    return shape[0], shape[1], shape[2] * scale, shape[3] * scale
