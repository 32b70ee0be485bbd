"""Runs published networks from PyTorch files in PyTorch's eager mode, as the baseline for other engines."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch

from live_sr.engines.other_formats.torch_sequence import TorchSequence
from live_sr.engines.trial_picture import make_trial_picture
from live_sr.errors import EngineError, ModelError
from live_sr.models import pytorch
from live_sr.models.card import ModelCard
from live_sr.models.published_network import PublishedNetwork
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size, make_black, reuse_or_allocate
from live_sr.system import hardware
from live_sr.system.memory import get_free_memory
from live_sr.terminal import format_duration

log = logging.getLogger(__name__)

TRIED_SIDE = 64  # pixels of the picture with which networks for videos are tried

EXACT = "fp32"
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

BF16_FEATURES = {"AMX BF16", "AVX-512 BF16"}
TRIAL = Size(96, 64)
MAX_DEVIATION = 1  # level by which bf16 may differ from fp32


class EagerEngine:
    """A network in PyTorch, on the GPU where PyTorch can use one. It allocates memory for every frame.

    precision: fp32, bf16, fp16 or auto, which is bf16 on a processor that computes faster in it and where it changes no
    level by more than one, and otherwise fp32. threads: 0 leaves PyTorch's number unchanged; it applies to the whole
    process. cache is not used. Raises EngineError for another precision.
    """

    def __init__(
        self, card: ModelCard, *, precision: str = "auto", threads: int = 0, cache: Path | None = None
    ) -> None:
        self._wanted = precision
        self.precision = EXACT if precision == "auto" else precision
        if self.precision not in PRECISIONS:
            raise EngineError(f"PyTorch does not compute in {precision}, but in {', '.join(PRECISIONS)}", "use fp32")
        self._card = card
        self._threads = threads
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._loaded: PublishedNetwork | None = None

    @staticmethod
    def read(path: Path) -> ModelCard:
        """A model card with what the file says. Raises ModelError, or MissingPart without spandrel."""
        return _load(path).card

    @property
    def scale(self) -> int:
        return self._card.scale

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(self._card.name, self._card.scale, "torch", self.precision)

    def warm_up(self, size: Size) -> None:
        """Loads the weights and runs once. Raises ModelError, or EngineError when it cannot run in that precision."""
        self.close()
        if self._threads:
            torch.set_num_threads(self._threads)
        loaded = self._load_in(self.precision)
        if loaded.measure_cost is not None:
            cost = loaded.measure_cost(size.height, size.width)
            figures = (self._card.label, format_duration(cost.seconds), size, cost.bytes / 1e9)
            log.info("%s: about %s for a picture of %s on this machine, and %.1f GB of memory", *figures)
            if cost.bytes > get_free_memory():
                log.warning("there is not that much memory free: close other programs, or use a smaller picture")
            return
        if loaded.open_sequence is not None:  # it may have to be cut into tiles
            size = Size(min(size.width, TRIED_SIDE), min(size.height, TRIED_SIDE))
        elif self._wanted == "auto" and self.precision == EXACT:
            self._try_bf16(loaded)
        self.upscale(Frame(make_black(size)))
        self.begin()

    def begin(self) -> None:
        """The next frame is the first of a shot. Recurrent networks then forget the frames before."""
        if self._loaded is not None:
            self._loaded.begin()

    def open_sequence(self, tile: int) -> TorchSequence | None:
        """For networks that enlarge a frame of a video with the help of others; None for all others.

        Call `warm_up` first.
        """
        loaded = self._loaded
        if loaded is None or loaded.open_sequence is None:
            return None
        return TorchSequence(loaded.open_sequence(tile), loaded.card.label)

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        size = get_size(frame.pixels)
        if self._loaded is None:
            self.warm_up(size)
        assert self._loaded is not None
        done = reuse_or_allocate(into, size.times(self.scale))
        try:
            with torch.inference_mode():
                levels = self._run(frame.pixels)
                torch.from_numpy(done)[..., :3].copy_(levels.flip(0).permute(1, 2, 0))
        except RuntimeError as error:  # no memory, a picture too small for the network, an operation that lacks fp16
            what = str(error).splitlines()[0]
            raise EngineError(f"PyTorch failed on {self._card.label}: {what}", "use another model or size") from error
        done[..., 3] = 255
        return frame.with_pixels(done)

    def _run(self, pixels: Pixels) -> torch.Tensor:
        """Levels, (3, H, W). Numbers that half precision cannot hold are computed again in fp32, from then on.

        Raises EngineError if they are none in fp32 either.
        """
        assert self._loaded is not None
        rgb = torch.from_numpy(np.ascontiguousarray(pixels[..., 2::-1])).to(self._device)
        picture = rgb.permute(2, 0, 1)[None].to(PRECISIONS[self.precision]) / 255  # its channels come last in memory
        made = self._loaded.run(picture)[0].float()
        if bool(torch.isfinite(made).all()):
            return made.mul_(255).round_().clamp_(0, 255).byte()
        if self.precision == "fp32":
            what = f"{self._card.label} makes numbers that are none (NaN or infinite) of this picture"
            raise EngineError(what, "use another model, or get its file again")
        log.warning("%s overflows in %s and is computed in fp32 instead", self._card.label, self.precision)
        self._load_in(EXACT)
        return self._run(pixels)

    def _load_in(self, precision: str) -> PublishedNetwork:
        """Reads the weights again, because a lesser precision rounds them. Raises ModelError or EngineError."""
        loaded = _load(self._card.onnx)
        if precision not in loaded.precisions:
            supported = ", ".join(loaded.precisions)
            what = f"{self._card.label} does not compute in {precision}, but in {supported}"
            raise EngineError(what, "use fp32")
        loaded.module.to(self._device, PRECISIONS[precision])
        for_pictures = loaded.open_sequence is None and loaded.measure_cost is None
        if self._device == "cpu" and for_pictures:  # the layout of pictures, in which convolutions are faster there
            for part in loaded.module.parameters():
                if part.dim() == 4:
                    part.data = part.data.contiguous(memory_format=torch.channels_last)
        self._loaded, self.precision = loaded, precision
        return loaded

    def _try_bf16(self, loaded: PublishedNetwork) -> None:
        """Changes to bf16 where the processor gains by it, and a picture with every kind of edge stays the same."""
        gains = self._device == "cpu" and BF16_FEATURES & set(hardware.list_processor_features())
        if not gains or "bf16" not in loaded.precisions:
            return
        pixels = make_trial_picture(Size(max(TRIAL.width, loaded.least), max(TRIAL.height, loaded.least)))
        try:
            with torch.inference_mode():
                exact = self._run(pixels)
                self._load_in("bf16")
                off = (self._run(pixels).int() - exact.int()).abs().max()
        except RuntimeError as error:  # an operation that lacks bf16; what fails in fp32 too is told with the picture
            log.debug("%s cannot be tried in bf16: %s", self._card.label, error)
            self._load_in(EXACT)
            return
        log.debug("%s in bf16: %d levels off at most", self._card.label, off)
        if off > MAX_DEVIATION:
            self._load_in(EXACT)

    def close(self) -> None:
        self._loaded = None


def _load(path: Path) -> PublishedNetwork:
    """The network in the file. Raises ModelError or MissingPart."""
    network = pytorch.load(path)
    if network.card.scale < 2:
        what = f"{path} ({network.card.architecture}) does not enlarge"
        raise ModelError(what, f"put it before a model that does: --model {path}+fast")
    return network
