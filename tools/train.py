"""Train one of our networks on pairs of game frames.

    python tools/train.py --pairs DIR [DIR ...] --scale 2 --out runs/fast-x2

Each DIR holds lr/ and hr/ with files of the same name: the same instant rendered small and large. The large one is
area-averaged to `scale` times the small one, a supersampled target. Continue a stopped run with --resume.
Then `tools/export.py` makes of runs/fast-x2/weights.safetensors what live-sr ships.
"""

import argparse
import dataclasses
import math
import random
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from live_sr.models.nets import CellNet, cost

GRID = 16  # patches are chosen by the contrast of the 16x16-pixel block in their middle
BORDER = 8  # pixels left out at each edge when PSNR is measured


@dataclasses.dataclass
class Pair:
    """One instant, RGB uint8: `small` (H, W, 3), `large` (H * scale, W * scale, 3)."""

    name: str
    small: np.ndarray
    large: np.ndarray

    @property
    def place(self) -> str:
        """The map or level: names are PLACE_FRAMENUMBER."""
        return self.name.rsplit("_", 1)[0]

    def blocks(self) -> np.ndarray:
        """Contrast of every GRID x GRID block, as probabilities over the flattened blocks."""
        grey = cv2.cvtColor(self.small, cv2.COLOR_RGB2GRAY)
        h, w = grey.shape[0] // GRID, grey.shape[1] // GRID
        spread = grey[: h * GRID, : w * GRID].reshape(h, GRID, w, GRID).std((1, 3)).ravel()
        weight = np.minimum(spread, 40.0) + 2.0  # flat blocks stay in, but rarely
        return weight / weight.sum()


