"""A network from somebody's PyTorch file, ready to run, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from live_sr.errors import ModelError
from live_sr.models.architectures.frame_sequence import LevelSequence
from live_sr.models.card import ModelCard
from live_sr.pipeline.engine_contracts import Cost
from live_sr.pipeline.frame import Pixels, Size, make_black

REMEDY = "use weights of a network from RGB to RGB that spandrel lists, or get the file again"
PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class PublishedNetwork:
    """A network from a file, ready to run.

    run: takes RGB in 0..1, (1, 3, H, W) of any size, and returns it upscaled. module: holds the weights. multiple: the
    network pads H and W to multiples of it. least: the smallest side in pixels. begin: must be called before the first
    frame of a shot if the network remembers earlier frames. open_sequence: for networks that need several frames of a
    video: begins one, in tiles of that side (0: the usual one, -1: none), where frames can be cut. measure_cost: for
    very slow networks: tries how long a picture of that height and width takes.
    """

    run: Callable[[Tensor], Tensor]
    module: nn.Module
    card: ModelCard
    precisions: tuple[str, ...] = PRECISIONS
    multiple: int = 1
    least: int = 1
    begin: Callable[[], None] = lambda: None
    open_sequence: Callable[[int], LevelSequence] | None = None
    measure_cost: Callable[[int, int], Cost] | None = None

    def upscale(self, pixels: Pixels) -> Pixels:
        """A new picture, `scale` times larger, computed in fp32. Raises RuntimeError as PyTorch does."""
        rgb = torch.from_numpy(np.ascontiguousarray(pixels[..., 2::-1])).permute(2, 0, 1)[None] / 255
        with torch.inference_mode():
            levels = self.run(rgb)[0].mul(255).round_().clamp_(0, 255).byte()
        done = make_black(Size(levels.shape[2], levels.shape[1]))
        torch.from_numpy(done)[..., :3].copy_(levels.flip(0).permute(1, 2, 0))
        return done


def count_macs(run: Callable[[Tensor], Tensor], module: nn.Module, side: int = 64) -> int:
    """Multiply-adds per input pixel of the convolutions and linear layers, for a picture of `side` x `side`.

    The products inside attention are not counted.
    """
    counted = []

    def count(layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        weight = layer.get_parameter("weight")
        if isinstance(layer, nn.Linear):
            counted.append(made.numel() * weight.shape[1])
        else:  # each position that the kernel is applied to is multiplied by all its weights
            positions = given[0] if isinstance(layer, nn.ConvTranspose2d) else made
            counted.append(math.prod(positions.shape[2:]) * weight.numel())

    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.inference_mode():
            run(torch.zeros(1, 3, side, side))
    finally:
        for hook in hooks:
            hook.remove()
    return round(sum(counted) / side**2)


def make_load_error(path: Path, error: Exception) -> ModelError:
    """For a file whose weights broke the code that was to use them."""
    lines = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
    what = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]  # PyTorch names the weights in the second line
    return ModelError(f"{path} cannot be used as a network: {what}", REMEDY)
