"""Rewrites parts of published networks so that an exported graph works at every picture size.

What Python computes from the size during the export becomes a constant: right for that size, wrong for any other. So
the same has to be computed by tensor operations, which the exporter records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Sides = tuple[int, int]  # height and width
Length = Any
"""An int, or the tensor that the tracer uses instead."""

FORBIDDEN = -100.0  # the value that the networks were trained with; after a softmax it is zero


def make_shapes_dynamic(module: nn.Module) -> None:
    """Changes the known layers of `module` that fix sizes. They still compute the same."""
    for layer in module.modules():
        any_layer: Any = layer
        if _has_attributes(layer, "calculate_mask", "split_size", "shift_size", "patches_resolution"):  # DAT, RGT
            any_layer.patches_resolution = 0  # matches no picture, so that no stored mask is used
            any_layer.calculate_mask = _make_mask_pair_function(
                _read_sides(any_layer.split_size), _read_sides(any_layer.shift_size)
            )
        elif _has_attributes(layer, "calculate_mask", "window_size", "shift_size"):  # SwinIR, Swin2SR, HAT, DRCT
            if hasattr(layer, "input_resolution"):
                any_layer.input_resolution = None
            any_layer.calculate_mask = _make_mask_function(
                _read_sides(any_layer.window_size), _read_sides(any_layer.shift_size)
            )
        elif _has_attributes(layer, "init_pos", "offset", "scope", "groups"):  # DySample, in RealPLKSR and others
            any_layer.forward = _make_dysample_forward(any_layer)


def make_shifted_window_mask(
    height: Length, width: Length, window: Sides, shift: Sides, kind: torch.dtype | None = None
) -> Tensor:
    """(windows, n, n) with n pixels in a window: 0 where two pixels may attend to each other, else -100.

    As in Swin Transformer (Liu et al. 2021, section 3.2): after a cyclic shift the last windows hold pixels from
    opposite sides of the picture, which must not attend to each other.
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


def _make_mask_function(window: Sides, shift: Sides) -> Callable[..., Tensor]:
    def calculate(size: tuple[Length, Length], dtype: torch.dtype | None = None) -> Tensor:
        return make_shifted_window_mask(*size, window, shift, dtype)

    return calculate


def _make_mask_pair_function(window: Sides, shift: Sides) -> Callable[..., tuple[Tensor, Tensor]]:
    """The same for windows of two orientations."""

    def calculate(height: Length, width: Length, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        upright = make_shifted_window_mask(height, width, window, shift, dtype)
        return upright, make_shifted_window_mask(height, width, window[::-1], shift[::-1], dtype)

    return calculate


def _make_dysample_forward(layer: Any) -> Callable[[Tensor], Tensor]:
    """DySample (Liu et al. 2023): each new pixel is sampled at a position that the network shifts a little."""

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


def _has_attributes(layer: nn.Module, *names: str) -> bool:
    return all(hasattr(layer, name) for name in names)


def _read_sides(value: Any) -> Sides:
    return (int(value[0]), int(value[1])) if isinstance(value, list | tuple) else (int(value), int(value))
