"""Runs the networks trained here on the processor with C code of our own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from live_sr.engines.native import library
from live_sr.engines.native.library import CellNetHandle
from live_sr.engines.native.packing import pack
from live_sr.errors import EngineError
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.cellnet_weights import read_weights
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, get_size, make_black, reuse_or_allocate_like

MAX_THREADS = 16


class NativeEngine:
    """Enlarges BGRA frames with cellnet.c, as a whole or in parts.

    precision: auto or bf16. threads: 0 means one per core. cache is not used: it keeps one small library for all
    networks and sizes, in `paths.get_native_folder()`. path: one of `library.PATHS`; None: the best one of this
    processor. `warm_up` compiles the library if there is none. Raises EngineError for another precision.
    """

    def __init__(
        self,
        card: ModelCard,
        *,
        precision: str = "auto",
        threads: int = 0,
        cache: Path | None = None,
        path: str | None = None,
    ) -> None:
        if precision not in ("auto", "bf16"):
            raise EngineError(f"the native engine computes in bf16, not in {precision}", 'use precision = "auto"')
        self._card = card
        self._threads = threads or min(os.cpu_count() or 1, MAX_THREADS)
        self._path = path
        self._handle: CellNetHandle | None = None

    @property
    def scale(self) -> int:
        return self._card.scale

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(self._card.name, self._card.scale, "native", "bf16")

    @property
    def build(self) -> str:
        """The library, which is compiled now if there is none, and the way it computes here."""
        file = library.build_library()
        return f"{file.name} {self._path or library.load_library(file).paths[0]}"

    def is_built(self, size: Size) -> bool:
        """Whether the library exists, which serves every size."""
        return library.find_library() is not None

    def warm_up(self, size: Size) -> None:
        """Loads the library and the network, and draws once, so that all buffers exist before the first frame.

        Raises EngineError or ModelError.
        """
        if self._handle is None:
            self._handle = self._open()
        self.upscale(Frame(make_black(size)))

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        size = get_size(frame.pixels)
        done = reuse_or_allocate_like(into, size.times(self.scale), frame.pixels)
        self.upscale_regions(frame.pixels, [Rect(0, 0, *size)], done)
        return frame.with_pixels(done)

    def upscale_regions(self, pixels: Pixels, regions: Sequence[Rect], into: Pixels) -> None:
        """As `RegionEngine` describes. The size may be any, whatever `warm_up` was called with.

        The threads share the regions. Raises ValueError or EngineError.

        Like the whole picture, each is drawn by all threads if it is large enough.
        """
        size = get_size(pixels)
        if get_size(into) != size.times(self.scale) or into.strides[1:] != (4, 1) or not into.flags.writeable:
            raise ValueError(f"a frame of {size} cannot be drawn into {into.shape}")
        if pixels.strides[1:] != (4, 1):
            pixels = pixels.copy()
        inside = [part for region in regions if (part := region.intersect(Rect(0, 0, *size))).width and part.height]
        if self._handle is None:
            self._handle = self._open()
        if inside and not self._handle.draw(pixels, into, inside):
            for part in inside:
                into[part.y * self.scale, part.x * self.scale, 3] = 0  # as `NumberCheckedEngine` describes

    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    def _open(self) -> CellNetHandle:
        zoo.verify(self._card)
        compiled = library.load_library(library.build_library())
        network = read_weights(self._card.onnx.with_suffix(".safetensors"))
        return compiled.open(pack(network), self._path or compiled.paths[0], self._threads)
