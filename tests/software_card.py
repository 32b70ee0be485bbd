"""Mesa's software driver for Vulkan, on which the WebGPU engine computes as on a graphics card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from live_sr.engines import factory
from live_sr.engines.options import EngineOptions
from live_sr.pipeline.canvas import OpenCanvas
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Frame, Pixels, Size, make_black

SOFTWARE = "llvmpipe"
DRIVERS = sorted(Path("/usr/share/vulkan/icd.d").glob("lvp_icd*.json"))
LOADER_VARIABLES = ("VK_ICD_FILENAMES", "VK_DRIVER_FILES")
"""What names the only driver to ask: the old and the new variable of Vulkan's loader."""
NEEDS_DRIVER = [
    pytest.mark.needs("wgpu"),
    pytest.mark.skipif(not DRIVERS, reason="Mesa's software driver for Vulkan is not installed"),
]
USES_DRIVER = [*NEEDS_DRIVER, pytest.mark.usefixtures("software_driver")]
"""The same, and it is the only driver that is asked."""
WINDOW_KINDS = ("raster", "gl", pytest.param("gpu", marks=NEEDS_DRIVER))
"""Of the overlay, as `overlay_windows.open_window` takes them."""


def find_canvas_opener() -> OpenCanvas | None:
    """What lets the driver draw into windows."""
    return factory.find_canvas_opener(EngineOptions("webgpu", adapter=SOFTWARE), software=True)


def make_noise(size: Size, random: np.random.Generator) -> Pixels:
    pixels = make_black(size)
    pixels[..., :3] = random.integers(0, 256, (size.height, size.width, 3), np.uint8)
    return pixels


def draw(engine: Engine, pixels: Pixels) -> Pixels:
    done = engine.upscale(Frame(pixels))
    assert done is not None
    return done.pixels


def measure_deviation(made: Pixels, expected: Pixels) -> int:
    assert made.shape == expected.shape
    return int(np.abs(made.astype(np.int16) - expected).max())
