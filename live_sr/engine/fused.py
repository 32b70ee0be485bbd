"""A small CellNet in one kernel launch, written in Triton. Our networks of 16 and 32 features are so little work that a
runtime's launches, and each layer's way through the card's memory, cost more than the arithmetic.

A program finishes one tile of cells at a time, layer after layer: unshuffle, hidden layers, last layer with shuffle. A
3x3 convolution needs what its neighbours were in the layer before, and Triton has no shared memory to put that in by
name. Of the ways around this:

- one launch per layer or pair of layers: what the runtimes do already;
- `tl.gather`: for each of nine taps it copies the tile through shared memory in single values of two bytes, and its
  index tensor alone (int32, tile x features) is larger than the registers;
- streaming rows through line buffers: the same halo in one direction, and a chain of dependent rows in the other;
- Gluon, Triton's lower level, names shared memory, but it is experimental, differs between versions, and nothing
  interprets it on the CPU;
- chosen: each program has a scratch memory of its own for two layers of one tile, written and read again at once,
  which mostly stays in the second-level cache. A barrier of the program between layers is all the order it needs.
  Reading a tap is then a plain load of a matrix, what Triton's pipelining by asynchronous copies was made for.

A tile's memory is one row of places (x + y * pitch), and a layer is computed on a contiguous run of it, so that a tap
is the same run moved by a constant. The two ends of each row are then computed for nothing; they are stored as zero,
and so is what lies beyond the border of the picture, where CellNet pads with zeros.

What a cell costs, with the tile's halo and full blocks of 128 places (`Plan.overhead`). A cell needs 25 344 (turbo x2),
52 992 (fast x2) or 161 280 (fast x4) multiply-adds. KiB: scratch memory per program; of these there are two for each
multiprocessor, while an H100 has 50 MiB of second-level cache, an RTX 4090 72, a 3080 5. kB read: what a cell's taps
bring to the matrix units, with `stages` above 1 all from that cache, with 1 mostly from the first-level one. Of the
card's memory a cell needs 16 bytes in and 64 (x2) or 256 (x4) out.

           turbo x2                fast x2                 fast x4
    tile   times  KiB  kB read     times  KiB  kB read     times  KiB  kB read
    16x8    2.73   68      6.3      2.70  100      8.1      4.17  182     36.9
    16x16   2.27   88      4.9      2.22  132      6.5      3.14  228     27.4
    32x16   1.73  130      3.7      1.67  198      4.9      2.21  318     19.3
    32x32   1.52  196      3.2      1.49  302      4.4      1.89  448     16.2
    64x32   1.30  328      2.8      1.28  512      3.7      1.52  708     13.0

Of 480x270 pixels 32 400 cells: fast x2 with tiles of 16x16 makes 7.6 GFLOP of 3.4 and reads 0.21 GB through the cache.
None of this was timed: what a card makes of it only tools/check_fused.py on that card can tell.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from live_sr.errors import EngineError
from live_sr.frame import Size
from live_sr.models.framed import bgra
from live_sr.models.nets import CELL, CellNet, Shape

CELLS = 4 * CELL**2  # channels of a cell: BGRA of its pixels
TAPS = 9
GUARD = 16  # cells of memory before and after a tile's, which its first and last place read
FEATURES = (16, 32)
DEEPEST = 8
CAPABILITY = (8, 0)
RESIDENT = 2  # programs a multiprocessor has room for (registers and shared memory: see docs/decisions)
TILES = tuple(Size(x, y) for x, y in ((16, 8), (16, 16), (32, 16), (32, 32), (48, 32), (64, 32)))

REMEDY = 'leave the choice to live-sr with tactic = "auto"'


@dataclass(frozen=True)
class Plan:
    """How the work is cut. Which plan is fastest only the card can tell; all give the same picture.

    tile: cells that a program finishes at a time. block: places whose sums it holds at a time, a power of two from 16.
    span: neighbours in a row that one matrix product covers: 1, or 4, of which one counts for nothing. group: pixels of
    a cell that the last layer makes at a time, a power of two from 16 to (CELL * scale)². stages: depth of the
    asynchronous copies from scratch to shared memory; 1: through registers, and the first-level cache.
    """

    tile: Size
    block: int = 128
    span: int = 1
    group: int = 16
    stages: int = 3
    warps: int = 4

    def pitch(self, shape: Shape) -> int:
        """Cells from one row of a tile's memory to the next: the tile's and its halo's."""
        return self.tile.width + 2 * halo(shape)

    def rows(self, shape: Shape) -> int:
        return self.tile.height + 2 * halo(shape)

    def room(self, shape: Shape) -> int:
        """Cells in each of a program's three buffers: the last block may begin in a row's last cell."""
        return _up(GUARD + self.rows(shape) * self.pitch(shape) + self.block + GUARD, GUARD)

    def scratch(self, shape: Shape) -> int:
        """fp16 values of scratch memory that one program needs: its cells, and two layers of features."""
        return self.room(shape) * (CELLS + 2 * shape.features)

    def places(self, shape: Shape) -> tuple[int, ...]:
        """Of each layer, first to last, how many places of a tile it is computed at, halo and full blocks included."""
        rows = [self.rows(shape) - 2 * margin for margin in range(1, halo(shape) + 1)]
        return tuple(_up(count * self.pitch(shape), self.block) for count in rows)

    def macs(self, shape: Shape, scale: int) -> int:
        """Multiply-adds of a tile."""
        padded = TAPS if self.span == 1 else 3 * self.span
        kernels = _kernels(shape, scale)
        return sum(padded * kernel * count for kernel, count in zip(kernels, self.places(shape), strict=True))

    def overhead(self, shape: Shape, scale: int) -> float:
        """Times the multiply-adds that the network itself needs."""
        return self.macs(shape, scale) / (TAPS * sum(_kernels(shape, scale)) * self.tile.width * self.tile.height)

    def tiles(self, size: Size) -> Size:
        """Tiles that cover a picture of `size` pixels."""
        return Size(*(-(-side // (CELL * cells)) for side, cells in zip(size, self.tile, strict=True)))


def halo(shape: Shape) -> int:
    """Cells around a tile that its pixels depend on: one for each 3x3 convolution."""
    return shape.depth + 2


def plans(size: Size, shape: Shape, scale: int, processors: int) -> list[Plan]:
    """The plan to take unmeasured, then others that a card may find faster; none of them spills worth speaking of.

    The first has the tile that keeps that many multiprocessors busy for the shortest time, by multiply-adds alone.
    """

    def rounds(plan: Plan) -> float:
        across, down = plan.tiles(size)
        return -(-across * down // (processors * RESIDENT)) * plan.macs(shape, scale)

    first = min(map(Plan, TILES), key=rounds)
    return [
        first,
        replace(first, stages=2),
        replace(first, stages=1),
        replace(first, block=64),
        replace(first, block=64, span=4, stages=2),
        replace(first, block=256, warps=8),
    ]


def obstacle(shape: Shape, capability: tuple[int, int] | None = None) -> str:
    """Why a network of that shape cannot run here, on a card of that compute capability, or an empty string."""
    if shape.features not in FEATURES or not 1 <= shape.depth <= DEEPEST:
        sizes = " or ".join(map(str, FEATURES))
        return f"only networks of {sizes} features and up to {DEEPEST} layers between the first and the last are fused"
    if capability is not None and capability < CAPABILITY:
        needed, has = (".".join(map(str, version)) for version in (CAPABILITY, capability))
        return f"fused networks need compute capability {needed}, and this card has {has}"
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    return ""


class FusedCellNet:
    """`net`, for pictures of `size`, in one launch. Like `models.framed`: BGRA uint8 to BGRA uint8, alpha 255.

    A call takes a picture (1, H, W, 4), uint8 and contiguous, and returns (1, H * scale, W * scale, 4), the same tensor
    each time. It allocates nothing and waits for nothing, so that a CUDA graph can be captured of it. The instance has
    one scratch memory: it is to run on one stream at a time. Compiles when it is made, which takes seconds, once per
    shape and plan (Triton keeps the result). Raises EngineError when there is an `obstacle`, or it cannot be compiled.
    """

    def __init__(self, net: CellNet, size: Size, device: torch.device | str, plan: Plan | None = None) -> None:
        device = torch.device(device)
        on_card = device.type == "cuda"
        shape = net.shape
        trouble = obstacle(shape, torch.cuda.get_device_capability(device) if on_card else None)
        if trouble:
            raise EngineError(trouble, REMEDY)
        processors = torch.cuda.get_device_properties(device).multi_processor_count if on_card else 1
        self.size = size
        self.scale = net.scale
        self.shape = shape
        self.plan = plan or plans(size, shape, net.scale, processors)[0]
        self._tiles = self.plan.tiles(size)
        self._programs = min(self._tiles.width * self._tiles.height, processors * RESIDENT)
        weights, biases = packed(net, self.plan)
        self._weights, self._biases = weights.to(device), biases.to(device)
        # zero, since what a tile's first and last places read beside it is multiplied by zero, which NaN survives
        self._scratch = torch.zeros(self._programs * self.plan.scratch(shape), dtype=torch.float16, device=device)
        large = size.times(net.scale)
        self._enlarged = torch.zeros((1, large.height, large.width, 4), dtype=torch.uint8, device=device)
        try:
            self(torch.zeros((1, size.height, size.width, 4), dtype=torch.uint8, device=device))
        except Exception as error:  # a C compiler is missing, a resource of the card is too small: no common class
            what = (str(error).splitlines() or [""])[0] or type(error).__name__
            raise EngineError(f"the fused network cannot be compiled: {what}", REMEDY) from error

    def __call__(self, picture: Tensor) -> Tensor:
        from live_sr.engine import _fused_kernel

        plan = self.plan
        if picture.shape[1:] != (self.size.height, self.size.width, 4) or not picture.is_contiguous():
            raise EngineError(f"the fused network was made for contiguous pictures of {self.size}", "report it")
        with torch.cuda.device(picture.device.index if picture.is_cuda else -1):
            _fused_kernel.enlarge[(self._programs,)](
                picture.view(torch.int32),
                self._enlarged.view(torch.int32),
                self._weights,
                self._biases,
                self._scratch,
                self.size.width,
                self.size.height,
                self._tiles.width,
                self._tiles.width * self._tiles.height,
                self._programs,
                SCALE=self.scale,
                FEATURES=self.shape.features,
                DEPTH=self.shape.depth,
                TILE_X=plan.tile.width,
                TILE_Y=plan.tile.height,
                ROOM=plan.room(self.shape),
                GUARD=GUARD,
                BLOCK=plan.block,
                SPAN=plan.span,
                GROUP=plan.group,
                STAGES=plan.stages,
                num_warps=plan.warps,
            )
        return self._enlarged


@torch.no_grad()
def packed(net: CellNet, plan: Plan) -> tuple[Tensor, Tensor]:
    """The kernel's weights in fp16 and biases in fp32, on the CPU, each in one row.

    Weights: of each hidden layer (steps, span * channels, features), a step being one or `span` neighbours in a row.
    Then for each `group` of the last layer's pixels (steps, 3, span * 16, group) for the input cells, and the same for
    the features; the 3 are B, G and R. Biases: of each hidden layer its biases and its PReLU's slopes, then those of
    the last one by colour and pixel. Levels are scaled as `framed.bgra` does.
    """
    four = bgra(net)
    weights = [_steps(layer.weight, plan.span) for layer in (four.head, *four.body)]
    features, pixels = net.shape.features, (CELL * net.scale) ** 2
    tail = four.tail.weight.reshape(4, pixels, features + CELLS, 3, 3)[:3]
    for group in torch.split(tail, plan.group, 1):
        for part in (group[:, :, features:], group[:, :, :features]):
            weights.append(torch.stack([_steps(colour, plan.span) for colour in part], 1))
    biases = []
    for layer, act in zip((four.head, *four.body), four.acts, strict=True):
        biases += [layer.get_parameter("bias"), act.get_parameter("weight")]
    biases.append(four.tail.get_parameter("bias")[: 3 * pixels])
    return torch.cat([w.flatten() for w in weights]).half(), torch.cat(biases).float()


def _steps(weight: Tensor, span: int) -> Tensor:
    """(out, in, 3, 3) as (steps, span * in, out): the matrices that a convolution multiplies by, in turn."""
    out, inside = weight.shape[:2]
    taps = weight.permute(2, 3, 1, 0)
    if span == 1:
        return taps.reshape(TAPS, inside, out)
    return torch.nn.functional.pad(taps, (0, 0, 0, 0, 0, span - 3)).reshape(3, span * inside, out)


def _kernels(shape: Shape, scale: int) -> tuple[int, ...]:
    """Weights of one tap of each layer; alpha is read, but not made."""
    body = (shape.features**2,) * shape.depth
    return (CELLS * shape.features, *body, (CELLS + shape.features) * 3 * (CELL * scale) ** 2)


def _up(count: int, step: int) -> int:
    return -(-count // step) * step
