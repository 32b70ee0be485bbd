"""`live-sr train`: trains one of our networks on pairs of game frames.

Each folder of pairs holds lr/ and hr/ with files of the same name: the same instant rendered small and large. The large
one is area-averaged to `scale` times the small one, a supersampled target. On several GPUs it is started by torchrun:
torchrun --nproc-per-node N -m live_sr train ...
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from typing import cast

import cv2
import torch
from torch import Tensor, nn

from live_sr.errors import LiveSRError, UsageError, did_you_mean
from live_sr.models.architectures import cellnet
from live_sr.models.architectures.cellnet import CellNet
from live_sr.terminal import Progress, print_result
from live_sr.training.dataset import Patches, TrainingSource, leave_out, read_sources, split_by_place, upscale, validate
from live_sr.training.losses import TrainingLoss
from live_sr.training.optimizer import build_optimizer
from live_sr.training.options import TrainOptions
from live_sr.training.process_group import ProcessGroup
from live_sr.training.tracker import TrainingTracker, choose_shown_pair, open_tracker
from live_sr.training.weights import load_start_weights, load_weights


def compute_learning_rate(step: int, done: float, peak: float, warm_up: int) -> float:
    """A linear warm-up, then half a cosine down to a hundredth of the peak; `done` is the share since the warm-up."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def choose_device(wanted: str | None) -> str:
    """The device that is wanted, or CUDA where there is one. Raises UsageError for one that cannot be used."""
    device = wanted or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter from a torch without CUDA
        what = str(error).splitlines()[0]
        raise UsageError(f"--device {device} cannot be used: {what}", "leave it out, or give cpu") from None
    return device


def build_network(options: TrainOptions, device: str) -> tuple[CellNet, int]:
    """The network to train, and the steps it was trained for before. Raises UsageError."""
    start, steps = load_start_weights(options.start, options.scale) if options.start else (None, 0)
    shape = start.shape if start else cellnet.CellNetShape(32, 3)
    if options.model:
        names = sorted({name for name, _ in cellnet.FAMILY})
        if options.model not in names:
            what = f'--model: no network is called "{options.model}".{did_you_mean(options.model, names)}'
            raise UsageError(what, f"choose {', '.join(names)}")
        if (options.model, options.scale) not in cellnet.FAMILY:
            raise UsageError(f"--model {options.model} has no size for --scale {options.scale}", "use --scale 2 or 4")
        shape = cellnet.FAMILY[options.model, options.scale]
    features, depth = options.features or shape.features, options.depth or shape.depth
    net = CellNet(options.scale, features, depth, options.wide)
    if start:
        try:
            cellnet.initialise_from(net, start)
        except ValueError as error:
            raise UsageError(f"--from {options.start}: {error}", "leave out --model, --features and --depth") from None
    net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's annotation lacks it
    return net, steps


def compile_network(net: nn.Module, device: str) -> nn.Module:
    """The network as fused kernels. On two cores of a Xeon with AMX, steps take 0.7 to 0.8 of the time.

    Raises UsageError where nothing can be compiled.
    """
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(2, device=device))
    except Exception as error:  # torch raises classes of its own, and what a missing compiler raises
        what = f"--compile cannot be used here: {str(error).splitlines()[0]}"
        raise UsageError(what, "leave it out, or see that a C++ compiler works here") from None
    return cast(nn.Module, torch.compile(net))


def mix_in_teacher(sources: list[TrainingSource], options: TrainOptions, device: str) -> None:
    """Blends a larger network's picture of each small frame into its target: less noise that nothing could foresee.

    Raises UsageError.
    """
    if options.teacher is None:
        return
    net = load_weights(options.teacher, "--teacher")[0].to(device)
    if net.scale != options.scale:
        raise UsageError(f"--teacher {options.teacher} is for x{net.scale}", f"give one for x{options.scale}")
    share = options.teacher_share
    for source in sources:
        progress = Progress(f"teacher on {source.name}", len(source.pairs))
        for pair in source.pairs:
            with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=options.bf16):
                guess = upscale(net, pair.small, device)
            pair.large = cv2.addWeighted(guess, share, pair.large, 1 - share, 0)
            progress.step()
        progress.close()


