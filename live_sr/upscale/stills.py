"""Pictures in files, made larger."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from live_sr.contracts import Engine
from live_sr.engine.lane import Deep, Enlarger, L
from live_sr.errors import EngineError, LiveSRError, MissingPart, UsageError
from live_sr.frame import Frame, Pixels, Size
from live_sr.upscale import planes, tiling
from live_sr.upscale.options import Work

try:
    from live_sr.upscale import picturefile
    from live_sr.upscale.picturefile import Picture
except (ImportError, OSError) as error:
    raise MissingPart(f"pictures cannot be read: {error}", "pip install pyvips pyvips-binary") from None


def upscale_still(source: Path, target: Path, work: Work) -> None:
    """One picture. Raises LiveSRError; `target` is then what it was before."""
    with closing(Stills(work)) as stills:
        stills.upscale(source, target)


def _print(note: str) -> None:
    print(f"live-sr: {note}", file=sys.stderr)


class Stills:
    """Makes one picture after another larger, each in 8 or in 16 bits as it is; engines stay ready for the next."""

    def __init__(self, work: Work, told: Callable[[str], None] = _print) -> None:
        self._work = work
        self._told = told
        self._engines: dict[int, Engine] = {}  # by scale
        self._deep: dict[int, Enlarger[Deep] | None] = {}

    def upscale(self, source: Path, target: Path) -> None:
        """Writes what `source` shows, larger, to `target`, which must be another file. Raises LiveSRError."""
        if target.exists() and source.exists() and target.samefile(source):
            raise UsageError(f"{target} would overwrite its input", "name another output")
        small = picturefile.read(source)
        size = self._target(small.size)
        picturefile.check_target(target, size)
        notes = [*small.notes]
        try:
            large = self._enlarged(small, notes)
            notes += picturefile.write(target, large, size)
        except MemoryError:
            raise LiveSRError(
                f"there is not enough memory for a picture of {size}", "close other programs, or use a smaller size"
            ) from None
        for note in notes:
            self._told(f"{source}: {note}")

    def close(self) -> None:
        for engine in (*self._engines.values(), *self._deep.values()):
            if engine is not None:
                engine.close()
        self._engines.clear()
        self._deep.clear()

    def _target(self, size: Size) -> Size:
        """A whole factor may lead anywhere that its file format allows."""
        work = self._work
        return size.times(work.factor(size)) if work.size is None and work.lines is None else work.target(size)

    def _enlarged(self, small: Picture, notes: list[str]) -> Picture:
        """By the network's own factor; what of it is not to be kept is added to `notes`."""
        scale = self._work.factor(small.size)
        if small.pixels.dtype == np.uint16:
            if scale not in self._deep:
                self._deep[scale] = tiling.deep_engine(self._work.model, scale, self._work.engine, self._work.tile)
            deep = self._deep[scale]
            if deep is not None:
                return _drawn(small, deep, cast(Deep, small.pixels), cast("Deep | None", small.alpha))
            notes.append(f"what draws {self._work.model} here works in 8 bits, so its {small.bits} become 8")
        if scale not in self._engines:
            self._engines[scale] = tiling.engine(self._work.model, scale, self._work.engine, self._work.tile)
        pixels, alpha = _shallow(small.pixels), None if small.alpha is None else _shallow(small.alpha)
        return _drawn(replace(small, bits=8), self._engines[scale], pixels, alpha)


def _drawn(small: Picture, engine: Enlarger[L], pixels: L, alpha: L | None) -> Picture:
    """The colours as the network draws them; and alpha by the same network, as a grey picture."""
    if alpha is None or (alpha == alpha.flat[0]).all():
        done = _enlarge(engine, pixels)
        return replace(small, pixels=done, alpha=None if alpha is None else np.full(done.shape[:2], alpha.flat[0]))
    planes.bleed(pixels, alpha)
    done = _enlarge(engine, pixels)
    top = np.full_like(alpha, np.iinfo(alpha.dtype).max)
    grey = _enlarge(engine, np.dstack((alpha, alpha, alpha, top)))[..., 1]
    return replace(small, pixels=done, alpha=planes.clean(grey, alpha, engine.scale))


def _enlarge(engine: Enlarger[L], pixels: L) -> L:
    done = engine.upscale(Frame(pixels))
    if done is None:
        raise EngineError(f"{engine.job} dropped a picture", "use queue = 0")
    return done.pixels


def _shallow(levels: Pixels | Deep) -> Pixels:
    if levels.dtype == np.uint8:
        return cast(Pixels, levels)
    return np.rint(levels / np.float32(257)).astype(np.uint8)
