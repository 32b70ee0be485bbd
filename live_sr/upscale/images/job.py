"""Enlarges pictures in files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from live_sr.engines import tiled_factory
from live_sr.errors import EngineError, LiveSRError, MissingPart, UsageError
from live_sr.pipeline.contracts import Engine, ImageEngine
from live_sr.pipeline.frame import AnyPixels, Frame, Pixels, Pixels16, Size
from live_sr.upscale.images import alpha as alpha_plane
from live_sr.upscale.options import ScalingOptions

try:
    from live_sr.upscale.images import file as image_file
    from live_sr.upscale.images import load
    from live_sr.upscale.images.file import ImageData
except (ImportError, OSError) as error:
    raise MissingPart(f"pictures cannot be read: {error}", "pip install pyvips pyvips-binary") from None

log = logging.getLogger(__name__)


def upscale_image(source: Path, target: Path, scaling: ScalingOptions) -> None:
    """Enlarges one picture. Raises LiveSRError, and then leaves `target` unchanged."""
    with closing(ImageUpscaler(scaling)) as upscaler:
        upscaler.upscale(source, target)


class ImageUpscaler:
    """Enlarges one picture after another with 8 or 16 bits, as the file has. Engines are kept for the next picture."""

    def __init__(self, scaling: ScalingOptions, notify: Callable[[str], None] = log.info) -> None:
        self._scaling = scaling
        self._notify = notify
        self._engines: dict[int, Engine] = {}  # by scale
        self._engines_16bit: dict[int, ImageEngine[Pixels16] | None] = {}

    def upscale(self, source: Path, target: Path) -> None:
        """Writes the enlarged picture of `source` to `target`, which must be another file. Raises LiveSRError."""
        if target.exists() and source.exists() and target.samefile(source):
            raise UsageError(f"{target} would overwrite its input", "name another output")
        small = load.read_image(source)
        size = self._compute_size(small.size)
        image_file.check_target(target, size)
        notes = [*small.notes]
        try:
            large = self._enlarge(small, notes)
            notes += image_file.write_image(target, large, size)
        except MemoryError:
            raise LiveSRError(
                f"there is not enough memory for a picture of {size}", "close other programs, or use a smaller size"
            ) from None
        for note in notes:
            self._notify(f"{source}: {note}")

    def has_target_size(self, source: Path, target: Path) -> bool:
        """Whether an existing picture has the size that the enlarged one would have."""
        small = load.read_size(source)
        return small is not None and load.read_size(target) == self._compute_size(small)

    def close(self) -> None:
        for engine in (*self._engines.values(), *self._engines_16bit.values()):
            if engine is not None:
                engine.close()
        self._engines.clear()
        self._engines_16bit.clear()

    def _compute_size(self, size: Size) -> Size:
        """The target size. With a whole factor, only the file format limits it."""
        scaling = self._scaling
        if scaling.size is None and scaling.lines is None:
            return size.times(scaling.choose_scale(size))
        return scaling.compute_target_size(size)

    def _enlarge(self, small: ImageData, notes: list[str]) -> ImageData:
        """Enlarges by the model's own scale. Adds to `notes` what cannot be kept."""
        scaling = self._scaling
        scale = scaling.choose_scale(small.size)
        if small.pixels.dtype == np.uint16:
            if scale not in self._engines_16bit:
                engine = tiled_factory.make_16bit_engine(scaling.model, scale, scaling.engine, scaling.tile)
                self._engines_16bit[scale] = engine
            engine_16bit = self._engines_16bit[scale]
            if engine_16bit is not None:
                return _upscale_with_alpha(
                    small, engine_16bit, cast(Pixels16, small.pixels), cast("Pixels16 | None", small.alpha)
                )
            notes.append(f"{scaling.model.name} runs in 8 bits here, so its {small.bits} bits become 8")
        if scale not in self._engines:
            self._engines[scale] = tiled_factory.make_tiled_engine(scaling.model, scale, scaling.engine, scaling.tile)
        pixels, alpha = _to_8bit(small.pixels), None if small.alpha is None else _to_8bit(small.alpha)
        return _upscale_with_alpha(replace(small, bits=8), self._engines[scale], pixels, alpha)


def _upscale_with_alpha(
    small: ImageData, engine: ImageEngine[AnyPixels], pixels: AnyPixels, alpha: AnyPixels | None
) -> ImageData:
    """Enlarges the colours, and the alpha plane as a grey picture, with the same engine."""
    if alpha is None or (alpha == alpha.flat[0]).all():
        done = _run_engine(engine, pixels)
        return replace(small, pixels=done, alpha=None if alpha is None else np.full(done.shape[:2], alpha.flat[0]))
    alpha_plane.bleed_colours(pixels, alpha)
    done = _run_engine(engine, pixels)
    top = np.full_like(alpha, np.iinfo(alpha.dtype).max)
    grey = _run_engine(engine, np.dstack((alpha, alpha, alpha, top)))[..., 1]
    return replace(small, pixels=done, alpha=alpha_plane.clamp_alpha(grey, alpha, engine.scale))


def _run_engine(engine: ImageEngine[AnyPixels], pixels: AnyPixels) -> AnyPixels:
    done = engine.upscale(Frame(pixels))
    if done is None:
        raise EngineError(f"{engine.info} dropped a picture", "use queue = 0")
    return done.pixels


def _to_8bit(levels: Pixels | Pixels16) -> Pixels:
    if levels.dtype == np.uint8:
        return cast(Pixels, levels)
    return np.rint(levels / np.float32(257)).astype(np.uint8)
