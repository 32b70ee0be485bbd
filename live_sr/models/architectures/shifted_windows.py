"""Attention inside shifted windows of several frames (Liu et al., "Video Swin Transformer", 2021, arXiv 2106.13230).

RVRT is built of these layers. Frames are (T, C, H, W) outside, and (T, H, W, C) between the layers. Our own code; the
weights have the names of RVRT's checkpoints.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Window = tuple[int, int, int]
"""Frames, rows and columns."""

MASKED = -100.0  # added to the score of two pixels that are neighbours only because the picture was rolled


class FrameConv(nn.Conv3d):
    """A convolution of each frame by itself, (T, C, H, W), whose weights are stored as those of a 3D convolution."""

    def __init__(self, given: int, out: int, kernel: int = 3, groups: int = 1) -> None:
        around = kernel // 2
        super().__init__(given, out, (1, kernel, kernel), padding=(0, around, around), groups=groups)

    def forward(self, frames: Tensor) -> Tensor:
        around = self.kernel_size[1] // 2
        return functional.conv2d(frames, self.weight[:, :, 0], self.bias, padding=around, groups=self.groups)


class FrameRefiner(nn.Module):
    """A convolution, blocks of attention and two normalizations: (T, given, H, W) to (T, width, H, W)."""

    def __init__(
        self, given: int, width: int, heads: int, window: Window, blocks: int, depth: int, groups: int = 1
    ) -> None:
        super().__init__()
        made = [RefinerBlock(width, heads, window, depth) for _ in range(blocks)]
        self.main = nn.ModuleDict(  # numbered as in the checkpoints, where changes of layout lie between them
            {
                "1": FrameConv(given, width, groups=groups),
                "3": nn.LayerNorm(width),
                "5": nn.Sequential(*made),
                "7": nn.LayerNorm(width),
            }
        )

    def forward(self, frames: Tensor) -> Tensor:
        features = self.main["3"](self.main["1"](frames).permute(0, 2, 3, 1))
        refined: Tensor = self.main["7"](self.main["5"](features))
        return refined.permute(0, 3, 1, 2)


class RefinerBlock(nn.Module):
    def __init__(self, width: int, heads: int, window: Window, depth: int) -> None:
        super().__init__()
        layers = [WindowLayer(width, heads, window, shifted=bool(number % 2)) for number in range(depth)]
        self.residual_group = nn.ModuleDict({"blocks": nn.Sequential(*layers)})
        self.linear = nn.Linear(width, width)

    def forward(self, features: Tensor) -> Tensor:
        added: Tensor = features + self.linear(self.residual_group["blocks"](features))
        return added


class WindowLayer(nn.Module):
    """Attention in windows and a perceptron, (T, H, W, C). Every second layer has its windows moved by half a side."""

    def __init__(self, width: int, heads: int, window: Window, *, shifted: bool) -> None:
        super().__init__()
        self.window = window
        self.shift = (window[0] // 2, window[1] // 2, window[2] // 2) if shifted else (0, 0, 0)
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Perceptron(width, 2 * width)

    def forward(self, features: Tensor) -> Tensor:
        features = features + self._attend(self.norm1(features))
        added: Tensor = features + self.mlp(self.norm2(features))
        return added

    def _attend(self, features: Tensor) -> Tensor:
        frames, height, width, _ = features.shape
        sides = (frames, height, width)
        fits = [side <= window for side, window in zip(sides, self.window, strict=True)]
        window = tuple(min(pair) for pair in zip(sides, self.window, strict=True))
        shift = tuple(0 if whole else by for whole, by in zip(fits, self.shift, strict=True))
        missing = [-side % window for side, window in zip(sides, window, strict=True)]
        padded = functional.pad(features, (0, 0, 0, missing[2], 0, missing[1], 0, missing[0]))
        full = padded.shape[:3]
        mask = None
        if any(shift):
            padded = torch.roll(padded, [-by for by in shift], (0, 1, 2))
            mask = make_mask(full, window, shift).to(features)
        attended = join_windows(self.attn(split_windows(padded, window), mask), window, full)
        if any(shift):
            attended = torch.roll(attended, shift, (0, 1, 2))
        return attended[:frames, :height, :width]


class WindowAttention(nn.Module):
    """Attention among the pixels of each window, (windows, pixels, C), with a bias by their distance."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window: Window) -> None:
        super().__init__()
        self.heads = heads
        distances = (2 * window[0] - 1) * (2 * window[1] - 1) * (2 * window[2] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(distances, heads))
        self.register_buffer("relative_position_index", number_distances(window))
        self.qkv_self = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, pixels: Tensor, mask: Tensor | None = None) -> Tensor:
        count = pixels.shape[1]
        query, key, value = split_heads(self.qkv_self(pixels), self.heads)
        bias = self.relative_position_bias_table[self.relative_position_index[:count, :count]].permute(2, 0, 1)[None]
        if mask is not None:
            bias = bias + mask[:, None]
        made = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        projected: Tensor = self.proj(made.transpose(1, 2).flatten(2))
        return projected


class Perceptron(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, features: Tensor) -> Tensor:
        made: Tensor = self.fc2(functional.gelu(self.fc1(features)))
        return made


def split_heads(qkv: Tensor, heads: int) -> Tensor:
    """(windows, pixels, 3 C) to query, key and value, of each head: (3, windows, heads, pixels, C / heads)."""
    return qkv.reshape(*qkv.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)


def split_windows(features: Tensor, window: tuple[int, ...]) -> Tensor:
    """(T, H, W, C), multiples of the window, to (windows, pixels of a window, C)."""
    frames, height, width, channels = features.shape
    parts = features.reshape(
        frames // window[0], window[0], height // window[1], window[1], width // window[2], window[2], channels
    )
    return parts.permute(0, 2, 4, 1, 3, 5, 6).reshape(-1, window[0] * window[1] * window[2], channels)


def join_windows(windows: Tensor, window: tuple[int, ...], sides: tuple[int, ...]) -> Tensor:
    """The reverse of `split_windows`. sides: T, H and W."""
    counts = [side // part for side, part in zip(sides, window, strict=True)]
    parts = windows.reshape(*counts, *window, -1)
    return parts.permute(0, 3, 1, 4, 2, 5, 6).reshape(*sides, -1)


def number_distances(window: Window) -> Tensor:
    """The row of the bias table for each pair of pixels of a window: (pixels, pixels)."""
    places = np.array(list(product(*map(range, window))))
    apart = places[:, None] - places[None] + [side - 1 for side in window]
    rows, columns = 2 * window[1] - 1, 2 * window[2] - 1
    return torch.from_numpy(apart @ [rows * columns, columns, 1])


@lru_cache(maxsize=8)
def make_mask(sides: tuple[int, ...], window: tuple[int, ...], shift: tuple[int, ...]) -> Tensor:
    """(windows, pixels, pixels): MASKED for pairs from two sides of an edge at which the rolled frames were joined."""
    region = torch.zeros(sides)
    for axis, (side, part, by) in enumerate(zip(sides, window, shift, strict=True)):
        if by:
            place = torch.arange(side)
            along = (place >= side - part).long() + (place >= side - by).long()
            region = region * 3 + along.reshape([-1 if one == axis else 1 for one in range(3)])
    inside = split_windows(region[..., None], window)[..., 0]
    return torch.where(inside[:, None] == inside[:, :, None], 0.0, MASKED)
