"""Recurrent networks from checkpoints of PyTorch's, recognised by their weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from live_sr.errors import ModelError
from live_sr.models import pickles
from live_sr.models.archs import tecogan
from live_sr.models.archs.recurrent import Recurrent

WRAPPERS = ("params_ema", "params", "state_dict", "network_g", "net_G")

REMEDY = "use a checkpoint of TecoGAN or FRVSR for PyTorch, or a network for single pictures"


def load(path: Path) -> Recurrent:
    """The recurrent network in a .pth or .pt file; nothing in the file is executed. Raises ModelError."""
    state = _state(path)
    if not tecogan.recognised(state):
        raise ModelError(f"{path} holds no network for videos that is known here", REMEDY)
    try:
        return tecogan.built(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise _unusable(path, error) from error


def _state(path: Path) -> Mapping[str, Tensor]:
    """Raises ModelError."""
    try:
        wrong = pickles.complaint(path)
        if wrong:
            raise ModelError(f"{path} cannot be used as a network: {wrong}", REMEDY)
        read = torch.load(path, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}", "check the path and its rights") from None
    except Exception as error:  # zipfile, pickle and torch each have their own kinds
        raise _unusable(path, error) from error
    while isinstance(read, dict) and any(isinstance(read.get(name), dict) for name in WRAPPERS):
        read = next(read[name] for name in WRAPPERS if isinstance(read.get(name), dict))
    if not isinstance(read, dict):
        return {}
    return {str(name).removeprefix("module."): value for name, value in read.items() if isinstance(value, Tensor)}


def _unusable(path: Path, error: Exception) -> ModelError:
    what = (str(error).splitlines() or [""])[0] or type(error).__name__
    return ModelError(f"{path} cannot be used as a network: {what}", REMEDY)
