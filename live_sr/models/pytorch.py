"""Loads networks from PyTorch files: published ones, which spandrel recognises and builds, and those trained here.

Nothing in a file is executed.
"""

from __future__ import annotations

import importlib
import logging
import math
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from live_sr.errors import MissingPart, ModelError
from live_sr.models import architectures, own_architectures, pickle_scan
from live_sr.models.architectures import cellnet
from live_sr.models.card import ModelCard
from live_sr.models.published_network import PRECISIONS, REMEDY, PublishedNetwork, count_macs, make_load_error
from live_sr.models.state_dict import find_broken, find_weights

log = logging.getLogger(__name__)

WARNING_MODULES = (r"spandrel", r"torch\.", r"timm")  # they print paths of their own code, about their own code

PADDED_TO = {"RealCUGAN": 4}
"""Multiples that an architecture pads to inside, if spandrel does not say so: it halves the picture twice."""


def load(path: Path) -> PublishedNetwork:
    """Loads the network in a .pth, .pt or .safetensors file; its scale may be 1. Raises ModelError or MissingPart."""
    if path.suffix.lower() == ".safetensors":
        try:
            return _load_cellnet(path)
        except ModelError:
            raise
        except Exception:  # safetensors has its own errors; if it is not ours, spandrel says what it is
            log.debug("%s is no network trained here", path)
    spandrel = import_spandrel()
    state = _read_weights(spandrel, path)
    ours = own_architectures.find_loader(state)
    if ours is not None:
        return ours(path, state, lambda other: _read_weights(spandrel, other))
    try:
        model = spandrel.ModelLoader("cpu").load_from_state_dict(state)
        called = model.architecture.name
        if not isinstance(model, spandrel.ImageModelDescriptor) or {model.input_channels, model.output_channels} != {3}:
            raise ModelError(f"{path} ({called}) is no network from RGB to RGB", REMEDY)
        model.model.eval()
        needs = model.size_requirements
        multiple = _find_multiple(model.model, model.architecture.id, needs.multiple_of)
        parameters = sum(parameter.numel() for parameter in model.model.parameters())
        card = ModelCard(
            path.stem,
            model.scale,
            path,
            " ".join([called, *model.tags]),
            parameters,
            count_macs(model, model.model, side=-(-max(64, needs.minimum) // multiple) * multiple),
        )
    except ModelError:
        raise
    except spandrel.UnsupportedModelError:
        raise ModelError(f"{path} is of no architecture that spandrel knows", REMEDY) from None
    except Exception as error:  # foreign weights may break the code of any architecture in any way
        raise make_load_error(path, error) from error
    halves = {"bf16": model.supports_bfloat16, "fp16": model.supports_half}
    precisions = tuple(p for p in PRECISIONS if halves.get(p, True))
    return PublishedNetwork(model, model.model, card, precisions, multiple, needs.minimum)


def _load_cellnet(path: Path) -> PublishedNetwork:
    net, steps = cellnet.load(path)
    _check_numbers(path, net.state_dict())
    parameters, per_pixel = cellnet.compute_cost(net)
    name = f"CellNet {net.shape.features}x{net.shape.depth}"

    def run(picture: Tensor) -> Tensor:
        height, width = picture.shape[2:]
        room = nn.functional.pad(picture, (0, -width % cellnet.CELL, 0, -height % cellnet.CELL), mode="replicate")
        enlarged: Tensor = net(room)
        return enlarged[..., : height * net.scale, : width * net.scale]

    licence = "GPL-3.0-or-later"
    card = ModelCard(path.stem, net.scale, path, name, parameters, round(per_pixel), cellnet.CELL, licence, steps=steps)
    return PublishedNetwork(run, net, card, PRECISIONS, cellnet.CELL, cellnet.CELL)


def _find_multiple(module: nn.Module, kind: str, known: int) -> int:
    """The multiple of sides at which a network pads nothing itself: from its attention windows and from spandrel.

    Padding outside keeps sizes out of the graph: padding inside becomes a constant when the network is exported.
    """
    windows = []
    for name in ("window_size", "split_size"):
        value = getattr(module, name, None)
        if value is None and name == "split_size":  # DAT keeps it in its blocks
            value = next((getattr(m, name) for m in module.modules() if hasattr(m, name)), None)
        sides = value if isinstance(value, list | tuple) else [value]
        windows += [side for side in sides if isinstance(side, int) and side > 0]
    unshuffled = getattr(module, "start_unshuffle", 1)
    return math.lcm(known, PADDED_TO.get(kind, 1), *(side * unshuffled for side in windows))


def _read_weights(spandrel: ModuleType, path: Path) -> dict[str, Tensor]:
    """Reads the weights by name. Raises ModelError."""
    try:
        what = pickle_scan.find_problem(path)
        if what:
            raise ModelError(f"{path} cannot be used as a network: {what}", REMEDY)
        if path.suffix.lower() == ".safetensors":
            read = spandrel.ModelLoader("cpu").load_state_dict_from_file(path)
        else:
            read = torch.load(path, map_location="cpu", weights_only=True)
        state = find_weights(read) if isinstance(read, dict) else {}
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror or error}", "check the path and its permissions"
        ) from None
    except Exception as error:  # safetensors, zipfile, pickle and torch each have their own errors
        raise make_load_error(path, error) from error
    if not state:
        raise ModelError(f"{path} has no network in it: it holds no weights by name", REMEDY)
    _check_numbers(path, state)
    return state


def _check_numbers(path: Path, state: Mapping[str, Tensor]) -> None:
    """Raises ModelError for weights with which every picture would be black."""
    broken = find_broken(state)
    if broken:
        raise ModelError(f"{path} cannot be used: {broken} holds numbers that are none (NaN or infinite)", REMEDY)


def import_spandrel() -> ModuleType:
    """Imports spandrel, whose warnings then stay away from the screen. Raises MissingPart."""
    for module in WARNING_MODULES:
        warnings.filterwarnings("ignore", module=module)
    try:
        with replace_torchvision():
            return architectures.register_architectures(importlib.import_module("spandrel"))
    except ImportError as error:
        raise MissingPart(
            f"networks in PyTorch files are read by spandrel, which does not import: {error}",
            'pip install "live-sr[peers]"',
        ) from None


NAMES = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")


@contextmanager
def replace_torchvision() -> Iterator[None]:
    """Makes three names importable from torchvision inside a `with` block, even if torchvision does not work.

    spandrel needs no others, and these only for LaMa and RestoreFormer, which restore pictures and do not upscale them.
    torchvision 0.28 does not import with the CPU build of torch 2.13: its operators are linked with CUDA ("operator
    torchvision::nms does not exist"). Afterwards it fails to import as before, so that others get the real reason.
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
