"""Networks on the CPU, through OpenVINO."""

from __future__ import annotations

import functools
import os
from contextlib import suppress
from pathlib import Path
from typing import Generic

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as ops
from openvino.preprocess import PrePostProcessor

from live_sr.contracts import Job
from live_sr.engine.lane import Deep, L, fitting
from live_sr.errors import EngineError, ModelError
from live_sr.frame import Frame, Pixels, Size
from live_sr.models import zoo
from live_sr.models.card import ModelCard

# What the runtime calls a precision: as a hint, and among the capabilities of the processor
PRECISIONS = {"bf16": ("bf16", "BF16"), "fp16": ("f16", "FP16"), "fp32": ("f32", "FP32")}

BLOBS = 32  # compiled graphs kept in the cache folder, some hundred kB each


@functools.cache
def core() -> ov.Core:
    """The runtime; one serves the process, since each one loads its own plugins and keeps them.

    oneDNN inside it keeps the last 1024 kernels compiled anywhere in the process, which 200 changes of the window's
    size turned into 64 MB (into 12 with 0 and into 23 with 64, and compiling took no longer). It reads the variable
    when the plugin is loaded, by the first question to the device.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
    return ov.Core()


class Network(Generic[L]):
    """A network on the CPU between BGRA pictures of one depth, every conversion inside the compiled graph."""

    def __init__(self, depth: npt.DTypeLike, card: ModelCard, precision: str, threads: int, cache: Path | None) -> None:
        self._depth = np.dtype(depth)
        self._card = card
        self._threads = threads
        self._cache = cache
        self.precision = _precision(precision)
        self._size: Size | None = None
        self._request: ov.InferRequest | None = None
        self._shareable: L | None = None

    @property
    def scale(self) -> int:
        return self._card.scale

    @property
    def job(self) -> Job:
        return Job(self._card.name, self._card.scale, "openvino", self.precision)

    def warm_up(self, size: Size) -> None:
        """Compile for frames of `size` and run twice, so that the first frame finds every buffer in place."""
        self.close()
        top = np.iinfo(self._depth).max
        peak = top + 1 if self.precision == "bf16" else top
        graph = framed(self._network(size), self._card, size, peak, top)
        self._request = self._compiled(graph).create_infer_request()
        self._size = size
        blank: L = np.zeros((size.height, size.width, 4), self._depth)
        for _ in range(2):
            self.upscale(Frame(blank))

    def upscale(self, frame: Frame[L], into: L | None = None) -> Frame[L] | None:
        size = Size(frame.pixels.shape[1], frame.pixels.shape[0])
        if self._request is None or size != self._size:
            self.warm_up(size)
        assert self._request is not None
        pixels = frame.pixels
        done = fitting(into, size.times(self.scale), pixels)
        if not (pixels.flags.writeable and pixels.flags.c_contiguous):  # the binding refuses to share these
            self._shareable = fitting(self._shareable, size, pixels)
            np.copyto(self._shareable, pixels)
            pixels = self._shareable
        try:
            self._request.set_input_tensor(ov.Tensor(pixels[np.newaxis], shared_memory=True))
            self._request.set_output_tensor(ov.Tensor(done[np.newaxis], shared_memory=True))
            # without share_outputs the binding hands back a copy of the picture; the GIL is released meanwhile
            self._request.infer(share_outputs=True)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on {self._card.label}: {_last_line(error)}", LAST_RESORT) from error
        return frame.redrawn(done)

    def close(self) -> None:
        self._request = self._size = self._shareable = None

    def _network(self, size: Size) -> ov.Model:
        """For RGB float in 0..1, (1, 3, H, W), where H and W are those of `padded(size)`. Raises ModelError."""
        zoo.verify(self._card)
        return _network(self._card, size)

    def _compiled(self, graph: ov.Model) -> ov.CompiledModel:
        settings: dict[str, str | int | bool] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISIONS[self.precision][0],
            # a thread tied to a core waits for whatever else runs there, and here that is a game
            "ENABLE_CPU_PINNING": False,
        }
        if self._threads:
            settings["INFERENCE_NUM_THREADS"] = self._threads
        if self._cache is not None and _writable(self._cache):
            _forget(self._cache, BLOBS - 1)
            try:
                return core().compile_model(graph, "CPU", {**settings, "CACHE_DIR": str(self._cache)})
            except RuntimeError:
                pass  # a full disk or a damaged cache; without it the same error comes again if it has another cause
        try:
            return core().compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO cannot compile {self._card.label}: {_last_line(error)}", LAST_RESORT
            ) from error


class OpenVINOEngine(Network[Pixels]):
    """For frames: BGRA uint8.

    precision: auto (bf16 where the processor computes in it, else fp32), bf16, fp16 or fp32. threads: 0 for one per
    core; next to a game that keeps a core busy, one less is steadier. cache: a folder for compiled graphs, made when it
    is not there, and done without when it cannot be written. Raises EngineError when the processor lacks the precision.
    """

    def __init__(
        self, card: ModelCard, *, precision: str = "auto", threads: int = 0, cache: Path | None = None
    ) -> None:
        super().__init__(np.uint8, card, precision, threads, cache)


class DeepOpenVINOEngine(Network[Deep]):
    """For pictures of 16 bits a channel: BGRA uint16, in fp32, since bf16 holds eight. The rest as above."""

    def __init__(self, card: ModelCard, *, threads: int = 0, cache: Path | None = None) -> None:
        super().__init__(np.uint16, card, "fp32", threads, cache)


LAST_RESORT = "use another model, or the filters engine"
MODEL_REMEDY = "use a model whose input is RGB float (1, 3, H, W) of any height and width"


def framed(network: ov.Model, card: ModelCard, size: Size, peak: int, top: int = 255) -> ov.Model:
    """The network with its conversions: BGRA (1, H, W, 4) in, BGRA (1, H * scale, W * scale, 4) out, both uint8 where
    the highest level `top` is 255, and uint16 where it is 65535.

    `size` is the picture's, `network` is already shaped for `padded(size)`: the edge is repeated to the right and
    below, and what became of it cut off again. A level v enters as v / peak, and y leaves as y * peak. The peak is the
    top, but 256 where the graph computes in bf16: eight significant bits hold v / 256 exactly and v / 255 only rounded,
    up by 0.17 levels on average. Seeing the picture 0.4 % darker and answering 0.4 % brighter makes no difference to a
    network of convolutions and piecewise linear activations but in its biases.
    """
    room = padded(size, card.multiple)
    levels_of = ov.Type.u8 if top == 255 else ov.Type.u16

    def before(picture: ov.Output) -> ov.Output:
        planes = ops.convert(ops.transpose(picture, [0, 3, 1, 2]), "f32")
        rgb = ops.gather(planes, ops.constant(np.array([2, 1, 0])), ops.constant(1))
        values = ops.multiply(rgb, ops.constant(np.float32(1 / peak)))
        if room != size:
            ends = [0, 0, room.height - size.height, room.width - size.width]
            values = ops.pad(values, [0, 0, 0, 0], ends, "edge")
        return values.output(0)

    def after(enlarged: ov.Output) -> ov.Output:
        # RGB to BGRA and the scale in one 1x1 convolution: 5.6 ms for a whole x2 network at 480x270, where reordering,
        # multiplying and appending alpha each in its turn took 9 (2 cores of Zen 4, bf16). Round and clamp fuse with it
        # and see its float32 sums; "half even" because sums of bf16 values often are ties.
        weights = np.zeros((4, 3, 1, 1), np.float32)
        weights[0, 2] = weights[1, 1] = weights[2, 0] = peak
        alpha = np.array([0, 0, 0, top], np.float32).reshape(1, 4, 1, 1)
        levels = ops.add(ops.convolution(enlarged, ops.constant(weights), [1, 1], [0, 0], [0, 0], [1, 1]), alpha)
        rounded = ops.round(ops.clamp(levels, 0.0, float(top)), "half_to_even")
        picture = ops.convert(ops.transpose(rounded, [0, 2, 3, 1]), levels_of.get_type_name())
        if room != size:
            large = size.times(card.scale)
            picture = ops.slice(picture, [0, 0], [large.height, large.width], [1, 1], [1, 2])
        return picture.output(0)

    steps = PrePostProcessor(network)
    steps.input().tensor().set_element_type(levels_of).set_shape([1, size.height, size.width, 4])
    steps.input().preprocess().custom(before)
    steps.output().postprocess().custom(after)
    return steps.build()


def padded(size: Size, multiple: int) -> Size:
    """The least size not below `size` with both sides multiples of `multiple`."""
    return Size(-(-size.width // multiple) * multiple, -(-size.height // multiple) * multiple)


def _network(card: ModelCard, size: Size) -> ov.Model:
    """The model shaped for frames of `size`, its output checked. Raises ModelError."""
    try:
        network = core().read_model(card.onnx)
    except RuntimeError as error:
        raise ModelError(
            f"{card.onnx} is not a model that OpenVINO can run: {_last_line(error)}", "use another model or engine"
        ) from error
    what = _not_a_picture(network)
    if what:
        raise ModelError(f"{card.onnx} cannot enlarge pictures: {what}", MODEL_REMEDY)
    room = padded(size, card.multiple)
    try:
        network.reshape([1, 3, room.height, room.width])
    except RuntimeError as error:
        raise ModelError(f"{card.onnx} cannot take frames of {room}: {_last_line(error)}", MODEL_REMEDY) from error
    made = list(network.output(0).partial_shape.get_max_shape())
    if made != [1, 3, room.height * card.scale, room.width * card.scale]:
        raise ModelError(
            f"{card.onnx} makes {made} of [1, 3, {room.height}, {room.width}], which is not x{card.scale}",
            "choose the scale it was made for, or correct its card",
        )
    return network


def _not_a_picture(network: ov.Model) -> str:
    """Why this is no network from one RGB picture to one, or an empty string."""
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        return f"it has {len(network.inputs)} inputs and {len(network.outputs)} outputs"
    for side, port in (("input", network.input(0)), ("output", network.output(0))):
        if port.get_element_type() != ov.Type.f32:
            return f"its {side} is {port.get_element_type().get_type_name()}, not f32"
    shape = network.input(0).partial_shape
    if not shape.compatible(ov.PartialShape([1, 3, -1, -1])):
        return f"its input is {shape}"
    return ""


def _precision(wanted: str) -> str:
    """bf16, fp16 or fp32. Raises EngineError when this processor does not have the wanted one."""
    has = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if wanted == "auto":
        return "bf16" if "BF16" in has else "fp32"
    if wanted not in PRECISIONS or PRECISIONS[wanted][1] not in has:
        there = ", ".join(name for name, (_, capability) in PRECISIONS.items() if capability in has)
        raise EngineError(f"this processor does not compute in {wanted}, but in {there}", 'use precision = "auto"')
    return wanted


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _forget(cache: Path, keep: int) -> None:
    """Leave the newest compiled graphs: every size of a window that was dragged larger has one."""
    with suppress(OSError):  # another process does the same, or the file is in use
        blobs = sorted(cache.glob("*.blob"), key=lambda blob: blob.stat().st_mtime, reverse=True)
        for blob in blobs[keep:]:
            blob.unlink()


def _last_line(error: Exception) -> str:
    """What a message of the runtime's says, without where in its sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
