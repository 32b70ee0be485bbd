"""`live-sr models`: what there is, what is known of it, and models of the user's own in and out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from live_sr import assembly, backends
from live_sr.assembly import EngineOptions
from live_sr.capture.pattern import PatternSource
from live_sr.errors import LiveSRError, ModelError, UsageError
from live_sr.frame import Pixels, Size
from live_sr.models import install, zoo
from live_sr.models.card import ModelCard

TRIAL = Size(66, 50)  # no multiple of 4: a window has any size
STRANGE = 40.0  # levels: an upscaled picture that is shrunk again differs from the original by about 2

COLUMNS = ("name", "scale", "architecture", "parameters", "MAC/pixel", "licence", "from", "runs on")


def show_list() -> int:
    """Prints a table of all models, and what is wrong with any."""
    shipped = zoo.cards()
    own = zoo.own(backends.models_folder(), _names(shipped))
    engines = ", ".join(_engines()) or "nothing here"
    rows, troubles = [], list(own.troubles)
    for card, origin in [*((c, "live-sr") for c in shipped), *((c, "you") for c in own.cards)]:
        trouble = _trouble(card)
        troubles += [trouble] if trouble else []
        rows.append(_row(card, origin, "damaged" if trouble else engines))
    print(_table((COLUMNS, *rows)))
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
    return 0


def add(files: Sequence[Path], name: str | None, scale: int | None, *, replace: bool = False) -> int:
    """Tries each model and puts those that work into the user's folder. Raises LiveSRError at the first that does not;
    those before it are in."""
    folder = backends.models_folder()
    for file in files:
        card = _added(install.described(file, name, scale), folder, replace)
        print(f"live-sr: added {card.label} to {folder}")
        print(f"  `live-sr run --model {card.name}` uses it, and the hotkey for the next model comes by it")
    return 0


def remove(name: str, scale: int | None = None) -> int:
    """Deletes a model of the user's. Raises UsageError for any other."""
    own = zoo.own(backends.models_folder()).cards
    if name in (*_names(zoo.cards()), *assembly.FILTERS) and name not in _names(own):
        raise UsageError(f"{name} comes with live-sr", "only models that you added can be removed")
    for label in install.remove(name, backends.models_folder(), scale):
        print(f"live-sr: removed {label}")
    return 0


def _added(possible: Sequence[ModelCard], folder: Path, replace: bool) -> ModelCard:
    """The first that works of what a file may be, in its place. Raises what the last one raised."""
    _check_name(possible[0].name)
    for card in possible:
        try:
            with install.staged(card, folder) as copy:
                strange = _tried(copy, card)
                if not replace:
                    _check_free(card, folder)
                install.put(copy, folder)
        except ModelError:
            if card is possible[-1]:
                raise
            continue
        if strange:
            print(strange)
        return card
    raise AssertionError("there is always one possibility")


def _check_name(name: str) -> None:
    """Names are compared without regard to case, as some file systems do."""
    install.check_name(name)
    reserved = {*_names(zoo.cards()), *assembly.FILTERS}
    if name.lower() in {word.lower() for word in reserved}:
        what = f'"{name}" comes with live-sr, and what comes with it is never hidden or replaced'
        raise UsageError(what, "give yours another name with --name")


def _check_free(card: ModelCard, folder: Path) -> None:
    taken = {(there.name.lower(), there.scale) for there in zoo.own(folder).cards}
    if (card.name.lower(), card.scale) in taken:
        raise UsageError(f"you already have a model {card.label}", "replace it with --replace, or use --name")


def _tried(copy: ModelCard, card: ModelCard) -> str:
    """Upscales one small frame; a sentence if what comes out is a picture of something else. Raises LiveSRError."""
    source = PatternSource(TRIAL, fps=None)
    frame = source.next_frame(0)
    assert frame is not None
    try:
        engine = assembly.make_engine(str(copy.onnx), copy.scale, EngineOptions())
        try:
            engine.warm_up(TRIAL)
            done = engine.upscale(frame)
        finally:
            engine.close()
    except LiveSRError as error:  # it is about the copy, which nobody has heard of
        said = error.message.replace(str(copy.onnx), str(card.onnx))
        raise ModelError(f"{said}; it was not added", error.remedy) from None
    assert done is not None
    off = _difference(frame.pixels, done.pixels)
    if off <= STRANGE:
        return ""
    return (
        f"live-sr: {card.label} runs, but its picture is {off:.0f} levels off in the mean: it may want another range "
        f"than 0..1, or another order than RGB"
    )


def _difference(small: Pixels, large: Pixels) -> float:
    """Mean absolute difference in levels, between a picture and a larger one averaged down to it."""
    height, width = small.shape[:2]
    scale = large.shape[0] // height
    cells = large[..., :3].reshape(height, scale, width, scale, 3).mean((1, 3))
    return float(np.abs(cells - small[..., :3]).mean())


def _engines() -> list[str]:
    """What runs networks on this machine, best first."""
    return [engine.name for engine in backends.ENGINES if engine.name != "filters" and not engine.obstacle()]


def _trouble(card: ModelCard) -> ModelError | None:
    try:
        zoo.verify(card)
    except ModelError as error:
        return error
    return None


def _names(cards: Iterable[ModelCard]) -> set[str]:
    return {card.name for card in cards}


def _row(card: ModelCard, origin: str, engines: str) -> tuple[str, ...]:
    parameters, macs = (f"{n:,}".replace(",", " ") if n else "-" for n in (card.parameters, card.macs_per_pixel))
    return (
        *(card.name, f"x{card.scale}", card.architecture or "-", parameters, macs),
        *(card.licence or "not stated", origin, engines),
    )


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
    if card.psnr_y:
        lines.append(f"  {'PSNR-Y in dB':15} {'model':>8}{'bilinear':>10}{'bicubic':>10}{'lanczos':>10}")
    for engine, row in card.psnr_y.items():
        bilinear = "-" if row.bilinear is None else f"{row.bilinear:.2f}"
        lines.append(f"    {engine:13} {row.model:8.2f}{bilinear:>10}{row.bicubic:10.2f}{row.lanczos:10.2f}")
    return "\n".join(lines)
