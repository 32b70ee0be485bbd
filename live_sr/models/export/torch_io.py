"""Wraps a network trained here into one PyTorch module, from the captured picture to the shown one.

The order of the colours, alpha, and the scale of the levels are folded into the weights. What remains around the
network are casts, padding and the shuffling of cells.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from live_sr.errors import EngineError, ModelError
from live_sr.models.architectures import cellnet
from live_sr.models.architectures.cellnet import CELL, CellNet
from live_sr.models.card import ModelCard

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

PEAK = 256
"""A level v enters the network as v / PEAK: exact in fp16 and bf16, where v / 255 would be rounded."""

BGRA = 4


class IOWrapper(nn.Module):
    """BGRA uint8 (1, H, W, 4) -> BGRA uint8 (1, H * scale, W * scale, 4), both C-contiguous; alpha comes out as 255.

    Any H and W: the edge is repeated up to the `multiple`, and the result cropped. Levels are clamped to 0..255 and
    rounded half to even. `net` is a CellNet of four colours, made by `convert_to_bgra`; it computes in `precision`.

    The order of the operations suits TensorRT, which knows uint8 only at the border of a network and casts it there:
    the first operation is the cast from uint8 and the last one the cast to it. Nothing here indexes with a tensor or
    uploads a constant, so that it can be captured as a CUDA graph. `channels_last` keeps the activations in that memory
    format; the weights should have it, too.
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
        enlarged = self.shuffle(self.run_network(cells).round().clamp(0.0, 255.0))
        if enlarged.shape[1:3] != (height * self.scale, width * self.scale):
            enlarged = enlarged[:, : height * self.scale, : width * self.scale]
        return enlarged.to(torch.uint8, memory_format=torch.contiguous_format)

    def run_network(self, cells: Tensor) -> Tensor:
        """The network, from cells with one cell of border, (1, 16, h + 2, w + 2), to (1, 4 * (CELL * scale)², h, w)."""
        net = self.net
        values: Tensor = net.acts[0](net.head(cells))
        for conv, act in zip(net.body, net.acts[1:], strict=True):
            values = act(conv(values))
        levels: Tensor = net.tail(torch.cat((values, cells), 1))
        return levels

    def shuffle(self, cells: Tensor) -> Tensor:
        """To (1, h * side, w * side, 4), as pixel_shuffle and a permutation would, but with one copy."""
        side = CELL * self.scale
        height, width = cells.shape[2:]
        parts = cells.reshape(1, BGRA, side, side, height, width).permute(0, 4, 2, 5, 3, 1)
        return parts.reshape(1, height * side, width * side, BGRA)


class LargerOf(nn.Module):
    """A PReLU whose slopes are at most 1, written as the larger of x and slope * x.

    TensorRT-RTX fuses this form into the convolution before it. A PReLU it runs as a kernel of its own, which reads and
    writes all values once more.
    """

    def __init__(self, prelu: nn.PReLU) -> None:
        super().__init__()
        self.slope = nn.Parameter(prelu.weight.detach().reshape(-1, 1, 1).clone())

    def forward(self, values: Tensor) -> Tensor:
        return torch.maximum(values, values * self.slope)


def wrap_torch_io(card: ModelCard, precision: str, *, prelu_as_max: bool = False) -> IOWrapper:
    """The model of that card, on the CPU, with weights in `precision`: fp16, bf16 or fp32.

    prelu_as_max: for TensorRT-RTX, see `LargerOf`. The weights are read from the .safetensors beside `card.onnx`.
    Raises ModelError when they are missing, broken or of another scale, EngineError for any other precision.
    """
    if precision not in PRECISIONS:
        raise EngineError(f"PyTorch does not compute in {precision}, but in {', '.join(PRECISIONS)}", 'use "auto"')
    net = convert_to_bgra(load_network(card))
    if prelu_as_max:
        write_prelu_as_max(net)
    net = net.to(PRECISIONS[precision]).requires_grad_(False)
    return IOWrapper(net, max(CELL, card.multiple), precision).eval()


