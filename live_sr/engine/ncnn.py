"""Published networks in ncnn's format (.param and .bin: Real-CUGAN, waifu2x), on the CPU through ncnn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ncnn
import numpy as np
import numpy.typing as npt

from live_sr.contracts import Job
from live_sr.errors import EngineError, ModelError
from live_sr.frame import Frame, Pixels, Size, fitting, fresh, size_of
from live_sr.models.card import ModelCard

Planes = npt.NDArray[np.float32]
"""RGB, shape (3, height, width), in 0..1."""

MAGIC = "7767517"  # the first line of every .param in text form
PROBES = (64, 96)
MULTIPLE = 4
"""Real-CUGAN halves the picture twice; its own programs fill up to 2 for x2 and to 4 for x3."""

# ncnn takes any number as it is: it dies of a border of 2^31 pixels, and asks for all memory for one of 2^20
MOST = 1 << 24
SIDE = 4096

REMEDY = "use the .param and .bin of a network from RGB to RGB, or get both again"


@dataclass(frozen=True)
class Layer:
    """A line of a .param; its numbers by ncnn's keys, which mean something else for every kind."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: dict[int, int]


@dataclass(frozen=True)
class Reach:
    """scale, and how many pixels around the picture the network uses up."""

    scale: int
    border: int


class NcnnEngine:
    """A network in fp32 through ncnn. It allocates as it runs: a yardstick.

    threads: 0 leaves their number to ncnn. cache is not used. Raises EngineError for a precision other than auto and
    fp32.
    """

    def __init__(
        self, card: ModelCard, *, precision: str = "auto", threads: int = 0, cache: Path | None = None
    ) -> None:
        if precision not in ("auto", "fp32"):
            raise EngineError(f"ncnn is used in fp32 here, not in {precision}", 'use precision = "auto"')
        self._card = card
        self._threads = threads
        self._net: ncnn.Net | None = None
        self._border = 0

    @staticmethod
    def read(path: Path) -> ModelCard:
        """What the file tells. Raises ModelError."""
        net = _net(path)
        reach = _reach(net, path)
        parameters, macs = cost(layers(path))
        return ModelCard(path.stem, reach.scale, path, "ncnn graph", parameters, macs)

    @property
    def scale(self) -> int:
        return self._card.scale

    @property
    def job(self) -> Job:
        return Job(self._card.name, self._card.scale, "ncnn", "fp32")

    def warm_up(self, size: Size) -> None:
        """Load the weights and run once. Raises ModelError."""
        self.close()
        net = _net(self._card.onnx, self._threads)
        self._border = _reach(net, self._card.onnx).border
        self._net = net
        self.upscale(Frame(fresh(size)))

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        size = size_of(frame.pixels)
        if self._net is None:
            self.warm_up(size)
        large = size.times(self.scale)
        done = fitting(into, large)
        rgb = frame.pixels[..., 2::-1].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        ends = [(self._border, self._border + -length % MULTIPLE) for length in (size.height, size.width)]
        enlarged = _run(self._net, np.pad(rgb, [(0, 0), *ends], mode="edge"))
        if enlarged is None:
            raise EngineError(f"ncnn failed on {self._card.label} with a picture of {size}", "use another model")
        picture = enlarged[::-1, : large.height, : large.width].transpose(1, 2, 0)
        np.copyto(done[..., :3], np.rint(np.clip(picture * 255, 0, 255)), casting="unsafe")
        done[..., 3] = 255
        return frame.redrawn(done)

    def close(self) -> None:
        self._net = None


def layers(path: Path) -> list[Layer]:
    """What a .param describes. Raises ModelError."""
    param = path.with_suffix(".param")
    try:
        lines = param.read_text(encoding="ascii").splitlines()
        if lines[0].strip() != MAGIC:
            raise ValueError
        graph = [_layer(line.split()) for line in lines[2:] if line.strip()]
    except OSError as error:
        raise ModelError(f"{param} cannot be read: {error.strerror}", REMEDY) from None
    except (ValueError, IndexError):
        raise ModelError(f"{param} is not an ncnn graph in text form", REMEDY) from None
    for layer in graph:
        if any(abs(n) > (SIDE if key in lengths(layer.kind) else MOST) for key, n in layer.numbers.items()):
            raise ModelError(f"{param} has a {layer.kind} with a number that no picture fits", REMEDY)
    return graph


def lengths(kind: str) -> tuple[int, ...]:
    """The keys of kernels, dilations, strides, borders and sizes in pixels, for a kind of layer."""
    if "onvolution" in kind or kind == "Pooling":
        return (1, 2, 3, 4, *range(11, 17))
    return {"Padding": (0, 1, 2, 3), "Interp": (3, 4), "Crop": (0, 1, 3, 4), "PixelShuffle": (0,)}.get(kind, ())


