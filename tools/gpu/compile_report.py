"""What TensorRT-RTX's compiler makes of the networks: kernels, bytes moved, memory. Needs no GPU.

    pip install ".[rtx]"
    python tools/gpu/compile_report.py --for sm75,sm86 --models fast,quality --size 960x540

Compiles every network for every compute capability and prints a table in Markdown. `--kernels` lists the kernels below
each row. To compare with another version of live-sr, put its source tree into PYTHONPATH.

"moved" is what a frame costs in memory traffic if nothing stays in the GPU's cache: the sum over all kernels of the
bytes of their inputs and outputs. It is not known for a graph of free size.
"""

from __future__ import annotations

import argparse
import logging
import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from live_sr.engines.tensorrt import library
from live_sr.engines.tensorrt.library import load_tensorrt_rtx
from live_sr.engines.tensorrt.rtx_build import compile_network
from live_sr.engines.tensorrt.rtx_build_spec import LARGEST, SMALLEST
from live_sr.engines.tensorrt.rtx_compatibility import parse_capability
from live_sr.errors import LiveSRError
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.export.onnx_io import wrap_onnx_io
from live_sr.pipeline.frame import Size

BYTES = {"UInt8": 1, "Int8": 1, "FP8": 1, "Half": 2, "BFloat16": 2, "Float": 4, "Int32": 4, "Int64": 8}
LAYER = re.compile(r"Name: (?P<name>.*?), LayerType: (?P<kind>\w+), .*?Inputs: \[(?P<inputs>.*?)\], Constants: \[.*?"
                   r"Outputs: \[(?P<outputs>.*?)\], TacticName")  # fmt: skip
TENSOR = re.compile(r"Name: (?P<name>[^,]*), Dimensions: \[(?P<shape>[\d,]+)\].*?Datatype: (?P<type>\w+)")


@dataclass(frozen=True)
class Kernel:
    """One step of a compiled network. moved: bytes read and written; zero where the log has no shapes."""

    name: str
    kind: str
    moved: int
    shapes: str


@dataclass(frozen=True)
class Compilation:
    """What the compiler said of one network. engine, weights and activations in bytes."""

    engine: int
    weights: int
    activations: int
    kernels: tuple[Kernel, ...]
    seconds: float

    @property
    def moved(self) -> int:
        """Zero if that is not known of every kernel."""
        moved = [kernel.moved for kernel in self.kernels]
        return sum(moved) if all(moved) else 0


def compile_graph(graph: bytes, capability: str, usual: Size | None) -> Compilation:
    """Compiles for a capability such as "SM86". usual: the size of most frames, if sizes are free.

    Raises LiveSRError.
    """
    try:
        target = parse_capability(capability)
    except ValueError as error:
        raise LiveSRError(str(error), "name others with --for") from None
    profile = (SMALLEST, usual, LARGEST) if usual else None
    started = time.perf_counter()
    with _collect_messages() as messages:
        engine = compile_network(load_tensorrt_rtx(), graph, target, profile, detailed=True)
    return read_log("\n".join(messages), len(engine), time.perf_counter() - started)


@contextmanager
def _collect_messages() -> Iterator[list[str]]:
    """The lines that TensorRT-RTX logs in the block, even the least important ones."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.extend(record.getMessage().splitlines())

    log = logging.getLogger(library.__name__)
    before, collector = (log.level, log.propagate), Collector()
    log.addHandler(collector)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield lines
    finally:
        log.removeHandler(collector)
        log.setLevel(before[0])
        log.propagate = before[1]


def read_log(log: str, engine: int, seconds: float) -> Compilation:
    """Reads the verbose log of a build."""

    def find(what: str) -> int:
        found = re.search(rf"Total {what} Memory: (\d+) bytes", log)
        return int(found[1]) if found else 0

    return Compilation(engine, find("Weights"), find("Activation"), tuple(_read_kernels(log)), seconds)


def _read_kernels(log: str) -> Iterator[Kernel]:
    for line in log.partition("Layers:")[2].splitlines():
        layer = LAYER.match(line)
        if layer is None:  # a wait for another stream, or the end of the list
            continue
        sides = [{tensor["name"]: tensor for tensor in TENSOR.finditer(layer[side])} for side in ("inputs", "outputs")]
        moved = sum(_count_bytes(tensor) for side in sides for tensor in side.values())
        names = [" + ".join(f"{tensor['type']}[{tensor['shape']}]" for tensor in side.values()) for side in sides]
        shapes = " -> ".join(names)
        yield Kernel(layer["name"], layer["kind"], moved, shapes)


def _count_bytes(tensor: re.Match[str]) -> int:
    return BYTES.get(tensor["type"], 0) * math.prod(map(int, tensor["shape"].split(",")))


def format_row(card: ModelCard, precision: str, capability: str, made: Compilation) -> str:
    megabytes = [f"{count / 1e6:.2f}" for count in (made.engine, made.weights)]
    memory = [f"{made.activations / 1e6:.1f}", f"{made.moved / 1e6:.1f}" if made.moved else "–"]
    cells = [card.label, precision, capability, *megabytes, *memory, str(len(made.kernels)), f"{made.seconds:.1f}"]
    return f"| {' | '.join(cells)} |"


HEADER = """| network | precision | for | engine MB | weights MB | activations MB | moved MB | kernels | seconds |
|---|---|---|---|---|---|---|---|---|"""


def report(options: argparse.Namespace) -> int:
    """Prints the table; returns the exit code: 1 if a network was refused."""
    failed = 0
    print(HEADER)
    for card in zoo.list_cards():
        if options.models and card.name not in options.models.split(","):
            continue
        for precision in options.precision.split(","):
            for capability in options.capabilities.upper().split(","):
                try:
                    more = {"dynamic": True} if options.dynamic else {}
                    graph = wrap_onnx_io(card, options.size, precision, **more)
                    made = compile_graph(graph, capability, options.size if options.dynamic else None)
                except LiveSRError as error:
                    failed = 1
                    print(f"| {card.label} | {precision} | {capability} | refused: {error} | | | | | |", flush=True)
                    continue
                print(format_row(card, precision, capability, made), flush=True)
                for kernel in made.kernels if options.kernels else ():
                    print(f"    {kernel.kind:12} {kernel.moved / 1e6:7.1f} MB  {kernel.name[:70]}  {kernel.shapes}")
    return failed


def _read_size(text: str) -> Size:
    width, height = map(int, text.split("x"))
    return Size(width, height)


def parse_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--for", dest="capabilities", default="sm75,sm86,sm89,sm120", help="compute capabilities")
    parser.add_argument("--models", help="names, separated by commas; all that ship without it")
    parser.add_argument("--size", type=_read_size, default="960x540", help="of the frames")
    parser.add_argument("--precision", default="fp16", help="one or more, separated by commas")
    parser.add_argument("--dynamic", action="store_true", help=f"free sizes, from {SMALLEST} to {LARGEST}")
    parser.add_argument("--kernels", action="store_true", help="list the kernels below each row")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(report(parse_options(sys.argv[1:])))
