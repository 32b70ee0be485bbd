"""A network trained here with its conversions, as one PyTorch module from the captured picture to the shown one.

All that is not a convolution is folded into the weights where it can be: the order of the colours, alpha, and the
scale of the levels. What is left around the network are casts, the edge and the shuffling of cells.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from live_sr.errors import EngineError, ModelError
from live_sr.models import nets
from live_sr.models.card import ModelCard
from live_sr.models.nets import CELL, CellNet

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

PEAK = 256
"""A level v enters the network as v / PEAK: exact in fp16 and bf16, where v / 255 would be rounded."""

BGRA = 4


class Framed(nn.Module):
    """BGRA uint8 (1, H, W, 4) -> BGRA uint8 (1, H * scale, W * scale, 4), both C-contiguous; alpha comes out as 255.

    Any H and W: the edge is repeated up to the `multiple`, and what became of it cut off. Levels are clamped to 0..255
    and rounded half to even. `net` is a CellNet of four colours, whose weights are those that `bgra` makes; it computes
    in `precision`.

    The order of the operations suits TensorRT, which knows uint8 only at the border of a network and casts it there:
    the first operation is the cast from uint8 and the last one the cast to it. Nothing here indexes with a tensor or
    uploads a constant, so that a CUDA graph can be captured of it. `channels_last` keeps the activations in that
    memory format, for which the weights should be, too.
    """

    def __init__(self, net: CellNet, multiple: int, precision: str) -> None:
        super().__init__()
        self.net = net
        self.scale = net.scale
        self.multiple = multiple
        self.precision = precision
        self.channels_last = False

    def forward(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[1:3]
        levels = picture.to(PRECISIONS[self.precision]).permute(0, 3, 1, 2)
        ends = (CELL, CELL + -width % self.multiple, CELL, CELL + -height % self.multiple)
        values = nn.functional.pad(levels * (1 / PEAK), ends, mode="replicate")
        cells = nn.functional.pixel_unshuffle(values, CELL)
        if self.channels_last:
            cells = cells.contiguous(memory_format=torch.channels_last)
        enlarged = self.placed(self.enlarged(cells).round().clamp(0.0, 255.0))
        if enlarged.shape[1:3] != (height * self.scale, width * self.scale):
            enlarged = enlarged[:, : height * self.scale, : width * self.scale]
        return enlarged.to(torch.uint8, memory_format=torch.contiguous_format)

    def enlarged(self, cells: Tensor) -> Tensor:
        """The network proper: cells with one of border, (1, 16, h + 2, w + 2), to (1, 4 * (CELL * scale)², h, w)."""
        net = self.net
        values: Tensor = net.acts[0](net.head(cells))
        for conv, act in zip(net.body, net.acts[1:], strict=True):
            values = act(conv(values))
        levels: Tensor = net.tail(torch.cat((values, cells), 1))
        return levels

    def placed(self, cells: Tensor) -> Tensor:
        """Shuffled to (1, h * side, w * side, 4): what pixel_shuffle and a permutation do, with one copy."""
        side = CELL * self.scale
        height, width = cells.shape[2:]
        parts = cells.reshape(1, BGRA, side, side, height, width).permute(0, 4, 2, 5, 3, 1)
        return parts.reshape(1, height * side, width * side, BGRA)


def framed(card: ModelCard, precision: str) -> Framed:
    """The model of that card, on the CPU, its weights in `precision`: fp16, bf16 or fp32.

    The weights are those in the .safetensors beside `card.onnx`. Raises ModelError when they are missing, broken or of
    another scale, EngineError for another precision.
    """
    if precision not in PRECISIONS:
        raise EngineError(f"PyTorch does not compute in {precision}, but in {', '.join(PRECISIONS)}", 'use "auto"')
    net = bgra(network(card)).to(PRECISIONS[precision]).requires_grad_(False)
    return Framed(net, max(CELL, card.multiple), precision).eval()


@torch.no_grad()
def bgra(net: CellNet) -> CellNet:
    """The same network for BGRA in v / PEAK -> BGRA in levels, alpha 255; a new one, in fp32.

    A network of convolutions and PReLUs is homogeneous but for its biases: shown a picture k times as bright, and with
    biases k times as large, it answers k times as bright. So it computes exactly what it computes for RGB in v / 255.
    The alpha that comes in meets weights of zero, the one that goes out is a bias.
    """
    made = CellNet(net.scale, net.shape.features, net.shape.depth)
    made.load_state_dict(net.state_dict())
    darker = 255 / PEAK
    for layer in (made.head, *made.body):
        layer.get_parameter("bias").mul_(darker)
    features, side = net.shape.features, CELL * net.scale
    head = nn.Conv2d(BGRA * CELL**2, features, 3, padding=1)
    head.weight.copy_(_inward(made.head.weight))
    head.get_parameter("bias").copy_(made.head.get_parameter("bias"))
    tail = nn.Conv2d(features + BGRA * CELL**2, BGRA * side**2, 3)
    weight = torch.cat((made.tail.weight[:, :features], _inward(made.tail.weight[:, features:])), 1)
    tail.weight.copy_(_outward(weight * PEAK, 0))
    tail.get_parameter("bias").copy_(_outward(made.tail.get_parameter("bias") * 255, 255))
    made.head, made.tail = head, tail
    return made


def network(card: ModelCard) -> CellNet:
    """The network proper of that card, RGB to RGB in fp32. Raises ModelError as `framed` does."""
    path = card.onnx.with_suffix(".safetensors")
    if not path.is_file():
        raise ModelError(
            f"{card.label} cannot run on PyTorch or TensorRT: there is no file {path}",
            'use backend = "openvino", which runs the .onnx, or put the weights it was exported from beside it',
        )
    try:
        net, _ = nets.load(path)
    except Exception as error:  # safetensors has its own kinds, which are only Exceptions
        what = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ModelError(
            f"the weights {path} cannot be used: {what}", 'get the file again, or use backend = "openvino"'
        ) from error
    if net.scale != card.scale:
        raise ModelError(
            f"the weights {path} are of a network x{net.scale}, not x{card.scale}", "correct the card, or get the file"
        )
    return net


def _inward(weight: Tensor) -> Tensor:
    """Kernels that read cells of RGB, (out, 3 * CELL², 3, 3), as kernels that read cells of BGRA."""
    rgb = weight.reshape(len(weight), 3, CELL**2, 3, 3)
    return torch.cat((rgb.flip(1), torch.zeros_like(rgb[:, :1])), 1).flatten(1, 2)


def _outward(weight: Tensor, alpha: float) -> Tensor:
    """What writes RGB, (3 * side², ...), as what writes BGRA, with `alpha` in the fourth."""
    rgb = weight.reshape(3, -1, *weight.shape[1:])
    return torch.cat((rgb.flip(0), torch.full_like(rgb[:1], alpha))).flatten(0, 1)
