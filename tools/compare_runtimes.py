"""The same network on the same frames in the same process: OpenVINO as live-sr uses it, PyTorch eager, ONNX Runtime.

    python tools/compare_runtimes.py --scale 2,4 --rounds 7 --json runtimes.json

Every side gets the job that an overlay has: BGRA uint8 in, BGRA uint8 out, of a moving pattern. live-sr converts inside
its compiled graph; PyTorch converts with its own operators on tensors, ONNX Runtime with numpy, as its users do. All
get the same number of threads. Rounds are interleaved, so that a busy machine is busy for all of them; a round begins
with a pause and a few frames that are not counted, because the threads of the side before go on spinning for a while.
The figures are medians over rounds. A side whose package is not installed is left out with a sentence.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from time import perf_counter, sleep

import numpy as np

from live_sr import hardware
from live_sr.capture.pattern import PatternSource
from live_sr.errors import EngineError, LiveSRError
from live_sr.frame import Frame, Pixels, Size, fresh
from live_sr.models import zoo
from live_sr.models.card import ModelCard

Job = Callable[[Pixels], Pixels]
"""BGRA (H, W, 4) -> BGRA (H * scale, W * scale, 4), which may be overwritten by the next call."""

WARM_UP = 3  # frames
PAUSE_S = 0.2  # before each round
LIKE = 4  # levels of 255 by which sides may differ anywhere: bf16 has eight significant bits


@dataclass(frozen=True)
class Side:
    """Milliseconds a frame: the median over rounds of each round's median and 95th percentile."""

    scale: int
    runtime: str
    version: str
    precision: str
    p50_ms: float
    p95_ms: float
    times_live_sr: float  # how many times as long as live-sr's own engine
    differs: int  # from live-sr's picture, levels of 255 at the worst pixel


def openvino_job(card: ModelCard, size: Size, precision: str, threads: int) -> Job:
    from live_sr.engine.openvino import OpenVINOEngine

    engine = OpenVINOEngine(card, precision=precision, threads=threads)
    engine.warm_up(size)
    into = fresh(size.times(card.scale))

    def job(pixels: Pixels) -> Pixels:
        done = engine.upscale(Frame(pixels), into)
        assert done is not None
        return done.pixels

    return job


def torch_job(card: ModelCard, size: Size, precision: str, threads: int) -> Job:
    import torch

    from live_sr.models import nets

    net, _ = nets.load(card.onnx.with_suffix(".safetensors"))
    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    net = net.to(dtype=dtype, memory_format=torch.channels_last)  # the faster layout for convolutions on a CPU
    into = torch.from_numpy(fresh(size.times(card.scale)))
    rgb = torch.tensor([2, 1, 0])

    @torch.inference_mode()
    def job(pixels: Pixels) -> Pixels:
        planes = torch.from_numpy(pixels)[..., rgb].permute(2, 0, 1)[None].to(dtype).div_(255)
        enlarged = net(planes)[0].mul_(255).round_().clamp_(0, 255).to(torch.uint8)
        into[..., :3] = enlarged[rgb].permute(1, 2, 0)
        return into.numpy()

    return job


def onnxruntime_job(card: ModelCard, size: Size, precision: str, threads: int) -> Job:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(card.onnx, options, providers=["CPUExecutionProvider"])
    planes = np.empty((1, 3, size.height, size.width), np.float32)
    into = fresh(size.times(card.scale))

    def job(pixels: Pixels) -> Pixels:
        np.multiply(pixels[..., 2::-1].transpose(2, 0, 1), np.float32(1 / 255), out=planes[0])
        enlarged = session.run(None, {"rgb": planes})[0][0]
        np.multiply(enlarged, 255, out=enlarged)
        np.clip(np.rint(enlarged, out=enlarged), 0, 255, out=enlarged)
        np.copyto(into[..., 2::-1].transpose(2, 0, 1), enlarged, casting="unsafe")
        return into

    return job


# runtime, package, precision, how to make its job; the first is live-sr's own and the measure of the others
SIDES = (
    ("live-sr (OpenVINO)", "openvino", "auto", openvino_job),
    ("live-sr (OpenVINO)", "openvino", "fp32", openvino_job),
    ("PyTorch eager", "torch", "fp32", torch_job),
    ("PyTorch eager", "torch", "bf16", torch_job),
    ("ONNX Runtime", "onnxruntime", "fp32", onnxruntime_job),
)


@dataclass
class Runner:
    """One side at work, and its rounds."""

    runtime: str
    package: str
    precision: str
    job: Job
    p50: list[float]
    p95: list[float]


