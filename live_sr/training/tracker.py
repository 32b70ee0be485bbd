"""What `live-sr train --track` keeps in MLflow: parameters, figures, pictures, and at the end the model."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np

from live_sr import __version__
from live_sr.models.architectures import cellnet
from live_sr.models.architectures.cellnet import CellNet
from live_sr.system.tracking import TrackedRun, describe_viewing, make_key
from live_sr.terminal import print_result
from live_sr.training import require
from live_sr.training.dataset import TrainingPair, TrainingSource, upscale
from live_sr.training.options import TrainOptions

RUN_FILE = "tracked-run"  # in the folder of the training: the id of its run, which --resume goes on with
PICTURE = "small - network - target"  # MLflow allows few characters in a name
SHOWN = (480, 360)  # at most, width and height of the part of a large picture that is kept


class TrainingTracker:
    """Gives a training's figures to its run in MLflow."""

    def __init__(self, run: TrackedRun, options: TrainOptions, device: str) -> None:
        self._run = run
        self._options = options
        self._device = device

    def log_validation(
        self, step: int, figures: Mapping[str, float], scores: Mapping[str, float], net: CellNet, pair: TrainingPair
    ) -> None:
        """figures: of the training; scores: PSNR-Y in dB by source; pair: what a picture is kept of."""
        by_source = {make_key("psnr_y", name): score for name, score in scores.items()}
        self._run.log_metrics({**figures, **by_source}, step)
        self._run.log_picture(PICTURE, compare(net, pair, self._device), step)

    def log_model(self, net: CellNet, weights: Path) -> None:
        """The weights, and the network as `live-sr export` writes it, which `live-sr models add` takes."""
        from live_sr.training import export

        self._run.log_file(weights, "model")
        with tempfile.TemporaryDirectory(prefix="live-sr-") as scratch:
            file = Path(scratch, f"{self._options.out.name}-x{net.scale}.onnx")
            export.write_onnx(net.fold().half().float(), file)
            self._run.log_file(file, "model")


@contextmanager
def open_tracker(options: TrainOptions, net: CellNet, device: str) -> Iterator[TrainingTracker | None]:
    """The tracker that --track asks for; None without that. Raises LiveSRError."""
    if options.track is None:
        yield None
        return
    require("onnx", "onnxruntime")  # for the model at the end
    file, known = options.out / RUN_FILE, ""
    if options.resume:
        with suppress(OSError, ValueError):
            known = file.read_text(encoding="utf-8").strip()
    count, macs = cellnet.compute_cost(net)
    told = {**dataclasses.asdict(options), "parameters": count, "macs_per_pixel": macs, "version": __version__}
    del told["track"]
    with TrackedRun.begin(options.track, options.out.name, told, known) as run:
        file.write_text(f"{run.id}\n", encoding="utf-8")
        yield TrainingTracker(run, options, device)
    print_result(f"tracked: {describe_viewing(run.address)}")


def choose_shown_pair(sources: Sequence[TrainingSource]) -> TrainingPair:
    """The first one, of those that are held out if there are any."""
    return next(pair for source in sources for pair in source.pairs)


def compare(net: CellNet, pair: TrainingPair, device: str) -> np.ndarray:
    """The middle of a pair, RGB: the small picture with large pixels, the network's, the target, side by side."""
    network = upscale(net, pair.small, device)
    height, width = network.shape[:2]
    small = cv2.resize(pair.small, (width, height), interpolation=cv2.INTER_NEAREST)
    wide, high = min(width, SHOWN[0]), min(height, SHOWN[1])
    x, y = (width - wide) // 2, (height - high) // 2
    return np.hstack([picture[y : y + high, x : x + wide] for picture in (small, network, pair.large)])
