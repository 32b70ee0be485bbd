"""Timings on a GPU: from main memory to the texture, compared with PyTorch alone, and the limits of the GPU.

A time is from when the upscale thread takes a frame in main memory until the picture is complete in an OpenGL texture.
It includes the copy into page-locked memory, the copy to the GPU, the network, and the copy into the texture.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import torch

from live_sr.capture.pattern import PatternSource
from live_sr.models import zoo
from live_sr.models.export.torch_io import wrap_torch_io
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Frame, Pixels, Size, make_black
from live_sr.pipeline.latency import Latency, LatencyReport, Percentiles
from live_sr.pipeline.pipeline import Pipeline
from tools.gpu.checks import DeviceOnlyEngine
from tools.gpu.fixtures import TextureDisplay, list_usable_engines, make_engine

PartResult = tuple[list[str], object]
FPS = 144
SECONDS = 4.0
WARM_UP_S = 1.0
ROUNDS = 3


@dataclass(frozen=True)
class TimingCase:
    """What is timed. `limit_ms`: the most that its median may be, if the project has set a limit."""

    model: str
    scale: int
    size: Size
    limit_ms: float = 0.0


CASES = (
    TimingCase("fast", 2, Size(480, 270)),
    TimingCase("fast", 2, Size(960, 540), 1.0),
    TimingCase("fast", 2, Size(1920, 1080), 2.0),
    TimingCase("balanced", 2, Size(1920, 1080), 4.0),
    TimingCase("quality", 2, Size(960, 540)),
)


def time_to_texture() -> PartResult:
    """Each engine at 144 frames a second, in turns: with pictures left on the GPU, and through main memory."""
    lines = [
        f"Paced at {FPS} frames a second, median of {ROUNDS} rounds in turns (least–most), ms from the frame in main "
        "memory to the complete texture.",
        "",
        "| model | input | engine | way | p50 | p95 | p99 | worst | asked | copy in | compute | copy out |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    kinds = list_usable_engines()
    figures: list[dict[str, Any]] = []
    tactics: list[str] = []
    for row in CASES:
        engines = {kind: make_engine(kind, row.model, row.scale) for kind in kinds}
        for one in engines.values():
            one.warm_up(row.size)
        runs: dict[tuple[str, str], list[Percentiles]] = {}
        for _ in range(ROUNDS):
            for kind, one in engines.items():
                for way in ("on the GPU", "main memory"):
                    runs.setdefault((kind, way), []).append(_add_upscale_and_show(_run(row, one, way, FPS)))
        for (kind, way), rounds in runs.items():
            middle = sorted(rounds, key=lambda p: p.p50)[len(rounds) // 2]
            spread = f"{middle.p50:.2f} ({min(p.p50 for p in rounds):.2f}–{max(p.p50 for p in rounds):.2f})"
            asked = f"< {row.limit_ms:g}" if row.limit_ms and way == "on the GPU" else ""
            stage_ms = {stage: statistics.median(ms) for stage, ms in engines[kind].get_device_ms().items() if ms}
            stages = " | ".join(f"{stage_ms.get(stage, 0):.3f}" for stage in ("copy in", "compute", "copy out"))
            lines.append(
                f"| {row.model} ×{row.scale} | {row.size} | {kind} | {way} | {spread} | {middle.p95:.2f} | "
                f"{middle.p99:.2f} | {middle.max:.2f} | {asked} | {stages} |"
            )
            figures.append({"row": row, "engine": kind, "way": way, "rounds": rounds, "stages": stage_ms})
        taken = getattr(engines.get("cuda"), "taken", None)
        tactics += ["", f"{row.model} ×{row.scale} at {row.size}:", "", f"    {taken}".replace("\n", "\n    ")]
        for one in engines.values():
            one.close()
    return lines + tactics, figures


def compare_with_eager() -> PartResult:
    """The same network in plain PyTorch (copy, run, copy back, wait) in fp16, in turns with the cuda engine."""
    lines = ["| model | input | PyTorch eager ms | live-sr ms | ratio |", "|---|---|---|---|---|"]
    figures = []
    for row in CASES:
        ours = make_engine("cuda", row.model, row.scale)
        ours.warm_up(row.size)
        eager = _make_eager(row)
        times: dict[str, list[float]] = {"eager": [], "ours": []}
        frame = Frame(make_black(row.size))
        into: Pixels | None = None
        for _ in range(200):
            begun = perf_counter_ns()
            eager(frame.pixels)
            times["eager"].append((perf_counter_ns() - begun) / 1e6)
            begun = perf_counter_ns()
            done = ours.upscale(frame, into)
            times["ours"].append((perf_counter_ns() - begun) / 1e6)
            into = done.pixels
        ours.close()
        a, b = (statistics.median(times[side][50:]) for side in ("eager", "ours"))
        lines.append(f"| {row.model} ×{row.scale} | {row.size} | {a:.2f} | {b:.2f} | {a / b:.1f} |")
        figures.append({"row": row, "eager_ms": a, "ours_ms": b})
    lines += ["", "Both from main memory to main memory."]
    return lines, figures


def measure_throughput() -> PartResult:
    """Frames a second, free-running, with pictures left on the GPU."""
    lines = ["| model | input | engine | frames a second |", "|---|---|---|---|"]
    figures = []
    for row in CASES:
        for kind in list_usable_engines():
            one = make_engine(kind, row.model, row.scale, queue=1)
            one.warm_up(row.size)
            fps = _run(row, one, "on the GPU", None).upscaled_fps
            one.close()
            lines.append(f"| {row.model} ×{row.scale} | {row.size} | {kind} | {fps:.0f} |")
            figures.append({"row": row, "engine": kind, "fps": fps})
    return lines, figures


def measure_limits() -> PartResult:
    """The bandwidth and arithmetic rate of the GPU, and the least time each network could take at those."""
    a, b = (torch.empty(1 << 28, dtype=torch.uint8, device="cuda") for _ in range(2))
    bandwidth = 2 * a.numel() / (_measure_cuda_ms(lambda: b.copy_(a)) / 1000)
    x, y = (torch.randn(8192, 8192, dtype=torch.float16, device="cuda") for _ in range(2))
    rate = 2 * 8192**3 / (_measure_cuda_ms(lambda: x @ y) / 1000)
    lines = [
        f"Copies {bandwidth / 1e12:.2f} TB/s (read and written), fp16 matrices at {rate / 1e12:.0f} TFLOP/s; "
        "the floor of a frame is the larger of: its two pictures at that bandwidth, its multiply-adds at that rate.",
        "",
        "| model | input | floor ms |",
        "|---|---|---|",
    ]
    floors = []
    for row in CASES:
        pixels = row.size.width * row.size.height
        card = zoo.find(row.model, row.scale)
        moved = 4 * pixels * (1 + row.scale**2) / bandwidth
        computed = 2 * card.macs_per_pixel * pixels / rate
        floors.append({"row": row, "floor_ms": 1000 * max(moved, computed)})
        lines.append(f"| {row.model} ×{row.scale} | {row.size} | {1000 * max(moved, computed):.3f} |")
    return lines, {"bandwidth": bandwidth, "rate": rate, "floors": floors}


class HostOnlyEngine:
    """An engine for the pipeline whose pictures all come back to main memory."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.scale: int = inner.scale
        self.info: EngineInfo = inner.info
        self.upscale, self.warm_up, self.close = inner.upscale, inner.warm_up, inner.close


