"""`live-sr models check`: what a model file is, and why it cannot be used; nothing is kept and nothing executed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr import backends
from live_sr.collection import adding
from live_sr.errors import LiveSRError, MissingPart, ModelError
from live_sr.frame import Size
from live_sr.models import install, zoo
from live_sr.models.card import ModelCard

if TYPE_CHECKING:
    from live_sr.engine.graph_openvino import Graph

SIDE = 64  # of the pictures that sizes are tried with
MULTIPLES = (1, 2, 4, 8, 16, 32, 64)  # SIDE + 64 is a multiple of all
EXPORT = "export it with one input, float32 RGB (1, 3, H, W) in 0..1 with free H and W, and one output like it"


@dataclass
class Report:
    """What was found out, in the order in which people ask."""

    file: Path
    lines: list[tuple[str, str]] = field(default_factory=list)

    def tell(self, what: str, value: object) -> None:
        self.lines.append((what, str(value)))

    def __str__(self) -> str:
        return "\n".join([str(self.file), *(f"  {what:13} {value}" for what, value in self.lines)])


def check(files: Sequence[Path]) -> int:
    """Prints what is known of each file. Raises ModelError for the first that cannot be used, after what was found."""
    for file in files:
        report = Report(file)
        try:
            _examine(file, report)
        finally:
            if report.lines:
                print(report)
        print("  it can be used" if _enlarges(report) else "  it can be used before another: --model NAME+fast")
    return 0


def _enlarges(report: Report) -> bool:
    return ("scale", "x1") not in report.lines


def _examine(file: Path, report: Report) -> None:
    """Raises ModelError or MissingPart."""
    if not file.exists():
        raise ModelError(f"there is no file {file}", "correct the path")
    if not file.is_file():
        raise ModelError(f"{file} is not a file", "name the model's file itself")
    reader = backends.reader(str(file))
    if file.suffix.lower() == ".onnx":
        _onnx(file, report)
    elif reader is None:
        kinds = ", ".join([".onnx", *(s for backend in backends.PUBLISHED for s in backend.suffixes)])
        raise ModelError(f"{file} is of no kind that can be used", f"models are files of {kinds}")
    elif reader.obstacle():
        raise MissingPart(f"{file.name} cannot be read: {reader.obstacle()}", reader.get)
    elif reader.name == "torch":
        _torch(file, report)
    else:
        report.tell("kind", f"for {reader.name}")
        if file.stat().st_size == 0:
            raise ModelError(f"{file} cannot be used: it is empty", "get the file again")
        _known(reader.load().read(file), report)
        report.tell("runs on", f"{reader.name}, and no other engine: it cannot be added, only used from its path")


def _torch(file: Path, report: Report) -> None:
    from live_sr.models import published

    report.tell("kind", "weights for PyTorch")
    network = published.load(file)
    _known(network.card, report)
    report.tell("sizes", _multiples(network.multiple) + (f", at least {network.least} a side" if network.least else ""))
    report.tell("precisions", ", ".join(network.precisions))
    report.tell("runs on", "PyTorch from its path; `live-sr models add` converts it for all engines")


def _known(card: ModelCard, report: Report) -> None:
    report.tell("architecture", card.architecture or "not known")
    report.tell("scale", f"x{card.scale}")
    for what, number in (("parameters", card.parameters), ("MAC/pixel", card.macs_per_pixel)):
        report.tell(what, f"{number:,}".replace(",", " ") if number else "not known")


def _onnx(file: Path, report: Report) -> None:
    from live_sr.engine.graph_openvino import Graph, Unknown

    report.tell("kind", f"ONNX, {file.stat().st_size} bytes")
    zoo.verify(ModelCard(zoo.bare_name(file), 1, file))
    if file.stat().st_size > install.LARGEST:
        raise ModelError(f"{file} is too large for a model that runs live", "use a smaller network")
    try:
        graph = Graph(file)
    except Unknown as error:
        names = ", ".join(map(str, error.args))
        report.tell("operators", f"OpenVINO does not know {names}")
        remedy = "export it without them, or to another opset (17 is safe): they are often custom or experimental"
        raise ModelError(f"{file} cannot be used: OpenVINO does not know {names}", remedy) from None
    for what, ends in (("input", graph.inputs), ("output", graph.outputs)):
        for end in ends:
            report.tell(what, end)
    _ends(file, graph)
    scale, sizes = _sizes(file, graph, report)
    unknown = graph.unknown(sizes)
    report.tell("operators", f"the processor lacks {', '.join(unknown)}" if unknown else "all known to OpenVINO")
    if unknown:
        raise ModelError(f"{file} cannot be used: OpenVINO lacks {', '.join(unknown)}", "export it without them")
    _room(graph, sizes, report)
    _try(file, scale, sizes, report)


def _ends(file: Path, graph: Graph) -> None:
    """That it goes from one RGB picture to one. Raises ModelError with what would make it so."""

    def refuse(what: str, remedy: str = EXPORT) -> ModelError:
        return ModelError(f"{file} cannot be used: {what}", remedy)

    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        names = ", ".join(end.name for end in graph.inputs)
        raise refuse(
            f"it has {len(graph.inputs)} inputs ({names}) and {len(graph.outputs)} outputs, and needs one each"
        )
    for what, end in (("input", graph.inputs[0]), ("output", graph.outputs[0])):
        if end.kind != "f32":
            raise refuse(
                f"its {what} is {end.kind}, not f32", "export it in float32: engines choose their own precision"
            )
    sides = graph.inputs[0].sides
    if not sides:
        return
    if len(sides) != 4:
        raise refuse(f"its input has {len(sides)} dimensions, and a picture has 4: (1, 3, H, W)")
    if sides[3] in (1, 3, 4) and sides[1] not in (1, 3, 4):
        raise refuse("its layout is (1, H, W, channels)", "export it as (1, channels, H, W), with a transpose in front")
    if sides[0] not in (None, 1):
        raise refuse(f"it takes {sides[0]} pictures at once", "export it with a batch of 1, or a free one")
    if sides[1] == 1:
        raise refuse(
            "it takes one channel, luma or grey", "a frozen TensorFlow graph (.pb) of one is read; else use RGB"
        )
    if sides[1] not in (None, 3):
        raise refuse(f"it takes {sides[1]} channels, not the 3 of RGB")


def _sizes(file: Path, graph: Graph, report: Report) -> tuple[int, Size]:
    """The scale, and a size that it takes. Raises ModelError."""
    height, width = graph.inputs[0].sides[2:] or (None, None)
    sizes = Size(width or 2 * SIDE, height or 2 * SIDE)
    made = graph.made(sizes)
    if isinstance(made, str):
        raise ModelError(f"{file} cannot be used: it does not take pictures of {sizes}: {made}", EXPORT)
    factors = {made[2] / sizes.height, made[3] / sizes.width} if len(made) == 4 else set()
    if len(factors) != 1 or made[1] != 3 or not min(factors).is_integer():
        what = f"it makes {list(made)} of (1, 3, {sizes.height}, {sizes.width}), which is no enlarged RGB picture"
        raise ModelError(f"{file} cannot be used: {what}", "its output must be (1, 3, H * scale, W * scale)")
    scale = int(min(factors))
    report.tell("scale", f"x{scale}")
    fits = [m for m in MULTIPLES if all(_whole(graph, Size(SIDE + m * n, SIDE + m), scale) for n in (1, 3))]
    if fits:
        report.tell("sizes", _multiples(fits[0]))
    else:
        report.tell("sizes", f"{sizes} and no other: `live-sr upscale` uses tiles of that size, a live window cannot")
    return scale, sizes


def _whole(graph: Graph, size: Size, scale: int) -> bool:
    return graph.made(size) == (1, 3, size.height * scale, size.width * scale)


def _multiples(multiple: int) -> str:
    return "any" if multiple == 1 else f"multiples of {multiple}: frames are filled up to it when its card says so"


def _room(graph: Graph, size: Size, report: Report) -> None:
    """About how large a picture fits the free memory."""
    from live_sr.engine import memory

    each = graph.largest_bytes(size) / (size.width * size.height)
    if not each:
        return
    side = int((memory.free() / 2 / each) ** 0.5)
    report.tell("largest", f"about {side * 4 // 3}x{side * 3 // 4} in half of the free memory; larger ones in tiles")


def _try(file: Path, scale: int, size: Size, report: Report) -> None:
    """One small frame through the engine of this machine. Raises LiveSRError."""
    card = ModelCard(zoo.bare_name(file), scale, file)
    try:
        small, large = adding.run_once(card, size)
    except LiveSRError as error:
        raise ModelError(f"{file} cannot be used: {error.message}", error.remedy) from None
    off = adding.difference(small, large)
    strange = "; it may want another range than 0..1, or another order than RGB" if off > adding.STRANGE else ""
    report.tell("a trial", f"the test pattern comes out {off:.1f} levels off in the mean{strange}")
