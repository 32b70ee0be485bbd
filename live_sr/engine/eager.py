"""Published networks from PyTorch files, operation by operation as PyTorch runs them: what others are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from live_sr.contracts import Job
from live_sr.errors import EngineError, ModelError
from live_sr.frame import Frame, Pixels, Size, fitting, fresh, size_of
from live_sr.models import published
from live_sr.models.card import ModelCard
from live_sr.models.published import Published

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class EagerEngine:
    """A network in PyTorch, on the graphics card where PyTorch can use one. It allocates as it runs: a yardstick.

    precision: auto (fp32, as published), fp32, bf16 or fp16. threads: 0 leaves PyTorch's number, which is the
    process's, as it is. cache is not used. Raises EngineError for another precision.
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
        self._loaded: Published | None = None

    @staticmethod
    def read(path: Path) -> ModelCard:
        """What the file tells. Raises ModelError, or MissingPart without spandrel."""
        return _load(path).card

    @property
    def scale(self) -> int:
        return self._card.scale

    @property
    def job(self) -> Job:
        return Job(self._card.name, self._card.scale, "torch", self.precision)

    def warm_up(self, size: Size) -> None:
        """Load the weights and run once. Raises ModelError, or EngineError when it cannot run in that precision."""
        self.close()
        if self._threads:
            torch.set_num_threads(self._threads)
        loaded = _load(self._card.onnx)
        if self.precision not in loaded.precisions:
            there = ", ".join(loaded.precisions)
            raise EngineError(f"{self._card.label} does not compute in {self.precision}, but in {there}", "use fp32")
        loaded.module.to(self._device, PRECISIONS[self.precision])
        self._loaded = loaded
        self.upscale(Frame(fresh(size)))
        self.begin()

    def begin(self) -> None:
        """The next frame is the first of a shot: for networks that remember the frames before."""
        if self._loaded is not None:
            self._loaded.begin()

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        size = size_of(frame.pixels)
        if self._loaded is None:
            self.warm_up(size)
        assert self._loaded is not None
        done = fitting(into, size.times(self.scale))
        rgb = torch.from_numpy(np.ascontiguousarray(frame.pixels[..., 2::-1])).to(self._device)
        picture = rgb.permute(2, 0, 1)[None].to(PRECISIONS[self.precision]) / 255
        try:
            with torch.inference_mode():
                levels = self._loaded.run(picture)[0].float().mul(255).round_().clamp_(0, 255).byte()
                torch.from_numpy(done)[..., :3].copy_(levels.flip(0).permute(1, 2, 0))
        except RuntimeError as error:  # no memory, a picture too small for the network, an operation not there in fp16
            what = str(error).splitlines()[0]
            raise EngineError(f"PyTorch failed on {self._card.label}: {what}", "use another model or size") from error
        done[..., 3] = 255
        return frame.redrawn(done)

    def close(self) -> None:
        self._loaded = None


def _load(path: Path) -> Published:
    """Raises ModelError or MissingPart."""
    network = published.load(path)
    if network.card.scale < 2:
        what = f"{path} ({network.card.architecture}) does not enlarge"
        raise ModelError(what, f"put it before a model that does: --model {path}+fast")
    return network
