"""`live-sr models check`: what a model file is, and why it cannot be used. Nothing is kept and no code of it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr import backends
from live_sr.backends import Backend
from live_sr.config import Settings
from live_sr.engines.options import EngineOptions
from live_sr.errors import EngineError, LiveSRError, ModelError
from live_sr.manage import model_add
from live_sr.models import user_folder, zoo
from live_sr.models.card import ModelCard
from live_sr.models.resolve import is_onnx, require_reader
from live_sr.pipeline.frame import Size
from live_sr.terminal import format_table, print_result

if TYPE_CHECKING:
    from live_sr.engines.openvino.model_inspection import OpenVINOModel
    from live_sr.engines.openvino.network_form import NetworkForm

SIDE = 64  # pixels; of the pictures with which sizes are tried
MULTIPLES = (1, 2, 4, 8, 16, 32, 64)  # SIDE + 64 is a multiple of all
EXPORT_REMEDY = "export it with one input, RGB (1, 3, H, W) in 0..1 with free H and W, and one output like it"


@dataclass
class ModelFileReport:
    """What was found out, as (name, value) lines."""

    file: Path
    lines: list[tuple[str, str]] = field(default_factory=list)

    def add(self, what: str, value: object) -> None:
        self.lines.append((what, str(value)))

    def __str__(self) -> str:
        return "\n  ".join([str(self.file), *format_table(self.lines)])


def check_models(files: Sequence[Path], settings: Settings) -> int:
    """Prints what is known about each file. Raises ModelError for the first one that cannot be used."""
    for file in files:
        report = ModelFileReport(file)
        try:
            _examine(file, report, model_add.make_trial_options(settings))
        finally:
            if report.lines:
                print_result(str(report))
        print_result("  it can be used" if _enlarges(report) else "  it can be used before another: --model NAME+fast")
    return 0


def _enlarges(report: ModelFileReport) -> bool:
    return ("scale", "x1") not in report.lines


def _examine(file: Path, report: ModelFileReport, options: EngineOptions) -> None:
    """Raises ModelError or MissingPart."""
    if not file.exists():
        raise ModelError(f"there is no file {file}", "correct the path")
    if not file.is_file():
        raise ModelError(f"{file} is not a file", "name the model's file itself")
    if is_onnx(file):
        _examine_onnx(file, report, options)
        return
    if backends.find_published_reader(file) is None:
        kinds = ", ".join([".onnx", *(s for backend in backends.PUBLISHED for s in backend.suffixes)])
        raise ModelError(f"{file} is of no kind that can be used", f"models are files of {kinds}")
    reader = require_reader(file)
    if reader.convertible:
        _examine_torch(file, reader, report)
    else:
        report.add("kind", f"for {reader.name}")
        if file.stat().st_size == 0:
            raise ModelError(f"{file} cannot be used: it is empty", "get the file again")
        _add_card(reader.load().read(file), report)
        report.add("runs on", f"{reader.name}, and no other engine: it cannot be added, only used from its path")


def _examine_torch(file: Path, reader: Backend, report: ModelFileReport) -> None:
    from live_sr.models import pytorch

    report.add("kind", "weights for PyTorch")
    network = pytorch.load(file)
    _add_card(network.card, report)
    report.add(
        "sizes", _describe_multiple(network.multiple) + (f", at least {network.least} a side" if network.least else "")
    )
    report.add("precisions", ", ".join(network.precisions))
    if network.card.recurrent or network.card.cuts_itself:
        report.add("runs on", "PyTorch, and no other engine: it cannot be added, only used from its path")
    else:
        report.add("runs on", "PyTorch from its path; `live-sr models add` converts it for all engines")
    if network.card.scale > 1 and not network.card.cuts_itself:  # which would take minutes
        _try_torch(file, reader, Size(max(SIDE, network.least), max(SIDE, network.least)))


def _try_torch(file: Path, reader: Backend, size: Size) -> None:
    """Upscales a small frame in fp32. Raises ModelError."""
    engine = reader.load()(reader.load().read(file), precision="fp32")
    try:
        engine.upscale(model_add.make_pattern_frame(size))
    except EngineError as error:
        raise ModelError(f"{file} cannot be used: {error.message}", error.remedy) from None
    finally:
        engine.close()


def _add_card(card: ModelCard, report: ModelFileReport) -> None:
    report.add("architecture", card.architecture or "not known")
    report.add("scale", f"x{card.scale}")
    for what, number in (("parameters", card.parameters), ("MAC/pixel", card.macs_per_pixel)):
        report.add(what, f"{number:,}".replace(",", " ") if number else "not known")


def _examine_onnx(file: Path, report: ModelFileReport, options: EngineOptions) -> None:
    from live_sr.engines.openvino.model_inspection import OpenVINOModel, UnknownOperators
    from live_sr.engines.openvino.network_form import UnsuitableNetwork

    report.add("kind", f"ONNX, {file.stat().st_size} bytes")
    zoo.verify(ModelCard(zoo.get_bare_name(file), 1, file))
    if file.stat().st_size > user_folder.MAX_BYTES:
        raise ModelError(f"{file} is too large for a model that runs live", "use a smaller network")
    try:
        graph = OpenVINOModel(file)
    except UnknownOperators as error:
        names = ", ".join(map(str, error.args))
        report.add("operators", f"OpenVINO does not know {names}")
        remedy = "export it without them, or to another opset (17 is safe): they are often custom or experimental"
        raise ModelError(f"{file} cannot be used: OpenVINO does not know {names}", remedy) from None
    for what, ends in (("input", graph.inputs), ("output", graph.outputs)):
        for end in ends:
            report.add(what, end)
    try:
        form = graph.find_form()
    except UnsuitableNetwork as error:
        raise ModelError(f"{file} cannot be used: {error.why}", error.remedy or EXPORT_REMEDY) from None
    for what in form.conversions:
        report.add("converted", what)
    scale, sizes = _find_sizes(file, graph, form, report)
    unknown = graph.find_unsupported_operators(sizes)
    report.add("operators", f"the processor lacks {', '.join(unknown)}" if unknown else "all known to OpenVINO")
    if unknown:
        raise ModelError(f"{file} cannot be used: OpenVINO lacks {', '.join(unknown)}", "export it without them")
    _estimate_largest(graph, sizes, report)
    _try(file, scale, sizes, report, options)


def _find_sizes(file: Path, graph: OpenVINOModel, form: NetworkForm, report: ModelFileReport) -> tuple[int, Size]:
    """The scale, and an input size that the model accepts. Raises ModelError."""
    sizes = Size(form.width or 2 * SIDE, form.height or 2 * SIDE)
    made = graph.infer_output_shape(sizes)
    if isinstance(made, str):
        raise ModelError(f"{file} cannot be used: it does not take pictures of {sizes}: {made}", EXPORT_REMEDY)
    factors = {made[2] / sizes.height, made[3] / sizes.width} if len(made) == 4 else set()
    if len(factors) != 1 or made[1] != 3 or not min(factors).is_integer():
        what = f"it makes {list(made)} of (1, 3, {sizes.height}, {sizes.width}), which is no enlarged RGB picture"
        raise ModelError(f"{file} cannot be used: {what}", "its output must be (1, 3, H * scale, W * scale)")
    scale = int(min(factors))
    report.add("scale", f"x{scale}")
    fits = [m for m in MULTIPLES if all(_enlarges_exactly(graph, Size(SIDE + m * n, SIDE + m), scale) for n in (1, 3))]
    if fits:
        report.add("sizes", _describe_multiple(fits[0]))
    else:
        report.add("sizes", f"{sizes} and no other: `live-sr upscale` uses tiles of that size, a live window cannot")
    return scale, sizes


def _enlarges_exactly(graph: OpenVINOModel, size: Size, scale: int) -> bool:
    return graph.infer_output_shape(size) == (1, 3, size.height * scale, size.width * scale)


def _describe_multiple(multiple: int) -> str:
    return "any" if multiple == 1 else f"multiples of {multiple}: frames are padded to that if its card says so"


def _estimate_largest(graph: OpenVINOModel, size: Size, report: ModelFileReport) -> None:
    """Estimates how large a picture fits into the free memory."""
    from live_sr.system import memory

    each = graph.compute_largest_step_bytes(size) / (size.width * size.height)
    if not each:
        return
    side = int((memory.get_free_memory() / 2 / each) ** 0.5)
    report.add("largest", f"about {side * 4 // 3}x{side * 3 // 4} in half of the free memory; larger ones in tiles")


def _try(file: Path, scale: int, size: Size, report: ModelFileReport, options: EngineOptions) -> None:
    """Upscales one small frame with this machine's engine. Raises LiveSRError."""
    card = ModelCard(zoo.get_bare_name(file), scale, file)
    try:
        small, large = model_add.run_once(card, size, options)
    except LiveSRError as error:
        raise ModelError(f"{file} cannot be used: {error.message}", error.remedy) from None
    off = model_add.measure_difference(small, large)
    strange = (
        "; it may want another range than 0..1, or another order than RGB" if off > model_add.MAX_DIFFERENCE else ""
    )
    report.add("a trial", f"the test pattern comes out {off:.1f} levels off in the mean{strange}")