def runners(card: ModelCard, size: Size, threads: int) -> list[Runner]:
    """Everything that is installed here and can do it, warmed up."""
    ready = []
    for runtime, package, precision, make in SIDES:
        try:
            job = make(card, size, precision, threads)
        except (ImportError, EngineError) as error:
            print(f"{runtime} {precision} is left out: {error}")
            continue
        for _ in range(WARM_UP):
            job(fresh(size))
        ready.append(Runner(runtime, package, told(precision), job, [], []))
    return ready


def told(precision: str) -> str:
    """What OpenVINO's "auto" is here."""
    from live_sr.engine.openvino import core

    if precision != "auto":
        return precision
    return "bf16" if "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "fp32"


def frames_of(size: Size, count: int) -> list[Pixels]:
    source = PatternSource(size, fps=None)
    frames = [source.next_frame(0) for _ in range(count)]
    return [frame.pixels for frame in frames if frame is not None]


def one_round(runner: Runner, frames: list[Pixels]) -> None:
    sleep(PAUSE_S)
    for pixels in frames[:WARM_UP]:
        runner.job(pixels)
    spent = []
    for pixels in frames:
        begun = perf_counter()
        runner.job(pixels)
        spent.append((perf_counter() - begun) * 1000)
    p50, p95 = np.percentile(spent, (50, 95))
    runner.p50.append(float(p50))
    runner.p95.append(float(p95))


def compare(card: ModelCard, size: Size, rounds: int, frames: list[Pixels], threads: int) -> list[Side]:
    ready = runners(card, size, threads)
    if not ready:
        return []
    pictures = [runner.job(frames[-1]).astype(np.int16) for runner in ready]
    for number in range(rounds):
        for runner in ready:
            if sys.stderr.isatty():
                said = f"x{card.scale}: round {number + 1} of {rounds}, {runner.runtime} {runner.precision}"
                print(f"\r{said:70}\r", end="", file=sys.stderr, flush=True)
            one_round(runner, frames)
    ours = statistics.median(ready[0].p50)
    return [
        Side(
            scale=card.scale,
            runtime=r.runtime,
            version=metadata.version(r.package),
            precision=r.precision,
            p50_ms=round(statistics.median(r.p50), 3),
            p95_ms=round(statistics.median(r.p95), 3),
            times_live_sr=round(statistics.median(r.p50) / ours, 2),
            differs=int(np.abs(picture - pictures[0]).max()),
        )
        for r, picture in zip(ready, pictures, strict=True)
    ]


def table(sides: list[Side], size: Size, threads: int) -> str:
    lines = [f"{'BGRA in, BGRA out':32}{'precision':>10}{'p50 ms':>9}{'p95 ms':>9}{'fps':>8}{'times':>8}{'differs':>9}"]
    for s in sides:
        name = f"{s.runtime} {s.version.partition('-')[0]}"
        lines.append(
            f"x{s.scale} {name:29}{s.precision:>10}{s.p50_ms:9.2f}{s.p95_ms:9.2f}{1000 / s.p50_ms:8.1f}"
            f"{s.times_live_sr:8.2f}{s.differs:9}"
        )
        if s.differs > LIKE:
            lines.append(f"   this is not the same picture: {s.differs} levels off at the worst pixel")
    return "\n".join([f"{size} enlarged on {threads} threads; times: as long as the first line", *lines])


def size(text: str) -> Size:
    width, height = (int(part) for part in text.split("x"))
    if width < 2 or height < 2 or width % 2 or height % 2:  # only live-sr pads what the network cannot take
        raise argparse.ArgumentTypeError(f'"{text}" is not even')
    return Size(width, height)


def scales(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def write_json(path: Path, record: dict[str, object]) -> None:
    """Raises LiveSRError."""
    part = Path(f"{path}.part")
    try:
        part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise LiveSRError(f"{path} cannot be written: {error.strerror}", "choose another --json file") from None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", default="fast", help="a network trained here")
    parser.add_argument("--scale", type=scales, default=[2], metavar="N,...", help="its scales")
    parser.add_argument("--size", type=size, default=Size(480, 270), metavar="WxH", help="of the frames; even")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved")
    parser.add_argument("--frames", type=int, default=30, help="in each round of each side")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of each runtime")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    a = parser.parse_args()
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else 0.0
    machine = {"processor": hardware.processor_name(), "cores": os.cpu_count(), "load": load}
    print(f"{machine['processor']}, {machine['cores']} cores, load {load}")
    try:
        cards = [zoo.find(a.model, scale) for scale in a.scale]
        frames = frames_of(a.size, a.frames)
        sides = [side for card in cards for side in compare(card, a.size, a.rounds, frames, a.threads)]
        print(table(sides, a.size, a.threads))
        if a.json is not None:
            machine["system"] = platform.platform()
            told = {"size": str(a.size), "threads": a.threads, "sides": [asdict(side) for side in sides]}
            write_json(a.json, {"schema": 1, "machine": machine, **told})
    except LiveSRError as error:
        print(f"{error.message}\n  {error.remedy}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
