"""How fast it is on a card: the whole way into the texture, side by side with PyTorch alone, and the card's own limits.

From the moment the upscale thread takes a frame in main memory until the picture is complete in an OpenGL texture: the
copy into page-locked memory, the way to the card, the network, and the texture are all in it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import torch
from gpu_checks import Drawer
from on_card import TextureDisplay, engine

from live_sr.backends import ENGINES
from live_sr.capture.pattern import PatternSource
from live_sr.contracts import Job
from live_sr.frame import Frame, Pixels, Size, fresh
from live_sr.latency import Latency, Percentiles, Report
from live_sr.models import zoo
from live_sr.models.framed import framed
from live_sr.pipeline import Pipeline

Told = tuple[list[str], object]
FPS = 144
SECONDS = 4.0
WARM_UP_S = 1.0
ROUNDS = 3


@dataclass(frozen=True)
class Row:
    """What is timed. `limit_ms`: the most that its median may be, where the project promised one."""

    model: str
    scale: int
    size: Size
    limit_ms: float = 0.0


ROWS = (
    Row("fast", 2, Size(480, 270)),
    Row("fast", 2, Size(960, 540), 1.0),
    Row("fast", 2, Size(1920, 1080), 2.0),
    Row("balanced", 2, Size(1920, 1080), 4.0),
    Row("quality", 2, Size(960, 540)),
)


def usable() -> list[str]:
    """The engines that this machine has, best first."""
    return [b.name for b in ENGINES if b.name in ("tensorrt", "rtx", "cuda") and not b.obstacle()]


def way_to_the_texture() -> Told:
    """Paced at 144, in turns: each engine with its pictures left on the card, and through main memory."""
    lines = [
        f"Paced at {FPS} frames a second, median of {ROUNDS} rounds in turns (least–most), ms from the frame in main "
        "memory to the complete texture.",
        "",
        "| model | input | engine | way | p50 | p95 | p99 | worst | asked | copy in | compute | copy out |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    kinds = usable()
    figures: list[dict[str, Any]] = []
    tactics: list[str] = []
    for row in ROWS:
        engines = {kind: engine(kind, row.model, row.scale) for kind in kinds}
        for one in engines.values():
            one.warm_up(row.size)
        runs: dict[tuple[str, str], list[Percentiles]] = {}
        for _ in range(ROUNDS):
            for kind, one in engines.items():
                for way in ("on the card", "main memory"):
                    runs.setdefault((kind, way), []).append(_whole(_run(row, one, way, FPS)))
        for (kind, way), rounds in runs.items():
            middle = sorted(rounds, key=lambda p: p.p50)[len(rounds) // 2]
            spread = f"{middle.p50:.2f} ({min(p.p50 for p in rounds):.2f}–{max(p.p50 for p in rounds):.2f})"
            asked = f"< {row.limit_ms:g}" if row.limit_ms and way == "on the card" else ""
            card = {stage: statistics.median(ms) for stage, ms in engines[kind].device_ms().items() if ms}
            stages = " | ".join(f"{card.get(stage, 0):.3f}" for stage in ("copy in", "compute", "copy out"))
            lines.append(
                f"| {row.model} ×{row.scale} | {row.size} | {kind} | {way} | {spread} | {middle.p95:.2f} | "
                f"{middle.p99:.2f} | {middle.max:.2f} | {asked} | {stages} |"
            )
            figures.append({"row": row, "engine": kind, "way": way, "rounds": rounds, "card": card})
        taken = getattr(engines.get("cuda"), "taken", None)
        tactics += ["", f"{row.model} ×{row.scale} at {row.size}:", "", f"    {taken}".replace("\n", "\n    ")]
        for one in engines.values():
            one.close()
    return lines + tactics, figures


def against_eager() -> Told:
    """The same network in PyTorch as one writes it first: copy, run, copy back, wait; fp16, in turns with ours."""
    lines = ["| model | input | PyTorch eager ms | live-sr ms | ratio |", "|---|---|---|---|---|"]
    figures = []
    for row in ROWS:
        ours = engine("cuda", row.model, row.scale)
        ours.warm_up(row.size)
        eager = _eager(row)
        times: dict[str, list[float]] = {"eager": [], "ours": []}
        frame = Frame(fresh(row.size))
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


def throughput() -> Told:
    """Free-running, pictures left on the card: frames a second."""
    lines = ["| model | input | engine | frames a second |", "|---|---|---|---|"]
    figures = []
    for row in ROWS:
        for kind in usable():
            one = engine(kind, row.model, row.scale, queue=1)
            one.warm_up(row.size)
            fps = _run(row, one, "on the card", None).upscaled_fps
            one.close()
            lines.append(f"| {row.model} ×{row.scale} | {row.size} | {kind} | {fps:.0f} |")
            figures.append({"row": row, "engine": kind, "fps": fps})
    return lines, figures


def limits() -> Told:
    """What the card can do at most, and the least that each network could take for it."""
    a, b = (torch.empty(1 << 28, dtype=torch.uint8, device="cuda") for _ in range(2))
    bandwidth = 2 * a.numel() / (_cuda_ms(lambda: b.copy_(a)) / 1000)
    x, y = (torch.randn(8192, 8192, dtype=torch.float16, device="cuda") for _ in range(2))
    rate = 2 * 8192**3 / (_cuda_ms(lambda: x @ y) / 1000)
    lines = [
        f"Copies {bandwidth / 1e12:.2f} TB/s (read and written), fp16 matrices at {rate / 1e12:.0f} TFLOP/s; "
        "the floor of a frame is the larger of: its two pictures at that bandwidth, its multiply-adds at that rate.",
        "",
        "| model | input | floor ms |",
        "|---|---|---|",
    ]
    floors = []
    for row in ROWS:
        pixels = row.size.width * row.size.height
        card = zoo.find(row.model, row.scale)
        moved = 4 * pixels * (1 + row.scale**2) / bandwidth
        computed = 2 * card.macs_per_pixel * pixels / rate
        floors.append({"row": row, "floor_ms": 1000 * max(moved, computed)})
        lines.append(f"| {row.model} ×{row.scale} | {row.size} | {1000 * max(moved, computed):.3f} |")
    return lines, {"bandwidth": bandwidth, "rate": rate, "floors": floors}


class HostOnly:
    """An engine on a card whose pictures come back to main memory, as the pipeline takes it."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.scale: int = inner.scale
        self.job: Job = inner.job
        self.upscale, self.warm_up, self.close = inner.upscale, inner.warm_up, inner.close


