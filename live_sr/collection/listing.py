"""What is known of the models: a table of all, and the cards of one."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence

from live_sr import assembly, backends
from live_sr.assembly import EngineOptions
from live_sr.errors import LiveSRError, ModelError
from live_sr.frame import Size
from live_sr.models import chain, onnxfile, zoo
from live_sr.models.card import ModelCard

COLUMNS = ("name", "scale", "architecture", "parameters", "MAC/pixel", "licence", "from", "runs on", "fps at 540p")
FULL = Size(960, 540)
SECONDS = 0.2  # of measuring what the processor or card can do

REACHED = 0.6
"""Of the operations that the device does at its best, networks do about this part: the shipped ones, from `turbo` to
`quality`, did 0.34 to 0.97 at 960x540 on two busy cores of Zen 4 in bf16. So an estimate is good to a factor of two.
"""

Rate = Callable[[], float]


def show_list() -> int:
    """Prints a table of all models, and what is wrong with any."""
    shipped = zoo.cards()
    own = zoo.own(backends.models_folder(), {card.name for card in shipped})
    engines = ", ".join(_engines()) or "nothing here"
    rows, troubles = [], list(own.troubles)
    for card, origin in [*((c, "live-sr") for c in shipped), *((c, "you") for c in own.cards)]:
        trouble = _trouble(card)
        troubles += [trouble] if trouble else []
        rows.append(_row(card, origin, "damaged" if trouble else engines))
    print(_table((COLUMNS, *rows)))
    print(f"fps is estimated from MAC/pixel and what this machine multiplies, for {FULL}; `live-sr bench` measures it")
    print(f"filters, which need no network: {', '.join(assembly.FILTERS)}")
    for trouble in troubles:
        print(f"! {trouble.message}\n  {trouble.remedy}")
    return 0


def show(name: str) -> int:
    """Prints the cards of one model, in all its scales. Raises ModelError for an unknown one."""
    for scale in assembly.scales(name):
        card = assembly.about(name, scale)
        if card is None:
            print(f"{name}: a filter; it comes with live-sr, needs no network and has every scale")
            break
        trouble = _trouble(card)
        print(_described(card, f"damaged: {trouble.message}" if trouble else ", ".join(_engines()) or "nothing here"))
        if chain.is_chain(name):
            for line in costs(assembly.chains().stages(name, scale)):
                print(f"  {line}")
    return 0


def costs(stages: Sequence[chain.Stage], size: Size = FULL) -> list[str]:
    """What each stage of a chain costs, in its place, and all of them together: for people, before it runs."""
    lines = []
    for cost in chain.costs(stages):
        before, after = (Size(round(size.width * f), round(size.height * f)) for f in (cost.before, cost.after))
        macs = f", {cost.macs_per_pixel * size.width * size.height / 1e9:.2f} GMAC" if cost.macs_per_pixel else ""
        parameters = f", {_spaced(cost.parameters)} parameters" if cost.parameters else ""
        lines.append(f"{cost.label}: {before} to {after}{parameters}{macs}")
    macs_per_pixel = sum(cost.macs_per_pixel for cost in chain.costs(stages))
    lines.append(f"together: {_spaced(round(macs_per_pixel))} MAC/pixel of {size}, {told_fps(macs_per_pixel)}")
    return lines


def told_fps(macs_per_pixel: float, size: Size = FULL) -> str:
    """For people: "about 24 fps (estimated)"."""
    fps = estimated_fps(macs_per_pixel, size)
    return f"about {fps:.2g} fps (estimated)" if fps else "its speed cannot be estimated"


def estimated_fps(macs_per_pixel: float, size: Size = FULL, rate: Rate | None = None) -> float:
    """Frames of `size` per second, from the multiply-adds alone; 0 when they or this machine's rate are not known."""
    each = 2 * macs_per_pixel * size.width * size.height
    return REACHED * (rate or _rate)() / each if each else 0.0


@functools.cache
def _rate() -> float:
    """Operations per second of what networks run on here, in the precision that is chosen by itself; 0: not known."""
    try:
        engine = assembly.engine_choice(EngineOptions())[0].name
        if engine in assembly.ON_CARDS:
            from live_sr.engine import rate_torch

            return rate_torch.operations_per_second("fp16", SECONDS)
        if engine != "openvino":
            return 0.0
        from live_sr.engine import rate_openvino

        try:
            return rate_openvino.operations_per_second("bf16", SECONDS)
        except LiveSRError:  # this processor has none
            return rate_openvino.operations_per_second("fp32", SECONDS)
    except (LiveSRError, ImportError, OSError):
        return 0.0


def _engines() -> list[str]:
    """What runs networks on this machine, best first."""
    return [engine.name for engine in backends.ENGINES if engine.name != "filters" and not engine.obstacle()]


def _reading(card: ModelCard, engines: Iterable[str]) -> list[str]:
    """Those of the engines that can read this model: some want PyTorch's weights beside it."""
    weights = {engine.name: engine.weights for engine in backends.ENGINES}
    return [name for name in engines if not weights[name] or card.onnx.with_suffix(weights[name]).is_file()]


def _trouble(card: ModelCard) -> ModelError | None:
    try:
        zoo.verify(card)
    except ModelError as error:
        return error
    return None


def _row(card: ModelCard, origin: str, engines: str) -> tuple[str, ...]:
    parameters, macs = (_spaced(n) if n else "-" for n in (card.parameters, card.macs_per_pixel))
    if engines != "damaged":
        engines = ", ".join(_reading(card, _engines())) or "nothing here"
        if fixed := _fixed(card):
            engines += f" (frames of {fixed}, else tiles)"
    fps = estimated_fps(card.macs_per_pixel) if card.macs_per_pixel else 0.0
    return (
        *(card.name, f"x{card.scale}", card.architecture or "-", parameters, macs),
        *(card.licence or "not stated", origin, engines, f"{fps:.2g} estimated" if fps else "-"),
    )


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _fixed(card: ModelCard) -> Size | None:
    """The only size that its file is made for, if it says so and the network is one that cannot be shaped anew."""
    if "only" not in card.notes:
        return None
    try:
        sides = onnxfile.shapes(card.onnx).input[2:]
    except (onnxfile.NotWhole, OSError):
        return None
    return Size(sides[1], sides[0]) if len(sides) == 2 and sides[0] and sides[1] else None


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    numbers = {COLUMNS.index("parameters"), COLUMNS.index("MAC/pixel")}
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in numbers else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _described(card: ModelCard, engines: str) -> str:
    """A card for people: what is known, and the figures."""
    known = [
        (f.name, getattr(card, f.name))
        for f in dataclasses.fields(card)
        if f.name not in ("name", "scale", "onnx", "psnr_y", "sha256") and getattr(card, f.name) != f.default
    ]
    lines = [card.label, *(f"  {name.replace('_', ' '):15} {value}" for name, value in known)]
    lines += [f"  {'file':15} {card.onnx}", f"  {'runs on':15} {engines}"]
    if card.macs_per_pixel:
        lines.append(f"  {f'at {FULL}':15} {told_fps(card.macs_per_pixel)}")
    if card.psnr_y:
        lines.append(f"  {'PSNR-Y in dB':15} {'model':>8}{'bilinear':>10}{'bicubic':>10}{'lanczos':>10}")
    for engine, row in card.psnr_y.items():
        bilinear = "-" if row.bilinear is None else f"{row.bilinear:.2f}"
        lines.append(f"    {engine:13} {row.model:8.2f}{bilinear:>10}{row.bicubic:10.2f}{row.lanczos:10.2f}")
    return "\n".join(lines)
