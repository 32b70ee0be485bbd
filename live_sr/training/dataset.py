"""Pairs of frames for training: reads and splits them, draws patches, measures PSNR."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from live_sr.errors import UsageError, did_you_mean
from live_sr.imaging.picture_file import is_picture, read_picture
from live_sr.models.architectures.cellnet import CELL
from live_sr.system import toml

GRID = 16  # patches are chosen by the 16x16-pixel block in their middle
EVEN_SHARE = 0.1  # of patches that are chosen by their error: beside each ten, one wherever it may be
BORDER = 8  # pixels left out at each edge when PSNR is measured


@dataclass
class TrainingPair:
    """One instant at two sizes, RGB uint8: `small` (H, W, 3), `large` (H * scale, W * scale, 3)."""

    name: str
    small: np.ndarray
    large: np.ndarray

    @property
    def place(self) -> str:
        """The map or level. Names are PLACE_FRAMENUMBER."""
        return self.name.rsplit("_", 1)[0]

    def compute_block_probabilities(self, sampling: str = "contrast") -> np.ndarray:
        """Of a patch around each GRID x GRID block of `small`; flattened, of sum 1.

        sampling: "contrast", by the standard deviation of the block, or "error", by the root of the mean squared error
        of its luma after bicubic interpolation. Blocks of none are drawn rarely, but drawn.
        """
        if sampling == "error":
            height, width = self.large.shape[:2]
            guess = cv2.resize(self.small, (width, height), interpolation=cv2.INTER_CUBIC)
            error = (compute_luma(guess) - compute_luma(self.large)) ** 2
            weight = np.sqrt(_split_into_blocks(error, GRID * height // self.small.shape[0]).mean((1, 3))).ravel()
            weight += EVEN_SHARE * max(float(weight.mean()), 1e-9)
        else:
            grey = cv2.cvtColor(self.small, cv2.COLOR_RGB2GRAY)
            weight = np.minimum(_split_into_blocks(grey, GRID).std((1, 3)).ravel(), 40.0) + 2.0
        return np.asarray(weight / weight.sum())


def _split_into_blocks(plane: np.ndarray, side: int) -> np.ndarray:
    """(H, W) -> (rows, side, columns, side), without what is left at the right and the bottom."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    return plane[: rows * side, : columns * side].reshape(rows, side, columns, side)


@dataclass
class TrainingSource:
    """Pairs of one kind, for example of one game. `weight`: how often they are drawn, relative to other sources."""

    name: str
    pairs: list[TrainingPair]
    weight: float = 1.0
    validate: bool = True


def read_rgb_picture(path: Path) -> np.ndarray:
    """RGB uint8 (H, W, 3). Raises UsageError."""
    return cv2.cvtColor(read_picture(path, "remove it, or make the pair again"), cv2.COLOR_BGR2RGB)


