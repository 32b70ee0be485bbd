"""Networks in files of PyTorch's: published ones, which spandrel recognises and puts together, and those trained here.

Nothing in a file is executed.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from live_sr.errors import MissingPart, ModelError
from live_sr.frame import Pixels, Size, fresh
from live_sr.models import archs, nets, pickles
from live_sr.models.archs import tecogan
from live_sr.models.archs.recurrent import Shot
from live_sr.models.card import ModelCard

REMEDY = "use weights of a network from RGB to RGB that spandrel lists, or get the file again"

PRECISIONS = ("fp32", "bf16", "fp16")

EVEN = {"RealCUGAN": 4}
"""Sides that an architecture fills up to inside, where spandrel does not say so: it halves the picture twice."""


@dataclass(frozen=True)
class Published:
    """A network from a file, ready to run.

    run: RGB in 0..1, (1, 3, H, W) of any size, to the same enlarged. module: holds the weights.
    multiple: what H and W are filled up to inside. least: pixels a side that it needs. begin: to be called before the
    first frame of a shot, where the network remembers the frames before.
    """

    run: Callable[[Tensor], Tensor]
    module: nn.Module
    card: ModelCard
    precisions: tuple[str, ...] = PRECISIONS
    multiple: int = 1
    least: int = 1
    begin: Callable[[], None] = lambda: None

    def picture(self, pixels: Pixels) -> Pixels:
        """What it makes of a picture, in fp32: a new one, `scale` times larger. Raises RuntimeError as PyTorch does."""
        rgb = torch.from_numpy(np.ascontiguousarray(pixels[..., 2::-1])).permute(2, 0, 1)[None] / 255
        with torch.inference_mode():
            levels = self.run(rgb)[0].mul(255).round_().clamp_(0, 255).byte()
        done = fresh(Size(levels.shape[2], levels.shape[1]))
        torch.from_numpy(done)[..., :3].copy_(levels.flip(0).permute(1, 2, 0))
        return done


def load(path: Path) -> Published:
    """The network in a .pth, .pt or .safetensors file; its scale may be 1. Raises ModelError, or MissingPart."""
    if path.suffix.lower() == ".safetensors":
        with suppress(Exception):  # safetensors has its own kinds: if it is none of ours, spandrel says what it is
            return _ours(path)
    spandrel = library()
    state = _state(spandrel, path)
    if tecogan.recognised(state):
        return _of_sequences(path, state)
    try:
        model = spandrel.ModelLoader("cpu").load_from_state_dict(state)
        called = model.architecture.name
        if not isinstance(model, spandrel.ImageModelDescriptor) or {model.input_channels, model.output_channels} != {3}:
            raise ModelError(f"{path} ({called}) is no network from RGB to RGB", REMEDY)
        model.model.eval()
        needs = model.size_requirements
        multiple = _multiple(model.model, model.architecture.id, needs.multiple_of)
        parameters = sum(parameter.numel() for parameter in model.model.parameters())
        card = ModelCard(
            path.stem,
            model.scale,
            path,
            " ".join([called, *model.tags]),
            parameters,
            macs(model, model.model, side=-(-max(64, needs.minimum) // multiple) * multiple),
        )
    except ModelError:
        raise
    except spandrel.UnsupportedModelError:
        raise ModelError(f"{path} is of no architecture that spandrel knows", REMEDY) from None
    except Exception as error:  # foreign weights may break the code of any architecture in any way
        raise _unusable(path, error) from error
    halves = {"bf16": model.supports_bfloat16, "fp16": model.supports_half}
    precisions = tuple(p for p in PRECISIONS if halves.get(p, True))
    return Published(model, model.model, card, precisions, multiple, needs.minimum)


def _ours(path: Path) -> Published:
    net, steps = nets.load(path)
    parameters, per_pixel = nets.cost(net)
    name = f"CellNet {net.shape.features}x{net.shape.depth}"

    def run(picture: Tensor) -> Tensor:
        height, width = picture.shape[2:]
        room = nn.functional.pad(picture, (0, -width % nets.CELL, 0, -height % nets.CELL), mode="replicate")
        enlarged: Tensor = net(room)
        return enlarged[..., : height * net.scale, : width * net.scale]

    licence = "GPL-3.0-or-later"
    card = ModelCard(path.stem, net.scale, path, name, parameters, round(per_pixel), nets.CELL, licence, steps=steps)
    return Published(run, net, card, PRECISIONS, nets.CELL, nets.CELL)


def _of_sequences(path: Path, state: dict[str, Tensor]) -> Published:
    try:
        net = tecogan.built(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise _unusable(path, error) from error
    shot = Shot(net)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    card = ModelCard(path.stem, net.scale, path, "TecoGAN", parameters, macs(shot.run, net))
    shot.begin()
    return Published(shot.run, net, card, PRECISIONS, net.multiple, net.least, shot.begin)


def macs(run: Callable[[Tensor], Tensor], module: nn.Module, side: int = 64) -> int:
    """Multiply-adds per input pixel, of the convolutions and linear layers, on a picture of `side` x `side`.

    What attention multiplies with itself is not counted.
    """
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


def _multiple(module: nn.Module, kind: str, told: int) -> int:
    """The least sides at which a network fills up nothing by itself: windows of its attention, and what spandrel says.

    Filling up outside keeps the graph free of sizes: what is filled up inside is a constant once it is exported.
    """
    windows = []
    for name in ("window_size", "split_size"):
        value = getattr(module, name, None)
        if value is None and name == "split_size":  # DAT keeps it in its blocks
            value = next((getattr(m, name) for m in module.modules() if hasattr(m, name)), None)
        sides = value if isinstance(value, list | tuple) else [value]
        windows += [side for side in sides if isinstance(side, int) and side > 0]
    unshuffled = getattr(module, "start_unshuffle", 1)
    return math.lcm(told, EVEN.get(kind, 1), *(side * unshuffled for side in windows))


def _state(spandrel: ModuleType, path: Path) -> dict[str, Tensor]:
    """The weights by name. Raises ModelError."""
    try:
        what = pickles.complaint(path)
        if what:
            raise ModelError(f"{path} cannot be used as a network: {what}", REMEDY)
        if path.suffix.lower() == ".safetensors":
            read = spandrel.ModelLoader("cpu").load_state_dict_from_file(path)
        else:
            read = torch.load(path, map_location="cpu", weights_only=True)
        state = spandrel.canonicalize_state_dict(read) if isinstance(read, dict) else {}
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}", "check the path and its rights") from None
    except Exception as error:  # safetensors, zipfile, pickle and torch each have their own kinds
        raise _unusable(path, error) from error
    if not any(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path} has no network in it: it holds no weights by name", REMEDY)
    return dict(state)


def _unusable(path: Path, error: Exception) -> ModelError:
    what = (str(error).splitlines() or [""])[0] or type(error).__name__
    return ModelError(f"{path} cannot be used as a network: {what}", REMEDY)


def library() -> ModuleType:
    """spandrel. Raises MissingPart."""
    try:
        with torchvision():
            return archs.teach(importlib.import_module("spandrel"))
    except ImportError as error:
        raise MissingPart(
            f"networks in PyTorch files are read by spandrel, which does not import: {error}",
            'pip install "live-sr[peers]"',
        ) from None


NAMES = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")


@contextmanager
def torchvision() -> Iterator[None]:
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
