"""Metrics of structure and of networks' features, from piq (https://github.com/photosynthesis-team/piq)."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import cast

import numpy as np
import torch

from live_sr.errors import MissingPart
from live_sr.quality.metrics import FrameMean, MakeTally, Picture, luma

Compare = Callable[..., torch.Tensor]

SSIM_SIDE = 11  # pixels a side that its window needs; MS-SSIM halves the picture four times before
HAAR_SIDE = 16
NETWORK_SIDE = 32
GET = 'pip install "live-sr[evaluate]"'


def ssim_y() -> MakeTally:
    """SSIM of the luma: Gaussian window of 11 with sigma 1.5, no downsampling (Wang et al. 2004)."""
    measure = _part("ssim", "ssim")
    return _of_lumas(lambda x, y: measure(x, y, data_range=255.0, downsample=False), SSIM_SIDE)


def ms_ssim() -> MakeTally:
    """Multi-scale SSIM of the luma, five scales (Wang, Simoncelli, Bovik 2003)."""
    measure = _part("ms_ssim", "multi_scale_ssim")
    return _of_lumas(lambda x, y: measure(x, y, data_range=255.0), SSIM_SIDE * 2**4)


def haarpsi() -> MakeTally:
    """Haar wavelet similarity on colours, 0..1 (Reisenhofer et al. 2018)."""
    measure = _part("haarpsi", "haarpsi")
    return _of_colours(lambda x, y: measure(x, y, data_range=1.0), HAAR_SIDE)


def lpips() -> MakeTally:
    """Distance of VGG-16 features with learned weights (Zhang et al. 2018). Raises MissingPart without weights."""
    return _of_colours(_network("LPIPS"), NETWORK_SIDE)


def dists() -> MakeTally:
    """Structure and texture distance of VGG-16 features (Ding et al. 2020). Raises MissingPart without weights."""
    return _of_colours(_network("DISTS"), NETWORK_SIDE)


def _of_lumas(measure: Compare, side: int) -> MakeTally:
    def figure(shown: Picture, target: Picture) -> float | None:
        if min(shown.shape[:2]) < side:
            return None
        with torch.inference_mode():
            x, y = (torch.from_numpy(luma(picture))[None, None] for picture in (shown, target))
            return float(measure(x, y))

    return lambda: FrameMean(figure)


def _of_colours(measure: Compare, side: int) -> MakeTally:
    def figure(shown: Picture, target: Picture) -> float | None:
        if min(shown.shape[:2]) < side:
            return None
        with torch.inference_mode():
            return float(measure(_rgb(shown), _rgb(target)))

    return lambda: FrameMean(figure)


def _rgb(picture: Picture) -> torch.Tensor:
    """(1, 3, H, W) in 0..1."""
    planes = np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1))
    return torch.from_numpy(planes)[None].float() / 255


def _network(name: str) -> Compare:
    try:
        return cast(Compare, _part("perceptual", name)())
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: a torchvision made for another torch
        why = str(error).splitlines()[0]
        raise MissingPart(f"the weights of VGG-16 cannot be had ({why})") from error


def _part(module: str, name: str) -> Compare:
    """A part of piq without the whole, whose __init__ asks for torchvision, which only its networks need.

    torchvision holds compiled code that does not load beside a torch of another build, such as the small CPU one.
    """
    if "piq" not in sys.modules:
        found = importlib.util.find_spec("piq")
        if found is None or found.submodule_search_locations is None:
            raise MissingPart("piq is not installed", GET)
        package = ModuleType("piq")
        package.__path__ = list(found.submodule_search_locations)
        sys.modules["piq"] = package
    return cast(Compare, getattr(importlib.import_module(f"piq.{module}"), name))
