"""Runs networks on Intel's graphics cards, and on the graphics part of its processors, with OpenVINO."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np

from live_sr.engines.openvino.engine import PRECISIONS, OpenVINOImageEngine, get_core, read_property, summarise_error
from live_sr.errors import EngineError
from live_sr.models.card import ModelCard
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Pixels, Size

DEVICE = "GPU"
DRIVER_VERSION = "GPU_DRIVER_VERSION"
"""By this name OpenVINO's own cache asks for it, too. It is not in the documentation (openvino pull request 14187)."""


def unavailable_reason() -> str:
    """Why OpenVINO has no graphics card here, or an empty string."""
    try:
        devices = get_core().available_devices
    except RuntimeError as error:
        return f"OpenVINO does not list its devices ({summarise_error(error)})"
    if not any(device.split(".")[0] == DEVICE for device in devices):
        return "OpenVINO finds no graphics card of Intel's with a driver for OpenCL"
    return ""


class OpenVINOGpuEngine(OpenVINOImageEngine[Pixels]):
    """The engine for frames, which are BGRA uint8.

    precision: auto (fp16 where the card lists it, else fp32), fp16 or fp32. threads is not used. cache: a folder for
    compiled graphs, which take seconds otherwise. Raises EngineError for another precision.
    """

    device = DEVICE

    def __init__(
        self, card: ModelCard, *, precision: str = "auto", threads: int = 0, cache: Path | None = None
    ) -> None:
        if precision not in ("auto", "fp16", "fp32"):
            what = f"openvino-gpu computes in fp32 or fp16, not in {precision}"
            raise EngineError(what, 'use precision = "auto"')
        super().__init__(np.uint8, card, precision, 0, cache)

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(self._card.name, self._card.scale, "openvino-gpu", self.precision)

    @property
    def build(self) -> str:
        """The version of OpenVINO, the card and its driver; empty if that is not known. Raises EngineError."""
        name = read_property(DEVICE, "FULL_DEVICE_NAME")
        try:
            driver = read_property(DEVICE, DRIVER_VERSION)
        except EngineError:  # another version of OpenVINO may have another name for it
            return ""
        return f"openvino {version('openvino')} {name}, driver {driver}"

    def is_built(self, size: Size) -> bool:
        """Never: what is in the cache is known only to OpenVINO."""
        return False

    def _list_settings(self) -> dict[str, str | int | bool]:
        return {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": PRECISIONS[self.precision][0]}
