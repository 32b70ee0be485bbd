"""Runs networks and filters as compute shaders on any graphics card, through wgpu: Vulkan, Direct3D 12, Metal."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from live_sr.engines.webgpu import arithmetic as ways
from live_sr.engines.webgpu.checksum import compute_checksum
from live_sr.engines.webgpu.choice import choose_network
from live_sr.engines.webgpu.fsr import FsrLink
from live_sr.engines.webgpu.gpu import ERRORS, Gpu, describe_failure, open_gpu, reopen_gpu
from live_sr.engines.webgpu.links import Link, Part
from live_sr.engines.webgpu.network import NetworkOnGpu, SizedNetwork
from live_sr.engines.webgpu.resampling import ResampleLink, make_filter
from live_sr.errors import EngineError, ModelError
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.cellnet_weights import CellNetWeights, read_weights
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, get_size, make_black, reuse_or_allocate_like

FSR = "fsr"
WITH_SHADERS = ("nearest", "bilinear", "bicubic", "lanczos", FSR)

log = logging.getLogger(__name__)

Drawn = TypeVar("Drawn")


class CardEngine(ABC):
    """Enlarges BGRA frames on a graphics card, as a whole or in parts, with what `_open_network` returns.

    All engines on one card share its device and its compiled shaders. A device that is lost, for example by a reset of
    the driver, is opened anew, and the frame drawn again. That takes a moment, so without `redraws_lost` only `warm_up`
    does it, and at work EngineError is raised.
    """

    def __init__(self, adapter: str, *, redraws_lost: bool) -> None:
        self._wanted = adapter
        self._redraws_lost = redraws_lost
        self._gpu: Gpu | None = None
        self._network: Link | None = None
        self._sized: SizedNetwork | None = None

    @property
    @abstractmethod
    def scale(self) -> int: ...

    @property
    def build(self) -> str:
        """The adapter, its driver, the version of wgpu, and a checksum of its code."""
        adapter = open_gpu(self._wanted).adapter
        return f"wgpu {version('wgpu')} {adapter} {adapter.driver}, code {compute_checksum():08x}"

    def is_built(self, size: Size) -> bool:
        """Always: compiling the shaders takes no longer than it takes to start another engine."""
        return True

    def warm_up(self, size: Size) -> None:
        """Opens the card, chooses the precision, and draws once. Raises EngineError, ModelError or MissingPart."""
        pixels, into = make_black(size), make_black(size.times(self.scale))
        self._draw(size, lambda sized: sized.draw(pixels, into), redraws=True)

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        size = get_size(frame.pixels)
        done = reuse_or_allocate_like(into, size.times(self.scale), frame.pixels)
        self._draw(size, lambda sized: sized.draw(frame.pixels, done), redraws=self._redraws_lost)
        return frame.with_pixels(done)

    def upscale_regions(self, pixels: Pixels, regions: Sequence[Rect], into: Pixels) -> None:
        """As `RegionEngine` describes. The size may be any. Only the regions come back from the card.

        Raises EngineError, ModelError or MissingPart.
        """
        size = get_size(pixels)
        inside = _clip(regions, size)
        if inside:
            redraws = self._redraws_lost
            self._draw(size, lambda sized: sized.draw_regions(pixels, inside, into), redraws=redraws)

    def upscale_on_device(self, frame: Frame[Pixels]) -> Frame[DisplayPicture] | None:
        return self._draw_on_card(frame, None)

    def upscale_regions_on_device(self, frame: Frame[Pixels], regions: Sequence[Rect]) -> Frame[DisplayPicture] | None:
        return self._draw_on_card(frame, _clip(regions, get_size(frame.pixels)))

    def close(self) -> None:
        sized, self._sized = self._sized, None
        network, self._network = self._network, None
        self._gpu = None
        for part in (sized, network):
            if part is not None:
                part.close()

    def _draw_on_card(self, frame: Frame[Pixels], regions: list[Rect] | None) -> Frame[DisplayPicture]:
        size, redraws = get_size(frame.pixels), self._redraws_lost
        return frame.with_pixels(
            self._draw(size, lambda sized: sized.draw_on_card(frame.pixels, regions), redraws=redraws)
        )

    def _draw(self, size: Size, draw: Callable[[SizedNetwork], Drawn], *, redraws: bool) -> Drawn:
        """What `draw` returns. redraws: if the card is lost, it is opened anew for that. Raises EngineError."""
        try:
            return draw(self._prepare(size))
        except ERRORS as error:
            name = "the graphics card" if self._gpu is None else self._gpu.adapter
            if not redraws:
                self.close()
                raise EngineError(f"{name} failed ({describe_failure(error)})", "update its driver") from error
            log.warning("%s failed (%s); it is opened again", name, describe_failure(error))
        lost = self._gpu
        self.close()
        try:
            if lost is not None:
                self._gpu = reopen_gpu(self._wanted, lost)
            return draw(self._prepare(size))
        except ERRORS as error:
            self.close()
            raise EngineError(f"the graphics card failed ({describe_failure(error)})", "update its driver") from error

    def _prepare(self, size: Size) -> SizedNetwork:
        """The network for pictures of `size`."""
        if self._sized is None or self._sized.size != size:
            if self._gpu is None:
                self._gpu = open_gpu(self._wanted)
            if self._network is None:
                self._network = self._open_network(self._gpu)
            sized, self._sized = self._sized, None
            if sized is not None:
                sized.close()
            self._sized = SizedNetwork(self._network, size)
        return self._sized

    @abstractmethod
    def _open_network(self, gpu: Gpu) -> Link:
        """What draws, on that card. Raises EngineError, ModelError, or one of `gpu.ERRORS`."""


def _clip(regions: Sequence[Rect], size: Size) -> list[Rect]:
    """What of them lies inside a picture of that size."""
    return [part for region in regions if (part := region.intersect(Rect(0, 0, *size))).width and part.height]


class WebGpuEngine(CardEngine):
    """Runs a network trained here, or a chain of such.

    precision: auto, fp32 or fp16. adapter: a part of the adapter's name; "auto": the first that is no software.
    threads and cache are not used: drivers keep compiled shaders themselves. redraws_lost: as above. Raises EngineError
    for another precision.
    """

    def __init__(
        self,
        card: ModelCard,
        *,
        precision: str = "auto",
        threads: int = 0,
        cache: Path | None = None,
        adapter: str = "auto",
        redraws_lost: bool = True,
    ) -> None:
        if not ways.list_candidates(precision, frozenset()):
            what = f"the webgpu engine computes in fp32 or fp16, not in {precision}"
            raise EngineError(what, 'use precision = "auto"')
        super().__init__(adapter, redraws_lost=redraws_lost)
        self._card = card
        self._precision = precision
        self._chosen = "" if precision == "auto" else precision  # what it computes in; stays after `close`
        self._parts: list[Part] = []  # empty: not read yet

    @property
    def scale(self) -> int:
        return self._card.scale

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(self._card.name, self._card.scale, "webgpu", self._chosen)

    def _open_network(self, gpu: Gpu) -> NetworkOnGpu:
        self._parts = self._parts or self._read_parts()
        key = (self._card.onnx, self._precision)
        known = gpu.find_choice(key)
        if known is None:
            candidates = ways.list_candidates(self._precision, gpu.adapter.features)
            network = choose_network(gpu, self._parts, candidates, self._card.multiple)
            gpu.keep_choice(key, network.arithmetic)
        else:
            network = NetworkOnGpu(gpu, self._parts, known, self._card.multiple)
        self._chosen = network.arithmetic.precision
        return network

    def _read_parts(self) -> list[Part]:
        """Raises ModelError."""
        return [part if isinstance(part, Fraction) else _read(part) for part in self._card.parts or [self._card]]


def _read(card: ModelCard) -> CellNetWeights:
    zoo.verify(card)
    weights = read_weights(card.onnx.with_suffix(".safetensors"))
    if weights.scale != card.scale:
        raise ModelError(f"the weights of {card.label} are for x{weights.scale}", "export it again")
    return weights


class WebGpuFilterEngine(CardEngine):
    """Enlarges with a filter of `engines/filters`, within a level of 255. Raises EngineError for other names."""

    def __init__(self, name: str, scale: int, *, adapter: str = "auto", redraws_lost: bool = True) -> None:
        if name not in WITH_SHADERS:
            raise EngineError(f"the webgpu engine has no filter {name}", f"use one of {', '.join(WITH_SHADERS)}")
        super().__init__(adapter, redraws_lost=redraws_lost)
        self._name = name
        self._scale = scale

    @property
    def scale(self) -> int:
        return self._scale

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(self._name, self._scale, "webgpu")

    def _open_network(self, gpu: Gpu) -> Link:
        if self._name == FSR:
            return FsrLink(gpu, self._scale)
        return ResampleLink(gpu, make_filter(self._name, self._scale))
