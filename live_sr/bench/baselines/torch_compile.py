"""Baseline: networks of the shipped kind in torch.compile, with the pixel conversions in the same graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch._dynamo
import torch._inductor.config
from torch import Tensor

from live_sr.errors import EngineError
from live_sr.models.card import ModelCard
from live_sr.models.export.torch_io import PRECISIONS, wrap_torch_io
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size, make_black, reuse_or_allocate

COMPILER = "on a processor torch.compile needs a C++ compiler: install g++, or leave it out"

# Its own pool of processes would outlast the engine.
torch._inductor.config.compile_threads = 1


class TorchCompileEngine:
    """PyTorch's compiler, on the GPU where PyTorch can use one. It allocates memory for every frame.

    precision: auto (fp32, as for PyTorch without the compiler), fp32, bf16 or fp16. threads: 0 leaves PyTorch's number,
    which is the process's, as it is. cache is not used: the compiler keeps one of its own in the system's folder for
    temporary files. Compiling takes a minute the first time. Raises EngineError for another precision.
    """

    def __init__(
        self, card: ModelCard, *, precision: str = "auto", threads: int = 0, cache: Path | None = None
    ) -> None:
        self.precision = "fp32" if precision == "auto" else precision
        if self.precision not in PRECISIONS:
            raise EngineError(f"PyTorch does not compute in {precision}, but in {', '.join(PRECISIONS)}", "use fp32")
        self._card = card
        self._threads = threads
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._run: Callable[[Tensor], Tensor] | None = None
        self._size: Size | None = None

    @property
    def scale(self) -> int:
        return self._card.scale

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(self._card.name, self._card.scale, "compile", self.precision)

    def warm_up(self, size: Size) -> None:
        """Compile for frames of `size` and run twice. Raises ModelError, or EngineError when it does not compile."""
        self.close()
        if self._threads:
            torch.set_num_threads(self._threads)
        module = wrap_torch_io(self._card, self.precision).to(self._device)
        if self._device == "cpu":  # the faster layout there: 12 ms of fast x2 at 480x270 in fp32 instead of 18
            for part in module.parameters():
                if part.dim() == 4:
                    part.data = part.data.contiguous(memory_format=torch.channels_last)
        self._run = torch.compile(module, fullgraph=True, dynamic=False, options={"freezing": True})
        self._size = size
        blank = Frame(make_black(size))
        for _ in range(2):
            self.upscale(blank)

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        size = get_size(frame.pixels)
        if self._run is None or size != self._size:
            self.warm_up(size)
        assert self._run is not None
        done = reuse_or_allocate(into, size.times(self.scale))
        try:
            with torch.inference_mode():
                picture = torch.from_numpy(frame.pixels)[None].to(self._device)
                torch.from_numpy(done)[None].copy_(self._run(picture))
        except Exception as error:  # the compiler's passes raise any type
            what = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise EngineError(f"torch.compile failed on {self._card.label}: {what}", _choose_remedy(what)) from error
        return frame.with_pixels(done)

    def close(self) -> None:
        """Also forgets what was compiled: the compiler gives up on code that it compiled for eight sizes."""
        if self._run is not None:
            torch._dynamo.reset()
        self._run = self._size = None


def _choose_remedy(what: str) -> str:
    return COMPILER if "compiler" in what.lower() else "use another engine"