@torch.no_grad()
def convert_to_bgra(net: CellNet) -> CellNet:
    """A new network in fp32 that computes the same from BGRA in v / PEAK to BGRA in levels, with an alpha of 255.

    A network of convolutions and PReLUs is homogeneous except for its biases: with a picture k times as bright and
    biases k times as large, its output is k times as bright. So it computes exactly the same as for RGB in v / 255. The
    input's alpha has weights of zero; the output's alpha is a bias.
    """
    made = CellNet(net.scale, net.shape.features, net.shape.depth)
    made.load_state_dict(net.state_dict())
    darker = 255 / PEAK
    for layer in (made.head, *made.body):
        layer.get_parameter("bias").mul_(darker)
    features, side = net.shape.features, CELL * net.scale
    head = nn.Conv2d(BGRA * CELL**2, features, 3, padding=1)
    head.weight.copy_(_reorder_input_weights(made.head.weight))
    head.get_parameter("bias").copy_(made.head.get_parameter("bias"))
    tail = nn.Conv2d(features + BGRA * CELL**2, BGRA * side**2, 3)
    weight = torch.cat((made.tail.weight[:, :features], _reorder_input_weights(made.tail.weight[:, features:])), 1)
    tail.weight.copy_(_reorder_output_weights(weight * PEAK, 0))
    tail.get_parameter("bias").copy_(_reorder_output_weights(made.tail.get_parameter("bias") * 255, 255))
    made.head, made.tail = head, tail
    return made


@torch.no_grad()
def write_prelu_as_max(net: CellNet) -> None:
    """Changes the network in place so that each PReLU is a `LargerOf`. It computes the same.

    With a slope s above 1, PReLU(x) = -max(y, y / s) for y = -s * x. So such a channel is computed negated: s goes into
    the weights before it, the sign into the weights that read it.
    """
    layers = [net.head, *net.body]
    for i, (layer, act, reader) in enumerate(zip(layers, net.acts, [*net.body, net.tail], strict=True)):
        assert isinstance(act, nn.PReLU)
        slope = act.get_parameter("weight")
        steep = slope > 1
        factor = torch.where(steep, -slope, 1.0)
        layer.get_parameter("weight").mul_(factor[:, None, None, None])
        layer.get_parameter("bias").mul_(factor)
        reader.get_parameter("weight")[:, : len(steep)].mul_(torch.where(steep, -1.0, 1.0)[:, None, None])
        slope.copy_(torch.where(steep, 1 / slope, slope))
        net.acts[i] = LargerOf(act)


def load_network(card: ModelCard) -> CellNet:
    """The plain network of that card, RGB to RGB in fp32. Raises ModelError as `wrap_torch_io` does."""
    path = card.onnx.with_suffix(".safetensors")
    if not path.is_file():
        raise ModelError(
            f"{card.label} cannot run on PyTorch or TensorRT: there is no file {path}",
            'use backend = "openvino", which runs the .onnx, or put the weights it was exported from beside it',
        )
    try:
        net, _ = cellnet.load(path)
    except Exception as error:  # safetensors' own errors derive from Exception only
        what = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ModelError(
            f"the weights {path} cannot be used: {what}", 'get the file again, or use backend = "openvino"'
        ) from error
    if net.scale != card.scale:
        raise ModelError(
            f"the weights {path} are of a network x{net.scale}, not x{card.scale}", "correct the card, or get the file"
        )
    return net


def _reorder_input_weights(weight: Tensor) -> Tensor:
    """From kernels that read cells of RGB, (out, 3 * CELL², 3, 3), to kernels that read cells of BGRA."""
    rgb = weight.reshape(len(weight), 3, CELL**2, 3, 3)
    return torch.cat((rgb.flip(1), torch.zeros_like(rgb[:, :1])), 1).flatten(1, 2)


def _reorder_output_weights(weight: Tensor, alpha: float) -> Tensor:
    """From weights that write RGB, (3 * side², ...), to weights that write BGRA, with `alpha` for the fourth colour."""
    rgb = weight.reshape(3, -1, *weight.shape[1:])
    return torch.cat((rgb.flip(0), torch.full_like(rgb[:1], alpha))).flatten(0, 1)