def read_pairs(folder: Path, scale: int) -> list[TrainingPair]:
    """All pairs of a folder with lr/ and hr/, the large ones area-averaged to `scale` times the small ones.

    Files that are no pictures by their suffix are passed over: .DS_Store, Thumbs.db, the .part of a kill.

    Raises UsageError for a folder that holds no pairs, one without a partner, or pairs that are not for this scale.
    """
    if not (folder / "lr").is_dir():
        what = "holds no pairs: there is no lr/ in it" if folder.is_dir() else "is not there"
        raise UsageError(f"the folder {folder} {what}", "make pairs with `live-sr pairs`")
    pairs: list[TrainingPair] = []
    for small_path in sorted(filter(is_picture, (folder / "lr").iterdir())):
        large_path = folder / "hr" / small_path.name
        if not large_path.exists():
            raise UsageError(f"{small_path} has no partner {large_path}", "make the pairs again")
        small, large = read_rgb_picture(small_path), read_rgb_picture(large_path)
        size = (small.shape[1] * scale, small.shape[0] * scale)
        if large.shape[1] < size[0] or large.shape[0] < size[1]:
            times = large.shape[0] / small.shape[0]
            what = f"{large_path} is only {times:.3g} times as large as {small_path}, which is no target for x{scale}"
            raise UsageError(what, "train with a smaller --scale, or make other pairs")
        large = cv2.resize(large, size, interpolation=cv2.INTER_AREA)
        height, width = (side // CELL * CELL for side in small.shape[:2])  # the network works on whole cells
        pairs.append(TrainingPair(small_path.stem, small[:height, :width], large[: height * scale, : width * scale]))
    return pairs


def read_sources(games: Sequence[str], data: Path | None, scale: int) -> list[TrainingSource]:
    """From the command line (DIR or DIR,DIR for each game) and a manifest. Raises UsageError.

    The manifest is TOML:

    [[source]]
    name = "doom"
    pairs = ["DIR", "DIR"]   # from the manifest's folder
    weight = 2.0             # of 1: how often a patch comes from here
    validate = false         # whether a tenth of its places is held out to validate with
    """
    sources = [
        TrainingSource(game, [p for folder in game.split(",") for p in read_pairs(Path(folder), scale)])
        for game in games
    ]
    if data is not None:
        try:
            entries = toml.read(data)["source"]
            for entry in entries:
                folders = [data.parent / folder for folder in entry["pairs"]]
                pairs = [p for folder in folders for p in read_pairs(folder, scale)]
                source = TrainingSource(entry["name"], pairs, entry.get("weight", 1.0), entry.get("validate", True))
                sources.append(source)
        except (OSError, ValueError, KeyError, TypeError) as error:
            remedy = "give a TOML file with [[source]] tables, each with a name and a list of pairs"
            raise UsageError(f"{data} is not a data manifest: {error}", remedy) from None
    if not any(source.pairs for source in sources):
        raise UsageError("there is nothing to train on", "give --pairs or --data")
    return sources


def leave_out(sources: list[TrainingSource], names: Sequence[str]) -> list[TrainingSource]:
    """The sources but the named ones, so that a network can be tested on an engine that it has not seen.

    Raises UsageError for a name that no source has, and where none is left.
    """
    there = [source.name for source in sources]
    for name in names:
        if name not in there:
            what = f'--leave-out: no source is called "{name}".{did_you_mean(name, there)}'
            raise UsageError(what, f"the sources are {', '.join(there)}")
    left = [source for source in sources if source.name not in names]
    if not left:
        raise UsageError("--leave-out leaves nothing to train on", "leave fewer sources out")
    return left


def split_by_place(pairs: list[TrainingPair], every: int = 10) -> tuple[list[TrainingPair], list[TrainingPair]]:
    """(for training, held out for validation). Of every ten places one is held out, with all its frames."""
    places = sorted({pair.place for pair in pairs})
    held = set(places[every // 2 :: every])
    return [p for p in pairs if p.place not in held], [p for p in pairs if p.place in held]


class Patches:
    """Endless batches of random patches. A source is drawn from by its weight, however many frames it holds.

    augment: the probability of each of: mirrored, upside down, transposed, colours exchanged, another brightness. A
    game repeats the same tiles, letters and textures everywhere, and the network may learn them: with 0.5 it scored
    0.25 dB less on the test split than with 0. A little augmentation keeps the network fit for games it has not seen.
    sampling: which places of a picture patches show, see TrainingPair.compute_block_probabilities.

    Raises UsageError for pictures that a patch does not fit into.
    """

    def __init__(
        self,
        sources: list[TrainingSource],
        scale: int,
        patch: int,
        seed: int,
        augment: float = 0.1,
        sampling: str = "contrast",
    ) -> None:
        if patch % CELL:
            raise UsageError(f"a patch of {patch} pixels cannot be trained with", "give an even --patch")
        for pair in (pair for source in sources for pair in source.pairs):
            height, width = pair.small.shape[:2]
            if min(height, width) < max(patch, GRID):
                what = f"the small picture {pair.name} has {width}x{height} pixels, too few for a patch of {patch}"
                raise UsageError(what, f"give a smaller --patch, and pictures of at least {GRID}x{GRID}")
        self.sources = [
            [(pair, pair.compute_block_probabilities(sampling).cumsum()) for pair in source.pairs] for source in sources
        ]
        weights = np.array([source.weight if source.pairs else 0.0 for source in sources])
        self.probabilities = weights / weights.sum()
        self.scale, self.patch, self.augment = scale, patch, augment
        self.rng = np.random.default_rng(seed)

    def draw_patch(self) -> tuple[np.ndarray, np.ndarray]:
        """A small patch and its large one, RGB uint8."""
        r, s, p = self.rng, self.scale, self.patch
        pairs = self.sources[r.choice(len(self.probabilities), p=self.probabilities)]
        pair, cumulated = pairs[r.integers(len(pairs))]
        h, w = pair.small.shape[:2]
        row, column = divmod(int(np.searchsorted(cumulated, r.random() * cumulated[-1])), w // GRID)
        y = int(np.clip(row * GRID + GRID // 2 - p // 2 + r.integers(-GRID // 2, GRID // 2), 0, h - p))
        x = int(np.clip(column * GRID + GRID // 2 - p // 2 + r.integers(-GRID // 2, GRID // 2), 0, w - p))
        small = pair.small[y : y + p, x : x + p]
        large = pair.large[y * s : (y + p) * s, x * s : (x + p) * s]
        if r.random() < self.augment:
            small, large = small[:, ::-1], large[:, ::-1]
        if r.random() < self.augment:
            small, large = small[::-1], large[::-1]
        if r.random() < self.augment:
            small, large = small.transpose(1, 0, 2), large.transpose(1, 0, 2)
        if r.random() < self.augment:
            order = r.permutation(3)
            small, large = small[..., order], large[..., order]
        return small, large

    def iterate_batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(size, 3, patch, patch) and (size, 3, patch * scale, patch * scale), RGB float32 in 0..1."""
        while True:
            small, large = (np.stack(side) for side in zip(*(self.draw_patch() for _ in range(size)), strict=True))
            gain = np.where(self.rng.random(size) < self.augment, self.rng.uniform(0.5, 1.5, size), 1.0) / 255
            gains = torch.from_numpy(gain.astype(np.float32)).view(-1, 1, 1, 1)
            inputs, targets = (
                (torch.from_numpy(np.ascontiguousarray(side.transpose(0, 3, 1, 2))) * gains).clamp(0, 1)
                for side in (small, large)
            )
            yield inputs, targets


def compute_luma(rgb: np.ndarray) -> np.ndarray:
    """BT.601 limited-range luma of RGB (H, W, 3) in 0..255."""
    weights = np.array([65.481, 128.553, 24.966], np.float32) / 255
    return np.asarray(rgb.astype(np.float32) @ weights + 16)


def compute_psnr_y(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR in dB between the lumas of two RGB uint8 pictures, without BORDER pixels at each edge."""
    inner = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    mse = float(np.mean((compute_luma(a)[inner] - compute_luma(b)[inner]) ** 2))
    return 10 * math.log10(255**2 / max(mse, 1e-9))


@torch.no_grad()
def upscale(net: torch.nn.Module, small: np.ndarray, device: str) -> np.ndarray:
    """RGB uint8 (H, W, 3) -> (H * scale, W * scale, 3)."""
    x = torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))[None].to(device) / 255
    return np.asarray((net(x)[0].float() * 255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy())


def validate(net: torch.nn.Module, sources: list[TrainingSource], device: str) -> dict[str, float]:
    """Mean PSNR-Y in dB of each source that has pairs, and their mean as "mean"."""
    scores = {
        source.name: float(np.mean([compute_psnr_y(upscale(net, p.small, device), p.large) for p in source.pairs]))
        for source in sources
        if source.pairs
    }
    return scores | {"mean": float(np.mean(list(scores.values()))) if scores else math.nan}
