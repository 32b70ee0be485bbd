"""Runs published networks in ncnn's format (.param and .bin: Real-CUGAN, waifu2x) with ncnn."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import ncnn
import numpy as np
import numpy.typing as npt

from live_sr.backends import AUTO
from live_sr.errors import EngineError, ModelError
from live_sr.models.card import ModelCard
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size, make_black, reuse_or_allocate
from live_sr.system import hardware
from live_sr.system.screen_adapters import PciId, find_screen_adapters

log = logging.getLogger(__name__)

Planes = npt.NDArray[np.float32]
"""RGB, shape (3, height, width), in 0..1."""

MAGIC = "7767517"  # the first line of every .param in text form
PROBE_SIDES = (64, 96)
MULTIPLE = 4
"""Real-CUGAN halves the picture twice. Its own programs pad to a multiple of 2 for x2 and of 4 for x3."""

# ncnn does not check numbers: it crashes at a border of 2^31 pixels, and tries to allocate all memory for one of 2^20
MAX_NUMBER = 1 << 24
MAX_LENGTH = 4096

SOFTWARE = 3
"""ncnn's type of an adapter that computes on the processor. The types below it are graphics cards, best first."""
MAX_DEVIATION = 1 / 255  # of a graphics card's picture from the processor's

REMEDY = "use the .param and .bin of a network from RGB to RGB, or get both again"


@dataclass(frozen=True)
class NcnnLayer:
    """A line of a .param. The numbers have ncnn's keys, whose meaning differs from kind to kind."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: dict[int, int]


@dataclass(frozen=True)
class NcnnGeometry:
    """The scale, and how many pixels on each side of the picture the network's convolutions use up."""

    scale: int
    border: int


class NcnnEngine:
    """A network in fp32, run by ncnn: on a graphics card with Vulkan if it draws there what it draws on the processor.

    It allocates memory for every frame, and serves for comparison. threads: on the processor; 0 leaves the number to
    ncnn. cache is not used. adapter: a part of the graphics adapter's name; "auto": the best that is no software.
    Raises EngineError for a precision other than auto and fp32.
    """

    def __init__(
        self,
        card: ModelCard,
        *,
        precision: str = "auto",
        threads: int = 0,
        cache: Path | None = None,
        adapter: str = AUTO,
    ) -> None:
        if precision not in ("auto", "fp32"):
            raise EngineError(f"ncnn runs in fp32 here, not in {precision}", 'use precision = "auto"')
        self._card = card
        self._threads = threads
        self._adapter = adapter
        self._on_graphics_card = False
        self._net: ncnn.Net | None = None
        self._border = 0

    @staticmethod
    def read(path: Path) -> ModelCard:
        """A model card with what the file says. Raises ModelError."""
        geometry = _measure_geometry(_load_network(path), path)
        parameters, macs = count_cost(read_layers(path))
        return ModelCard(path.stem, geometry.scale, path, "ncnn graph", parameters, macs)

    @property
    def scale(self) -> int:
        return self._card.scale

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(
            self._card.name, self._card.scale, "ncnn", "fp32, Vulkan" if self._on_graphics_card else "fp32"
        )

    def warm_up(self, size: Size) -> None:
        """Loads the weights and runs once. Raises ModelError."""
        self.close()
        net = _load_network(self._card.onnx, self._threads)
        self._border = _measure_geometry(net, self._card.onnx).border
        self._net = self._find_on_graphics_card(net) or net
        self.upscale(Frame(make_black(size)))

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        size = get_size(frame.pixels)
        if self._net is None:
            self.warm_up(size)
        large = size.times(self.scale)
        done = reuse_or_allocate(into, large)
        rgb = frame.pixels[..., 2::-1].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        ends = [(self._border, self._border + -length % MULTIPLE) for length in (size.height, size.width)]
        padded = np.pad(rgb, [(0, 0), *ends], mode="edge")
        enlarged = _run(self._net, padded)
        if enlarged is None and self._on_graphics_card:
            log.warning("ncnn failed on the graphics card; the processor goes on")
            self._on_graphics_card, self._net = False, _load_network(self._card.onnx, self._threads)
            enlarged = _run(self._net, padded)
        if enlarged is None:
            raise EngineError(f"ncnn failed on {self._card.label} with a picture of {size}", "use another model")
        picture = enlarged[::-1, : large.height, : large.width].transpose(1, 2, 0)
        np.copyto(done[..., :3], np.rint(np.clip(picture * 255, 0, 255)), casting="unsafe")
        done[..., 3] = 255
        return frame.with_pixels(done)

    def close(self) -> None:
        self._net = None
        self._on_graphics_card = False

    def _find_on_graphics_card(self, on_processor: ncnn.Net) -> ncnn.Net | None:
        """The network on the adapter of the settings; None if there is none, or its picture is another one."""
        number = find_adapter(self._adapter)
        if number is None:
            return None
        net = _load_network(self._card.onnx, adapter=number)
        picture = np.random.default_rng(0).random((3, PROBE_SIDES[0], PROBE_SIDES[0]), np.float32)
        expected, made = _run(on_processor, picture), _run(net, picture)
        if expected is None or made is None or made.shape != expected.shape:
            trouble = "fails"
        else:
            worst = np.abs(np.clip(made, 0, 1) - np.clip(expected, 0, 1)).max()  # a NaN is not within anything
            trouble = "" if worst <= MAX_DEVIATION else f"draws a picture that is up to {worst * 255:.0f} levels wrong"
        if trouble:
            name = ncnn.get_gpu_info(number).device_name()
            log.warning("ncnn %s on %s with %s; the processor does it", trouble, name, self._card.label)
            return None
        self._on_graphics_card = True
        return net


