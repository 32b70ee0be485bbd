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
from live_sr.evaluate.metrics import BgrImage, FrameMean, MakeAccumulator, compute_luma

MeasureTensors = Callable[..., torch.Tensor]

SSIM_SIDE = 11  # pixels a side that its window needs; MS-SSIM halves the picture four times first
HAAR_SIDE = 16
NETWORK_SIDE = 32
INSTALL = 'pip install "live-sr[evaluate]"'


def make_ssim_y() -> MakeAccumulator:
    """SSIM of the luma: Gaussian window of 11 with sigma 1.5, no downsampling (Wang et al. 2004)."""
    measure = _load_part("ssim", "ssim")
    return _measure_luma(lambda x, y: measure(x, y, data_range=255.0, downsample=False), SSIM_SIDE)


def make_ms_ssim() -> MakeAccumulator:
    """Multi-scale SSIM of the luma, five scales (Wang, Simoncelli, Bovik 2003)."""
    measure = _load_part("ms_ssim", "multi_scale_ssim")
    return _measure_luma(lambda x, y: measure(x, y, data_range=255.0), SSIM_SIDE * 2**4)


def make_haarpsi() -> MakeAccumulator:
    """Haar wavelet similarity on colours, 0..1 (Reisenhofer et al. 2018)."""
    measure = _load_part("haarpsi", "haarpsi")
    return _measure_colours(lambda x, y: measure(x, y, data_range=1.0), HAAR_SIDE)


def make_lpips() -> MakeAccumulator:
    """Distance of VGG-16 features with learned weights (Zhang et al. 2018). Raises MissingPart without weights."""
    return _measure_colours(_load_network("LPIPS"), NETWORK_SIDE)


def make_dists() -> MakeAccumulator:
    """Structure and texture distance of VGG-16 features (Ding et al. 2020). Raises MissingPart without weights."""
    return _measure_colours(_load_network("DISTS"), NETWORK_SIDE)


def _measure_luma(measure: MeasureTensors, side: int) -> MakeAccumulator:
    def figure(shown: BgrImage, target: BgrImage) -> float | None:
        if min(shown.shape[:2]) < side:
            return None
        with torch.inference_mode():
            x, y = (torch.from_numpy(compute_luma(picture))[None, None] for picture in (shown, target))
            return float(measure(x, y))

    return lambda: FrameMean(figure)


def _measure_colours(measure: MeasureTensors, side: int) -> MakeAccumulator:
    def figure(shown: BgrImage, target: BgrImage) -> float | None:
        if min(shown.shape[:2]) < side:
            return None
        with torch.inference_mode():
            return float(measure(_to_rgb(shown), _to_rgb(target)))

    return lambda: FrameMean(figure)


def _to_rgb(picture: BgrImage) -> torch.Tensor:
    """(1, 3, H, W) in 0..1."""
    planes = np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1))
    return torch.from_numpy(planes)[None].float() / 255


def _load_network(name: str) -> MeasureTensors:
    try:
        return cast(MeasureTensors, _load_part("perceptual", name)())
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: a torchvision made for another torch
        why = str(error).splitlines()[0]
        raise MissingPart(f"the weights of VGG-16 are not available ({why})") from error


def _load_part(module: str, name: str) -> MeasureTensors:
    """A module of piq without the package's __init__, which imports torchvision. Only piq's networks need that.

    torchvision has compiled code that does not load with another build of torch, such as the small CPU one.
    """
    if "piq" not in sys.modules:
        found = importlib.util.find_spec("piq")
        if found is None or found.submodule_search_locations is None:
            raise MissingPart("piq is not installed", INSTALL)
        package = ModuleType("piq")
        package.__path__ = list(found.submodule_search_locations)
        sys.modules["piq"] = package
    return cast(MeasureTensors, getattr(importlib.import_module(f"piq.{module}"), name))
