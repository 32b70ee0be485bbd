"""Parts of published networks that Python computes from the picture's size, said again so that a graph computes them.

What is computed while a network is exported is a constant afterwards: right for the size that it was exported at, and
wrong for any other. So the graph must do it itself, which needs other words for the same thing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Sides = tuple[int, int]  # height and width
Length = Any
"""An int, or what the tracer has in its place."""

FORBIDDEN = -100.0  # as the networks were trained with; in a softmax it leaves nothing


def free(module: nn.Module) -> None:
    """Changes the layers of `module` that fix sizes, as far as they are known; what they compute stays the same."""
    for layer in module.modules():
        any_layer: Any = layer
        if _has(layer, "calculate_mask", "split_size", "shift_size", "patches_resolution"):  # DAT, RGT
            any_layer.patches_resolution = 0  # of no picture: no stored mask is used
            any_layer.calculate_mask = _masks(_sides(any_layer.split_size), _sides(any_layer.shift_size))
        elif _has(layer, "calculate_mask", "window_size", "shift_size"):  # SwinIR, Swin2SR, HAT, DRCT
            if hasattr(layer, "input_resolution"):
                any_layer.input_resolution = None
            any_layer.calculate_mask = _mask(_sides(any_layer.window_size), _sides(any_layer.shift_size))
        elif _has(layer, "init_pos", "offset", "scope", "groups"):  # DySample, in RealPLKSR and others
            any_layer.forward = _sampled(any_layer)


def shifted(height: Length, width: Length, window: Sides, shift: Sides, kind: torch.dtype | None = None) -> Tensor:
    """(windows, n, n) with n pixels in a window: 0 where two pixels may see each other, -100 where they may not.

    As in Swin Transformer (Liu et al. 2021, section 3.2): after a cyclic shift the last windows hold pixels from
    opposite sides of the picture, and those are kept apart.
    """

    def regions(length: Length, of_window: int, of_shift: int) -> Tensor:
        at = torch.arange(length)
        beyond: Tensor = (at >= length - of_window).long() + (at >= length - of_shift).long()
        return beyond

    rows, columns = (3 * regions(height, window[0], shift[0])), regions(width, window[1], shift[1])
    picture = rows.unsqueeze(1) + columns.unsqueeze(0)
    cells = picture.reshape(height // window[0], window[0], width // window[1], window[1])
    each = cells.permute(0, 2, 1, 3).reshape(-1, window[0] * window[1])
    apart = each.unsqueeze(1) != each.unsqueeze(2)
    forbidden: Tensor = apart.to(kind or torch.float32) * FORBIDDEN
    return forbidden


def _mask(window: Sides, shift: Sides) -> Callable[..., Tensor]:
    def calculate(size: tuple[Length, Length], dtype: torch.dtype | None = None) -> Tensor:
        return shifted(*size, window, shift, dtype)

    return calculate


def _masks(window: Sides, shift: Sides) -> Callable[..., tuple[Tensor, Tensor]]:
    """For windows of two orientations."""

    def calculate(height: Length, width: Length, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        upright = shifted(height, width, window, shift, dtype)
        return upright, shifted(height, width, window[::-1], shift[::-1], dtype)

    return calculate


def _sampled(layer: Any) -> Callable[[Tensor], Tensor]:
    """DySample (Liu et al. 2023): each new pixel is read at a place that the network moves a little."""

    def forward(picture: Tensor) -> Tensor:
        _, _, height, width = picture.shape
        moved = layer.offset(picture) * layer.scope(picture).sigmoid() * 0.5 + layer.init_pos
        across, down = moved.chunk(2, 1)
        columns = (torch.arange(width) + 0.5).reshape(1, 1, 1, -1)
        rows = (torch.arange(height) + 0.5).reshape(1, 1, -1, 1)
        x = nn.functional.pixel_shuffle((across + columns) * 2 / width - 1, layer.scale)
        y = nn.functional.pixel_shuffle((down + rows) * 2 / height - 1, layer.scale)
        features = picture.reshape(layer.groups, -1, height, width)
        places = torch.stack((x[0], y[0]), -1)  # of each group
        read = nn.functional.grid_sample(features, places, "bilinear", "border", align_corners=False)
        large: Tensor = read.reshape(1, -1, height * layer.scale, width * layer.scale)
        return layer.end_conv(large) if layer.end_convolution else large

    return forward


def _has(layer: nn.Module, *names: str) -> bool:
    return all(hasattr(layer, name) for name in names)


def _sides(value: Any) -> Sides:
    return (int(value[0]), int(value[1])) if isinstance(value, list | tuple) else (int(value), int(value))
