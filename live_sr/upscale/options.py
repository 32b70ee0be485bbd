"""The options of `live-sr upscale`, as values that can be sent to another process or machine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from live_sr.engines import factory
from live_sr.engines.options import EngineOptions
from live_sr.engines.tiled_factory import make_tiled_engine
from live_sr.errors import UsageError
from live_sr.models.resolve import Model
from live_sr.pipeline.contracts import Engine, Resize
from live_sr.pipeline.frame import Size

SQUARE = Fraction(1)
MAX_SIDE = 16384  # width or height of a result, in pixels
NAMED_HEIGHTS = {"4k": 2160, "8k": 4320}


@dataclass(frozen=True)
class ScalingOptions:
    """How pictures and the frames of videos are enlarged.

    At most one of three sizes is given: `scale` is a whole factor, `size` the exact size in pixels, `lines` the 1080 of
    "1080p". Without any of them, the model's default scale is used. tile: 0 splits a picture where that is necessary, a
    positive number is the side of the tiles in pixels, -1 never splits.
    """

    model: Model
    scale: int | None = None
    size: Size | None = None
    lines: int | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    tile: int = 0

    def compute_target_size(self, source: Size, aspect: Fraction = SQUARE) -> Size:
        """The size that a picture of size `source` becomes, whose pixels are `aspect` times as wide as high.

        A height is one of square pixels. Raises ModelError, or UsageError for an absurd size.
        """
        if self.size is not None:
            target = self.size
        elif self.lines is not None:
            shown = Size(max(1, round(source.width * aspect)), source.height)
            target = shown.fit_into(_compute_box(self.lines, upright=shown.height > shown.width))
        else:
            target = source.times(self.choose_scale(source))
        if max(target) > MAX_SIDE:
            raise UsageError(
                f"{source} would become {target}, but {MAX_SIDE} pixels a side is the maximum", "use a smaller size"
            )
        return target

    def choose_scale(self, source: Size) -> int:
        """The model's own scale: the smallest that reaches the target, or else its largest. Raises ModelError.

        A scale that the user gave is returned unchecked; making the engine reports one that the model lacks.
        """
        if self.scale is not None:
            return self.scale
        known = self.model.scales
        if self.size is None and self.lines is None:
            return self.model.default_scale
        target = self.compute_target_size(source)
        enough = [s for s in known if source.width * s >= target.width and source.height * s >= target.height]
        return enough[0] if enough else known[-1]

    def make_engine(self, source: Size) -> Engine:
        """An engine for frames of that size, not yet warmed up. Its results have the scale of `choose_scale`.

        It uses tiles only where their size is given. A size chosen by the free memory could differ the next time, but a
        resumed video must continue exactly as it began. Networks that need several frames at once cut them themselves.
        Raises ModelError, EngineError or MissingPart.
        """
        if self.is_recurrent(source):
            return factory.make_engine(self.model, self.choose_scale(source), self.engine)
        return make_tiled_engine(self.model, self.choose_scale(source), self.engine, self.tile or -1)

    def is_recurrent(self, source: Size) -> bool:
        """Whether the network enlarges the frames of a video with the help of each other. Raises ModelError."""
        card = self.model.get_card(self.choose_scale(source))
        return card is not None and card.recurrent

    def make_resizer(self) -> Resize:
        """A function that resizes the engine's result to the target size."""
        return factory.make_resizer("auto")


@dataclass(frozen=True)
class EncodingOptions:
    """How videos are encoded.

    quality and preset: in the codec's own scale; None and empty mean the codec's default here. segment_s: the length of
    a segment in seconds. A finished segment is not lost when the job is interrupted.
    """

    codec: str = "libx264"
    quality: float | None = None
    preset: str = ""
    allow_8bit: bool = False
    segment_s: float = 5.0


@dataclass(frozen=True)
class UpscaleOptions:
    """One command. `output` is a file where there is one input, else a folder.

    resume: continue what an interrupted command left; discard: delete that and start again. ray: None works in this
    process, "" starts a Ray cluster on this machine, anything else is a cluster's address. workers: of the cluster
    started here; 0 chooses the number by the cores.
    """

    inputs: tuple[Path, ...]
    output: Path
    scaling: ScalingOptions
    encoding: EncodingOptions = field(default_factory=EncodingOptions)
    preview: Path | None = None
    resume: bool = False
    discard: bool = False
    overwrite: bool = False
    ray: str | None = None
    workers: int = 0


def parse_target_lines(words: str) -> int:
    """The number of lines in "1080p", "1080" or "4k". Raises UsageError."""
    named = NAMED_HEIGHTS.get(words.strip().lower())
    match = re.fullmatch(r"(\d{2,5})p?", words.strip().lower())
    if named is None and match is None:
        raise UsageError(f'"{words}" is not a height', "write it as 1080p, 1440p or 4k")
    found = named or int(match[1] if match else 0)
    if not 16 <= found <= MAX_SIDE:
        raise UsageError(f"a height of {found} lines is not possible", "write it as 1080p, 1440p or 4k")
    return found


def _compute_box(lines: int, *, upright: bool) -> Size:
    """The box that the picture is fitted into: for "1080p" 1920x1080, and 1080x1920 for an upright picture."""
    wide = round(lines * 16 / 9 / 2) * 2
    return Size(lines, wide) if upright else Size(wide, lines)