def read_rgb(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit(f"train: {path} is not a readable picture; remove it or render the pair again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_pairs(folder: Path, scale: int) -> list[Pair]:
    pairs: list[Pair] = []
    for small_path in sorted((folder / "lr").iterdir()):
        large_path = folder / "hr" / small_path.name
        if not large_path.exists():
            raise SystemExit(f"train: {small_path} has no partner {large_path}; make the pairs again")
        small = read_rgb(small_path)
        size = (small.shape[1] * scale, small.shape[0] * scale)
        pairs.append(Pair(small_path.stem, small, cv2.resize(read_rgb(large_path), size, interpolation=cv2.INTER_AREA)))
    return pairs


class Patches:
    """Endless batches of augmented patches; every folder is drawn from equally often, however many frames it holds."""

    def __init__(self, folders: list[list[Pair]], scale: int, patch: int, seed: int) -> None:
        self.folders = [[(pair, pair.blocks()) for pair in pairs] for pairs in folders]
        self.scale, self.patch = scale, patch
        self.random = np.random.default_rng(seed)

    def one(self) -> tuple[np.ndarray, np.ndarray]:
        r, s, p = self.random, self.scale, self.patch
        pairs = self.folders[r.integers(len(self.folders))]
        pair, chances = pairs[r.integers(len(pairs))]
        h, w = pair.small.shape[:2]
        row, column = divmod(int(r.choice(len(chances), p=chances)), w // GRID)
        y = int(np.clip(row * GRID + GRID // 2 - p // 2 + r.integers(-GRID // 2, GRID // 2), 0, h - p))
        x = int(np.clip(column * GRID + GRID // 2 - p // 2 + r.integers(-GRID // 2, GRID // 2), 0, w - p))
        small = pair.small[y : y + p, x : x + p]
        large = pair.large[y * s : (y + p) * s, x * s : (x + p) * s]
        if r.random() < 0.5:
            small, large = small[:, ::-1], large[:, ::-1]
        if r.random() < 0.5:  # upside down and sideways too: textures have no up
            small, large = small[::-1], large[::-1]
        if r.random() < 0.5:
            small, large = small.transpose(1, 0, 2), large.transpose(1, 0, 2)
        if r.random() < 0.5:
            order = r.permutation(3)
            small, large = small[..., order], large[..., order]
        return small, large

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            small, large = (np.stack(side) for side in zip(*(self.one() for _ in range(size)), strict=True))
            gain = torch.from_numpy(self.random.uniform(0.5, 1.5, (size, 1, 1, 1)).astype(np.float32)) / 255
            yield tuple(  # type: ignore[misc]
                (torch.from_numpy(np.ascontiguousarray(side.transpose(0, 3, 1, 2))) * gain).clamp(0, 1)
                for side in (small, large)
            )


def charbonnier(a: Tensor, b: Tensor, epsilon: float) -> Tensor:
    """A smooth L1 (Charbonnier et al. 1994): squared error below `epsilon`, absolute error above."""
    return torch.sqrt((a - b) ** 2 + epsilon**2).mean()


def charbonnier_loss(guess: Tensor, target: Tensor, epsilon: float) -> Tensor:
    """Charbonnier on RGB and once more on its luma, which is what eyes and PSNR-Y are keenest on; (N, 3, H, W)."""
    weights = guess.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    lumas = ((side * weights).sum(1) for side in (guess, target))
    return charbonnier(guess, target, epsilon) + charbonnier(*lumas, epsilon)


def psnr_loss(guess: Tensor, target: Tensor) -> Tensor:
    """What PSNR measures, negated: decibels of the squared error of each patch, on RGB and on luma, as a mean.

    A logarithm for each patch gives a dark, easy one as much weight as a bright, hard one, as a mean of PSNRs does.
    """
    weights = guess.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    error = guess - target
    squares = ((error**2).mean((1, 2, 3)), ((error * weights).sum(1) ** 2).mean((1, 2)))
    return sum((torch.log10(s + 1e-6).mean() for s in squares), torch.zeros(()))


def deepened(state: dict[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Weights of a shallower network with layers that change nothing after its own, up to `depth`."""
    had = sum(name.startswith("body.") and name.endswith(".weight") for name in state)
    features = state["head.weight"].shape[0]
    for layer in range(had, depth):
        same = torch.zeros(features, features, 3, 3)
        same[range(features), range(features), 1, 1] = 1
        state[f"body.{layer}.weight"] = same + 1e-3 * torch.randn_like(same)
        state[f"body.{layer}.bias"] = torch.zeros(features)
        state[f"acts.{layer + 1}.weight"] = torch.ones(features)
    return state


def luma(rgb: np.ndarray) -> np.ndarray:
    """BT.601 limited-range luma of RGB (H, W, 3) in 0..255."""
    weights = np.array([65.481, 128.553, 24.966], np.float32) / 255
    return np.asarray(rgb.astype(np.float32) @ weights + 16)


def psnr_y(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR in dB between the lumas of two RGB uint8 pictures, BORDER pixels cropped."""
    inner = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    mse = float(np.mean((luma(a)[inner] - luma(b)[inner]) ** 2))
    return 10 * math.log10(255**2 / max(mse, 1e-9))


@torch.no_grad()
def upscale(net: CellNet, small: np.ndarray, device: str) -> np.ndarray:
    """RGB uint8 (H, W, 3) -> (H * scale, W * scale, 3)."""
    x = torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))[None].to(device) / 255
    return (net(x)[0] * 255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()


def validate(net: CellNet, folders: list[list[Pair]], device: str) -> float:
    """Mean over folders of the mean PSNR-Y of each."""
    scores = [np.mean([psnr_y(upscale(net, p.small, device), p.large) for p in pairs]) for pairs in folders if pairs]
    return float(np.mean(scores))


def rate(step: int, steps: int, peak: float, warm_up: int = 1000) -> float:
    """Learning rate: a linear warm-up, then half a cosine down to a hundredth of the peak."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def save(path: Path, state: dict[str, object]) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def save_weights(path: Path, net: CellNet, about: dict[str, str]) -> None:
    part = path.with_suffix(".part")
    save_file({k: v.contiguous().cpu() for k, v in net.state_dict().items()}, part, metadata=about)
    part.replace(path)


def split(pairs: list[Pair], every: int = 10) -> tuple[list[Pair], list[Pair]]:
    """(for training, held out for validation): one map or level of every ten is held out, with all its frames."""
    places = sorted({pair.place for pair in pairs})
    held = set(places[every // 2 :: every])
    return [p for p in pairs if p.place not in held], [p for p in pairs if p.place in held]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--pairs",
        nargs="+",
        required=True,
        help="folders with lr/ and hr/, one for each game; DIR,DIR for one game in several folders",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and weights")
    parser.add_argument("--scale", type=int, default=2, choices=(2, 3, 4))
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch", type=int, default=48, help="side of a patch in small pixels")
    parser.add_argument("--rate", type=float, default=6e-4, help="peak learning rate")
    parser.add_argument("--average", type=float, default=0.999, help="decay of the moving average of the weights")
    parser.add_argument("--epsilon", type=float, default=1e-3, help="of the Charbonnier loss, in units of full scale")
    parser.add_argument("--psnr", action="store_true", help="the PSNR itself as loss, to finish with")
    parser.add_argument("--from", dest="start", type=Path, help="weights to begin with; may be of a shallower network")
    parser.add_argument("--every", type=int, default=2000, help="steps between checkpoints")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads; a second one under contention is far slower"
    )
    parser.add_argument("--bf16", action="store_true", help="bfloat16 where autocast allows it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)

    games = [[p for folder in game.split(",") for p in read_pairs(Path(folder), args.scale)] for game in args.pairs]
    training, held = zip(*(split(pairs) for pairs in games), strict=True)
    net = CellNet(args.scale, args.features, args.depth).to(args.device, memory_format=torch.channels_last)
    steps_before = 0
    if args.start:
        net.load_state_dict(deepened(load_file(args.start), args.depth))
        with safe_open(args.start, "pt") as file:
            steps_before = int(file.metadata().get("step", 0))
    average = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(args.average)
    )
    optimizer = torch.optim.Adam(net.parameters(), args.rate)
    first = 0
    checkpoint = args.out / "checkpoint.pt"
    if args.resume:
        state = torch.load(checkpoint, map_location=args.device, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]

    parameters, macs = cost(net)
    print(f"{sum(map(len, training))} pairs to train on, {sum(map(len, held))} to validate")
    print(f"{parameters} parameters, {macs:.0f} multiply-adds per input pixel")
    about = {"scale": str(args.scale), "features": str(args.features), "depth": str(args.depth)}
    batches = Patches(list(training), args.scale, args.patch, args.seed + first).batches(args.batch)
    bar = tqdm(range(first, args.steps), initial=first, total=args.steps, unit="step", mininterval=5)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = rate(step, args.steps, args.rate)
        small, large = (side.to(args.device, memory_format=torch.channels_last) for side in next(batches))
        with torch.autocast(args.device, torch.bfloat16, enabled=args.bf16):
            guess = net(small)
        loss = psnr_loss(guess.float(), large) if args.psnr else charbonnier_loss(guess.float(), large, args.epsilon)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        average.update_parameters(net)
        if (step + 1) % args.every == 0 or step + 1 == args.steps:
            score = validate(average.module, list(held), args.device)
            bar.set_postfix(loss=f"{loss.item():.4f}", psnr_y=f"{score:.2f}")
            save_weights(
                args.out / "weights.safetensors", average.module, about | {"step": str(steps_before + step + 1)}
            )
            save(
                checkpoint,
                {
                    "net": net.state_dict(),
                    "average": average.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                },
            )
            with (args.out / "log.csv").open("a") as log:
                log.write(f"{step + 1},{loss.item():.6f},{score:.4f}\n")


if __name__ == "__main__":
    main()
