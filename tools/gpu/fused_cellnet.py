"""Examines the fused kernel, without a GPU or on one.

    pip install triton
    TRITON_INTERPRET=1 python -m tools.gpu.fused_cellnet   # compares its picture with fp32, on the CPU
    python -m tools.gpu.fused_cellnet                      # the compiled code; on a GPU its times, too

The first takes minutes; the interpreter of Triton 3.6 wants numpy below 2.4, that of 3.9 takes any. The compiler needs
no GPU: registers, spills and shared memory are read from the code for each compute capability.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from torch import Tensor

from live_sr.engines.torch_cuda.fused_cellnet import GUARD, FusedCellNet, TilePlan, list_plans
from live_sr.models import zoo
from live_sr.models.architectures import cellnet
from live_sr.models.export.torch_io import wrap_torch_io
from live_sr.pipeline.frame import Size

NETWORKS = (("turbo", 2), ("fast", 2), ("fast", 4), ("turbo", 4))
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
CAPABILITIES = (75, 80, 86, 89, 90, 120)


def make_picture(size: Size, kind: str, device: str) -> Tensor:
    """BGRA (1, H, W, 4): noise, the hardest case for rounding, or edges and a gradient with some noise."""
    random = torch.Generator().manual_seed(size.width * 1000 + size.height)
    noise = torch.rand(size.height, size.width, 4, generator=random)
    y, x = torch.meshgrid(torch.arange(size.height), torch.arange(size.width), indexing="ij")
    scene = (x / size.width + (x // 5 + y // 3) % 2).unsqueeze(2) / 2
    values = noise if kind == "noise" else 0.9 * scene + 0.1 * noise
    return (values * 255).round().to(torch.uint8).unsqueeze(0).to(device)


def compute_reference(net: cellnet.CellNet, small: Tensor) -> Tensor:
    """The network in fp32 as it was trained, in levels that are not rounded: BGR (H * scale, W * scale, 3)."""
    height, width = small.shape[1:3]
    rgb = small[..., :3].flip(3).permute(0, 3, 1, 2).float().cpu() / 255
    rgb = torch.nn.functional.pad(rgb, (0, width % 2, 0, height % 2), mode="replicate")
    with torch.no_grad():
        done: Tensor = net(rgb)[0, :, : height * net.scale, : width * net.scale].clamp(0, 1) * 255
    return done.permute(1, 2, 0).flip(2)


def compare(name: str, scale: int, size: Size, kind: str, plan: TilePlan | None, device: str) -> str:
    """A line of figures; it ends in WRONG if a level is off by more than one from the rounded reference."""
    card = zoo.find(name, scale)
    net, _ = cellnet.load(card.onnx.with_suffix(".safetensors"))
    small = make_picture(size, kind, device)
    fused = FusedCellNet(net, size, device, plan)
    for _ in range(2):  # the second run finds what the first left in the scratch memory
        made = fused(small).cpu()
    exact = compute_reference(net, small)
    levels = exact.round()
    apart = (made[0, ..., :3].float() - levels).abs()
    unrounded = (made[0, ..., :3].float() - exact).abs().max().item()
    alike = wrap_torch_io(card, "fp32")(small.cpu())
    wrong = "" if apart.max() <= 1 and (made[..., 3] == 255).all() else "  WRONG"
    return (
        f"{name} x{scale} {size} {kind} {fused.plan}: at most {apart.max():.0f} of 255, mean {apart.mean():.5f}, "
        f"{(apart > 0).float().mean():.3%} differ; from the unrounded at most {unrounded:.3f}; "
        f"from IOWrapper in fp32 at most {(made.int() - alike.int()).abs().max()}{wrong}"
    )


def compare_all(device: str) -> bool:
    """Prints the differences; returns whether all are small."""
    lines = []
    for name, scale in NETWORKS:
        small = TilePlan(Size(8, 4), block=64)
        grouped = TilePlan(Size(6, 5), block=32, span=4, group=8 * scale, stages=1)  # tiles end in the middle of a row
        for size, kind, plan in (
            (Size(1, 1), "noise", small),
            (Size(2, 2), "noise", grouped),
            (Size(7, 5), "scene", None),
            (Size(15, 22), "noise", grouped),
            (Size(33, 19), "scene", small),
            (Size(33, 19), "noise", grouped),
            (Size(70, 36), "scene", None),
        ):
            lines.append(compare(name, scale, size, kind, plan, device))
            print(lines[-1], flush=True)
    return not any("WRONG" in line for line in lines)


def compile_kernel(capability: int, name: str, scale: int, plan: TilePlan) -> str:
    """A line about the code that the compiler makes for that compute capability."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from live_sr.engines.torch_cuda import fused_cellnet_triton

    shape = cellnet.FAMILY[name, scale]
    arguments = {"picture": "*i32", "enlarged": "*i32", "weights": "*fp16", "biases": "*fp32", "scratch": "*fp16"}
    arguments |= dict.fromkeys(("width", "height", "columns", "tiles", "programs"), "i32")
    fixed = {
        "SCALE": scale,
        "FEATURES": shape.features,
        "DEPTH": shape.depth,
        "TILE_X": plan.tile.width,
        "TILE_Y": plan.tile.height,
        "ROOM": plan.compute_buffer_cells(shape),
        "GUARD": GUARD,
        "BLOCK": plan.block,
        "SPAN": plan.span,
        "GROUP": plan.group,
        "STAGES": plan.stages,
    }
    aligned = {(index,): [["tt.divisibility", 16]] for index in range(6)}  # the pointers, and a width such as 480
    source = ASTSource(
        fused_cellnet_triton.enlarge,
        arguments | dict.fromkeys(fixed, "constexpr"),
        constexprs={(len(arguments) + index,): value for index, value in enumerate(fixed.values())},
        attrs=aligned,
    )
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": plan.warps})
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "kernel.cubin"
        binary.write_bytes(made.asm["cubin"])
        usage = subprocess.run([tools / "cuobjdump", "-res-usage", binary], capture_output=True, text=True).stdout
        code = subprocess.run([tools / "nvdisasm", binary], capture_output=True, text=True).stdout

    def count(instruction: str) -> int:
        return len(re.findall(rf"\b{instruction}\b", code))

    registers, stack = re.findall(r"REG:(\d+) STACK:(\d+)", usage)[0]
    return (
        f"sm_{capability} {name} x{scale} {plan}: {registers} registers, stack {stack} bytes, "
        f"{made.metadata.shared / 1024:.1f} KiB shared, {count('HGMMA') + count('HMMA') + count('UTCHMMA')} matrix "
        f"instructions, {count('LDL')}+{count('STL')} spill loads and stores, {count('LDGSTS')} asynchronous copies, "
        f"{count('BAR')} barriers"
    )