def _layer(words: list[str]) -> Layer:
    takes, makes = int(words[2]), int(words[3])
    names, options = words[4 : 4 + takes + makes], words[4 + takes + makes :]
    pairs = (option.split("=") for option in options)
    # lists have keys below -23300, and fractions a point: no figure that a cost needs
    numbers = {int(key): int(value) for key, value in pairs if "," not in value and "." not in value}
    return Layer(words[0], tuple(names[:takes]), tuple(names[takes:]), numbers)


def cost(graph: list[Layer]) -> tuple[int, int]:
    """(parameters, multiply-adds per input pixel), of convolutions and linear layers, far from the picture's edge."""
    parameters = 0
    macs = 0.0
    pixels: dict[str, float] = {}  # of each picture in the graph, for each pixel of the input
    for layer in graph:
        here = pixels.get(layer.inputs[0], 1.0) if layer.inputs else 1.0
        numbers = layer.numbers
        made = here
        if layer.kind.startswith(("Convolution", "Deconvolution")):
            area = numbers.get(3, 1) * numbers.get(13, numbers.get(3, 1))  # strides; across, and down where it differs
            made = here / area if layer.kind.startswith("Conv") else here * area
            weights = numbers.get(6, 0)
            macs += weights * min(here, made)  # the kernels stand on the smaller of the two
            parameters += weights + numbers.get(0, 0) * numbers.get(5, 0)
        elif layer.kind == "InnerProduct":
            macs += numbers.get(2, 0) * here
            parameters += numbers.get(2, 0) + numbers.get(0, 0) * numbers.get(1, 0)
        elif layer.kind == "Pooling":
            made = 0.0 if numbers.get(4, 0) else here / numbers.get(2, 1) ** 2
        elif layer.kind == "PixelShuffle":
            made = here * numbers.get(0, 1) ** 2
        pixels.update(dict.fromkeys(layer.outputs, made))
    return parameters, round(macs)


def _net(path: Path, threads: int = 0) -> ncnn.Net:
    """Loaded, in fp32. Raises ModelError."""
    if not _takes_rgb(layers(path)):
        raise ModelError(f"{path.with_suffix('.param')} does not begin with a convolution of RGB", REMEDY)
    net = ncnn.Net()
    if threads:
        net.opt.num_threads = threads
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, option, False)
    for file, load in ((path.with_suffix(".param"), net.load_param), (path.with_suffix(".bin"), net.load_model)):
        if not file.is_file():
            raise ModelError(f"there is no file {file}: the graph and its weights are two files", REMEDY)
        if load(str(file)) != 0:
            raise ModelError(f"{file} cannot be read: it is damaged, or of a kind that ncnn does not know", REMEDY)
    if len(net.input_names()) != 1 or len(net.output_names()) != 1:
        ends = f"{len(net.input_names())} inputs and {len(net.output_names())} outputs"
        raise ModelError(f"{path.with_suffix('.param')} cannot enlarge pictures: it has {ends}", REMEDY)
    return net


def _takes_rgb(graph: list[Layer]) -> bool:
    """ncnn does not check the channels of what it is given, and reads past the weights when there are too few."""
    first = next((layer for layer in graph if layer.kind == "Convolution"), None)
    if first is None:
        return False
    kernel = first.numbers.get(1, 1) * first.numbers.get(11, first.numbers.get(1, 1))
    return first.numbers.get(6, 0) == 3 * kernel * first.numbers.get(0, 0)


def _run(net: ncnn.Net, picture: Planes) -> Planes | None:
    """None when the network fails on it."""
    extractor = net.create_extractor()
    extractor.input(net.input_names()[0], ncnn.Mat(np.ascontiguousarray(picture)))
    failed, made = extractor.extract(net.output_names()[0])
    return None if failed else np.array(made)


def _reach(net: ncnn.Net, path: Path) -> Reach:
    """Told by two pictures of different size: a side of n becomes scale * (n - 2 * border). Raises ModelError."""
    sides = []
    for n in PROBES:
        made = _run(net, np.full((3, n, n), 0.5, np.float32))
        if made is None or made.ndim != 3 or made.shape[0] != 3 or made.shape[1] != made.shape[2]:
            raise ModelError(f"{path} does not make RGB pictures of RGB pictures", REMEDY)
        if not np.isfinite(made).all():
            raise ModelError(f"{path} makes no colours but infinities: its weights are damaged", REMEDY)
        sides.append(made.shape[1])
    scale, rest = divmod(sides[1] - sides[0], PROBES[1] - PROBES[0])
    lost, odd = divmod(scale * PROBES[0] - sides[0], 2 * scale) if scale > 0 else (0, 1)
    if rest or odd or scale < 2 or lost < 0:
        raise ModelError(f"{path} makes sides of {sides} of {list(PROBES)}, which is no enlarging", REMEDY)
    return Reach(scale, lost)
