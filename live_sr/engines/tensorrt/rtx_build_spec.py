"""What TensorRT-RTX is to compile, and for which GPUs. A specification knows its shapes and its key in the cache."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from live_sr.engines.cache.key import EngineKey, find_installed
from live_sr.errors import EngineError
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.export.precisions import LEAST_CAPABILITY
from live_sr.models.onnx import file_header
from live_sr.pipeline.frame import Size

GRAPH_VERSION = "2"  # increase it when the same model is compiled into another graph
PACKAGES = ("tensorrt-rtx-cu13-libs", "tensorrt-rtx-cu12-libs")
"""Packages whose version a compiled engine depends on."""

SMALLEST, TYPICAL, LARGEST = Size(64, 64), Size(960, 540), Size(1920, 1080)
"""Frames that an engine of dynamic shapes takes, and the size that it is optimised for. Larger windows enlarge it."""

CELL = 2
"""Sides of the frames of dynamic shapes are multiples of this: networks trained here read cells of 2 x 2 pixels."""


@dataclass(frozen=True)
class RtxBuildSpec:
    """One engine, in values that can be sent to another process.

    width, height: of the frames, in pixels; if `dynamic`, of the largest. capability: compute capability of the GPUs,
    such as "8.6". onnx: path of the model. weights: its SHA-256, in hex.
    """

    model: str
    scale: int
    multiple: int
    onnx: str
    weights: str
    architecture: str
    width: int
    height: int
    precision: str
    capability: str
    dynamic: bool = False

    @classmethod
    def for_window(
        cls, card: ModelCard, size: Size, precision: str, capability: str, *, dynamic: bool = False
    ) -> RtxBuildSpec:
        """The specification for frames of `size`. dynamic: for one engine that takes windows of every size.

        A model whose file fixes the size of its pictures only has the one for that size. Raises ModelError, or
        EngineError if GPUs of that capability do not compute in that precision.
        """
        least = LEAST_CAPABILITY.get(precision, (0, 0))
        if tuple(map(int, capability.split("."))) < least:
            needed = ".".join(map(str, least))
            raise EngineError(
                f"{precision} needs a GPU of compute capability {needed} or newer, not {capability}",
                'use precision = "fp16"',
            )
        zoo.verify(card)
        dynamic = dynamic and file_header.read_shapes(card.onnx).input[2:4] == (None, None)
        if dynamic:
            largest = Size(max(LARGEST.width, size.width), max(LARGEST.height, size.height))
            size = largest.round_up(math.lcm(card.multiple, CELL))
        return cls(
            model=card.name,
            scale=card.scale,
            multiple=card.multiple,
            onnx=str(card.onnx.resolve()),
            weights=card.sha256 or hashlib.sha256(card.onnx.read_bytes()).hexdigest(),
            architecture=card.architecture,
            width=size.width,
            height=size.height,
            precision=precision,
            capability=capability,
            dynamic=dynamic,
        )

    @property
    def card(self) -> ModelCard:
        return ModelCard(self.model, self.scale, Path(self.onnx), multiple=self.multiple)

    @property
    def profile(self) -> tuple[Size, Size, Size] | None:
        """The smallest, the typical and the largest frame of an engine of dynamic shapes; None for one of static ones.

        All have sides that the network takes: `fit` extends the frames to such sizes.
        """
        if not self.dynamic:
            return None
        return self.fit(SMALLEST), self.fit(TYPICAL), Size(self.width, self.height)

    @property
    def key(self) -> EngineKey:
        """The key of the engine, which runs on every GPU of that capability."""
        shapes = f"{SMALLEST} to {self.width}x{self.height}" if self.dynamic else "static"
        return EngineKey(
            engine="rtx",
            model=self.model,
            scale=self.scale,
            width=self.width,
            height=self.height,
            precision=self.precision,
            weights=self.weights,
            architecture=self.architecture,
            gpu="",
            capability=self.capability,
            driver="",
            options=(("graph", GRAPH_VERSION), ("multiple", str(self.multiple)), ("shapes", shapes)),
            versions=find_installed(PACKAGES),
        )

    def fit(self, size: Size) -> Size:
        """The size that the engine is run with for frames of `size`; the frames are extended to it."""
        if not self.dynamic:
            return size
        larger = Size(max(SMALLEST.width, size.width), max(SMALLEST.height, size.height))
        return larger.round_up(math.lcm(self.multiple, CELL))
