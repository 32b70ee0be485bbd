"""Train one of our networks on pairs of game frames.

    python tools/train.py --model fast --scale 2 --pairs DIR [DIR ...] --out runs/fast-x2

Each DIR holds lr/ and hr/ with files of the same name: the same instant rendered small and large (tools/make_pairs.py
makes them). The large one is area-averaged to `scale` times the small one, a supersampled target. --data takes a
manifest of many folders. Go on from shipped or own weights with --from fast or --from FILE, continue a stopped run with
--resume. On several cards: torchrun --nproc-per-node N tools/train.py ...
Then tools/export.py makes of runs/fast-x2/weights.safetensors what live-sr ships.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from frames import Patches, Source, read_sources, split, upscale, validate
from losses import Discriminator, Perceptual, charbonnier_loss, fft_loss, psnr_loss, relativistic
from torch import Tensor, nn
from tqdm import tqdm

from live_sr.models import nets, zoo
from live_sr.models.nets import CellNet


@dataclass(frozen=True)
class Crew:
    """The processes that train together; one alone unless started by torchrun."""

    rank: int = 0
    size: int = 1

    @classmethod
    def gathered(cls) -> Crew:
        if "WORLD_SIZE" not in os.environ:
            return cls()
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return cls(torch.distributed.get_rank(), torch.distributed.get_world_size())


class Loss:
    """The sum of what the flags ask for; with --gan it trains its own discriminator."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.perceptual = Perceptual().to(args.device) if args.perceptual else None
        self.judge = Discriminator().to(args.device) if args.gan else None
        if self.judge:
            self.judge_steps = torch.optim.Adam(self.judge.parameters(), args.rate, betas=(0.9, 0.99))

    def __call__(self, guess: Tensor, target: Tensor) -> Tensor:
        a = self.args
        loss = psnr_loss(guess, target, a.luma) if a.psnr else charbonnier_loss(guess, target, a.epsilon)
        if a.fft:
            loss = loss + a.fft * fft_loss(guess, target)
        if self.perceptual:
            loss = loss + a.perceptual * self.perceptual(guess, target)
        if self.judge:
            self.judge_steps.zero_grad()
            relativistic(self.judge(target), self.judge(guess.detach()), for_network=False).backward()
            self.judge_steps.step()
            loss = loss + a.gan * relativistic(self.judge(target).detach(), self.judge(guess), for_network=True)
        return loss


