"""The fused kernel's arithmetic without the kernel: what its packed weights compute, and how its work is cut.

That the kernel itself computes this is for tools/gpu/fused_cellnet.py, which needs Triton.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from live_sr.engines.torch_cuda import fused_cellnet
from live_sr.engines.torch_cuda.fused_cellnet import CELLS, FusedCellNet, TilePlan
from live_sr.errors import EngineError
from live_sr.models.architectures import cellnet
from live_sr.models.architectures.cellnet import CELL, CellNet, CellNetShape
from live_sr.models.export.torch_io import IOWrapper, convert_to_bgra
from live_sr.pipeline.frame import Size

pytestmark = pytest.mark.torch

TURBO, FAST, FAST_X4 = CellNetShape(16, 4), CellNetShape(32, 3), CellNetShape(32, 8)
SMALL = TilePlan(Size(6, 4), block=16)


def lively(scale: int, shape: CellNetShape) -> CellNet:
    """A network with something in every weight, rounded as those that ship are."""
    torch.manual_seed(7)
    net = CellNet(scale, shape.features, shape.depth).eval().requires_grad_(False)
    for name, values in net.named_parameters():
        if name.endswith("bias"):
            values.normal_(std=0.1)
        values.copy_(values.half())
    return net


def walked(net: CellNet, plan: TilePlan, picture: Tensor) -> Tensor:
    """What the kernel does with its weights, tile by tile, in fp32: BGR (H * scale, W * scale, 3)."""
    shape, scale, side = net.shape, net.scale, CELL * net.scale
    weights, biases = (values.float() for values in fused_cellnet.pack_weights(net, plan))
    height, width = picture.shape[1:3]
    halo, pitch, rows, room = (
        fused_cellnet.compute_halo(shape),
        plan.compute_pitch(shape),
        plan.compute_rows(shape),
        plan.compute_buffer_cells(shape),
    )
    steps = range(9 if plan.span == 1 else 3)
    offsets = [(s // 3 - 1) * pitch + s % 3 - 1 if plan.span == 1 else (s - 1) * pitch - 1 for s in steps]
    large = torch.zeros(height * scale, width * scale, 3)
    tiles = plan.count_tiles(Size(width, height))
    y, x = torch.arange(room) // pitch, torch.arange(room) % pitch

    def taken(values: Tensor, *size: int) -> tuple[Tensor, Tensor]:
        count = int(torch.tensor(size).prod())
        return values[:count].reshape(size), values[count:]

    def convolved(source: Tensor, kernels: Tensor, begin: int, end: int) -> Tensor:
        """`source` has GUARD places before the first; the sums of the places from begin to end."""
        total = torch.zeros(end - begin, kernels.shape[-1])
        for offset, kernel in zip(offsets, kernels, strict=True):
            first = fused_cellnet.GUARD + begin + offset
            near = [source[first + k : first + k + end - begin] for k in range(plan.span)]
            total += torch.cat(near, 1) @ kernel
        return total

    for tile in range(tiles.width * tiles.height):
        left, top = tile % tiles.width * plan.tile.width - halo, tile // tiles.width * plan.tile.height - halo
        within = (x + left >= -1) & (x + left <= (width + 1) // 2) & (y + top >= -1) & (y + top <= (height + 1) // 2)
        k = torch.arange(CELLS)
        column = (2 * (x + left)[:, None] + k % 2).clamp(0, width - 1)
        row = (2 * (y + top)[:, None] + k // 2 % 2).clamp(0, height - 1)
        cells = torch.zeros(room + 2 * fused_cellnet.GUARD, CELLS)
        cells[fused_cellnet.GUARD : -fused_cellnet.GUARD] = picture[0, row, column, k // 4] / 256 * within[:, None]
        source, left_weights, left_biases = cells, weights, biases
        for layer in range(shape.depth + 1):
            kernels, left_weights = taken(left_weights, len(steps), plan.span * source.shape[1], shape.features)
            (bias, slope), left_biases = taken(left_biases, 2, shape.features)
            begin, end = (layer + 1) * pitch, (rows - layer - 1) * pitch
            total = convolved(source, kernels, begin, end) + bias
            needed = within & (x > layer) & (x < pitch - layer - 1)
            source = torch.zeros(room + 2 * fused_cellnet.GUARD, shape.features)
            done = torch.where(total > 0, total, total * slope) * needed[begin:end, None]
            source[fused_cellnet.GUARD + begin : fused_cellnet.GUARD + end] = done
        begin, end = halo * pitch, (rows - halo) * pitch
        levels = []
        for _ in range(side * side // plan.group):
            total = torch.zeros(3, end - begin, plan.group)
            for part in (cells, source):
                size = (len(steps), 3, plan.span * part.shape[1], plan.group)
                kernels, left_weights = taken(left_weights, *size)
                total += torch.stack([convolved(part, kernels[:, c], begin, end) for c in range(3)])
            levels.append(total)
        bias, left_biases = taken(left_biases, 3, 1, side * side)
        assert left_weights.numel() == left_biases.numel() == 0
        pixels = (torch.cat(levels, 2) + bias).reshape(3, plan.tile.height, pitch, side, side)[
            :, :, halo : pitch - halo
        ]
        block = pixels.permute(1, 3, 2, 4, 0).flatten(0, 1).flatten(1, 2)
        out_y, out_x = (top + halo) * side, (left + halo) * side
        there = large[out_y : out_y + block.shape[0], out_x : out_x + block.shape[1]]
        there.copy_(block[: there.shape[0], : there.shape[1]])
    return large


@pytest.mark.parametrize("span, group", [(1, 16), (4, 16), (1, 64)])
@pytest.mark.parametrize("size", [Size(1, 1), Size(7, 5), Size(26, 19)], ids=str)
@pytest.mark.parametrize("scale, shape", [(2, TURBO), (2, FAST), (4, CellNetShape(16, 2))])
def test_tiles_with_packed_weights_make_the_networks_picture(
    scale: int, shape: CellNetShape, size: Size, span: int, group: int
) -> None:
    net = lively(scale, shape)
    picture = torch.randint(0, 256, (1, size.height, size.width, 4), dtype=torch.uint8)
    plan = replace(SMALL, span=span, group=min(group, (CELL * scale) ** 2))
    made = walked(net, plan, picture).round().clamp(0, 255)
    expected = IOWrapper(convert_to_bgra(net).eval().requires_grad_(False), CELL, "fp32")(picture)[0, ..., :3]
    assert (made - expected).abs().max() <= 1  # a sum in another order can round to the neighbour
    assert (made != expected).float().mean() < 0.01


def test_the_weights_that_ship_lose_nothing_in_half_precision() -> None:
    net = lively(2, FAST)
    weights, biases = fused_cellnet.pack_weights(net, SMALL)
    head = weights[: 9 * CELLS * 32].float().reshape(3, 3, 4, 4, 32)  # row, column, colour, pixel, out
    assert torch.equal(head[:, :, :3].flip(2).flatten(2, 3).permute(3, 2, 0, 1), net.head.weight)
    assert not head[:, :, 3].any()  # alpha
    assert (weights.dtype, biases.dtype) == (torch.float16, torch.float32)


@pytest.mark.parametrize(
    "plan, shape, scale, places, overhead",
    [
        (TilePlan(Size(16, 16)), FAST, 2, (640, 640, 640, 512, 512), 2.22),
        (TilePlan(Size(64, 32)), FAST, 2, (3072, 2816, 2688, 2560, 2432), 1.28),
        (TilePlan(Size(16, 16)), TURBO, 2, (768, 768, 640, 640, 512, 512), 2.27),
        (TilePlan(Size(32, 32)), FAST_X4, 4, (2688, 2560, 2432, 2304, 2304, 2176, 2048, 1920, 1792, 1664), 1.89),
        (TilePlan(Size(16, 16), span=4), FAST, 2, (640, 640, 640, 512, 512), 2.96),
    ],
)
def test_what_a_tile_costs(
    plan: TilePlan, shape: CellNetShape, scale: int, places: tuple[int, ...], overhead: float
) -> None:
    assert plan.compute_places(shape) == places
    assert plan.compute_overhead(shape, scale) == pytest.approx(overhead, abs=0.01)


@pytest.mark.parametrize("shape", [TURBO, FAST, FAST_X4])
@pytest.mark.parametrize("plan", fused_cellnet.list_plans(Size(480, 270), FAST, 2, 84))
def test_no_block_reaches_beyond_the_memory_of_its_tile(plan: TilePlan, shape: CellNetShape) -> None:
    pitch, rows = plan.compute_pitch(shape), plan.compute_rows(shape)
    before = fused_cellnet.GUARD
    after = plan.compute_buffer_cells(shape) - before
    for margin in range(fused_cellnet.compute_halo(shape) + 1):  # 0: the unshuffling, which reads the picture
        last = max(range(margin * pitch, (rows - margin) * pitch, plan.block)) + plan.block
        assert last <= after
        if margin:
            assert margin * pitch - pitch - 1 >= -before
            assert last + pitch - 1 + max(1, plan.span - 1) <= after


@pytest.mark.parametrize(
    "size, tiles",
    [(Size(1, 1), (1, 1)), (Size(32, 32), (1, 1)), (Size(33, 32), (2, 1)), (Size(480, 270), (15, 9))],
)
def test_tiles_cover_the_picture(size: Size, tiles: tuple[int, int]) -> None:
    assert TilePlan(Size(16, 16)).count_tiles(size) == tiles


@pytest.mark.parametrize(
    "size, processors, tile",
    [
        (Size(480, 270), 28, Size(32, 32)),
        (Size(480, 270), 132, Size(16, 8)),  # enough for every multiprocessor, though half is halo
        (Size(1920, 1080), 132, Size(64, 32)),
    ],
)
def test_tiles_are_as_large_as_the_card_can_be_kept_busy_with(size: Size, processors: int, tile: Size) -> None:
    assert fused_cellnet.list_plans(size, FAST, 2, processors)[0].tile == tile


def test_every_plan_is_one_that_can_be_compiled() -> None:
    for plan in fused_cellnet.list_plans(Size(480, 270), FAST, 2, 84):
        for count in (plan.block, plan.group, plan.span * CELLS, plan.warps):
            assert count & (count - 1) == 0
        assert plan.block >= 16 * plan.warps  # the rows of one matrix instruction for each warp
        assert (CELL * 2) ** 2 % plan.group == 0


@pytest.mark.parametrize(
    "shape, capability, words",
    [
        (CellNetShape(64, 6), (9, 0), "only networks of 16 or 32 features and up to 8 layers"),
        (CellNetShape(24, 3), (9, 0), "only networks of 16 or 32 features"),
        (CellNetShape(32, 9), (9, 0), "up to 8 layers"),
        (FAST, (7, 5), "need compute capability 8.0, and this GPU has 7.5"),
    ],
)
def test_an_obstacle_says_what_would_be_needed(shape: CellNetShape, capability: tuple[int, int], words: str) -> None:
    assert words in fused_cellnet.unavailable_reason(shape, capability)


@pytest.mark.parametrize("name, scale", [("turbo", 2), ("turbo", 4), ("fast", 2), ("fast", 4)])
def test_the_small_networks_can_be_fused_where_triton_is(
    monkeypatch: pytest.MonkeyPatch, name: str, scale: int
) -> None:
    for spec, words in ((None, "triton is not installed"), (importlib.util.find_spec("torch"), "")):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, spec=spec: spec)
        assert fused_cellnet.unavailable_reason(cellnet.FAMILY[name, scale], (8, 6)) == words


def test_a_network_that_cannot_be_fused_is_refused_in_a_sentence() -> None:
    with pytest.raises(EngineError, match="only networks of 16 or 32 features"):
        FusedCellNet(lively(2, CellNetShape(64, 1)), Size(8, 8), "cpu")
