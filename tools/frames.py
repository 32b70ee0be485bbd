"""Pairs of frames for training: read, split, cut into patches, measured."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from live_sr.models.nets import CELL

GRID = 16  # patches are chosen by the contrast of the 16x16-pixel block in their middle
BORDER = 8  # pixels left out at each edge when PSNR is measured


@dataclass
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


@dataclass
class Source:
    """Pairs of one kind, say of one game, and how often a patch comes from them, relative to the other sources."""

    name: str
    pairs: list[Pair]
    weight: float = 1.0
    validate: bool = True


def read_rgb(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit(f"{path} is not a readable picture; remove it or render the pair again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_pairs(folder: Path, scale: int) -> list[Pair]:
    """All pairs of a folder with lr/ and hr/, the large ones area-averaged to `scale` times the small ones."""
    if not (folder / "lr").is_dir():
        raise SystemExit(f"{folder} holds no lr/; make pairs with tools/make_pairs.py")
    pairs: list[Pair] = []
    for small_path in sorted((folder / "lr").iterdir()):
        large_path = folder / "hr" / small_path.name
        if not large_path.exists():
            raise SystemExit(f"{small_path} has no partner {large_path}; make the pairs again")
        small = read_rgb(small_path)
        size = (small.shape[1] * scale, small.shape[0] * scale)
        large = cv2.resize(read_rgb(large_path), size, interpolation=cv2.INTER_AREA)
        height, width = (side // CELL * CELL for side in small.shape[:2])  # the network works on whole cells
        pairs.append(Pair(small_path.stem, small[:height, :width], large[: height * scale, : width * scale]))
    return pairs


def read_sources(games: list[str], data: Path | None, scale: int) -> list[Source]:
    """From the command line (DIR or DIR,DIR for each game) and a manifest:

    [[source]]
    name = "doom"
    pairs = ["DIR", "DIR"]   # from the manifest's folder
    weight = 2.0             # of 1: how often a patch comes from here
    validate = false         # whether a tenth of its places is held out to validate with
    """
    sources = [
        Source(game, [p for folder in game.split(",") for p in read_pairs(Path(folder), scale)]) for game in games
    ]
    if data is not None:
        try:
            entries = tomllib.loads(data.read_text(encoding="utf-8"))["source"]
            for entry in entries:
                folders = [data.parent / folder for folder in entry["pairs"]]
                pairs = [p for folder in folders for p in read_pairs(folder, scale)]
                source = Source(entry["name"], pairs, entry.get("weight", 1.0), entry.get("validate", True))
                sources.append(source)
        except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise SystemExit(f"{data} is not a data manifest ({error}); see read_sources in tools/frames.py") from None
    if not any(source.pairs for source in sources):
        raise SystemExit("there is nothing to train on; give --pairs or --data")
    return sources


def split(pairs: list[Pair], every: int = 10) -> tuple[list[Pair], list[Pair]]:
    """(for training, held out for validation): one map or level of every ten is held out, with all its frames."""
    places = sorted({pair.place for pair in pairs})
    held = set(places[every // 2 :: every])
    return [p for p in pairs if p.place not in held], [p for p in pairs if p.place in held]


class Patches:
    """Endless batches of patches; each source is drawn from by its weight, however many frames it holds.

    augment: the chance of each of: mirrored, upside down, sideways, colours exchanged, another brightness. A game is
    made of the same tiles, letters and textures all over, and a network may know them: with a chance of 0.5 it scored
    0.25 dB less on the test split than with none. Some of it keeps the network fit for games it has not seen.
    """

    def __init__(self, sources: list[Source], scale: int, patch: int, seed: int, augment: float = 0.1) -> None:
        self.sources = [[(pair, pair.blocks().cumsum()) for pair in source.pairs] for source in sources]
        weights = np.array([source.weight if source.pairs else 0.0 for source in sources])
        self.chances = weights / weights.sum()
        self.scale, self.patch, self.augment = scale, patch, augment
        self.random = np.random.default_rng(seed)

    def one(self) -> tuple[np.ndarray, np.ndarray]:
        r, s, p = self.random, self.scale, self.patch
        pairs = self.sources[r.choice(len(self.chances), p=self.chances)]
        pair, heaped = pairs[r.integers(len(pairs))]
        h, w = pair.small.shape[:2]
        row, column = divmod(int(np.searchsorted(heaped, r.random() * heaped[-1])), w // GRID)
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

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(size, 3, patch, patch) and (size, 3, patch * scale, patch * scale), RGB float32 in 0..1."""
        while True:
            small, large = (np.stack(side) for side in zip(*(self.one() for _ in range(size)), strict=True))
            gain = np.where(self.random.random(size) < self.augment, self.random.uniform(0.5, 1.5, size), 1.0) / 255
            gains = torch.from_numpy(gain.astype(np.float32)).view(-1, 1, 1, 1)
            yield tuple(  # type: ignore[misc]
                (torch.from_numpy(np.ascontiguousarray(side.transpose(0, 3, 1, 2))) * gains).clamp(0, 1)
                for side in (small, large)
            )


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
def upscale(net: torch.nn.Module, small: np.ndarray, device: str) -> np.ndarray:
    """RGB uint8 (H, W, 3) -> (H * scale, W * scale, 3)."""
    x = torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))[None].to(device) / 255
    return (net(x)[0] * 255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()


def validate(net: torch.nn.Module, sources: list[Source], device: str) -> dict[str, float]:
    """Mean PSNR-Y in dB of each source, and under "mean" the mean of these."""
    scores = {
        source.name: float(np.mean([psnr_y(upscale(net, p.small, device), p.large) for p in source.pairs]))
        for source in sources
        if source.pairs
    }
    return scores | {"mean": float(np.mean(list(scores.values()))) if scores else math.nan}
