"""Runs a small CellNet in one kernel launch, written in Triton.

Networks of 16 and 32 features are so little work that the launches of a runtime, and the way of each layer through the
GPU's memory, cost more than the arithmetic.

A program computes one tile of cells at a time, layer after layer: unshuffle, hidden layers, last layer with shuffle. A
3x3 convolution needs its neighbours' values of the layer before, and Triton has no shared memory that a program can
address. What was considered:

- one launch per layer or pair of layers: what the runtimes already do;
- `tl.gather`: for each of nine taps it copies the tile through shared memory in single values of two bytes, and its
  index tensor alone (int32, tile x features) is larger than the registers;
- streaming rows through line buffers: the same halo in one direction, and a chain of dependent rows in the other;
- Gluon, Triton's lower level, can address shared memory, but it is experimental, differs between versions, and cannot
  be interpreted on the CPU;
- chosen: each program has scratch memory for two layers of one tile. It is written and read again at once, and mostly
  stays in the second-level cache. A barrier between layers is all the synchronisation it needs. To read a tap is a
  plain load of a matrix, which Triton can pipeline with asynchronous copies.

A tile's memory is one row of places (x + y * pitch), and a layer is computed on a contiguous part of it, so that a tap
is the same part shifted by a constant. The two ends of each row are computed in vain; they are stored as zero, as are
places beyond the border of the picture, where CellNet pads with zeros.

The table gives the cost of a cell, including the tile's halo and full blocks of 128 places
(`TilePlan.compute_overhead`). times: the multiply-adds of a cell, relative to the 25 344 (turbo x2), 52 992 (fast x2)
or 161 280 (fast x4) that it needs. KiB: scratch memory per program; there are two programs for each multiprocessor, and
an H100 has 50 MiB of second-level cache, an RTX 4090 72, an RTX 3080 5. kB read: what the taps of a cell bring to the
matrix units, all from that cache if `stages` is above 1, else mostly from the first-level cache. Of the GPU's memory a
cell needs 16 bytes in and 64 (x2) or 256 (x4) out.

           turbo x2                fast x2                 fast x4
    tile   times  KiB  kB read     times  KiB  kB read     times  KiB  kB read
    16x8    2.73   68      6.3      2.70  100      8.1      4.17  182     36.9
    16x16   2.27   88      4.9      2.22  132      6.5      3.14  228     27.4
    32x16   1.73  130      3.7      1.67  198      4.9      2.21  318     19.3
    32x32   1.52  196      3.2      1.49  302      4.4      1.89  448     16.2
    64x32   1.30  328      2.8      1.28  512      3.7      1.52  708     13.0

480x270 pixels are 32 400 cells: fast x2 with tiles of 16x16 computes 7.6 GFLOP instead of 3.4, and reads 0.21 GB
through the cache. None of this was timed; tools/gpu/fused_cellnet.py times it on a GPU.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from live_sr.errors import EngineError
from live_sr.models.architectures.cellnet import CELL, CellNet, CellNetShape
from live_sr.models.export.torch_io import convert_to_bgra
from live_sr.pipeline.frame import Size

CELLS = 4 * CELL**2  # channels of a cell: BGRA of its pixels
TAPS = 9
GUARD = 16  # cells of memory before and after a tile's own, which its first and last places read
FEATURES = (16, 32)
MAX_DEPTH = 8
MIN_CAPABILITY = (8, 0)
RESIDENT = 2  # programs a multiprocessor has room for (registers and shared memory: see docs/decisions)
TILES = tuple(Size(x, y) for x, y in ((16, 8), (16, 16), (32, 16), (32, 32), (48, 32), (64, 32)))

REMEDY = 'leave the choice to live-sr with tactic = "auto"'


@dataclass(frozen=True)
class TilePlan:
    """How the work is divided. All plans give the same picture; which one is the fastest depends on the GPU.

    tile: cells that a program finishes at a time. block: places whose sums it holds at a time, a power of two from 16.
    span: neighbours in a row that one matrix product covers: 1, or 4, one of which has no effect. group: pixels of
    a cell that the last layer makes at a time, a power of two from 16 to (CELL * scale)². stages: depth of the
    asynchronous copies from scratch to shared memory; 1: through registers, and the first-level cache.
    """

    tile: Size
    block: int = 128
    span: int = 1
    group: int = 16
    stages: int = 3
    warps: int = 4

    def compute_pitch(self, shape: CellNetShape) -> int:
        """Cells from one row of a tile's memory to the next: the tile's and its halo's."""
        return self.tile.width + 2 * compute_halo(shape)

    def compute_rows(self, shape: CellNetShape) -> int:
        return self.tile.height + 2 * compute_halo(shape)

    def compute_buffer_cells(self, shape: CellNetShape) -> int:
        """Cells in each of a program's three buffers: the last block may begin in a row's last cell."""
        return _round_up(GUARD + self.compute_rows(shape) * self.compute_pitch(shape) + self.block + GUARD, GUARD)

    def compute_scratch(self, shape: CellNetShape) -> int:
        """fp16 values of scratch memory that one program needs: its cells, and two layers of features."""
        return self.compute_buffer_cells(shape) * (CELLS + 2 * shape.features)

    def compute_places(self, shape: CellNetShape) -> tuple[int, ...]:
        """For each layer, first to last, at how many places of a tile it is computed, with halo and full blocks."""
        rows = [self.compute_rows(shape) - 2 * margin for margin in range(1, compute_halo(shape) + 1)]
        return tuple(_round_up(count * self.compute_pitch(shape), self.block) for count in rows)

    def compute_macs(self, shape: CellNetShape, scale: int) -> int:
        """Multiply-adds of a tile."""
        padded = TAPS if self.span == 1 else 3 * self.span
        kernels = _count_weights(shape, scale)
        return sum(padded * kernel * count for kernel, count in zip(kernels, self.compute_places(shape), strict=True))

    def compute_overhead(self, shape: CellNetShape, scale: int) -> float:
        """The multiply-adds of a tile, relative to those that the network itself needs."""
        return self.compute_macs(shape, scale) / (
            TAPS * sum(_count_weights(shape, scale)) * self.tile.width * self.tile.height
        )

    def count_tiles(self, size: Size) -> Size:
        """How many tiles cover a picture of `size` pixels, across and down."""
        return Size(*(-(-side // (CELL * cells)) for side, cells in zip(size, self.tile, strict=True)))


def compute_halo(shape: CellNetShape) -> int:
    """Cells around a tile that its pixels depend on: one for each 3x3 convolution."""
    return shape.depth + 2


def list_plans(size: Size, shape: CellNetShape, scale: int, processors: int) -> list[TilePlan]:
    """The plan to use without measuring, then others that may be faster; none spills many registers.

    The first has the tile that keeps that many multiprocessors busy for the shortest time, by multiply-adds alone.
    """

    def rounds(plan: TilePlan) -> float:
        across, down = plan.count_tiles(size)
        return -(-across * down // (processors * RESIDENT)) * plan.compute_macs(shape, scale)

    first = min(map(TilePlan, TILES), key=rounds)
    return [
        first,
        replace(first, stages=2),
        replace(first, stages=1),
        replace(first, block=64),
        replace(first, block=64, span=4, stages=2),
        replace(first, block=256, warps=8),
    ]


def unavailable_reason(shape: CellNetShape, capability: tuple[int, int] | None = None) -> str:
    """Why a network of that shape cannot run on a GPU of that compute capability, or an empty string."""
    if shape.features not in FEATURES or not 1 <= shape.depth <= MAX_DEPTH:
        sizes = " or ".join(map(str, FEATURES))
        return f"only networks of {sizes} features and up to {MAX_DEPTH} layers between first and last are fused"
    if capability is not None and capability < MIN_CAPABILITY:
        needed, has = (".".join(map(str, version)) for version in (MIN_CAPABILITY, capability))
        return f"fused networks need compute capability {needed}, and this GPU has {has}"
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    return ""


class FusedCellNet:
    """`net`, for pictures of `size`, in one launch. As `torch_io.IOWrapper`: BGRA uint8 to BGRA uint8, alpha 255.

    A call takes a picture (1, H, W, 4), uint8 and contiguous, and returns (1, H * scale, W * scale, 4), the same tensor
    each time. It allocates nothing and waits for nothing, so it can be captured in a CUDA graph. The instance has one
    scratch memory, so it can run on one stream at a time. It compiles when it is created, which takes seconds, once per
    shape and plan (Triton caches the result). Raises EngineError if it is unavailable or cannot be compiled.
    """

    def __init__(self, net: CellNet, size: Size, device: torch.device | str, plan: TilePlan | None = None) -> None:
        device = torch.device(device)
        on_gpu = device.type == "cuda"
        shape = net.shape
        trouble = unavailable_reason(shape, torch.cuda.get_device_capability(device) if on_gpu else None)
        if trouble:
            raise EngineError(trouble, REMEDY)
        processors = torch.cuda.get_device_properties(device).multi_processor_count if on_gpu else 1
        self.size = size
        self.scale = net.scale
        self.shape = shape
        self.plan = plan or list_plans(size, shape, net.scale, processors)[0]
        self._tiles = self.plan.count_tiles(size)
        self._programs = min(self._tiles.width * self._tiles.height, processors * RESIDENT)
        weights, biases = pack_weights(net, self.plan)
        self._weights, self._biases = weights.to(device), biases.to(device)
        # zeros: what the first and last places of a tile read beside it is multiplied by zero, and NaN * 0 is NaN
        self._scratch = torch.zeros(
            self._programs * self.plan.compute_scratch(shape), dtype=torch.float16, device=device
        )
        large = size.times(net.scale)
        self._enlarged = torch.zeros((1, large.height, large.width, 4), dtype=torch.uint8, device=device)
        try:
            self(torch.zeros((1, size.height, size.width, 4), dtype=torch.uint8, device=device))
        except Exception as error:  # a C compiler is missing, or a resource of the GPU too small: no common class
            what = (str(error).splitlines() or [""])[0] or type(error).__name__
            raise EngineError(f"the fused network cannot be compiled: {what}", REMEDY) from error

    def __call__(self, picture: Tensor) -> Tensor:
        from live_sr.engines.torch_cuda import fused_cellnet_triton

        plan = self.plan
        if picture.shape[1:] != (self.size.height, self.size.width, 4) or not picture.is_contiguous():
            raise EngineError(f"the fused network was made for contiguous pictures of {self.size}", "report it")
        with torch.cuda.device(picture.device.index if picture.is_cuda else -1):
            fused_cellnet_triton.enlarge[(self._programs,)](
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
                ROOM=plan.compute_buffer_cells(self.shape),
                GUARD=GUARD,
                BLOCK=plan.block,
                SPAN=plan.span,
                GROUP=plan.group,
                STAGES=plan.stages,
                num_warps=plan.warps,
            )
        return self._enlarged


@torch.no_grad()
def pack_weights(net: CellNet, plan: TilePlan) -> tuple[Tensor, Tensor]:
    """The kernel's weights in fp16 and its biases in fp32, on the CPU, each flattened.

    Weights: of each hidden layer (steps, span * channels, features), a step being one or `span` neighbours in a row.
    Then for each `group` of the last layer's pixels (steps, 3, span * 16, group) for the input cells, and the same for
    the features; the 3 are B, G and R. Biases: of each hidden layer its biases and its PReLU's slopes, then those of
    the last one by colour and pixel. Levels are scaled as by `torch_io.bgra`.
    """
    four = convert_to_bgra(net)
    weights = [_order_taps(layer.weight, plan.span) for layer in (four.head, *four.body)]
    features, pixels = net.shape.features, (CELL * net.scale) ** 2
    tail = four.tail.weight.reshape(4, pixels, features + CELLS, 3, 3)[:3]
    for group in torch.split(tail, plan.group, 1):
        for part in (group[:, :, features:], group[:, :, :features]):
            weights.append(torch.stack([_order_taps(colour, plan.span) for colour in part], 1))
    biases = []
    for layer, act in zip((four.head, *four.body), four.acts, strict=True):
        biases += [layer.get_parameter("bias"), act.get_parameter("weight")]
    biases.append(four.tail.get_parameter("bias")[: 3 * pixels])
    return torch.cat([w.flatten() for w in weights]).half(), torch.cat(biases).float()


def _order_taps(weight: Tensor, span: int) -> Tensor:
    """(out, in, 3, 3) as (steps, span * in, out): the matrices of a convolution, in the order of their use."""
    out, inside = weight.shape[:2]
    taps = weight.permute(2, 3, 1, 0)
    if span == 1:
        return taps.reshape(TAPS, inside, out)
    return torch.nn.functional.pad(taps, (0, 0, 0, 0, 0, span - 3)).reshape(3, span * inside, out)


def _count_weights(shape: CellNetShape, scale: int) -> tuple[int, ...]:
    """Number of weights of one tap of each layer. Alpha is read, but not computed."""
    body = (shape.features**2,) * shape.depth
    return (CELLS * shape.features, *body, (CELLS + shape.features) * 3 * (CELL * scale) ** 2)


def _round_up(count: int, step: int) -> int:
    return -(-count // step) * step