def read_layers(path: Path) -> list[NcnnLayer]:
    """The layers that a .param describes. Raises ModelError."""
    param = path.with_suffix(".param")
    try:
        lines = param.read_text(encoding="ascii").splitlines()
        if lines[0].strip() != MAGIC:
            raise ValueError
        graph = [_parse_layer(line.split()) for line in lines[2:] if line.strip()]
    except OSError as error:
        raise ModelError(f"{param} cannot be read: {error.strerror}", REMEDY) from None
    except (ValueError, IndexError):
        raise ModelError(f"{param} is not an ncnn graph in text form", REMEDY) from None
    for layer in graph:
        lengths = get_length_keys(layer.kind)
        if any(abs(n) > (MAX_LENGTH if key in lengths else MAX_NUMBER) for key, n in layer.numbers.items()):
            raise ModelError(f"{param} has a {layer.kind} with a number that is too large for any picture", REMEDY)
    return graph


def get_length_keys(kind: str) -> tuple[int, ...]:
    """The keys of kernels, dilations, strides, borders and sizes, all in pixels, for a kind of layer."""
    if "onvolution" in kind or kind == "Pooling":
        return (1, 2, 3, 4, *range(11, 17))
    return {"Padding": (0, 1, 2, 3), "Interp": (3, 4), "Crop": (0, 1, 3, 4), "PixelShuffle": (0,)}.get(kind, ())


def _parse_layer(words: list[str]) -> NcnnLayer:
    input_count, output_count = int(words[2]), int(words[3])
    names, options = words[4 : 4 + input_count + output_count], words[4 + input_count + output_count :]
    pairs = (option.split("=") for option in options)
    # lists have keys below -23300, and fractions have a decimal point: the cost needs neither
    numbers = {int(key): int(value) for key, value in pairs if "," not in value and "." not in value}
    return NcnnLayer(words[0], tuple(names[:input_count]), tuple(names[input_count:]), numbers)


def count_cost(graph: list[NcnnLayer]) -> tuple[int, int]:
    """(parameters, multiply-adds per input pixel) of convolutions and linear layers, far from the picture's edge."""
    parameters = 0
    macs = 0.0
    pixels: dict[str, float] = {}  # of each tensor, per input pixel
    for layer in graph:
        before = pixels.get(layer.inputs[0], 1.0) if layer.inputs else 1.0
        numbers = layer.numbers
        after = before
        if layer.kind.startswith(("Convolution", "Deconvolution")):
            stride_area = numbers.get(3, 1) * numbers.get(13, numbers.get(3, 1))  # across, and down where it differs
            after = before / stride_area if layer.kind.startswith("Conv") else before * stride_area
            weights = numbers.get(6, 0)
            macs += weights * min(before, after)  # the kernel is applied at each pixel of the smaller tensor
            parameters += weights + numbers.get(0, 0) * numbers.get(5, 0)
        elif layer.kind == "InnerProduct":
            macs += numbers.get(2, 0) * before
            parameters += numbers.get(2, 0) + numbers.get(0, 0) * numbers.get(1, 0)
        elif layer.kind == "Pooling":
            after = 0.0 if numbers.get(4, 0) else before / numbers.get(2, 1) ** 2
        elif layer.kind == "PixelShuffle":
            after = before * numbers.get(0, 1) ** 2
        pixels.update(dict.fromkeys(layer.outputs, after))
    return parameters, round(macs)


