"""The network of ResShift (resshift.py): a U-Net with attention in shifted windows.

It takes a noisy latent picture, the small picture itself, and how noisy the first one is, and estimates the latent
picture without noise. Our own code; the weights have the published names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from live_sr.models.architectures.shifted_windows import (
    join_windows,
    make_mask,
    number_distances,
    split_heads,
    split_windows,
)

GROUPS = 32  # of channels that are normalized together
WINDOW = 8
LONGEST_PERIOD = 10_000  # of the sines that stand for a step
TRAINED_SIDE = 64  # latent pixels
IGNORED = (".attn_mask", ".relative_position_index")  # computed here, for pictures of any size


@dataclass(frozen=True)
class UNetShape:
    """The published networks for super-resolution have the default.

    widths: channels at each size; each is half as large as the one before. attended, heads, depth: channels, heads and
    layers of the attention. channels: of latent pictures.
    """

    widths: tuple[int, ...] = (160, 320, 320, 640)
    blocks: int = 2
    attended: int = 192
    heads: int = 6
    depth: int = 2
    channels: int = 3


class UNet(nn.Module):
    """Sides must be multiples of `multiple`."""

    def __init__(self, shape: UNetShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.widths[0]
        self.time_embed = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(shape.channels + 3, width, 3, padding=1)])])
        kept = [width]
        for level, out in enumerate(shape.widths):
            for number in range(shape.blocks):
                self.input_blocks.append(self._make_step(kept[-1], level, attends=number == 0))
                kept.append(out)
            if level + 1 < len(shape.widths):
                self.input_blocks.append(nn.ModuleList([Halve(out)]))
                kept.append(out)
        last, top = len(shape.widths) - 1, shape.widths[-1]
        self.middle_block = self._make_step(top, last, attends=True)
        self.middle_block.append(NoiseBlock(top, top, 4 * width))
        given = top
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(len(shape.widths))):
            for number in range(shape.blocks + 1):
                step = self._make_step(given + kept.pop(), level, attends=number == 0)
                given = shape.widths[level]
                if level and number == shape.blocks:
                    step.append(Double(given))
                self.output_blocks.append(step)
        self.out = nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, shape.channels, 3, padding=1))

    @property
    def multiple(self) -> int:
        """So that each size consists of whole windows."""
        return int(WINDOW * 2 ** (len(self.shape.widths) - 1))

    def forward(self, noisy: Tensor, step: int, picture: Tensor) -> Tensor:
        """The latent picture without noise, (1, channels, H, W). picture: RGB in -1..1, (1, 3, H, W)."""
        time = self.time_embed(embed_step(step, self.shape.widths[0]).to(noisy))
        features = torch.cat([noisy, picture], 1)
        kept = []
        for parts in self.input_blocks:
            features = _run(parts, features, time)
            kept.append(features)
        features = _run(self.middle_block, features, time)
        for parts in self.output_blocks:
            features = _run(parts, torch.cat([features, kept.pop()], 1), time)
        made: Tensor = self.out(features)
        return made

    def _make_step(self, given: int, level: int, *, attends: bool) -> nn.ModuleList:
        shape, out = self.shape, self.shape.widths[level]
        parts: list[nn.Module] = [NoiseBlock(given, out, 4 * shape.widths[0])]
        if attends:
            whole = TRAINED_SIDE >> level <= WINDOW  # there its windows were the whole picture, and were not shifted
            parts.append(WindowedAttention(out, shape.attended, shape.heads, shape.depth, shifts=not whole))
        return nn.ModuleList(parts)


class NoiseBlock(nn.Module):
    """Two convolutions, added to what is given; between them it learns how noisy the picture is."""

    def __init__(self, given: int, out: int, time: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(GROUPS, given), nn.SiLU(), nn.Conv2d(given, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time, 2 * out))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, out), nn.SiLU(), nn.Identity(), nn.Conv2d(out, out, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if given == out else nn.Conv2d(given, out, 1)

    def forward(self, features: Tensor, time: Tensor) -> Tensor:
        gain, shift = self.emb_layers(time)[..., None, None].chunk(2, 1)
        inner = self.out_layers[0](self.in_layers(features)) * (1 + gain) + shift
        made: Tensor = self.skip_connection(features) + self.out_layers[1:](inner)
        return made


class Halve(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, 2, 1)

    def forward(self, features: Tensor) -> Tensor:
        made: Tensor = self.op(features)
        return made


class Double(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        made: Tensor = self.conv(functional.interpolate(features, scale_factor=2, mode="nearest"))
        return made


class WindowedAttention(nn.Module):
    """Layers of attention, between two convolutions of single pixels. (N, width, H, W)."""

    def __init__(self, width: int, attended: int, heads: int, depth: int, *, shifts: bool) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(width, attended, 1)})
        layers = [PictureWindowLayer(attended, heads, shifted=shifts and bool(number % 2)) for number in range(depth)]
        self.blocks = nn.Sequential(*layers)
        self.patch_unembed = nn.ModuleDict({"proj": nn.Conv2d(attended, width, 1)})

    def forward(self, features: Tensor) -> Tensor:
        made: Tensor = self.patch_unembed["proj"](self.blocks(self.patch_embed["proj"](features)))
        return made


class PictureWindowLayer(nn.Module):
    def __init__(self, width: int, heads: int, *, shifted: bool) -> None:
        super().__init__()
        self.shift = WINDOW // 2 if shifted else 0
        self.norm1 = nn.GroupNorm(GROUPS, width)
        self.attn = PictureWindowAttention(width, heads)
        self.norm2 = nn.GroupNorm(GROUPS, width)
        self.mlp = PixelPerceptron(width)

    def forward(self, features: Tensor) -> Tensor:
        features = features + self._attend(self.norm1(features))
        made: Tensor = features + self.mlp(self.norm2(features))
        return made

    def _attend(self, features: Tensor) -> Tensor:
        pixels = features.movedim(1, 3)
        window, sides = (1, WINDOW, WINDOW), pixels.shape[:3]
        mask = None
        if self.shift:
            pixels = pixels.roll((-self.shift, -self.shift), (1, 2))
            mask = make_mask(sides, window, (0, self.shift, self.shift)).to(features)
        attended = join_windows(self.attn(split_windows(pixels, window), mask), window, sides)
        if self.shift:
            attended = attended.roll((self.shift, self.shift), (1, 2))
        return attended.movedim(3, 1)


class PictureWindowAttention(nn.Module):
    """Attention among the pixels of each window, (windows, pixels, C), with a bias by their distance."""

    distances: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * WINDOW - 1) ** 2, heads))
        self.register_buffer("distances", number_distances((1, WINDOW, WINDOW)), persistent=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, pixels: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = split_heads(self.qkv(pixels), self.heads)
        bias = self.relative_position_bias_table[self.distances].permute(2, 0, 1)[None]
        if mask is not None:
            bias = bias + mask[:, None]
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        made: Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return made


class PixelPerceptron(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, 4 * width, 1)
        self.fc2 = nn.Conv2d(4 * width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        made: Tensor = self.fc2(functional.gelu(self.fc1(features)))
        return made


def embed_step(step: int, width: int) -> Tensor:
    """The step as cosines and sines of `width // 2` frequencies each: (1, width)."""
    half = width // 2
    angles = step * torch.exp(-math.log(LONGEST_PERIOD) * torch.arange(half) / half)
    return torch.cat([angles.cos(), angles.sin()])[None]


def _run(parts: nn.Module, features: Tensor, time: Tensor) -> Tensor:
    for part in parts.children():
        features = part(features, time) if isinstance(part, NoiseBlock) else part(features)
    return features


def is_resshift(state: Mapping[str, object]) -> bool:
    """Whether weights with these names are those of ResShift's network."""
    wanted = {"time_embed.0.weight", "middle_block.1.patch_embed.proj.weight", "output_blocks.0.0.in_layers.0.weight"}
    return wanted <= state.keys()


