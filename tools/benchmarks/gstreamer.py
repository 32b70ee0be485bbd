"""Measure what the GStreamer element costs: its frames a second, as a share of what the engine alone makes.

    python -m tools.benchmarks.gstreamer [--model fast] [--scale 2] [--size 480x270] [--engine auto] [--rounds 7]
                                         [--frames 300]

The element must be installed (`live-sr gstreamer install`). The pipeline is `videotestsrc ! livesrupscale ! fakesink`,
with black frames, for which the source needs almost no time. gst-launch-1.0 runs with a few frames and with many, and
the difference counts, so that its start does not. It takes turns with the engine, which runs in this process on black
frames too: what else the machine does meets both. Processor time is compared as well, because that depends less on what
else runs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass

from live_sr.cli.argument_types import parse_size
from live_sr.engines import factory
from live_sr.engines.options import EngineOptions
from live_sr.models.resolve import resolve
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Frame, Size, make_black
from live_sr.system import paths
from live_sr.upscale.gstreamer.plugin import find_system_path

FEW = 10  # frames of the run that is subtracted


@dataclass(frozen=True)
class FrameTime:
    """Milliseconds of a frame: by the clock, and of the processor."""

    wall: float
    processor: float


def measure_engine(engine: Engine, size: Size, frames: int) -> FrameTime:
    small, large = make_black(size), make_black(size.times(engine.scale))
    begun, worked = time.perf_counter(), time.process_time()
    for _ in range(frames):
        engine.upscale(Frame(small), large)
    return FrameTime(1000 * (time.perf_counter() - begun) / frames, 1000 * (time.process_time() - worked) / frames)


def run_pipeline(a: argparse.Namespace, frames: int) -> FrameTime:
    """Milliseconds of a whole run."""
    source = f"videotestsrc pattern=black num-buffers={frames}"
    caps = f"video/x-raw,format=BGRx,width={a.size.width},height={a.size.height},framerate=30/1"
    element = f"livesrupscale model={a.model} scale={a.scale} engine={a.engine}"
    begun = time.perf_counter()
    command = ["gst-launch-1.0", "-q", *f"{source} ! {caps} ! {element} ! fakesink".split()]
    environment = {**os.environ, "PATH": find_system_path()}
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        if status:
            said.seek(0)
            why = (said.read().split("\n")[0] or f"it ended with {os.waitstatus_to_exitcode(status)}").strip()
            sys.exit(f"gst-launch-1.0: {why}\n  is the element installed? live-sr gstreamer install")
    return FrameTime(1000 * (time.perf_counter() - begun), 1000 * (used.ru_utime + used.ru_stime))


def measure_element(a: argparse.Namespace) -> FrameTime:
    few, many = run_pipeline(a, FEW), run_pipeline(a, FEW + a.frames)
    return FrameTime((many.wall - few.wall) / a.frames, (many.processor - few.processor) / a.frames)


def main() -> int:
    parser = argparse.ArgumentParser(description="The GStreamer element against its engine alone.")
    parser.add_argument("--model", default="fast")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--size", type=parse_size, default=Size(480, 270))
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, default=300)
    a = parser.parse_args()
    options = EngineOptions(a.engine, cache=paths.get_cache_folder())
    rounds: list[tuple[FrameTime, FrameTime]] = []
    with closing(factory.make_engine(resolve(a.model), a.scale, options)) as engine:
        engine.warm_up(a.size)
        print(f"{engine.info}, {a.size} to {a.size.times(a.scale)}; milliseconds of a frame")
        print("round   engine   element   engine CPU   element CPU")
        for number in range(a.rounds):
            alone, element = measure_engine(engine, a.size, a.frames), measure_element(a)
            rounds.append((alone, element))
            by_clock = f"{number + 1:5} {alone.wall:8.2f} {element.wall:9.2f}"
            print(f"{by_clock} {alone.processor:12.2f} {element.processor:13.2f}", flush=True)
    rate = statistics.median(alone.wall / element.wall for alone, element in rounds)
    work = statistics.median(alone.processor / element.processor for alone, element in rounds)
    print(f"the element has {rate:.2f} of the engine's rate, and {work:.2f} by processor time (medians)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