def find_adapter(wanted: str) -> int | None:
    """ncnn's number of the graphics adapter with `wanted` in its name, or of the best graphics card for "auto".

    The best one is that which a screen hangs on, as for `engines/webgpu`.
    """
    if wanted == AUTO and hardware.describe_missing_adapter():
        return None  # without asking the drivers, which takes a while
    hardware.keep_vulkan_quiet()
    screens = find_screen_adapters()
    found = []
    for number in range(ncnn.get_gpu_count()):
        about = ncnn.get_gpu_info(number)
        has_screen = PciId(about.vendor_id(), about.device_id()) in screens
        found.append((about.type() == SOFTWARE, not has_screen, about.type(), number))
    for _, _, kind, number in sorted(found):
        name = ncnn.get_gpu_info(number).device_name()
        fits = kind != SOFTWARE if wanted == AUTO else wanted.lower() in name.lower()
        if fits:
            return number
    return None


def _load_network(path: Path, threads: int = 0, adapter: int | None = None) -> ncnn.Net:
    """The network, set to fp32. adapter: ncnn's number of one; None: the processor. Raises ModelError."""
    if not _takes_rgb(read_layers(path)):
        raise ModelError(f"{path.with_suffix('.param')} does not begin with a convolution of RGB", REMEDY)
    net = ncnn.Net()
    if threads:
        net.opt.num_threads = threads
    if adapter is not None:
        net.opt.use_vulkan_compute = True
        net.set_vulkan_device(adapter)
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, option, False)
    for file, load in ((path.with_suffix(".param"), net.load_param), (path.with_suffix(".bin"), net.load_model)):
        if not file.is_file():
            raise ModelError(f"there is no file {file}: the graph and its weights are two files", REMEDY)
        if load(str(file)) != 0:
            raise ModelError(f"{file} cannot be read: it is damaged, or ncnn does not know its format", REMEDY)
    if len(net.input_names()) != 1 or len(net.output_names()) != 1:
        ends = f"{len(net.input_names())} inputs and {len(net.output_names())} outputs"
        raise ModelError(f"{path.with_suffix('.param')} cannot enlarge pictures: it has {ends}", REMEDY)
    return net


def _takes_rgb(graph: list[NcnnLayer]) -> bool:
    """ncnn does not check the channels of its input, and reads past the weights when there are too few."""
    first = next((layer for layer in graph if layer.kind == "Convolution"), None)
    if first is None:
        return False
    kernel = first.numbers.get(1, 1) * first.numbers.get(11, first.numbers.get(1, 1))
    return first.numbers.get(6, 0) == 3 * kernel * first.numbers.get(0, 0)


def _run(net: ncnn.Net, picture: Planes) -> Planes | None:
    """The network's output, or None when it fails on this picture."""
    extractor = net.create_extractor()
    extractor.input(net.input_names()[0], ncnn.Mat(np.ascontiguousarray(picture)))
    failed, result = extractor.extract(net.output_names()[0])
    return None if failed else np.array(result)


def _measure_geometry(net: ncnn.Net, path: Path) -> NcnnGeometry:
    """Runs two pictures of different sizes: a side of n becomes scale * (n - 2 * border). Raises ModelError."""
    sides = []
    for n in PROBE_SIDES:
        result = _run(net, np.full((3, n, n), 0.5, np.float32))
        if result is None or result.ndim != 3 or result.shape[0] != 3 or result.shape[1] != result.shape[2]:
            raise ModelError(f"{path} does not turn an RGB picture into an RGB picture", REMEDY)
        if not np.isfinite(result).all():
            raise ModelError(f"{path} returns infinite values: its weights are damaged", REMEDY)
        sides.append(result.shape[1])
    scale, rest = divmod(sides[1] - sides[0], PROBE_SIDES[1] - PROBE_SIDES[0])
    lost, odd = divmod(scale * PROBE_SIDES[0] - sides[0], 2 * scale) if scale > 0 else (0, 1)
    if rest or odd or scale < 2 or lost < 0:
        raise ModelError(f"{path} turns sides of {list(PROBE_SIDES)} into {sides}, which does not enlarge", REMEDY)
    return NcnnGeometry(scale, lost)
