"""The optimizers of `live-sr train`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from live_sr.training.options import TrainOptions


class MuonWithAdam:
    """Muon (Jordan et al. 2024) for the kernels of the hidden layers, Adam for the last layer, biases and slopes.

    Muon makes each step of a matrix orthogonal, so that it learns in all directions at the same speed. A kernel (out,
    in, 3, 3) is a matrix (out, in * 9) to it. Its steps are scaled to the size of Adam's, so that one learning rate
    serves both (Liu et al. 2025). Has what a training uses of torch's own optimizers: `param_groups`, `zero_grad`,
    `step` and the state.
    """

    def __init__(self, net: nn.Module, rate: float) -> None:
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in net.named_parameters():
            hidden = parameter.ndim > 1 and not name.startswith("tail.")
            (matrices if hidden else others).append(parameter)
        # torch's Muon takes matrices alone: these share their memory with the kernels
        self._kernels = [(kernel, nn.Parameter(view_as_matrix(kernel.detach()))) for kernel in matrices]
        flat = [matrix for _, matrix in self._kernels]
        self._muon: torch.optim.Optimizer = torch.optim.Muon(
            flat, rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
        )
        self._adam = torch.optim.Adam(others, rate, fused=True)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [*self._muon.param_groups, *self._adam.param_groups]

    def zero_grad(self) -> None:
        for kernel, _ in self._kernels:
            kernel.grad = None
        self._adam.zero_grad()

    def step(self) -> None:
        for kernel, matrix in self._kernels:
            assert kernel.grad is not None
            matrix.grad = kernel.grad.movedim(1, -1).flatten(1)
        self._muon.step()
        self._adam.step()

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self._muon.state_dict(), "adam": self._adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._muon.load_state_dict(state["muon"])
        self._adam.load_state_dict(state["adam"])


def view_as_matrix(kernel: Tensor) -> Tensor:
    """(out, in, height, width), channels last, or (out, in) as (out, all the rest), in the same memory."""
    return kernel.movedim(1, -1).view(len(kernel), -1)


def build_optimizer(net: nn.Module, options: TrainOptions) -> torch.optim.Optimizer | MuonWithAdam:
    """The optimizer that `options` asks for, with everything of `net` to train."""
    if options.optimizer == "muon":
        return MuonWithAdam(net, options.rate)
    return torch.optim.Adam(net.parameters(), options.rate, fused=True)
