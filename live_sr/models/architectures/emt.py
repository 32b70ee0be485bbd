"""EMT, the Efficient Mixed Transformer (Zheng, Zhu, Shi and Weng 2023, arXiv 2305.11403): a lightweight upscaler.

Our own code, written from the operations, names, shapes and settings in its authors' repositories; no line is theirs.
The weights have their published names, so that a published checkpoint loads as it is.

The mean colour of the training set is subtracted from a picture of 0..255, one convolution turns it into `width`
features, and `blocks` mixed transformer blocks follow. Each layer of a block adds two terms to the features: pixels
mixed with other pixels, and then features mixed with each other. The first `attending` layers of a block mix pixels by
attention in striped windows, half of the channels in tall ones and half in wide ones. The others use a pixel mixer,
which has no weights: it shifts each channel by one pixel or by none.

Published are x2, x3 and x4 of one shape (`EMTShape()`), as "params" of EMT_LSR_x2.pth in the repository
Fried-Rice-Lab/EMT and of EMT_LSR_x3.pth and EMT_LSR_x4.pth in Fried-Rice-Lab/FriedRiceLab, folder modelzoo/EMT.
Licence: both repositories, weights included, are under the MIT licence ((c) 2023 Fried Rice Lab; (c) 2022 jinpeng.s).
The weights were trained on DIV2K and Flickr2K; DIV2K's pictures are licensed for academic research.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

Sides = tuple[int, int]  # height and width

MEAN = (0.4690, 0.4490, 0.4036)
"""Mean of red, green and blue over DIV2K and Flickr2K, of full scale 1, which the authors subtract."""

NEIGHBOURS = ((1, 2), (1, 0), (2, 1), (0, 1), (1, 1))
"""Row and column in the 3x3 neighbourhood from which each of the five groups of channels takes its value: right, left,
below, above, and the pixel itself."""


@dataclass(frozen=True)
class EMTShape:
    """The size of a network; the default is the published one.

    attending: the first layers of each block, which have attention. classical: the picture is enlarged by several
    convolutions instead of one, as in the authors' code for large networks. levels: the value of white.
    """

    scale: int = 4
    width: int = 60
    blocks: int = 6
    layers: int = 6
    attending: int = 2
    ratio: int = 2  # of the features inside the second half of a layer to the width
    heads: int = 3
    windows: tuple[Sides, ...] = ((32, 8), (8, 32))
    classical: bool = False
    levels: float = 255.0


class EMT(nn.Module):
    """RGB in 0..1, (N, 3, H, W), to RGB of about 0..1, (N, 3, H * scale, W * scale).

    H and W are any from `least` up: what does not fill a window is padded by reflection inside, as published. At
    multiples of `multiple` nothing is padded.
    """

    def __init__(self, shape: EMTShape) -> None:
        super().__init__()
        self.shape = shape
        self.window_size = sorted({side for window in shape.windows for side in window})
        self.sub_mean = MeanShift(-shape.levels)
        self.add_mean = MeanShift(shape.levels)
        self.head = nn.Conv2d(3, shape.width, 3, padding=1)
        self.body = nn.Sequential(*(MixedTransformerBlock(shape) for _ in range(shape.blocks)))
        self.tail = nn.Sequential(*_make_upsampler(shape))

    @property
    def multiple(self) -> int:
        return math.lcm(*self.window_size)

    @property
    def least(self) -> int:
        """The fewest pixels a side that reflection can pad to the longest window."""
        return max(self.window_size) // 2 + 1

    def forward(self, picture: Tensor) -> Tensor:
        first = self.head(self.sub_mean(picture * self.shape.levels))
        enlarged: Tensor = self.add_mean(self.tail(self.body(first) + first))
        return enlarged / self.shape.levels


class MeanShift(nn.Module):
    """Adds the mean colour or subtracts it; in the file a 1x1 convolution, not trained."""

    weight: Tensor
    bias: Tensor

    def __init__(self, levels: float) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(3)[..., None, None])
        self.register_buffer("bias", torch.tensor(MEAN) * levels)

    def forward(self, picture: Tensor) -> Tensor:
        return functional.conv2d(picture, self.weight, self.bias)


class MixedTransformerBlock(nn.Module):
    """A mixed transformer block: layers with attention, then layers with a pixel mixer."""

    def __init__(self, shape: EMTShape) -> None:
        super().__init__()
        self.sa_list = nn.ModuleList(
            StripedAttention(shape, shifted=n % 2 == 1) if n < shape.attending else PixelMixer(shape.width)
            for n in range(shape.layers)
        )
        self.mlp_list = nn.ModuleList(ChannelMixer(shape.width, shape.ratio) for _ in range(shape.layers))

    def forward(self, features: Tensor) -> Tensor:
        for pixels, channels in zip(self.sa_list, self.mlp_list, strict=True):
            features = features + pixels(features)
            features = features + channels(features)
        return features


class StripedAttention(nn.Module):
    """Attention in striped windows. Queries and keys are the same, and the products are not scaled.

    The channels are split among the kinds of windows; `shifted` moves each by half a window, cyclically.
    """

    def __init__(self, shape: EMTShape, *, shifted: bool) -> None:
        super().__init__()
        self.heads = shape.heads
        self.windows = shape.windows
        self.shifted = shifted
        self.attn = nn.Sequential(nn.Conv2d(shape.width, 2 * shape.width, 1), nn.BatchNorm2d(2 * shape.width))
        self.proj = nn.Sequential(nn.Conv2d(shape.width, shape.width, 1))

    def forward(self, features: Tensor) -> Tensor:
        parts = self.attn(features).chunk(len(self.windows), 1)
        seen = [self._attend(part, window) for part, window in zip(parts, self.windows, strict=True)]
        projected: Tensor = self.proj(torch.cat(seen, 1))
        return projected

    def _attend(self, part: Tensor, window: Sides) -> Tensor:
        """(N, 2 * C, H, W), queries and values, to (N, C, H, W)."""
        height, width = part.shape[2:]
        below, right = -height % window[0], -width % window[1]
        if below or right:
            part = functional.pad(part, (0, right, 0, below), "reflect")
        half = (window[0] // 2, window[1] // 2)
        if self.shifted:
            part = torch.roll(part, half, (2, 3))
        rows, columns = part.shape[2] // window[0], part.shape[3] // window[1]
        queries, values = (_split_into_windows(each, self.heads, window, rows, columns) for each in part.chunk(2, 1))
        mixed = functional.scaled_dot_product_attention(queries, queries, values, scale=1.0)
        mixed = mixed.reshape(-1, rows, columns, *window, mixed.shape[-1]).permute(0, 5, 1, 3, 2, 4)
        whole = mixed.reshape(part.shape[0], -1, part.shape[2], part.shape[3])
        if self.shifted:
            whole = torch.roll(whole, (-half[0], -half[1]), (2, 3))
        return whole[..., :height, :width] if below or right else whole


class PixelMixer(nn.Module):
    """The change when each channel is shifted by one pixel or by none, cyclically; normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token_mixer = ChannelShift(width)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        normal: Tensor = self.norm(self.token_mixer(features) - features)
        return normal


