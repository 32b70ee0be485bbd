"""Runs networks on the CPU with OpenVINO."""

from __future__ import annotations

import functools
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic

import numpy as np
import numpy.typing as npt
import openvino as ov

from live_sr.engines.cache.openvino_blobs import open_blobs
from live_sr.engines.openvino.folded_graph import build_folded_graph
from live_sr.engines.openvino.int8_graph import build_int8_network
from live_sr.engines.openvino.io_wrapper import wrap_openvino_io
from live_sr.engines.openvino.network_form import UnsuitableNetwork, shape_for_rgb
from live_sr.errors import EngineError, ModelError
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.cellnet_weights import CELL, CellNetWeights, read_weights
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import AnyPixels, Frame, Pixels, Pixels16, Size, reuse_or_allocate_like

log = logging.getLogger(__name__)

# OpenVINO's name of each precision: as a hint, and among the capabilities of the processor
PRECISIONS = {"bf16": ("bf16", "BF16"), "fp16": ("f16", "FP16"), "fp32": ("f32", "FP32"), "int8": ("f32", "INT8")}

FASTEST = {"CPU": "bf16", "GPU": "fp16"}  # by device; fp32 where it does not list that


@functools.cache
def get_core() -> ov.Core:
    """The runtime of this process. There is one, because each instance loads its own plugins and keeps them.

    oneDNN inside it keeps the last 1024 kernels that the process compiled. After 200 changes of the window's size these
    took 64 MB (23 MB with a limit of 64, 12 MB with 0), and a smaller limit did not make compiling slower. oneDNN reads
    the variable when the plugin is loaded, at the first query to the device.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
    return ov.Core()


class OpenVINOImageEngine(Generic[AnyPixels]):
    """Enlarges BGRA pictures of one data type on the CPU. All conversions are part of the compiled graph."""

    device = "CPU"  # OpenVINO's name for it

    def __init__(self, dtype: npt.DTypeLike, card: ModelCard, precision: str, threads: int, cache: Path | None) -> None:
        self._dtype = np.dtype(dtype)
        self._card = card
        self._threads = threads
        self._cache = cache
        self._may_change_precision = precision == "auto"
        self.precision = _choose_precision(precision, card, self.device)
        self._size: Size | None = None
        self._request: ov.InferRequest | None = None
        self._shareable: AnyPixels | None = None

    @property
    def scale(self) -> int:
        return self._card.scale

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(self._card.name, self._card.scale, "openvino", self.precision)

    def warm_up(self, size: Size) -> None:
        """Compiles for frames of `size` and runs twice, so that all buffers exist before the first frame."""
        self.close()
        try:
            compiled = self._compile(self._make_graph(size))
        except EngineError:  # under a lesser instruction set, OpenVINO lists a precision and fails to compile for it
            if not self._may_change_precision or self.precision == "fp32":
                raise
            log.warning("OpenVINO lists %s here but cannot compile for it; fp32 is used instead", self.precision)
            self.precision = "fp32"
            compiled = self._compile(self._make_graph(size))
        self._request = compiled.create_infer_request()
        self._size = size
        blank: AnyPixels = np.zeros((size.height, size.width, 4), self._dtype)
        for _ in range(2):
            self.upscale(Frame(blank))

    def upscale(self, frame: Frame[AnyPixels], into: AnyPixels | None = None) -> Frame[AnyPixels] | None:
        size = Size(frame.pixels.shape[1], frame.pixels.shape[0])
        if self._request is None or size != self._size:
            self.warm_up(size)
        assert self._request is not None
        pixels = frame.pixels
        done = reuse_or_allocate_like(into, size.times(self.scale), pixels)
        if not (pixels.flags.writeable and pixels.flags.c_contiguous):  # the binding refuses to share these
            self._shareable = reuse_or_allocate_like(self._shareable, size, pixels)
            np.copyto(self._shareable, pixels)
            pixels = self._shareable
        try:
            self._request.set_input_tensor(ov.Tensor(pixels[np.newaxis], shared_memory=True))
            self._request.set_output_tensor(ov.Tensor(done[np.newaxis], shared_memory=True))
            # without share_outputs the binding returns a copy of the picture; it releases the GIL while it runs
            self._request.infer(share_outputs=True)
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO failed on {self._card.label}: {summarise_error(error)}", FALLBACK_REMEDY
            ) from error
        return frame.with_pixels(done)

    def close(self) -> None:
        self._request = self._size = self._shareable = None

    def _make_graph(self, size: Size) -> ov.Model:
        """The network with all conversions for frames of `size`. Raises ModelError."""
        top = np.iinfo(self._dtype).max
        peak = top + 1 if self.precision == "bf16" else top
        return wrap_openvino_io(self._read_network(size, peak), self._card, size, peak, top)

    def _read_network(self, size: Size, peak: int) -> ov.Model:
        """The network for RGB float in 0..1, (1, 3, H, W), of `size.round_up(card.multiple)`. Raises ModelError.

        `peak`: the level that is 1.0, which a network of uint8 must know.
        """
        zoo.verify(self._card)
        return _load_network(self._card, size, peak)

    def _compile(self, graph: ov.Model) -> ov.CompiledModel:
        settings = self._list_settings()
        with open_blobs(self._cache) as folder:
            if folder is not None:
                with suppress(RuntimeError):  # a full disk; any other cause raises the same error below
                    return get_core().compile_model(graph, self.device, {**settings, "CACHE_DIR": str(folder)})
        try:
            return get_core().compile_model(graph, self.device, settings)
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO cannot compile {self._card.label}: {summarise_error(error)}", FALLBACK_REMEDY
            ) from error

    def _list_settings(self) -> dict[str, str | int | bool]:
        settings: dict[str, str | int | bool] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISIONS[self.precision][0],
            # a thread pinned to a core waits for whatever else runs on it, and that would be the game
            "ENABLE_CPU_PINNING": False,
        }
        if self._threads:
            settings["INFERENCE_NUM_THREADS"] = self._threads
        return settings


class OpenVINOEngine(OpenVINOImageEngine[Pixels]):
    """The engine for frames, which are BGRA uint8.

    precision: auto (bf16 where the processor supports it, else fp32), bf16, fp16, fp32, or int8 for the inner layers of
    a network trained here whose card has ranges for it. threads: 0 means one per
    core; next to a game that keeps a core busy, one less gives a steadier frame time. cache: a folder for compiled
    graphs. It is created when missing, and ignored when it cannot be written. folded: the graph of `folded_graph.py`,
    for a network trained here whose .safetensors file is beside the model; `warm_up` raises ModelError for any other.
    Raises EngineError when the processor does not support the precision.
    """

    def __init__(
        self,
        card: ModelCard,
        *,
        precision: str = "auto",
        threads: int = 0,
        cache: Path | None = None,
        folded: bool = False,
    ) -> None:
        super().__init__(np.uint8, card, precision, threads, cache)
        self.folded = folded

    def _make_graph(self, size: Size) -> ov.Model:
        if not self.folded:
            return super()._make_graph(size)
        zoo.verify(self._card)
        return build_folded_graph(self._read_weights(), size)

    def _read_network(self, size: Size, peak: int) -> ov.Model:
        if self.precision != "int8":
            return super()._read_network(size, peak)
        zoo.verify(self._card)
        weights, ranges = self._read_weights(), self._card.int8_ranges
        if len(ranges) != len(weights.layers) - 1:
            what = f"the card of {self._card.label} has {len(ranges)} int8_ranges for {len(weights.layers) - 1} layers"
            raise ModelError(what, "export the model again with --int8")
        return build_int8_network(weights, ranges, size.round_up(CELL))

    def _read_weights(self) -> CellNetWeights:
        return read_weights(self._card.onnx.with_suffix(".safetensors"))


class OpenVINO16BitEngine(OpenVINOImageEngine[Pixels16]):
    """The engine for BGRA uint16. It computes in fp32, because bf16 has only eight significant bits."""

    def __init__(self, card: ModelCard, *, threads: int = 0, cache: Path | None = None) -> None:
        super().__init__(np.uint16, card, "fp32", threads, cache)


FALLBACK_REMEDY = "use another model, or the filters engine"
DRIVER_REMEDY = "update its driver, or use another engine"
MODEL_REMEDY = "use a model whose input is a picture, RGB or luma, of any height and width"


def _check_weights(card: ModelCard, network: ov.Model) -> None:
    """Raises ModelError for weights with which every picture would be black."""
    for node in network.get_ops():
        if node.get_type_name() == "Constant" and node.get_element_type().is_real():
            values = np.asarray(node.data)
            if values.dtype.kind == "f" and values.size > 1 and np.isnan(values).any():
                what = f"{card.onnx} cannot be used: {node.get_friendly_name()} holds numbers that are none (NaN)"
                raise ModelError(what, "get the file again, or export it from other weights")


def _load_network(card: ModelCard, size: Size, peak: int) -> ov.Model:
    """The model, shaped for frames of `size` and with its output checked. Raises ModelError."""
    try:
        network = get_core().read_model(card.onnx)
    except RuntimeError as error:
        raise ModelError(
            f"{card.onnx} is not a model that OpenVINO can run: {summarise_error(error)}", "use another model or engine"
        ) from error
    _check_weights(card, network)
    padded = size.round_up(card.multiple)
    try:
        network = shape_for_rgb(network, padded, peak)
    except UnsuitableNetwork as error:
        raise ModelError(f"{card.onnx} cannot enlarge pictures: {error.why}", error.remedy or MODEL_REMEDY) from None
    except RuntimeError as error:
        raise ModelError(
            f"{card.onnx} cannot take frames of {padded}: {summarise_error(error)}", MODEL_REMEDY
        ) from error
    shape = list(network.output(0).partial_shape.get_max_shape())
    if shape != [1, 3, padded.height * card.scale, padded.width * card.scale]:
        raise ModelError(
            f"{card.onnx} turns [1, 3, {padded.height}, {padded.width}] into {shape}, which is not x{card.scale}",
            "choose the scale that it was made for, or correct its card",
        )
    return network


def _choose_precision(wanted: str, card: ModelCard, device: str) -> str:
    """A key of PRECISIONS. Raises EngineError when this device, or the model, does not support the wanted one."""
    supported = read_property(device, "OPTIMIZATION_CAPABILITIES")
    if wanted == "auto":
        return FASTEST[device] if PRECISIONS[FASTEST[device]][1] in supported else "fp32"
    here = [name for name, (_, capability) in PRECISIONS.items() if capability in supported]
    if wanted == "int8" and wanted in here and not card.int8_ranges:
        what = f"the card of {card.label} has no ranges for int8"
        raise EngineError(what, 'use precision = "auto", or a model that was exported with --int8')
    if wanted not in here:
        names = ", ".join(name for name in here if name != "int8" or card.int8_ranges)
        name = "processor" if device == "CPU" else "graphics card"
        raise EngineError(f"this {name} does not compute in {wanted}, but in {names}", 'use precision = "auto"')
    return wanted


def read_property(device: str, name: str) -> Any:
    """What OpenVINO says of a device. Raises EngineError, as where a graphics card's driver fails."""
    try:
        return get_core().get_property(device, name)
    except RuntimeError as error:
        raise EngineError(
            f"OpenVINO cannot use its device {device}: {summarise_error(error)}", DRIVER_REMEDY
        ) from error


def summarise_error(error: Exception) -> str:
    """The last line of an OpenVINO error. The lines above it name places in its source code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
