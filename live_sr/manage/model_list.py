"""`live-sr models list` and `show`: a table of all models, and the cards of one."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

from live_sr import backends
from live_sr.config import Settings
from live_sr.engines import engine_choice
from live_sr.engines.options import EngineOptions
from live_sr.errors import LiveSRError, ModelError
from live_sr.manage.model_speed import measure_speed
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.chain.spec import Stage, estimate_costs
from live_sr.models.onnx import file_header
from live_sr.models.resolve import FILTERS, resolve
from live_sr.pipeline.frame import Size
from live_sr.system import paths
from live_sr.terminal import Progress, format_error, format_table, print_result

COLUMNS = ("name", "scale", "architecture", "parameters", "MAC/pixel", "licence", "from", "runs on", "fps at 540p")
REFERENCE_SIZE = Size(960, 540)
MEASURE_S = 0.2  # seconds for measuring the rate of the processor or GPU

REACHED_SHARE = 0.6
"""Networks reach about this share of a device's peak rate. Measured: 0.34 to 0.97 for the shipped ones, from `turbo`
to `quality`, at 960x540 in bf16 on two busy cores of Zen 4. So an estimate is right within a factor of two.
"""

MeasureRate = Callable[[], float]


def list_models(settings: Settings, *, measure: bool = False) -> int:
    """Prints a table of all models, and the problems of damaged ones. measure: the speed of each, and no estimates."""
    shipped = zoo.list_cards()
    own = zoo.read_user_folder(paths.get_models_folder(), {card.name for card in shipped})
    options = EngineOptions.from_settings(settings)
    rate = functools.cache(functools.partial(measure_rate, options))
    engines = ", ".join(_list_engines()) or "no engine here"
    rows: list[Sequence[str]] = []
    troubles: list[LiveSRError] = list(own.problems)
    progress = Progress("measure", len(shipped) + len(own.cards), unit="models")
    for card, origin in [*((c, "live-sr") for c in shipped), *((c, "you") for c in own.cards)]:
        trouble: LiveSRError | None = _find_damage(card)
        runs_on, speed = ("damaged", "-") if trouble else (engines, _estimate_speed(card, rate))
        if measure and trouble is None:
            try:
                fps, engine = measure_speed(card, REFERENCE_SIZE, options)
                speed = f"{fps:.3g}, {engine}"
            except LiveSRError as error:
                speed, trouble = "failed", error
        rows.append(_make_row(card, origin, runs_on, speed))
        troubles += [trouble] if trouble else []
        if measure:
            progress.step()
    progress.close()
    print_result("\n".join(format_table([COLUMNS, *rows], "<<<>><")))
    print_result(
        f"fps: measured for frames of {REFERENCE_SIZE}, each model alone, with what else the machine does meanwhile"
        if measure
        else f"fps: estimated for frames of {REFERENCE_SIZE}, from MAC/pixel and this machine's rate of multiply-adds; "
        "--measure measures it"
    )
    print_result(f"filters, which need no network: {', '.join(FILTERS)}")
    for trouble in troubles:
        print_result(f"! {format_error(trouble)}")
    return 0


def show_model(name: str, settings: Settings) -> int:
    """Prints the cards of one model, one for each scale. Raises ModelError for an unknown name."""
    options = EngineOptions.from_settings(settings)
    rate = functools.cache(functools.partial(measure_rate, options))
    model = resolve(name, cache=options.cache)
    for scale in model.scales:
        card = model.get_card(scale)
        if card is None:
            print_result(f"{name}: a filter; it comes with live-sr, needs no network and has every scale")
            break
        trouble = _find_damage(card)
        engines = f"damaged: {trouble.message}" if trouble else ", ".join(_list_engines()) or "no engine here"
        print_result(_describe(card, engines, rate))
        stages = model.get_stages(scale)
        for line in format_costs(stages, rate=rate) if stages else ():
            print_result(f"  {line}")
    return 0


def format_costs(stages: Sequence[Stage], size: Size = REFERENCE_SIZE, *, rate: MeasureRate) -> list[str]:
    """The cost of each stage of a chain, and of all of them together, as lines of text."""
    lines = []
    costs = estimate_costs(stages)
    for cost in costs:
        before, after = (Size(round(size.width * f), round(size.height * f)) for f in (cost.before, cost.after))
        macs = f", {cost.macs_per_pixel * size.width * size.height / 1e9:.2f} GMAC" if cost.macs_per_pixel else ""
        parameters = f", {_format_count(cost.parameters)} parameters" if cost.parameters else ""
        lines.append(f"{cost.label}: {before} to {after}{parameters}{macs}")
    macs_per_pixel = sum(cost.macs_per_pixel for cost in costs)
    estimate = format_fps(macs_per_pixel, size, rate=rate)
    lines.append(f"together: {_format_count(round(macs_per_pixel))} MAC/pixel of {size}, {estimate}")
    return lines


def format_fps(macs_per_pixel: float, size: Size = REFERENCE_SIZE, *, rate: MeasureRate) -> str:
    """As text: "about 24 fps (estimated)"."""
    fps = estimate_fps(macs_per_pixel, size, rate=rate)
    return f"about {fps:.2g} fps (estimated)" if fps else "its speed cannot be estimated"


def estimate_fps(macs_per_pixel: float, size: Size = REFERENCE_SIZE, *, rate: MeasureRate) -> float:
    """Frames of `size` per second, estimated from the multiply-adds alone; 0 if they or the rate are unknown."""
    each = 2 * macs_per_pixel * size.width * size.height
    return REACHED_SHARE * rate() / each if each else 0.0


def measure_rate(options: EngineOptions) -> float:
    """Operations per second of the chosen engine in its fastest safe precision; 0: unknown.

    Takes MEASURE_S or a little more.
    """
    try:
        engine = engine_choice.choose_engine(options)[0]
        if not engine.runs_networks or engine.on_card:
            return 0.0
        if engine.on_gpu:
            from live_sr.engines.torch_cuda.peak_rate import measure_operations_per_second as measure_on_gpu

            return measure_on_gpu("fp16", MEASURE_S)
        from live_sr.engines.openvino.peak_rate import measure_operations_per_second

        try:
            return measure_operations_per_second("bf16", MEASURE_S)
        except LiveSRError:  # this processor has no bf16
            return measure_operations_per_second("fp32", MEASURE_S)
    except (LiveSRError, ImportError, OSError):
        return 0.0


def _list_engines() -> list[str]:
    """The engines that run networks on this machine, best first."""
    return [engine.name for engine in backends.ENGINES if engine.runs_networks and not engine.unavailable_reason()]


def _find_readers(card: ModelCard) -> list[str]:
    """The engines of this machine that can read the model: some need PyTorch's weights beside it."""
    there = set(_list_engines())
    return [
        engine.name
        for engine in backends.ENGINES
        if engine.name in there and engine.has_weights(card.onnx, card.part_files)
    ]


