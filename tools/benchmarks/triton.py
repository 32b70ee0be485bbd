"""Measure one network in PyTorch, ONNX Runtime and Triton, and in live-sr: milliseconds a frame, in turns.

    python -m tools.benchmarks.triton [--model fast] [--scale 2] [--size 480x270] [--rounds 40] [--threads 0]
                                      [--markdown FILE]

Triton runs live-sr's engines in its Python backend, and gets the frames by HTTP: in the message, or in shared memory.
The server and its client are installed as docs/triton.md says. Each round gives the same frame to every row once, in
random order, so that what else runs on the machine meets all of them. The processor's time is that of all threads and
processes that take part, the server's included. The pictures of a row in Triton must be those of the same engine here,
to the bit.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import psutil
import tritonclient.http as triton

from live_sr.app.demo import CLIP
from live_sr.bench.baselines import registry
from live_sr.engines.options import EngineOptions
from live_sr.models.resolve import resolve
from live_sr.pipeline.engine_contracts import BuildMonitor
from live_sr.pipeline.frame import Frame, Pixels, Size
from live_sr.service.triton_repository import write_repository
from live_sr.system.hardware import get_processor_name
from tools.triton_client import SharedPictures, send
from tools.triton_server import TritonServer

FIRST = 5  # rounds that are not counted
PEERS = (
    ("PyTorch, eager", "eager", "fp32"),
    ("PyTorch, eager", "eager", "bf16"),
    ("ONNX Runtime", "onnxruntime", "fp32"),
)
OURS = ("openvino", "native")
SHARED = (
    "**The machine did other work, more than it has cores for.** So the times by the clock are mostly waiting. Compare "
    "the processor's time."
)


@dataclass
class Row:
    """One way to run the network. call: gives it the frame, and returns the picture."""

    name: str
    precision: str
    call: Callable[[], Pixels]
    server: TritonServer | None = None
    wall_ms: list[float] = field(default_factory=list)
    work_ms: list[float] = field(default_factory=list)

    def measure(self) -> Pixels:
        work, begun = self._read_work(), time.perf_counter()
        picture = self.call()
        self.wall_ms.append(1000 * (time.perf_counter() - begun))
        self.work_ms.append(1000 * (self._read_work() - work))
        return picture

    def _read_work(self) -> float:
        """Seconds of the processor so far, of this process and of the server's."""
        if self.server is None:
            return time.process_time()
        root = psutil.Process(self.server.process.pid)
        times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
        return time.process_time() + float(sum(t.user + t.system for t in times))


def read_frame(size: Size) -> Pixels:
    """A frame of the bundled recording."""
    reader = cv2.VideoCapture(str(CLIP))
    read, picture = reader.read()
    assert read, f"{CLIP} has no frames"
    picture = cv2.resize(picture, (size.width, size.height), interpolation=cv2.INTER_AREA)
    return np.dstack((picture, np.full(picture.shape[:2], 255, np.uint8)))


def open_engine(cleanup: ExitStack, a: argparse.Namespace, name: str, precision: str, frame: Pixels) -> Row:
    engine = registry.make_engine(resolve(a.model), a.scale, EngineOptions(name, precision, a.threads), BuildMonitor())
    cleanup.callback(engine.close)
    engine.warm_up(Size(frame.shape[1], frame.shape[0]))
    into: list[Pixels] = []

    def call() -> Pixels:
        done = engine.upscale(Frame(frame), into[0] if into else None)
        assert done is not None
        into[:] = [done.pixels]
        return done.pixels

    return Row(name, engine.info.precision, call)


def open_server(cleanup: ExitStack, a: argparse.Namespace, name: str, frame: Pixels) -> Iterator[Row]:
    folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
    write_repository(folder, [a.model], EngineOptions(name, threads=a.threads))
    model = f"{a.model}-x{a.scale}"
    flags = ("--model-control-mode=explicit", f"--load-model={model}")
    server = TritonServer(folder, flags=flags, log=folder / "log")
    cleanup.callback(server.close)
    server.wait_until_ready()
    client = cleanup.enter_context(closing(triton.InferenceServerClient(f"127.0.0.1:{server.port}")))
    shared = cleanup.enter_context(closing(SharedPictures(client, frame.shape, a.scale)))
    yield Row(f"Triton with {name}, message", "", lambda: send(client, model, frame), server)
    yield Row(f"Triton with {name}, shared memory", "", lambda: shared.send(model, frame), server)


def open_rows(cleanup: ExitStack, a: argparse.Namespace, frame: Pixels) -> list[Row]:
    rows = []
    for title, name, precision in PEERS:
        row = open_engine(cleanup, a, name, precision, frame)
        row.name = title
        rows.append(row)
    for name in a.engines.split(","):
        ours = open_engine(cleanup, a, name, "auto", frame)
        expected = ours.call().copy()
        for row in open_server(cleanup, a, name, frame):
            row.precision = ours.precision
            assert np.array_equal(row.call(), expected), f"{row.name}: the picture is not that of the engine"
            rows.append(row)
        ours.name = f"live-sr, {name}"
        rows.append(ours)
    return rows


def format_table(rows: list[Row], rounds: int) -> str:
    lines = ["| | precision | median ms | fastest ms | processor ms a frame |", "|---|---|---|---|---|"]
    for row in rows:
        wall, work = row.wall_ms[-rounds:], row.work_ms[-rounds:]
        figures = f"{statistics.median(wall):.1f} | {min(wall):.1f} | {statistics.mean(work):.1f}"
        lines.append(f"| {row.name} | {row.precision} | {figures} |")
    return "\n".join(lines)


def format_page(a: argparse.Namespace, table: str, load: float) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnxruntime", "openvino", "nvidia-pytriton"))
    return "\n\n".join(
        (
            f"# PyTorch, ONNX Runtime, Triton and live-sr, {date.today()}",
            f"`{a.model}` ×{a.scale} on one frame of {a.size}, {a.rounds} rounds with all rows in random order:",
            f"    python -m tools.benchmarks.triton --scale {a.scale} --rounds {a.rounds} --threads {a.threads}",
            f"{get_processor_name()}, {os.cpu_count()} cores, no graphics card, load {load:.1f}. {packages}.",
            *([SHARED] if load > 1.5 * (os.cpu_count() or 1) else []),
            f"{table}",
            "The processor's time is that of all threads and processes that take part: for Triton, client and server. "
            "Its rows are live-sr's engine in its Python backend (`live-sr serve --triton-repository`), whose "
            "pictures were those of the same engine in this process, to the bit. What it adds is copying the frame and "
            "the picture between three processes.\n",
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--size", default="480x270", help="of the frame (480x270)")
    parser.add_argument("--engines", default=",".join(OURS), help="live-sr's own (openvino,native)")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument(
        "--threads", type=int, default=0, help="of every row; 0: as many as it takes by itself. 1 on a busy machine"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page for docs/benchmarks")
    a = parser.parse_args()
    width, _, height = a.size.partition("x")
    frame = read_frame(Size(int(width), int(height)))
    with ExitStack() as cleanup:
        rows = open_rows(cleanup, a, frame)
        for _ in range(FIRST + a.rounds):
            for row in random.sample(rows, len(rows)):
                row.measure()
    load = os.getloadavg()[0]
    table = format_table(rows, a.rounds)
    print(f"{table}\nload {load:.1f}")
    if a.markdown:
        a.markdown.write_text(format_page(a, table, load), encoding="utf-8")


if __name__ == "__main__":
    main()
