"""The networks trained here, as PyTorch modules. Training and export need them; an exported model runs without them.

All have the same architecture, CellNet, in different sizes; `FAMILY` names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

CELL = 2  # the network works on cells of 2x2 pixels: a quarter of the positions, four times the channels


def compute_cubic_weight(distance: float, a: float = -0.75) -> float:
    """The cubic convolution kernel of Keys (1981) with the `a` that OpenCV uses."""
    d = abs(distance)
    if d < 1:
        return ((a + 2) * d - (a + 3)) * d * d + 1
    if d < 2:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return 0.0


def make_bicubic_kernels(scale: int, colours: int = 3) -> Tensor:
    """Bicubic interpolation as one 3x3 convolution between unshuffled cells.

    Weights of shape (colours * (CELL * scale)², colours * CELL², 3, 3), float32. A cell and its neighbours hold the
    input pixels -2..3 along an axis. The four taps of the cell's output pixels reach no further.
    """
    side = CELL * scale
    taps = torch.zeros(side, 3 * CELL)  # output pixel of the cell x input pixel of the cell and its two neighbours
    for out in range(side):
        centre = (out + 0.5) / scale - 0.5
        for i in range(3 * CELL):
            taps[out, i] = compute_cubic_weight(i - CELL - centre)
    plane = torch.einsum("yi,xj->yxij", taps, taps)
    plane = plane.reshape(side, side, 3, CELL, 3, CELL).permute(0, 1, 3, 5, 2, 4).reshape(side * side, CELL**2, 3, 3)
    weights = torch.zeros(colours, side * side, colours, CELL**2, 3, 3)
    for c in range(colours):
        weights[c, :, c] = plane
    return weights.reshape(colours * side * side, colours * CELL**2, 3, 3)


@dataclass(frozen=True)
class CellNetShape:
    """How large a CellNet is: channels of its hidden layers, and layers between the first and the last."""

    features: int
    depth: int

    def __str__(self) -> str:
        return f"{self.features} features and depth {self.depth}"


FAMILY: dict[tuple[str, int], CellNetShape] = {
    ("turbo", 2): CellNetShape(16, 4),
    ("turbo", 4): CellNetShape(16, 4),
    ("fast", 2): CellNetShape(32, 3),
    ("fast", 4): CellNetShape(32, 8),  # half of its cost is the last layer, which is the same in a shallow network
    ("balanced", 2): CellNetShape(64, 6),
    ("balanced", 4): CellNetShape(64, 6),
    ("quality", 2): CellNetShape(64, 16),
    ("quality", 4): CellNetShape(64, 16),
}
"""The networks that ship, by name and scale. A variant such as fast-pixel has the shape of its base, fast."""


class WideConv(nn.Conv2d):
    """A 3x3 convolution that is trained together with a wide, parallel branch, and becomes a plain one afterwards.

    The branch is a 3x3 convolution to `wide` channels and a 1x1 convolution back. Both are linear, so their kernels are
    multiplied before the convolution (Bhardwaj et al. 2022, SESR, collapsible linear blocks): training costs hardly
    more than the plain layer.
    """

    def __init__(self, inside: int, out: int, wide: int, padding: int = 1) -> None:
        super().__init__(inside, out, 3, padding=padding)
        self.expand = nn.Parameter(torch.empty(wide, inside, 3, 3))
        self.squeeze = nn.Parameter(torch.zeros(out, wide))  # zero: the branch has no effect at first
        nn.init.kaiming_normal_(self.expand, a=0.1)

    def kernel(self) -> Tensor:
        """The kernel of the equal plain layer, (out, in, 3, 3)."""
        return self.weight + torch.einsum("ow,wikl->oikl", self.squeeze, self.expand)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.kernel(), self.bias, padding=self.padding)


class CellNet(nn.Module):
    """Pixel unshuffle, a few 3x3 convolutions, pixel shuffle; the last convolution also sees the input.

    RGB float in 0..1, shape (N, 3, H, W) with even H and W -> (N, 3, H * scale, W * scale), not clamped. The
    interpolation that the network corrects costs no layer of its own: the part of the last convolution that reads the
    input starts as bicubic interpolation and is trained with the rest. One cell of replicated border keeps the
    picture's edge from fading into the zeros that a convolution pads with. With `wide` the hidden layers are WideConv;
    `fold()` returns the plain network that ships.
    """

    def __init__(self, scale: int, features: int = 32, depth: int = 3, wide: int = 0) -> None:
        super().__init__()

        def conv(inside: int) -> nn.Conv2d:
            return WideConv(inside, features, wide) if wide else nn.Conv2d(inside, features, 3, padding=1)

        self.scale = scale
        colours = 3 * CELL**2
        self.head = conv(colours)
        self.body = nn.Sequential(*(conv(features) for _ in range(depth)))
        self.acts = nn.ModuleList(nn.PReLU(features, 0.1) for _ in range(depth + 1))
        self.tail = nn.Conv2d(features + colours, 3 * (CELL * scale) ** 2, 3)
        with torch.no_grad():
            for layer in (self.head, *self.body):
                nn.init.kaiming_normal_(layer.get_parameter("weight"), a=0.1)
                nn.init.zeros_(layer.get_parameter("bias"))
            # small, not zero: with a zeroed last layer no gradient reaches the layers before it
            nn.init.normal_(self.tail.weight[:, :features], std=1e-3)
            self.tail.weight[:, features:] = make_bicubic_kernels(scale)
            nn.init.zeros_(self.tail.get_parameter("bias"))

    @property
    def shape(self) -> CellNetShape:
        return CellNetShape(self.head.out_channels, len(self.body))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, (CELL, CELL, CELL, CELL), mode="replicate")
        cells = nn.functional.pixel_unshuffle(x, CELL)
        y: Tensor = self.acts[0](self.head(cells))
        for conv, act in zip(self.body, self.acts[1:], strict=True):
            y = act(conv(y))
        y = self.tail(torch.cat((y, cells), 1))
        return nn.functional.pixel_shuffle(y, CELL * self.scale)

    def fold(self) -> CellNet:
        """The plain network that computes the same, on the CPU."""
        state = {name: values for name, values in self.state_dict().items() if not name.endswith(("expand", "squeeze"))}
        for name, layer in self.named_modules():
            if isinstance(layer, WideConv):
                state[f"{name}.weight"] = layer.kernel()
        plain = CellNet(self.scale, self.shape.features, self.shape.depth)
        plain.load_state_dict({name: values.detach().float().cpu() for name, values in state.items()})
        return plain.eval()


def initialise_from(net: CellNet, start: CellNet) -> None:
    """Copies the weights of `start` into a new network, as far as they fit. Both must have the same features.

    From a shallower network all layers are copied, and the layers after them start as the identity. From a network of
    another scale all but the last layer, which starts as bicubic interpolation. Raises ValueError where that is
    impossible.
    """
    if net.shape.features != start.shape.features or net.shape.depth < start.shape.depth:
        raise ValueError(f"a network of {start.shape} cannot start one of {net.shape}")
    state = start.fold().state_dict()
    features = net.shape.features
    for layer in range(start.shape.depth, net.shape.depth):
        same = torch.zeros(features, features, 3, 3)
        same[range(features), range(features), 1, 1] = 1
        state[f"body.{layer}.weight"] = same + 1e-3 * torch.randn_like(same)
        state[f"body.{layer}.bias"] = torch.zeros(features)
        state[f"acts.{layer + 1}.weight"] = torch.ones(features)
    if net.scale != start.scale:
        state = {name: values for name, values in state.items() if not name.startswith("tail")}
    net.load_state_dict(state, strict=False)  # the wide branches are missing, or the last layer


def compute_cost(net: CellNet) -> tuple[int, float]:
    """(parameters, multiply-adds per input pixel) of the network as it ships."""
    plain = net.fold()
    convs = [m for m in plain.modules() if isinstance(m, nn.Conv2d)]
    return sum(p.numel() for p in plain.parameters()), sum(m.weight.numel() for m in convs) / CELL**2


def save(net: CellNet, path: Path, steps: int, kept: torch.dtype = torch.float32) -> None:
    """Writes the folded weights as safetensors, with what `load` needs to build the network again."""
    plain = net.fold()
    about = {"scale": plain.scale, "features": plain.shape.features, "depth": plain.shape.depth, "step": steps}
    part = path.with_suffix(".part")
    state = {name: values.to(kept).contiguous() for name, values in plain.state_dict().items()}
    save_file(state, part, metadata={key: str(value) for key, value in about.items()})
    part.chmod(0o644)  # safetensors lets only the owner read
    part.replace(path)


def load(path: Path) -> tuple[CellNet, int]:
    """The network in a file that `save` wrote (weights in fp32 or fp16), and the steps it was trained for.

    Raises OSError, KeyError, RuntimeError or ValueError when it is no such file.
    """
    with safe_open(path, "pt") as file:
        about = file.metadata() or {}
        state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  # not a dict
    shape = CellNetShape(len(state["head.bias"]), sum(name.startswith("body.") for name in state) // 2)
    if about["features"] != str(shape.features) or about["depth"] != str(shape.depth):  # before the network is built
        raise RuntimeError(f"its metadata does not describe the network of {shape} that it holds")
    if len(state["tail.bias"]) != 3 * (CELL * int(about["scale"])) ** 2:
        raise RuntimeError(f"its last layer does not fit x{about['scale']}")
    net = CellNet(int(about["scale"]), shape.features, shape.depth)
    net.load_state_dict(state)
    return net.eval(), int(about["step"])
