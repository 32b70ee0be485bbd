"""Finds the weights of a generator among what training programs save, whatever they put around its names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

WRAPPERS = (  # names under which a dict of weights lies, best first: averages, then the generator, then anything
    *("params_ema", "params-ema", "g_ema", "ema", "net_g_ema", "generator_ema"),
    *("params", "net_g", "netG", "generator", "model_state_dict", "state_dict", "model", "net"),
)
CHOSEN_PREFIXES = ("params_ema.", "g_ema.", "net_g_ema.", "net_g.", "netG.", "generator.", "params.")
COMMON_PREFIXES = ("_orig_mod.", "module.")  # of torch.compile, and of averages and several GPUs
MOST_WRAPPERS = 8  # around each other; a damaged file may hold a dict that contains itself
COUNTERS = ("n_averaged",)  # of torch.optim.swa_utils.AveragedModel


def find_weights(read: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors by the names that the network itself gives them; empty if there are none."""
    state: Mapping[str, Any] = read
    for _ in range(MOST_WRAPPERS):
        state = _find_inner(state) or state
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    while (shorter := _strip(tensors)) is not None:
        tensors = shorter
    return tensors


def find_broken(state: Mapping[str, Tensor]) -> str:
    """The name of the first weights that hold NaN or infinity, or an empty string."""
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            return name
    return ""


def _find_inner(state: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for name in WRAPPERS:
        if isinstance(state.get(name), Mapping):
            found: Mapping[str, Any] = state[name]
            return found
    inner = [value for value in state.values() if isinstance(value, Mapping)]
    return inner[0] if len(state) == 1 and inner else None


def _strip(state: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """The weights without one prefix; None where there is none to take off."""
    state = {name: value for name, value in state.items() if name not in COUNTERS}
    for prefix in (*COMMON_PREFIXES, *CHOSEN_PREFIXES):
        inside = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
        if inside and (prefix in CHOSEN_PREFIXES or len(inside) == len(state)):
            return inside
    return None