def rate(step: int, steps: int, peak: float, warm_up: int) -> float:
    """Learning rate: a linear warm-up, then half a cosine down to a hundredth of the peak."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def distil(sources: list[Source], teacher: Path, share: float, device: str) -> None:
    """Mix what a larger network makes of each small frame into its target: less noise that nothing could foretell."""
    net = nets.load(teacher)[0].to(device)
    for source in sources:
        for pair in tqdm(source.pairs, desc=f"teacher on {source.name}", leave=False):
            pair.large = cv2.addWeighted(upscale(net, pair.small, device), share, pair.large, 1 - share, 0)


def first_weights(wanted: str, scale: int) -> tuple[CellNet, int]:
    """Of --from: a file, or the name of a network that ships."""
    path = Path(wanted) if wanted.endswith(".safetensors") else zoo.WEIGHTS / f"{wanted}-x{scale}.safetensors"
    try:
        return nets.load(path)
    except (OSError, KeyError, RuntimeError) as error:
        raise SystemExit(f"--from {wanted}: {path} holds no weights of ours ({error})") from None


def network(args: argparse.Namespace) -> tuple[CellNet, int]:
    """What is trained, and the steps it was trained for before."""
    start, steps = first_weights(args.start, args.scale) if args.start else (None, 0)
    shape = start.shape if start else nets.Shape(32, 3)
    if args.model:
        if (args.model, args.scale) not in nets.FAMILY:
            raise SystemExit(f"--model {args.model}: one of {sorted({name for name, _ in nets.FAMILY})}")
        shape = nets.FAMILY[args.model, args.scale]
    features, depth = args.features or shape.features, args.depth or shape.depth
    net = CellNet(args.scale, features, depth, args.wide)
    if start:
        try:
            nets.begin_with(net, start)
        except ValueError as error:
            raise SystemExit(f"--from {args.start}: {error}") from None
    return net.to(args.device, memory_format=torch.channels_last), steps


def tracking(args: argparse.Namespace, crew: Crew):  # type: ignore[no-untyped-def]
    """MLflow with its runs in a local folder, where it is installed; else None."""
    if crew.rank or importlib.util.find_spec("mlflow") is None:
        return None
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{(args.out.parent / 'mlflow.db').absolute()}")
    mlflow.set_experiment("live-sr")
    mlflow.start_run(run_name=args.out.name)
    mlflow.log_params({key: str(value)[:500] for key, value in vars(args).items()})
    return mlflow


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--pairs", nargs="+", default=[], help="folders with lr/ and hr/, one for each game; DIR,DIR for one game")
    add("--data", type=Path, help="a TOML manifest of folders with weights, instead or besides")
    add("--out", type=Path, required=True, help="folder for checkpoint and weights")
    add("--model", help="the size of a network that ships: turbo, fast, balanced, quality")
    add("--scale", type=int, default=2, choices=(2, 3, 4))
    add("--features", type=int, help="another number of channels")
    add("--depth", type=int, help="another number of layers between the first and the last")
    add("--wide", type=int, default=0, help="channels of the detour that each hidden layer is trained with; 0: none")
    add("--from", dest="start", help="a network that ships, or weights: also of a shallower one or of another scale")
    add("--resume", action="store_true", help="go on from OUT/checkpoint.pt")
    add("--steps", type=int, default=50_000)
    add("--minutes", type=float, help="end after so long, the learning rate falling by the clock")
    add("--batch", type=int, default=16, help="patches a step and process")
    add("--patch", type=int, default=48, help="side of a patch in small pixels")
    add("--augment", type=float, default=0.1, help="chance of each of mirrored, turned, recoloured, brighter or darker")
    add("--rate", type=float, default=6e-4, help="peak learning rate")
    add("--warm-up", type=int, default=1000, help="steps until that peak")
    add("--average", type=float, default=0.999, help="decay of the moving average of the weights")
    add("--epsilon", type=float, default=1e-2, help="of the Charbonnier loss, in units of full scale")
    add("--psnr", action="store_true", help="the PSNR itself as loss instead")
    add("--luma", type=float, default=1.0, help="weight of the luma in it")
    add("--fft", type=float, default=0.0, help="weight of a loss on the spectrum")
    add("--perceptual", type=float, default=0.0, help="weight of a loss on VGG-19's features (torchvision)")
    add("--gan", type=float, default=0.0, help="weight of a relativistic average GAN")
    add("--teacher", type=Path, help="weights of a larger network whose pictures are mixed into the targets")
    add("--teacher-share", type=float, default=0.5)
    add("--every", type=int, default=2000, help="steps between checkpoints")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--threads", type=int, default=1, help="CPU threads; a second one under contention is far slower")
    add("--bf16", action="store_true", help="bfloat16 where autocast allows it")
    add("--seed", type=int, default=1)
    return parser.parse_args()


class Run:
    """One training: what is trained and where it stands."""

    def __init__(self, args: argparse.Namespace, crew: Crew) -> None:
        self.args, self.crew = args, crew
        self.net, self.steps_before = network(args)
        self.average = torch.optim.swa_utils.AveragedModel(
            self.net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(args.average)
        )
        self.together: nn.Module = nn.parallel.DistributedDataParallel(self.net) if crew.size > 1 else self.net
        self.optimizer = torch.optim.Adam(self.net.parameters(), args.rate)
        self.loss = Loss(args)
        self.step = 0
        self.seconds = 0.0
        if args.resume:
            self.resume()
        self.track = tracking(args, crew)

    def one(self, small: Tensor, large: Tensor) -> float:
        """One step; the loss."""
        device = self.args.device
        small, large = (side.to(device, memory_format=torch.channels_last) for side in (small, large))
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=self.args.bf16):
            guess = self.together(small)
        loss = self.loss(guess.float(), large)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 0.5)
        self.optimizer.step()
        self.average.update_parameters(self.net)
        self.step += 1
        return float(loss.item())

    def keep(self, held: list[Source], loss: float) -> float:
        """Validate and save, in the first of the processes; the mean PSNR-Y."""
        if self.crew.rank:
            return math.nan
        out = self.args.out
        scores = validate(self.average.module, held, self.args.device)
        nets.save(self.average.module, out / "weights.safetensors", self.steps_before + self.step)
        state = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, out / "checkpoint.part")
        (out / "checkpoint.part").replace(out / "checkpoint.pt")
        with (out / "log.csv").open("a") as log:
            figures = (f"{score:.4f}" for score in scores.values())
            log.write(f"{self.step},{self.seconds:.0f},{loss:.6f},{','.join(figures)}\n")
        if self.track:
            self.track.log_metrics({"loss": loss, "psnr_y": scores["mean"]}, step=self.step)
        return scores["mean"]

    def resume(self) -> None:
        checkpoint = self.args.out / "checkpoint.pt"
        if not checkpoint.exists():
            raise SystemExit(f"--resume: there is no {checkpoint}; leave --resume out to begin")
        state = torch.load(checkpoint, map_location=self.args.device, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]

    def progress(self) -> tuple[int, int]:
        """(steps done, of all): by the clock where --minutes is given, so that the rate falls to its end in time."""
        if not self.args.minutes or self.step < self.args.warm_up:
            return self.step, self.args.steps
        share = self.seconds / (60 * self.args.minutes)
        return round(share * self.args.steps), self.args.steps

    def train(self, training: list[Source], held: list[Source]) -> None:
        a = self.args
        patches = Patches(training, a.scale, a.patch, a.seed + self.step + 7919 * self.crew.rank, a.augment)
        batches = patches.batches(a.batch)
        bar = tqdm(initial=self.step, total=a.steps, unit="step", mininterval=5, disable=bool(self.crew.rank))
        done, of = self.progress()
        while done < of:
            begun = time.monotonic()
            for group in self.optimizer.param_groups:
                group["lr"] = rate(done, of, a.rate, a.warm_up)
            loss = self.one(*next(batches))
            self.seconds += time.monotonic() - begun
            bar.update()
            done, of = self.progress()
            if self.step % a.every == 0 or done >= of:
                bar.set_postfix(loss=f"{loss:.4f}", psnr_y=f"{self.keep(held, loss):.2f}")


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    crew = Crew.gathered()

    sources = read_sources(args.pairs, args.data, args.scale)
    if args.teacher:
        distil(sources, args.teacher, args.teacher_share, args.device)
    training, held = [], []
    for source in sources:
        train, rest = split(source.pairs) if source.validate else (source.pairs, [])
        training.append(Source(source.name, train, source.weight))
        held.append(Source(source.name, rest))
    run = Run(args, crew)
    parameters, macs = nets.cost(run.net)
    if not crew.rank:
        pairs = [sum(len(source.pairs) for source in side) for side in (training, held)]
        print(f"{pairs[0]} pairs to train on, {pairs[1]} to validate")
        print(f"{parameters} parameters, {macs:.0f} multiply-adds per input pixel", flush=True)
    run.train(training, held)
    if crew.size > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
