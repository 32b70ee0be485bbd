"""The networks trained here, as PyTorch modules. Training and export need them; running an exported model does not."""

import torch
from torch import Tensor, nn

CELL = 2  # the network works on 2x2-pixel cells: a quarter of the positions, four times the channels


def cubic_weight(distance: float, a: float = -0.75) -> float:
    """The cubic convolution kernel of Keys (1981) with the `a` that OpenCV uses."""
    d = abs(distance)
    if d < 1:
        return ((a + 2) * d - (a + 3)) * d * d + 1
    if d < 2:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return 0.0


def bicubic_cells(scale: int, colours: int = 3) -> Tensor:
    """Bicubic interpolation as one 3x3 convolution between unshuffled cells.

    Weights of shape (colours * (CELL * scale)², colours * CELL², 3, 3), float32. A cell and its neighbours hold the
    input pixels -2..3 along an axis, which is all that the four taps of any of the cell's output pixels reach.
    """
    side = CELL * scale
    taps = torch.zeros(side, 3 * CELL)  # output pixel of the cell x input pixel of the cell and its two neighbours
    for out in range(side):
        centre = (out + 0.5) / scale - 0.5
        for i in range(3 * CELL):
            taps[out, i] = cubic_weight(i - CELL - centre)
    plane = torch.einsum("yi,xj->yxij", taps, taps)
    plane = plane.reshape(side, side, 3, CELL, 3, CELL).permute(0, 1, 3, 5, 2, 4).reshape(side * side, CELL**2, 3, 3)
    weights = torch.zeros(colours, side * side, colours, CELL**2, 3, 3)
    for c in range(colours):
        weights[c, :, c] = plane
    return weights.reshape(colours * side * side, colours * CELL**2, 3, 3)


class CellNet(nn.Module):
    """Unshuffle, a few 3x3 convolutions, shuffle; the last convolution also sees the input.

    RGB float in 0..1, shape (N, 3, H, W) with even H and W -> (N, 3, H * scale, W * scale), not clamped. The residual
    over an interpolation costs no layer of its own: the part of the last convolution that reads the input begins as
    bicubic interpolation and is trained with the rest. One cell of replicated border keeps the picture's edge from
    fading into the zeros that a convolution pads with.
    """

    def __init__(self, scale: int, features: int = 32, depth: int = 3) -> None:
        super().__init__()
        self.scale = scale
        colours = 3 * CELL**2
        self.head = nn.Conv2d(colours, features, 3, padding=1)
        self.body = nn.Sequential(*(nn.Conv2d(features, features, 3, padding=1) for _ in range(depth)))
        self.acts = nn.ModuleList(nn.PReLU(features, 0.1) for _ in range(depth + 1))
        self.tail = nn.Conv2d(features + colours, 3 * (CELL * scale) ** 2, 3)
        with torch.no_grad():
            for conv in (self.head, *self.body):
                nn.init.kaiming_normal_(conv.weight, a=0.1)
                nn.init.zeros_(conv.get_parameter("bias"))
            # small, not zero: with a zeroed last layer no gradient reaches the layers before it
            nn.init.normal_(self.tail.weight[:, :features], std=1e-3)
            self.tail.weight[:, features:] = bicubic_cells(scale)
            nn.init.zeros_(self.tail.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, (CELL, CELL, CELL, CELL), mode="replicate")
        cells = nn.functional.pixel_unshuffle(x, CELL)
        y: Tensor = self.acts[0](self.head(cells))
        for conv, act in zip(self.body, self.acts[1:], strict=True):
            y = act(conv(y))
        y = self.tail(torch.cat((y, cells), 1))
        return nn.functional.pixel_shuffle(y, CELL * self.scale)


def cost(net: CellNet) -> tuple[int, float]:
    """(parameters, multiply-adds per input pixel)."""
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    return sum(p.numel() for p in net.parameters()), sum(m.weight.numel() for m in convs) / CELL**2