def _find_damage(card: ModelCard) -> ModelError | None:
    try:
        zoo.verify(card)
    except ModelError as error:
        return error
    return None


def _estimate_speed(card: ModelCard, rate: MeasureRate) -> str:
    fps = estimate_fps(card.macs_per_pixel, rate=rate) if card.macs_per_pixel else 0.0
    return f"{fps:.2g} estimated" if fps else "-"


def _make_row(card: ModelCard, origin: str, engines: str, speed: str) -> tuple[str, ...]:
    parameters, macs = (_format_count(n) if n else "-" for n in (card.parameters, card.macs_per_pixel))
    if engines != "damaged":
        engines = ", ".join(_find_readers(card)) or "no engine here"
        if fixed := _get_fixed_size(card):
            engines += f" (frames of {fixed}, else tiles)"
    return (
        *(card.name, f"x{card.scale}", card.architecture or "-", parameters, macs),
        *(card.licence or "not stated", origin, engines, speed),
    )


def _format_count(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _get_fixed_size(card: ModelCard) -> Size | None:
    """The only input size of the model's file, if its card says that there is only one."""
    if "only" not in card.notes:
        return None
    try:
        return file_header.read_shapes(card.onnx).fixed_size
    except (file_header.DamagedFile, OSError):
        return None


def _describe(card: ModelCard, engines: str, rate: MeasureRate) -> str:
    """A card as text: everything that is known, and the measured quality."""
    known = [
        (f.name, getattr(card, f.name))
        for f in dataclasses.fields(card)
        if f.name not in ("name", "scale", "onnx", "psnr_y", "sha256", "parts") and getattr(card, f.name) != f.default
    ]
    lines = [card.label, *(f"  {name.replace('_', ' '):15} {value}" for name, value in known)]
    lines += [f"  {'file':15} {card.onnx}", f"  {'runs on':15} {engines}"]
    if card.macs_per_pixel:
        lines.append(f"  {f'at {REFERENCE_SIZE}':15} {format_fps(card.macs_per_pixel, rate=rate)}")
    if card.psnr_y:
        lines.append(f"  {'PSNR-Y in dB':15} {'model':>8}{'bilinear':>10}{'bicubic':>10}{'lanczos':>10}")
    for engine, row in card.psnr_y.items():
        bilinear = "-" if row.bilinear is None else f"{row.bilinear:.2f}"
        lines.append(f"    {engine:13} {row.model:8.2f}{bilinear:>10}{row.bicubic:10.2f}{row.lanczos:10.2f}")
    return "\n".join(lines)
