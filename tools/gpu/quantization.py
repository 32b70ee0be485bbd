"""Networks in int8 and fp8: measures the ranges of their layers, and what the loss of precision costs. Needs no GPU.

    python -m tools.gpu.quantization calibrate TRAIN/dsda-doom-gl TRAIN/openarena TRAIN/supertux
    python -m tools.gpu.quantization measure TEST/dsda-doom-gl TEST/openarena TEST/supertux

Each folder holds lr/ and hr/ of one game. `calibrate` runs the small frames through every network in fp32 and writes
live_sr/models/export/activation_ranges.json; the frames must be ones that training may see. `measure` runs the graphs
that TensorRT-RTX gets in ONNX Runtime on the processor, and prints PSNR-Y as `live-sr evaluate` computes it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from live_sr.evaluate.datasets import PairDataset, add_alpha, read_image
from live_sr.evaluate.metrics import compute_psnr_y, crop_border
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.export.onnx_io import INPUT, wrap_onnx_io
from live_sr.models.export.precisions import PRECISIONS
from live_sr.models.export.quantization import RANGES
from live_sr.pipeline.frame import Pixels, Size, get_size

PERCENTILE = 99.99
"""Of a frame's absolute values, then the largest of all frames. On a third of the test frames, `quality` x2 in int8
loses 0.18 dB with it; 0.38 with the largest value, and 0.85 with 99.9."""

FRAMES = 8  # of each game, evenly spaced


def open_session(graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    # further optimisations would replace the operators of the graph by others that round elsewhere
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def read_frames(folder: Path) -> list[Pixels]:
    files = [small for small, _ in PairDataset(folder.name, folder).list_files()]
    return [add_alpha(read_image(file)) for file in files[:: max(1, len(files) // FRAMES)][:FRAMES]]


def measure_ranges(card: ModelCard, frames: Sequence[Pixels]) -> list[float]:
    """The ranges of the inputs of the network's middle layers. The frames have one size."""
    model = onnx.load_model_from_string(wrap_onnx_io(card, get_size(frames[0]), "fp32"))
    names = [node.output[0] for node in model.graph.node if node.output[0].removeprefix("features").isdecimal()][:-1]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = open_session(model.SerializeToString())
    rows = []
    for frame in frames:
        values = session.run(names, {INPUT: frame[np.newaxis]})
        rows.append([float(np.percentile(np.abs(layer), PERCENTILE)) for layer in values])
    return [float(f"{value:.4g}") for value in np.max(rows, 0)]


def calibrate(folders: Sequence[Path]) -> None:
    """Writes the ranges of every network that comes with live-sr."""
    frames = [frame for folder in folders for frame in read_frames(folder)]
    found = {}
    for card in zoo.list_cards():
        digest = hashlib.sha256(card.onnx.read_bytes()).hexdigest()
        found[digest] = {"network": card.label, "ranges": measure_ranges(card, frames)}
        print(card.label, *found[digest]["ranges"], flush=True)
    lines = [f"{json.dumps(digest)}: {json.dumps(row)}" for digest, row in found.items()]
    RANGES.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def measure_loss(card: ModelCard, precision: str, folders: Sequence[Path]) -> list[float]:
    """PSNR-Y of each folder's frames in dB, a mean over frames."""
    sessions: dict[Size, onnxruntime.InferenceSession] = {}
    means = []
    for folder in folders:
        figures = []
        for pair in PairDataset(folder.name, folder).read(card.scale):
            size = get_size(pair.small)
            if size not in sessions:
                sessions[size] = open_session(wrap_onnx_io(card, size, precision))
            (shown,) = sessions[size].run(None, {INPUT: pair.small[np.newaxis]})
            figures.append(compute_psnr_y(crop_border(shown[0, ..., :3]), crop_border(pair.target)))
        means.append(float(np.mean(figures)))
    return means


def measure(folders: Sequence[Path], names: Sequence[str], precisions: Sequence[str]) -> None:
    """Prints a table in Markdown."""
    print(f"| network | precision | {' | '.join(folder.name for folder in folders)} | mean |")
    print(f"|---|---|{'---|' * (len(folders) + 1)}")
    for card in zoo.list_cards():
        for precision in precisions if not names or card.name in names else ():
            figures = measure_loss(card, precision, folders)
            cells = [f"{figure:.2f}" for figure in (*figures, float(np.mean(figures)))]
            print(f"| {card.label} | {precision} | {' | '.join(cells)} |", flush=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["calibrate", "measure"])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--models", default="", help="names, separated by commas; all without it")
    parser.add_argument("--precisions", default="fp16,int8,fp8", help=f"some of {', '.join(PRECISIONS)}")
    options = parser.parse_args(arguments)
    if options.command == "calibrate":
        calibrate(options.folders)
    else:
        names = options.models.split(",") if options.models else []
        measure(options.folders, names, options.precisions.split(","))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
