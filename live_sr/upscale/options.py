"""What `live-sr upscale` is asked for, in values that can be sent to another process or machine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from live_sr import assembly
from live_sr.assembly import EngineOptions
from live_sr.contracts import Engine, Resize
from live_sr.errors import UsageError
from live_sr.frame import Size

LARGEST = 16384  # either side of what is made, in pixels
NAMED_HEIGHTS = {"4k": 2160, "8k": 4320}


@dataclass(frozen=True)
class Work:
    """What happens to every picture: the same for stills and for the frames of a video.

    model: a network, a filter, a model file, or a chain of them ("restore+fast"). At most one of the three sizes is
    given: `scale` a whole factor, `size` exactly these pixels, `lines` the 1080 of "1080p". None of them: the model's
    smallest enlargement. tile: 0 splits a picture where it has to be, a number uses tiles of so many pixels each side,
    -1 never splits.
    """

    model: str = "fast"
    scale: int | None = None
    size: Size | None = None
    lines: int | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    tile: int = 0

    def target(self, source: Size) -> Size:
        """How large a picture of that size becomes. Raises UsageError where that is absurd, ModelError."""
        if self.size is not None:
            made = self.size
        elif self.lines is not None:
            made = source.fitted(_box(self.lines, upright=source.height > source.width))
        else:
            made = source.times(self.factor(source))
        if max(made) > LARGEST:
            raise UsageError(f"{source} would become {made}, and {LARGEST} pixels a side is the most", "a smaller size")
        return made

    def factor(self, source: Size) -> int:
        """By how much the model itself enlarges: the least that reaches the target, else the most it can. ModelError.

        A scale that was asked for outright is the answer, whether or not the model has it: making it tells.
        """
        if self.scale is not None:
            return self.scale
        known = assembly.scales(self.model)
        if self.size is None and self.lines is None:
            return known[0] if known[0] > 1 or len(known) == 1 else known[1]
        target = self.target(source)
        enough = [s for s in known if source.width * s >= target.width and source.height * s >= target.height]
        return enough[0] if enough else known[-1]

    def make_engine(self, source: Size) -> Engine:
        """For frames of that size, not yet warmed up, whose results have `source.times(factor(source))` pixels.

        In tiles only where their size is given: what was found out from free memory might differ the next time, and an
        interrupted video must go on as it began. Raises ModelError, EngineError, MissingPart.
        """
        if self.tile <= 0:
            return assembly.make_engine(self.model, self.factor(source), self.engine)
        from live_sr.upscale import tiling

        return tiling.engine(self.model, self.factor(source), self.engine, self.tile)

    def resizer(self) -> Resize:
        """From what the engine made to the size that was asked for."""
        return assembly.resizer("auto")


@dataclass(frozen=True)
class Encoding:
    """How videos are written. quality and preset: as the codec counts them; None and empty: its own good value.

    segment_s: about so many seconds of video are finished, and safe, at a time.
    """

    codec: str = "libx264"
    quality: float | None = None
    preset: str = ""
    allow_8bit: bool = False
    segment_s: float = 5.0


@dataclass(frozen=True)
class UpscaleOptions:
    """One command. `output` is a file for one input, else a folder.

    resume: go on with what an interrupted command left; discard: throw that away and begin again. ray: None to work in
    this process, "" for a cluster of Ray's on this machine, else an address; workers: of the one here, 0 for as many as
    is good.
    """

    inputs: tuple[Path, ...]
    output: Path
    work: Work = field(default_factory=Work)
    encoding: Encoding = field(default_factory=Encoding)
    preview: Path | None = None
    resume: bool = False
    discard: bool = False
    overwrite: bool = False
    ray: str | None = None
    workers: int = 0


def lines(words: str) -> int:
    """1080 of "1080p", "1080" or of a name like "4k". Raises UsageError."""
    named = NAMED_HEIGHTS.get(words.strip().lower())
    match = re.fullmatch(r"(\d{2,5})p?", words.strip().lower())
    if named is None and match is None:
        raise UsageError(f'"{words}" is no height', "write it as 1080p, 1440p or 4k")
    found = named or int(match[1] if match else 0)
    if not 16 <= found <= LARGEST:
        raise UsageError(f"a picture of {found} lines is not something to make", "write it as 1080p, 1440p or 4k")
    return found


def _box(lines: int, *, upright: bool) -> Size:
    """What "1080p" means: 1920x1080 that the picture fits in, and 1080x1920 for an upright one."""
    wide = round(lines * 16 / 9 / 2) * 2
    return Size(lines, wide) if upright else Size(wide, lines)