class ChannelShift(nn.Module):
    """Channel n takes the value of `NEIGHBOURS[n % 5]`; stored in the file as kernels."""

    mask: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mask", _make_shift_kernels([n % 5 for n in range(width)]))

    def forward(self, features: Tensor) -> Tensor:
        around = functional.pad(features, (1, 1, 1, 1), "circular")
        return functional.conv2d(around, self.mask, groups=self.mask.shape[0])


class ChannelMixer(nn.Module):
    """Mixes the features of a pixel and of its neighbours: the second half of a layer."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.fc1 = ShiftedConvolution(width, width * ratio)
        self.fc2 = ShiftedConvolution(width * ratio, width)

    def forward(self, features: Tensor) -> Tensor:
        mixed: Tensor = self.fc2(functional.silu(self.fc1(features)))
        return mixed


class ShiftedConvolution(nn.Conv2d):
    """A 1x1 convolution of five groups of channels, four of them shifted by a pixel: it sees a cross of five pixels."""

    mask: Tensor

    def __init__(self, width: int, out: int) -> None:
        super().__init__(width, out, 1)
        self.register_buffer("mask", _make_shift_kernels([5 * n // width for n in range(width)]))

    def forward(self, features: Tensor) -> Tensor:
        moved = functional.conv2d(features, self.mask, padding=1, groups=self.in_channels)
        return functional.conv2d(moved, self.weight, self.bias)


def is_emt(state: Mapping[str, object]) -> bool:
    """Whether weights with these names are EMT's: attention before pixel mixers, and shifted convolutions."""
    needed = ("sub_mean.bias", "head.weight", "body.0.sa_list.0.attn.0.weight", "body.0.mlp_list.0.fc1.mask")
    return all(name in state for name in (*needed, "tail.0.weight")) and any(
        name.startswith("body.0.sa_list.") and name.endswith(".token_mixer.mask") for name in state
    )