def _run(row: TimingCase, one: Any, way: str, fps: float | None) -> LatencyReport:
    """Some seconds of the real pipeline into a texture, after a warm-up."""
    latency = Latency(capacity=100_000)
    display = TextureDisplay(latency)
    worker: Any = DeviceOnlyEngine(one) if way == "on the GPU" else HostOnlyEngine(one)
    source = PatternSource(row.size, fps=fps)
    pipeline = Pipeline(lambda: source, worker, display, latency, reopen=False, every_frame=fps is None)
    pipeline.start()
    time.sleep(WARM_UP_S)
    latency.reset()
    pipeline.wait(SECONDS)
    report = latency.report()
    pipeline.stop()
    display.close()
    return report


def _add_upscale_and_show(report: LatencyReport) -> Percentiles:
    """From when the upscale thread takes the frame to the texture: the stages upscale and show added up."""
    upscale, show = report.stages["upscale"], report.stages["show"]
    return Percentiles(*(a + b for a, b in zip(_list_values(upscale), _list_values(show), strict=True)))


def _list_values(p: Percentiles) -> tuple[float, float, float, float]:
    return p.p50, p.p95, p.p99, p.max


def _make_eager(row: TimingCase) -> Callable[[Pixels], Pixels]:
    module = wrap_torch_io(zoo.find(row.model, row.scale), "fp16").cuda()

    def run(pixels: Pixels) -> Pixels:
        with torch.inference_mode():
            done: Pixels = module(torch.from_numpy(pixels)[None].cuda())[0].cpu().numpy()
        return done

    return run


def _measure_cuda_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(12):
        torch.cuda.synchronize()
        begun = perf_counter_ns()
        work()
        torch.cuda.synchronize()
        times.append((perf_counter_ns() - begun) / 1e6)
    return statistics.median(times[4:])


TIMINGS = {
    "way to the texture": time_to_texture,
    "against PyTorch eager": compare_with_eager,
    "throughput": measure_throughput,
    "limits of the GPU": measure_limits,
}