class TrainingRun:
    """One training: the network, its optimizer, and how far it is."""

    def __init__(self, options: TrainOptions, device: str, group: ProcessGroup) -> None:
        self.options, self.device, self.group = options, device, group
        self.net, self.steps_before = build_network(options, device)
        average = torch.optim.swa_utils.get_ema_multi_avg_fn(options.average)  # type: ignore[no-untyped-call]
        self.average = torch.optim.swa_utils.AveragedModel(self.net, multi_avg_fn=average)
        self.parallel: nn.Module = nn.parallel.DistributedDataParallel(self.net) if group.size > 1 else self.net
        if options.compile:
            self.parallel = compile_network(self.parallel, device)
        self.optimizer = build_optimizer(self.net, options)
        self.loss = TrainingLoss(options, device)
        self.step = 0
        self.seconds = 0.0
        if options.resume:
            self._resume()

    @property
    def done(self) -> float:
        """The share of the training that is done: of the time if --minutes is given, else of the steps."""
        if self.options.minutes:
            return self.seconds / (60 * self.options.minutes)
        return self.step / self.options.steps

    @property
    def result(self) -> CellNet:
        """The network as it is kept: the moving average of its weights."""
        average = self.average.module
        assert isinstance(average, CellNet)
        return average

    def train(
        self, training: list[TrainingSource], held_out: list[TrainingSource], tracker: TrainingTracker | None
    ) -> None:
        """Trains to the end. Validates and saves after every --every steps and at the end."""
        o = self.options
        seed = o.seed + self.step + 7919 * self.group.rank
        patches = Patches(training, o.scale, o.patch, seed, o.augment, o.sampling)
        batches = patches.iterate_batches(o.batch)
        total = None if o.minutes else o.steps
        progress = None if self.group.rank else Progress("training", total, self.step, unit="steps")
        while self.done < 1:
            begun = time.monotonic()
            self._set_learning_rate()
            loss = self._train_step(*next(batches))
            self.seconds = self.group.agree(self.seconds + time.monotonic() - begun)
            if progress is not None:
                progress.step()
            if self.step % o.every == 0 or self.done >= 1:
                scores = self._save(held_out, loss)
                score = scores["mean"]
                if tracker is not None:
                    pair = choose_shown_pair([*held_out, *training])
                    tracker.log_validation(self.step, self._get_figures(loss), scores, self.result, pair)
                if progress is not None:
                    validated = "" if math.isnan(score) else f", PSNR-Y {score:.2f} dB"
                    progress.describe(f"loss {loss:.4f}{validated}", at_once=True)
        if progress is not None:
            progress.close()

    def _set_learning_rate(self) -> None:
        o = self.options
        done = self.done if o.minutes else (self.step - o.warm_up) / max(1, o.steps - o.warm_up)
        for group in self.optimizer.param_groups:
            group["lr"] = compute_learning_rate(self.step, done, o.rate, o.warm_up)

    def _train_step(self, small: Tensor, large: Tensor) -> float:
        """One step of the optimizer; the loss."""
        small, large = (side.to(self.device, memory_format=torch.channels_last) for side in (small, large))
        with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.options.bf16):
            guess = self.parallel(small)
        loss = self.loss(guess.float(), large)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.net.parameters(), 0.5)
        self.optimizer.step()
        self.average.update_parameters(self.net)
        self.step += 1
        return float(loss.item())

    def _get_figures(self, loss: float) -> dict[str, float]:
        return {"loss": loss, "learning_rate": self.optimizer.param_groups[0]["lr"], "seconds": self.seconds}

    def _save(self, held_out: list[TrainingSource], loss: float) -> dict[str, float]:
        """Validates and saves, in the first process only; PSNR-Y in dB by source, and their mean as "mean"."""
        if self.group.rank:
            return {"mean": math.nan}
        out = self.options.out
        scores = validate(self.result, held_out, self.device)
        cellnet.save(self.result, out / "weights.safetensors", self.steps_before + self.step)
        state = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, out / "checkpoint.part")
        (out / "checkpoint.part").replace(out / "checkpoint.pt")
        with (out / "log.csv").open("a", encoding="utf-8") as log:
            figures = (f"{score:.4f}" for score in scores.values())
            log.write(f"{self.step},{self.seconds:.0f},{loss:.6f},{','.join(figures)}\n")
        return scores

    def _resume(self) -> None:
        """Raises UsageError where there is no checkpoint, or one of another network."""
        checkpoint = self.options.out / "checkpoint.pt"
        if not checkpoint.exists():
            raise UsageError(f"--resume: there is no {checkpoint}", "leave --resume out to begin")
        try:
            state = torch.load(checkpoint, map_location=self.device, weights_only=True)
            self.net.load_state_dict(state["net"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
        except Exception as error:  # pickle, zip and torch raise classes of their own
            what = f"--resume: {checkpoint} is damaged or of another network: {str(error).splitlines()[0]}"
            raise UsageError(what, "give the flags that it began with, or leave --resume out to begin anew") from None


def run(options: TrainOptions) -> int:
    """Trains from beginning to end; the exit code. Raises LiveSRError."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    cv2.setNumThreads(1)
    group = ProcessGroup.join()
    try:
        _train(options, group)
        group.wait()
    finally:
        group.leave()
    return 0


def _train(options: TrainOptions, group: ProcessGroup) -> None:
    device = choose_device(options.device)
    sources = leave_out(read_sources(options.pairs, options.data, options.scale), options.leave_out)
    mix_in_teacher(sources, options, device)
    training, held_out = [], []
    for source in sources:
        train, rest = split_by_place(source.pairs, options.hold_out) if source.validate else (source.pairs, [])
        training.append(TrainingSource(source.name, train, source.weight))
        held_out.append(TrainingSource(source.name, rest))
    if not any(source.pairs for source in training):
        raise UsageError(f"--hold-out {options.hold_out} leaves no pairs to train on", "give a larger number")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        training_run = TrainingRun(options, device, group)
        if not group.rank:
            _print_size(training_run.net, training, held_out)
        weights = options.out / "weights.safetensors"
        with nullcontext() if group.rank else open_tracker(options, training_run.net, device) as tracker:
            training_run.train(training, held_out, tracker)
            if tracker is not None:
                tracker.log_model(training_run.result, weights)
        if not group.rank:
            print_result(f"{weights}: {training_run.step} steps; next: live-sr export {weights} --name NAME --out DIR")
    except OSError as error:
        what = f"{options.out} cannot be written: {error.strerror or error}"
        raise LiveSRError(what, "choose another --out") from None


def _print_size(net: CellNet, training: list[TrainingSource], held_out: list[TrainingSource]) -> None:
    parameters, macs = cellnet.compute_cost(net)
    pairs = [sum(len(source.pairs) for source in side) for side in (training, held_out)]
    print_result(f"{pairs[0]} pairs to train on, {pairs[1]} to validate")
    print_result(f"{parameters} parameters, {macs:.0f} multiply-adds per input pixel")
