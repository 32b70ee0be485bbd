"""Published networks from PyTorch files, operation by operation as PyTorch runs them: what others are compared with."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from live_sr.contracts import Job
from live_sr.errors import EngineError, MissingPart, ModelError
from live_sr.frame import Frame, Pixels, Size, fitting, fresh, size_of
from live_sr.models import nets
from live_sr.models.card import ModelCard

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

REMEDY = "use weights of a network from RGB to RGB that spandrel lists, or get the file again"


@dataclass(frozen=True)
class Loaded:
    """A network from a file. `run` takes RGB in 0..1, (1, 3, H, W), of any size; `module` holds the weights."""

    run: Callable[[Tensor], Tensor]
    module: nn.Module
    card: ModelCard
    precisions: tuple[str, ...] = tuple(PRECISIONS)


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
        self._loaded: Loaded | None = None

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


def _load(path: Path) -> Loaded:
    """The network in a file: trained here, or one that spandrel knows. Raises ModelError or MissingPart."""
    if path.suffix.lower() == ".safetensors":
        try:
            return _ours(path)
        except Exception:  # safetensors has its own kinds: no file of ours, or a broken one, and then spandrel says so
            return _published(path)
    return _published(path)


def _ours(path: Path) -> Loaded:
    net, steps = nets.load(path)
    parameters, macs = nets.cost(net)
    name = f"CellNet {net.shape.features}x{net.shape.depth}"

    def run(picture: Tensor) -> Tensor:
        height, width = picture.shape[2:]
        room = nn.functional.pad(picture, (0, -width % nets.CELL, 0, -height % nets.CELL), mode="replicate")
        enlarged: Tensor = net(room)
        return enlarged[..., : height * net.scale, : width * net.scale]

    card = ModelCard(
        path.stem, net.scale, path, name, parameters, round(macs), nets.CELL, licence="GPL-3.0-or-later", steps=steps
    )
    return Loaded(run, net, card)


def _published(path: Path) -> Loaded:
    """Through spandrel, which unpickles tensors and nothing else: code in a .pth is refused, not run."""
    spandrel = _spandrel()
    try:
        model = spandrel.ModelLoader("cpu").load_from_file(path)
        called = model.architecture.name
        if not isinstance(model, spandrel.ImageModelDescriptor) or {model.input_channels, model.output_channels} != {3}:
            raise ModelError(f"{path} ({called}) is no network from RGB to RGB", REMEDY)
        if model.scale < 2:
            raise ModelError(f"{path} ({called}) does not enlarge", REMEDY)
        parameters = sum(parameter.numel() for parameter in model.model.parameters())
        card = ModelCard(
            path.stem, model.scale, path, " ".join([called, *model.tags]), parameters, _macs(model, model.model)
        )
    except ModelError:
        raise
    except spandrel.UnsupportedModelError:
        raise ModelError(f"{path} is of no architecture that spandrel knows", REMEDY) from None
    except Exception as error:  # a foreign file may break the code of any architecture in any way
        what = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ModelError(f"{path} cannot be used as a network: {what}", REMEDY) from error
    halves = {"bf16": model.supports_bfloat16, "fp16": model.supports_half}
    return Loaded(model, model.model, card, tuple(p for p in PRECISIONS if halves.get(p, True)))


def _macs(run: Callable[[Tensor], Tensor], module: nn.Module, side: int = 64) -> int:
    """Multiply-adds per input pixel, of the convolutions and linear layers, on a picture of `side` x `side`."""
    counted = []

    def count(layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        weight = layer.get_parameter("weight")
        if isinstance(layer, nn.Linear):
            counted.append(made.numel() * weight.shape[1])
        else:  # each pixel of the side that the kernels stand on meets all of their weights
            positions = given[0] if isinstance(layer, nn.ConvTranspose2d) else made
            counted.append(math.prod(positions.shape[2:]) * weight.numel())

    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.inference_mode():
            run(torch.zeros(1, 3, side, side))
    finally:
        for hook in hooks:
            hook.remove()
    return round(sum(counted) / side**2)


def _spandrel() -> ModuleType:
    """Raises MissingPart."""
    try:
        with _torchvision():
            return importlib.import_module("spandrel")
    except ImportError as error:
        raise MissingPart(
            f"networks in PyTorch files are read by spandrel, which does not import: {error}",
            'pip install "live-sr[peers]"',
        ) from None


NAMES = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")


@contextmanager
def _torchvision() -> Iterator[None]:
    """Within it, three names can be imported from torchvision, whether it works here or not.

    spandrel asks for no more, in LaMa and RestoreFormer, which restore pictures and do not enlarge them. torchvision
    0.28 does not import beside the CPU build of torch 2.13: its operators are linked with CUDA ("operator
    torchvision::nms does not exist"). Afterwards it is as missing as it was, so that others hear the real reason.
    """
    try:
        importlib.import_module(NAMES[-1])
        works = True
    except (ImportError, OSError, RuntimeError):
        works = False
    if works:
        yield
        return
    left = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "torchvision"}
    stand_ins = [ModuleType(name) for name in NAMES]
    for name in ("InterpolationMode", "rotate", "normalize"):
        setattr(stand_ins[-1], name, None)
    sys.modules.update(zip(NAMES, stand_ins, strict=True))
    try:
        yield
    finally:
        for name in NAMES:
            sys.modules.pop(name, None)
        sys.modules.update(left)
