"""A HUD with typical figures, and pictures to paint it over."""

from __future__ import annotations

import numpy as np
from PyQt6 import sip
from PyQt6.QtGui import QImage, QPainter

from live_sr.overlay.hud import HudOverlay
from live_sr.overlay.hud_text import HudState
from live_sr.pipeline.frame import Pixels, Size, make_black
from live_sr.pipeline.latency import STAGES, LatencyReport, Percentiles

REPORT = LatencyReport(
    seconds=5.0,
    captured_fps=60.04,
    upscaled_fps=59.9,
    shown_fps=59.8,
    low_fps=41.26,
    duplicates=345,
    dropped=12,
    shown=299,
    total=Percentiles(10.6, 12.04, 13.1, 20.25),
    stages={name: Percentiles(1.0 + i, 2.0 + i, 3.0 + i, 14.0 + i) for i, name in enumerate(STAGES)},
    intervals_ms=np.array([16.7] * 200 + [34.0] + [16.7] * 50 + [60.0] + [16.7] * 40),
)
STATE = HudState(REPORT, "fast", 2, "openvino", "bf16", Size(480, 270), Size(960, 540))


def make_background(kind: str, size: Size) -> Pixels:
    """A black picture, or a "bright" (white) or a "busy" one (noise)."""
    pixels = make_black(size)
    if kind == "bright":
        pixels[...] = 255
    elif kind == "busy":
        pixels[..., :3] = np.random.default_rng(1).integers(0, 256, (size.height, size.width, 3), np.uint8)
    return pixels


def paint_over(hud: HudOverlay, background: Pixels) -> Pixels:
    """A copy of the picture with the HUD painted over it."""
    pixels = background.copy()
    height, width, _ = pixels.shape
    image = QImage(sip.voidptr(pixels.ctypes.data), width, height, width * 4, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    hud.paint(painter, Size(width, height))
    painter.end()
    return pixels