def infer_shape(state: Mapping[str, Tensor]) -> UNetShape:
    """The shape of the network with these weights. Raises KeyError for missing weights, ValueError for others."""
    inputs = len({name.split(".")[1] for name in state if name.startswith("input_blocks.")})
    halvings = sum(name.startswith("input_blocks.") and name.endswith(".op.weight") for name in state)
    blocks = (inputs - 1 - halvings) // (halvings + 1)
    first = [1 + level * (blocks + 1) for level in range(halvings + 1)]
    widths = tuple(state[f"input_blocks.{number}.0.out_layers.3.weight"].shape[0] for number in first)
    given, channels = state["input_blocks.0.0.weight"].shape[1], state["out.2.weight"].shape[0]
    if given != channels + 3:
        raise ValueError("it is a ResShift for another task than super-resolution")
    attended = state["middle_block.1.patch_embed.proj.weight"].shape[0]
    heads = state["middle_block.1.blocks.0.attn.relative_position_bias_table"].shape[1]
    depth = len({name.split(".")[3] for name in state if name.startswith("middle_block.1.blocks.")})
    return UNetShape(widths, blocks, attended, heads, depth, channels)


def build(state: Mapping[str, Tensor]) -> UNet:
    """The network with these weights. Raises KeyError, RuntimeError or ValueError for weights that do not fit."""
    net = UNet(infer_shape(state))
    net.load_state_dict({name: value for name, value in state.items() if not name.endswith(IGNORED)})
    return net.eval()