def _run(row: Row, one: Any, way: str, fps: float | None) -> Report:
    """Some seconds of the real pipeline into a texture, after a warm-up."""
    latency = Latency(capacity=100_000)
    display = TextureDisplay(latency)
    worker: Any = Drawer(one) if way == "on the card" else HostOnly(one)
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


def _whole(report: Report) -> Percentiles:
    """From the upscale thread's taking the frame to the texture: what the stages upscale and show add up to."""
    upscale, show = report.stages["upscale"], report.stages["show"]
    return Percentiles(*(a + b for a, b in zip(_values(upscale), _values(show), strict=True)))


def _values(p: Percentiles) -> tuple[float, float, float, float]:
    return p.p50, p.p95, p.p99, p.max


def _eager(row: Row) -> Callable[[Pixels], Pixels]:
    module = framed(zoo.find(row.model, row.scale), "fp16").cuda()

    def run(pixels: Pixels) -> Pixels:
        with torch.inference_mode():
            done: Pixels = module(torch.from_numpy(pixels)[None].cuda())[0].cpu().numpy()
        return done

    return run


def _cuda_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(12):
        torch.cuda.synchronize()
        begun = perf_counter_ns()
        work()
        torch.cuda.synchronize()
        times.append((perf_counter_ns() - begun) / 1e6)
    return statistics.median(times[4:])


TIMINGS = {
    "way to the texture": way_to_the_texture,
    "against PyTorch eager": against_eager,
    "throughput": throughput,
    "limits of the card": limits,
}
