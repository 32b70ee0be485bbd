"""The process in which `live-sr learn` trains: it works when no other program wants the processor, draws the progress
on standard error, and ends with its parent.

It reads a TrainRequest as a line of JSON from standard input, which stays open as long as the parent waits, and writes
one line of JSON to standard output: ["learned", figures], or ["failed", message, remedy, exit code].
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from time import monotonic, process_time
from typing import TYPE_CHECKING

from live_sr.errors import LiveSRError, reason
from live_sr.system import child_process
from live_sr.system.hardware import get_processor_name, list_processor_features
from live_sr.terminal import set_up_streams
from live_sr.training.learn.figures import LearnedFigures, TrainRequest
from live_sr.training.learn.options import RATES

if TYPE_CHECKING:
    from live_sr.models.architectures.cellnet import CellNet
    from live_sr.training.dataset import TrainingPair
    from live_sr.training.options import TrainOptions

HOLD_OUT = 3
"""One place in three measures the network: with one in ten, ten pairs would be judged by a single picture."""
BF16_FEATURES = {"AMX BF16", "AVX-512 BF16", "BF16"}


def main() -> int:
    """Trains as the parent asks; the exit code."""
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        set_up_streams()
        request = TrainRequest(**json.loads(child_process.read_request()))
        child_process.end_with_parent()
        if request.idle:
            child_process.work_when_idle()
        message: list[object]
        try:
            message = ["learned", dataclasses.asdict(_learn(request))]
        except LiveSRError as error:
            message = ["failed", error.message, error.remedy, error.exit_code]
        except Exception as error:  # of torch, which reports a full disk in its own way
            message = ["failed", f"the training failed: {reason(error)}", "", LiveSRError.exit_code]
        out.write(json.dumps(message).encode() + b"\n")
    return 0


def _learn(request: TrainRequest) -> LearnedFigures:
    """Trains, measures, and writes the model. Raises LiveSRError."""
    from live_sr.training import export, train
    from live_sr.training.dataset import read_pairs, split_by_place
    from live_sr.training.options import ExportOptions
    from live_sr.training.weights import load_start_weights, load_weights

    begun, begun_processor = monotonic(), process_time()
    out = Path(request.out)
    with redirect_stdout(io.StringIO()):  # it names the next command, which is not the player's concern
        train.run(_choose_settings(request, out))
    net, steps = load_weights(out / "weights.safetensors", "the training")
    net = net.half().float()  # as it is kept
    pairs, held_out = split_by_place(read_pairs(Path(request.pairs), request.scale), HOLD_OUT)
    seconds = monotonic() - begun
    options = ExportOptions(
        out / "weights.safetensors",
        request.name,
        out,
        trained_on=request.trained_on,
        minutes=round(seconds / 60),
        machine=get_processor_name(),
        notes=request.notes,
    )
    onnx = export.write_model(net, steps, options, {request.name: held_out}, export.choose_frames(pairs))
    filters = export.measure_psnr(net, held_out)
    learned = filters.pop("model")
    earlier = Path(request.earlier) if request.earlier else None
    return LearnedFigures(
        onnx=str(onnx),
        learned=learned,
        before=_measure(load_start_weights(request.model, request.scale)[0], held_out),
        filters=filters,
        earlier=None if earlier is None else _measure(load_weights(earlier, "the earlier network")[0], held_out),
        held_out=len(held_out),
        trained=len(pairs),
        seconds=monotonic() - begun,
        processor_s=process_time() - begun_processor,
    )


def _measure(net: CellNet, pairs: list[TrainingPair]) -> float:
    from live_sr.training import export

    return export.measure_psnr(net, pairs)["model"]


def _choose_settings(request: TrainRequest, out: Path) -> TrainOptions:
    """Those of docs/training.md, "Muon" and "What knowing the engine brings"."""
    from live_sr.training import train
    from live_sr.training.options import TrainOptions

    # the priority of a process says nothing to a graphics card, where the game would wait for the training
    device = "cpu" if request.idle else train.choose_device(None)
    return TrainOptions(
        out=out,
        pairs=(request.pairs,),
        hold_out=HOLD_OUT,
        model=request.model,
        start=request.model,
        scale=request.scale,
        steps=request.steps,
        every=max(1, request.steps // 4),
        patch=32,
        augment=0.1,
        sampling="error",
        batch=16,
        psnr=True,
        luma=2.0,
        optimizer="muon",
        rate=RATES[request.model],  # at 3e-3, fast forgets what no pair of the game shows
        warm_up=min(100, max(1, request.steps // 4)),
        average=0.99,
        threads=request.threads,
        device=device,
        bf16=device == "cpu" and bool(BF16_FEATURES & set(list_processor_features())),
    )


if __name__ == "__main__":
    sys.exit(main())
