"""The settings of `live-sr pairs`. Imports nothing heavy, so that parsing stays fast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from live_sr.pipeline.frame import Size

KINDS = ("box", "bicubic", "lanczos", "point", "realesrgan", "light", "stream")
"""How a large frame is made small; see `degrade.degrade`."""
MIXTURE = {"box": 0.4, "bicubic": 0.25, "point": 0.2, "lanczos": 0.15}
"""Probability of each kind in "mixture": the kernels by which most videos and pictures are shrunk."""
FORMATS = ("png", "webp")
ENGINE_SCALE = 4
"""How many times larger game engines draw the large pictures: enough for networks of every scale."""


@dataclass(frozen=True)
class PairsOptions:
    """Where the pairs go, and what the manifest says of them. `never`: pairs whose places must not be made."""

    out: Path
    game: str = ""
    licence: str = ""
    format: str = "png"
    never: tuple[Path, ...] = ()
    seed: int = 1


@dataclass(frozen=True)
class Shrinking:
    """How a large frame becomes the small one: one of KINDS or "mixture", and how many times smaller."""

    kind: str = "point"
    scale: int = 4


@dataclass(frozen=True)
class FrameChoice:
    """Which frames of a video to keep: one of each `every`, or one of each scene."""

    every: int = 30
    scenes: bool = False


@dataclass(frozen=True)
class Rendering:
    """What a game draws: two sizes (width, height), and which frames of each demo to keep."""

    small: tuple[int, int]
    large: tuple[int, int]
    first: int
    every: int
    most: int


@dataclass(frozen=True)
class FolderInput:
    frames: Path
    shrinking: Shrinking


@dataclass(frozen=True)
class FolderPairInput:
    small: Path
    large: Path


@dataclass(frozen=True)
class VideoInput:
    file: Path
    choice: FrameChoice
    shrinking: Shrinking


@dataclass(frozen=True)
class VideoPairInput:
    small: Path
    large: Path
    choice: FrameChoice


@dataclass(frozen=True)
class DoomInput:
    demos: tuple[Path, ...]
    maps: tuple[str, ...]
    wads: Path
    wad: str
    gamma: int
    rendering: Rendering


@dataclass(frozen=True)
class OpenArenaInput:
    demos: tuple[Path, ...]
    maps: tuple[str, ...]
    rendering: Rendering


@dataclass(frozen=True)
class EngineInput:
    """Scenes of a game engine, all of them if none is named. `sizes`: of the small pictures, one for each scene.

    `most`: frames to keep of each scene; None: as many as suit the engine. `missing_only`: not the scenes of which the
    folder holds pairs.
    """

    engine: str
    scenes: tuple[str, ...]
    sizes: tuple[Size, ...]
    most: int | None
    missing_only: bool = False


@dataclass(frozen=True)
class PausedInput:
    """A game that stands still, by a part of its window's title or by its process; with neither, the player is asked.

    `scale`: how many times wider and higher its window becomes.
    """

    window: str | None
    pid: int | None
    scale: int = ENGINE_SCALE


PairInput = FolderInput | FolderPairInput | VideoInput | VideoPairInput | DoomInput | OpenArenaInput | EngineInput


@dataclass(frozen=True)
class MixtureOptions:
    """`live-sr pairs engines --out`: `engines` draw, all of them if none is named. The rest is as in EngineInput."""

    out: Path
    engines: tuple[str, ...]
    sizes: tuple[Size, ...]
    most: int | None
    format: str = "png"
    seed: int = 1


@dataclass(frozen=True)
class DegradeOptions:
    """`live-sr pairs degrade`: a picture or a folder of pictures, and how they are made small."""

    frames: Path
    out: Path
    kind: str = "realesrgan"
    scale: int = 4
    seed: int = 0
    format: str = "png"
