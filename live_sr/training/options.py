"""The settings of `live-sr train` and `live-sr export`. Imports nothing heavy, so that parsing stays fast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OPTIMIZERS = ("adam", "muon")
SAMPLINGS = ("contrast", "error")


@dataclass(frozen=True)
class TrainOptions:
    """The flags of `live-sr train`; its help describes each. `start` is --from."""

    out: Path
    pairs: tuple[str, ...] = ()
    data: Path | None = None
    leave_out: tuple[str, ...] = ()
    hold_out: int = 10
    model: str | None = None
    scale: int = 2
    features: int | None = None
    depth: int | None = None
    wide: int = 0
    start: str | None = None
    resume: bool = False
    steps: int = 50_000
    minutes: float | None = None
    batch: int = 16
    patch: int = 48
    augment: float = 0.1
    sampling: str = "contrast"
    optimizer: str = "adam"
    rate: float = 6e-4
    warm_up: int = 1000
    average: float = 0.999
    epsilon: float = 1e-2
    psnr: bool = False
    luma: float = 1.0
    fft: float = 0.0
    ssim: float = 0.0
    perceptual: float = 0.0
    gan: float = 0.0
    teacher: Path | None = None
    teacher_share: float = 0.5
    every: int = 2000
    device: str | None = None
    threads: int = 1
    bf16: bool = False
    compile: bool = False
    seed: int = 1
    track: str | None = None


@dataclass(frozen=True)
class ExportOptions:
    """The flags of `live-sr export`. All but the folders and `weights` go into the model's card."""

    weights: Path
    name: str
    out: Path
    test: tuple[Path, ...] = ()
    int8: tuple[Path, ...] = ()
    trained_on: str = ""
    minutes: int = 0
    machine: str = ""
    notes: str = ""
    licence: str = "GPL-3.0-or-later"
