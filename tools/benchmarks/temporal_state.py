"""Whether `fast` x2 gains from what it drew a frame before: trains it with and without, and compares.

    python -m tools.benchmarks.temporal_state SEQUENCES --steps 800 --out RUN

SEQUENCES is what tools.datasets.sequences draws. Trains on three quarters of each engine's scenes, and measures on the
rest and on the engines that are only tested on. Networks that RUN holds already are only measured. The figures are in
docs/decisions/028-no-temporal-state.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

import numpy as np
import openvino
import torch
from torch import Tensor, nn
from torch.nn import functional

from live_sr.evaluate.metrics import Flicker, compute_psnr_y, crop_border
from live_sr.models.architectures.cellnet import CELL, CellNet
from live_sr.terminal import print_result
from live_sr.training.dataset import GRID, TrainingPair, read_pairs, split_by_place
from live_sr.training.losses import psnr_loss
from live_sr.training.pairs.renderers import find_engine
from live_sr.training.train import compute_learning_rate
from live_sr.training.weights import load_start_weights

SCALE, CARRIED = 2, 8  # CARRIED: feature planes that are kept for the next frame
FORMS = {"none": 0, "picture": 3 * (CELL * SCALE) ** 2, "features": CARRIED}  # and the planes that each adds
BATCH, PATCH, UNROLLED, RATE, CUT = 8, 40, 5, 4e-4, 0.1  # CUT: share of sequences with another scene's state
ROUNDS, OPENVINO = 60, {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "bf16"}
Scene = list[TrainingPair]  # consecutive frames


class TemporalNet(nn.Module):
    """`fast` x2, whose first layer also sees the last picture, or feature planes of the last frame."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.base: CellNet = load_start_weights("fast", SCALE)[0]
        self.base.head = grow(self.base.head, inputs=FORMS[form])
        if form == "features":
            self.base.body[-1] = grow(self.base.body[-1], outputs=CARRIED)

    def make_state(self, x: Tensor) -> Tensor:
        """The state before the first frame; x: (N, 3, H, W)."""
        count, _, height, width = x.shape
        if self.form == "features":
            return x.new_zeros(count, CARRIED, height // CELL + 2, width // CELL + 2)
        return x.new_zeros(count, 3, height * SCALE, width * SCALE)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The picture (N, 3, 2H, 2W), and the state for the next frame."""
        y = cells = unshuffle(x, CELL)
        if self.form != "none":
            y = torch.cat((cells, unshuffle(state, CELL * SCALE) if self.form == "picture" else state.to(x)), 1)
        y = self.base.acts[0](self.base.head(y))
        width = y.shape[1]
        for conv, act in zip(self.base.body, self.base.acts[1:], strict=True):
            y = conv(y)
            carried, y = y[:, width:], act(y[:, :width])
        picture = functional.pixel_shuffle(self.base.tail(torch.cat((y, cells), 1)), CELL * SCALE)
        return picture, torch.tanh(carried) if self.form == "features" else picture.clamp(0, 1)


def grow(conv: nn.Module, inputs: int = 0, outputs: int = 0) -> nn.Conv2d:
    """The convolution with more channels: further inputs have no effect at first, further outputs are random."""
    assert isinstance(conv, nn.Conv2d)
    grown = nn.Conv2d(conv.in_channels + inputs, conv.out_channels + outputs, 3, padding=1)
    with torch.no_grad():
        grown.weight[:, conv.in_channels :] = 0
        grown.weight[: conv.out_channels, : conv.in_channels] = conv.weight
        grown.get_parameter("bias")[: conv.out_channels] = conv.get_parameter("bias")
    return grown


def unshuffle(picture: Tensor, side: int) -> Tensor:
    """Cells of side x side pixels as channels, with one cell of replicated border."""
    return functional.pixel_unshuffle(functional.pad(picture, (side,) * 4, mode="replicate"), side)


def draw_patches(scenes: Sequence[Scene], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """One patch in UNROLLED consecutive frames: (UNROLLED, 3, H, W), small and large."""
    scene = scenes[int(rng.integers(len(scenes)))]
    first = int(rng.integers(len(scene) - UNROLLED + 1))
    frames = scene[first : first + UNROLLED]
    height, width = frames[0].small.shape[:2]
    chances = frames[0].compute_block_probabilities()
    row, column = divmod(int(rng.choice(len(chances), p=chances)), width // GRID)
    y, x = (int(np.clip(GRID * (n - 1), 0, most - PATCH)) for n, most in ((row, height), (column, width)))
    small = to_tensor([f.small[y : y + PATCH, x : x + PATCH] for f in frames])
    y, x, side = SCALE * y, SCALE * x, SCALE * PATCH
    return small, to_tensor([f.large[y : y + side, x : x + side] for f in frames])


def to_tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255


def train(form: str, engines: dict[str, list[Scene]], steps: int) -> dict[str, Tensor]:
    """The average of the weights over the last steps. Every form sees the same patches, each engine equally often."""
    torch.manual_seed(0)
    rng, names = np.random.default_rng(0), sorted(engines)
    net = TemporalNet(form).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as in train.py
    averaging = torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)  # type: ignore[no-untyped-call]
    average = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=averaging)
    optimizer = torch.optim.Adam(net.parameters(), RATE, fused=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = compute_learning_rate(step, step / steps, RATE, 50)
        drawn = [draw_patches(engines[names[rng.integers(len(names))]], rng) for _ in range(BATCH)]
        small, large = (torch.stack(side, 1) for side in zip(*drawn, strict=True))  # (UNROLLED, BATCH, 3, H, W)
        cut, cut_at = torch.from_numpy(rng.random(BATCH) < CUT).view(-1, 1, 1, 1), rng.integers(1, UNROLLED)
        state, loss = net.make_state(small[0]), torch.zeros(())
        for number in range(UNROLLED):
            if number == cut_at:
                state = torch.where(cut, state.roll(1, 0), state)
            with torch.autocast("cpu", torch.bfloat16):
                picture, state = net(small[number].contiguous(memory_format=torch.channels_last), state)
            loss = loss + psnr_loss(picture.float(), large[number], 2) / UNROLLED
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        average.update_parameters(net)
        if step % 100 == 99:
            print_result(f"{form}: step {step + 1}, loss {loss.item():.3f}, {time.process_time():.0f} s")
    return average.module.state_dict()


@torch.no_grad()
def upscale(net: TemporalNet, scene: Scene, before: Scene) -> list[np.ndarray]:
    """BGR uint8 pictures of a scene, without borders; `before`: another one of the same size, shown just before."""
    state, shown = net.make_state(to_tensor([scene[0].small])), []
    for frame in (*before, *scene):
        picture, state = net(to_tensor([frame.small]), state)
        levels = (picture[0, [2, 1, 0]] * 255).round().clamp(0, 255).byte()
        shown.append(crop_border(levels.permute(1, 2, 0).numpy()))
    return shown[len(before) :]


def measure(net: TemporalNet, scenes: Sequence[Scene]) -> dict[str, float]:
    """Means over scenes. psnr_y: without the first frame; first: of it alone; after_cut: of it after another scene;
    still: percent of the pixels that change from the ninth to the tenth time that the same frame is given."""
    figures: dict[str, list[float]] = defaultdict(list)
    for number, scene in enumerate(scenes):
        both = list(zip(upscale(net, scene, []), [crop_border(frame.large[..., ::-1]) for frame in scene], strict=True))
        flicker = Flicker()
        for shown, target in both:
            flicker.add(shown, target, "")
        first, *others = (compute_psnr_y(shown, target) for shown, target in both)
        figures["psnr_y"].append(sum(others) / len(others))
        figures["flicker"].append(flicker.mean() or 0)
        figures["first"].append(first)
        if net.form != "none":
            figures["after_cut"].append(compute_psnr_y(upscale(net, scene[:1], scenes[number - 1][-4:])[0], both[0][1]))
            *_, ninth, tenth = upscale(net, scene[:1] * 10, [])
            figures["still"].append(100 * float((ninth != tenth).any(2).mean()))
    return {name: round(float(np.mean(values)), 4) for name, values in figures.items()}


def measure_costs(nets: dict[str, TemporalNet]) -> dict[str, tuple[float, float]]:
    """Multiply-adds an input pixel; milliseconds of the processor a frame, medians of turns (OpenVINO, one thread)."""
    x = torch.rand(1, 3, 270, 480)
    requests, times = {}, {form: list[float]() for form in nets}
    for form, net in nets.items():
        given = (x, net.make_state(x))
        graph = openvino.convert_model(net, example_input=given, input=[part.shape for part in given])
        requests[form] = openvino.compile_model(graph, "CPU", OPENVINO).create_infer_request()
        for port in range(len(graph.inputs)):
            requests[form].set_input_tensor(port, openvino.Tensor(given[port].numpy()))
    for _ in range(ROUNDS):
        for form, request in requests.items():
            begun = time.process_time()
            request.infer()
            times[form].append(1e3 * (time.process_time() - begun))
    weights = {form: sum(p.numel() for p in net.parameters() if p.dim() == 4) for form, net in nets.items()}
    return {form: (weights[form] / CELL**2, float(np.median(times[form]))) for form in nets}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sequences", type=Path, metavar="SEQUENCES")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    torch.set_num_threads(1)
    a.out.mkdir(parents=True, exist_ok=True)
    training, testing = {}, {}
    for folder in sorted(a.sequences.iterdir()):
        parts = split_by_place(read_pairs(folder, SCALE), 4)
        kept, rest = ([list(frames) for _, frames in itertools.groupby(part, attrgetter("place"))] for part in parts)
        if find_engine(folder.name).use == "train":
            training[folder.name], testing[folder.name] = kept, rest
        else:
            testing[f"{folder.name}, unseen"] = [*kept, *rest]
    nets = {}
    for form in FORMS:
        file = a.out / f"{form}.pt"
        if not file.exists():
            torch.save(train(form, training, a.steps), file)
        nets[form] = TemporalNet(form).eval()
        nets[form].load_state_dict(torch.load(file, weights_only=True))
    print_result(json.dumps({"costs": measure_costs(nets)}))
    nets["shipped"] = TemporalNet("none").eval()
    for name, scenes in testing.items():
        print_result(json.dumps({name: {form: measure(net, scenes) for form, net in nets.items()}}))


if __name__ == "__main__":
    main()