def measure_time(name: str, scale: int, size: Size, plan: TilePlan) -> str:
    """A line with the time of a launch inside a CUDA graph."""
    card = zoo.find(name, scale)
    net, _ = cellnet.load(card.onnx.with_suffix(".safetensors"))
    small = make_picture(size, "scene", "cuda")
    fused = FusedCellNet(net, size, "cuda", plan)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        fused(small)
    times = []
    for _ in range(200):
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begun.record()
        graph.replay()
        ended.record()
        ended.synchronize()
        times.append(begun.elapsed_time(ended) * 1000)
    return f"{name} x{scale} {size} {plan}: {statistics.median(times):.0f} µs, least {min(times):.0f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capabilities", default=",".join(map(str, CAPABILITIES)), help="such as 86,90")
    parser.add_argument("--every-plan", action="store_true", help="compile all plans, not only the first")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"triton {triton.__version__}, torch {torch.__version__}")
    if INTERPRETED:
        return 0 if compare_all("cpu") else 1
    sizes = (Size(480, 270), Size(960, 540))
    for capability in map(int, options.capabilities.split(",")):
        for name, scale in NETWORKS:
            several = list_plans(sizes[0], cellnet.FAMILY[name, scale], scale, 132)
            for plan in several if options.every_plan else several[:1]:
                print(compile_kernel(capability, name, scale, plan), flush=True)
    if not torch.cuda.is_available():
        print("no GPU: no pictures and no times")
        return 0
    alike = compare_all("cuda")
    processors = torch.cuda.get_device_properties(0).multi_processor_count
    for name, scale in NETWORKS:
        for size in sizes:
            for plan in list_plans(size, cellnet.FAMILY[name, scale], scale, processors):
                print(measure_time(name, scale, size, plan), flush=True)
    return 0 if alike else 1


if __name__ == "__main__":
    sys.exit(main())