def infer_shape(state: Mapping[str, Tensor]) -> EMTShape:
    """The shape of the network with these weights. A file does not show heads and windows: the published ones are used.

    Raises KeyError or ValueError for weights that fit no shape.
    """
    published = EMTShape()
    mixers = {name.removesuffix(".norm.weight") for name in state if name.endswith(".norm.weight")}
    layers = _count_numbered(state, "body.0.mlp_list.")
    width = state["head.weight"].shape[0]
    enlarging = sorted(name for name in state if name.startswith("tail.") and name.endswith(".weight"))
    steps = [state[name].shape[0] // width for name in enlarging[:-1]]  # each enlarges by the square root of this
    classical = len(enlarging) > 1
    scale = math.isqrt(math.prod(steps) if classical else state["tail.0.weight"].shape[0] // 3)
    shape = EMTShape(
        scale,
        width,
        _count_numbered(state, "body."),
        layers,
        layers - sum(name.startswith("body.0.") for name in mixers),
        state["body.0.mlp_list.0.fc1.weight"].shape[0] // width,
        published.heads,
        published.windows,
        classical,
        255.0 if float(state["sub_mean.bias"].abs().max()) > 1 else 1.0,
    )
    if width % 5 or width % (len(shape.windows) * shape.heads):
        raise ValueError(f"{width} features cannot be divided among five neighbours, or among windows and heads")
    return shape


def _count_numbered(state: Mapping[str, object], prefix: str) -> int:
    """One more than the largest number that follows `prefix` in a name."""
    return 1 + max(int(name[len(prefix) :].split(".")[0]) for name in state if name.startswith(prefix))


def _make_shift_kernels(groups: list[int]) -> Tensor:
    """(len(groups), 1, 3, 3): for each channel a one where its group takes its value from."""
    kernels = torch.zeros(len(groups), 1, 3, 3)
    for channel, group in enumerate(groups):
        kernels[channel, 0, *NEIGHBOURS[group]] = 1
    return kernels


def _split_into_windows(part: Tensor, heads: int, window: Sides, rows: int, columns: int) -> Tensor:
    """(N, C, H, W) to (N * heads, windows, pixels of a window, C / heads)."""
    each = part.reshape(-1, part.shape[1] // heads, rows, window[0], columns, window[1])
    return each.permute(0, 2, 4, 3, 5, 1).reshape(-1, rows * columns, math.prod(window), part.shape[1] // heads)


def _make_upsampler(shape: EMTShape) -> list[nn.Module]:
    if not shape.classical:
        return [nn.Conv2d(shape.width, 3 * shape.scale**2, 3, padding=1), nn.PixelShuffle(shape.scale)]
    factors = [3] if shape.scale == 3 else [2] * (shape.scale.bit_length() - 1)
    steps: list[nn.Module] = []
    for factor in factors:
        steps += [nn.Conv2d(shape.width, shape.width * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
    return [*steps, nn.Conv2d(shape.width, 3, 3, padding=1)]
