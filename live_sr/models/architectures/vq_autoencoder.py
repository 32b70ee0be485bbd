"""VQGAN's autoencoder (Esser, Rombach and Ommer, 2021, arXiv 2012.09841) in the form of latent diffusion models.

It turns a picture into a small one of a few channels, and that back into a picture, whose pixels are first replaced by
the most similar ones of a list ("codes"). Our own code, written from the operations, names and shapes in the
repositories CompVis/latent-diffusion and zsyOAOA/ResShift; no line is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 32  # of channels that are normalized together
MOST_CHANNELS = 8  # of a latent picture
CHUNK = 2048  # pixels whose codes are looked up at once


@dataclass(frozen=True)
class AutoencoderShape:
    """ResShift's has the default. widths: channels at each size; each is half as large as the one before."""

    widths: tuple[int, ...] = (128, 256, 512)
    blocks: int = 2
    channels: int = 3
    codes: int = 8192


class Autoencoder(nn.Module):
    """Pictures are RGB in -1..1, (N, 3, H, W), H and W multiples of `scale`."""

    def __init__(self, shape: AutoencoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = PictureEncoder(shape)
        self.decoder = PictureDecoder(shape)
        self.quantize = nn.ModuleDict({"embedding": nn.Embedding(shape.codes, shape.channels)})
        self.quant_conv = nn.Conv2d(shape.channels, shape.channels, 1)
        self.post_quant_conv = nn.Conv2d(shape.channels, shape.channels, 1)

    @property
    def scale(self) -> int:
        """How many times smaller the latent picture is."""
        return int(2 ** (len(self.shape.widths) - 1))

    def encode(self, picture: Tensor) -> Tensor:
        """The latent picture: (N, channels, H / scale, W / scale)."""
        latent: Tensor = self.quant_conv(self.encoder(picture))
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """The picture of the codes that are most similar to the latent one."""
        picture: Tensor = self.decoder(self.post_quant_conv(self.choose_codes(latent)))
        return picture

    def choose_codes(self, latent: Tensor) -> Tensor:
        """The nearest code for each place of (1, C, H, W), in the same shape."""
        codes = self.quantize.get_parameter("embedding.weight")
        squares = codes.square().sum(1)
        pixels = latent.movedim(1, 3).reshape(-1, codes.shape[1])
        parts = pixels.chunk(-(-len(pixels) // CHUNK))
        nearest = [(squares - 2 * part @ codes.T).argmin(1) for part in parts]
        return codes[torch.cat(nearest)].reshape(latent.movedim(1, 3).shape).movedim(3, 1)


class PictureEncoder(nn.Module):
    def __init__(self, shape: AutoencoderShape) -> None:
        super().__init__()
        widths = (shape.widths[0], *shape.widths)
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        for level in range(len(shape.widths)):
            given, out = widths[level], widths[level + 1]
            blocks = [AutoencoderBlock(out if number else given, out) for number in range(shape.blocks)]
            parts: dict[str, nn.Module] = {"block": nn.Sequential(*blocks)}
            if level + 1 < len(shape.widths):
                parts["downsample"] = nn.ModuleDict({"conv": nn.Conv2d(out, out, 3, 2)})
            self.down.append(nn.ModuleDict(parts))
        self.mid = make_middle(widths[-1])
        self.norm_out = nn.GroupNorm(GROUPS, widths[-1], 1e-6)
        self.conv_out = nn.Conv2d(widths[-1], shape.channels, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        features = self.conv_in(picture)
        for level in list_levels(self.down):
            features = level["block"](features)
            if "downsample" in level:  # padded on the right and below only
                features = level.get_submodule("downsample.conv")(functional.pad(features, (0, 1, 0, 1)))
        features = run_middle(self.mid, features)
        made: Tensor = self.conv_out(functional.silu(self.norm_out(features)))
        return made


class PictureDecoder(nn.Module):
    def __init__(self, shape: AutoencoderShape) -> None:
        super().__init__()
        widths = (*shape.widths, shape.widths[-1])
        self.conv_in = nn.Conv2d(shape.channels, widths[-1], 3, padding=1)
        self.mid = make_middle(widths[-1])
        self.up = nn.ModuleList()  # as in the files, the largest size first
        for level in range(len(shape.widths)):
            given, out = widths[level + 1], widths[level]
            blocks = [AutoencoderBlock(out if number else given, out) for number in range(shape.blocks + 1)]
            parts: dict[str, nn.Module] = {"block": nn.Sequential(*blocks)}
            if level:
                parts["upsample"] = nn.ModuleDict({"conv": nn.Conv2d(out, out, 3, padding=1)})
            self.up.append(nn.ModuleDict(parts))
        self.norm_out = nn.GroupNorm(GROUPS, widths[0], 1e-6)
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        features = run_middle(self.mid, self.conv_in(latent))
        for level in reversed(list_levels(self.up)):
            features = level["block"](features)
            if "upsample" in level:
                features = level.get_submodule("upsample.conv")(
                    functional.interpolate(features, scale_factor=2, mode="nearest")
                )
        made: Tensor = self.conv_out(functional.silu(self.norm_out(features)))
        return made


class AutoencoderBlock(nn.Module):
    """Two convolutions, added to what is given."""

    def __init__(self, given: int, out: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, given, 1e-6)
        self.conv1 = nn.Conv2d(given, out, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, out, 1e-6)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(given, out, 1) if given != out else None

    def forward(self, features: Tensor) -> Tensor:
        added = self.conv1(functional.silu(self.norm1(features)))
        added = self.conv2(functional.silu(self.norm2(added)))
        made: Tensor = (features if self.nin_shortcut is None else self.nin_shortcut(features)) + added
        return made


class WholeAttention(nn.Module):
    """Of every pixel to all others."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width, 1e-6)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, features: Tensor) -> Tensor:
        given = self.norm(features)
        query, key, value = (layer(given).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        seen = functional.scaled_dot_product_attention(query, key, value)
        made: Tensor = features + self.proj_out(seen.transpose(1, 2).reshape(features.shape))
        return made


def make_middle(width: int) -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "block_1": AutoencoderBlock(width, width),
            "attn_1": WholeAttention(width),
            "block_2": AutoencoderBlock(width, width),
        }
    )


def run_middle(middle: nn.ModuleDict, features: Tensor) -> Tensor:
    for part in middle.values():
        features = part(features)
    return features


def list_levels(levels: nn.ModuleList) -> list[nn.ModuleDict]:
    return [level for level in levels if isinstance(level, nn.ModuleDict)]


def is_autoencoder(state: Mapping[str, Tensor]) -> bool:
    """Whether these weights are those of such an autoencoder. Those that restore faces have more latent channels."""
    wanted = {"quantize.embedding.weight", "encoder.conv_in.weight", "decoder.conv_out.weight"}
    if not wanted <= state.keys():
        return False
    codes = state["quantize.embedding.weight"]
    return codes.dim() == 2 and codes.shape[1] <= MOST_CHANNELS


def infer_shape(state: Mapping[str, Tensor]) -> AutoencoderShape:
    """The shape of the autoencoder with these weights. Raises KeyError for missing weights."""
    levels = len({name.split(".")[2] for name in state if name.startswith("encoder.down.")})
    blocks = len({name.split(".")[4] for name in state if name.startswith("encoder.down.0.block.")})
    widths = tuple(state[f"encoder.down.{level}.block.0.conv1.weight"].shape[0] for level in range(levels))
    codes, channels = state["quantize.embedding.weight"].shape
    return AutoencoderShape(widths, blocks, channels, codes)


def build(state: Mapping[str, Tensor]) -> Autoencoder:
    """The autoencoder with these weights. Raises KeyError, RuntimeError or ValueError for weights that do not fit."""
    net = Autoencoder(infer_shape(state))
    net.load_state_dict(dict(state))
    return net.eval()
