"""Models of the user's own: tried before they are kept, converted where that makes them fast, and removed again."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from live_sr import assembly, backends
from live_sr.assembly import EngineOptions
from live_sr.capture.pattern import PatternSource
from live_sr.errors import LiveSRError, MissingPart, ModelError, UsageError
from live_sr.frame import Frame, Pixels, Size, size_of
from live_sr.models import install, onnxfile, zoo
from live_sr.models.card import ModelCard

if TYPE_CHECKING:
    from live_sr.models.published import Published

TRIAL = Size(66, 50)  # no multiple of 4: a window has any size
STRANGE = 40.0  # levels: an upscaled picture that is shrunk again differs from the original by about 2
SAME = 2  # levels: between PyTorch and OpenVINO in fp32, where rounding falls to either side
COMPARED = (Size(80, 64), Size(96, 128))  # at other sizes than a network is converted at
FIXED = Size(256, 256)  # for what only keeps its meaning at the size that it was converted at


def add(files: Sequence[Path], name: str | None, scale: int | None, *, replace: bool = False) -> int:
    """Tries each model and puts those that work into the user's folder. Raises LiveSRError at the first that does not;
    those before it are in."""
    folder = backends.models_folder()
    for file in files:
        with tempfile.TemporaryDirectory(prefix="live-sr-") as scratch:
            possible = _converted(file, Path(scratch), name, scale) or install.described(file, name, scale)
            card = _added(possible, folder, replace)
        print(f"live-sr: added {card.label} to {folder}")
        if card.scale == 1:
            print(f"  it does not enlarge: put it before a model that does, like --model {card.name}+fast")
        else:
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


def trial_of(card: ModelCard) -> Size:
    """A size to try the model at: a small odd one, or the only one that its file allows."""
    sides = onnxfile.shapes(card.onnx).input[2:] if card.onnx.suffix == ".onnx" else ()
    return Size(sides[1], sides[0]) if len(sides) == 2 and sides[0] and sides[1] else TRIAL


def run_once(card: ModelCard, size: Size, precision: str = "auto") -> tuple[Pixels, Pixels]:
    """A small frame, and what the engine of this machine makes of it. Raises LiveSRError."""
    frame = pattern(size)
    engine = assembly.make_engine(str(card.onnx), card.scale, EngineOptions(precision=precision))
    try:
        engine.warm_up(size)
        done = engine.upscale(frame)
    finally:
        engine.close()
    assert done is not None
    return frame.pixels, done.pixels


def pattern(size: Size) -> Frame[Pixels]:
    frame = PatternSource(size, fps=None).next_frame(0)
    assert frame is not None
    return frame


def difference(small: Pixels, large: Pixels) -> float:
    """Mean absolute difference in levels, between a picture and a larger one averaged down to it."""
    height, width = small.shape[:2]
    scale = large.shape[0] // height
    cells = large[..., :3].reshape(height, scale, width, scale, 3).mean((1, 3))
    return float(np.abs(cells - small[..., :3]).mean())


def _converted(file: Path, scratch: Path, name: str | None, scale: int | None) -> list[ModelCard]:
    """The network of a PyTorch file as ONNX in `scratch`; nothing for a file of another kind.

    Raises ModelError or MissingPart.
    """
    reader = backends.reader(str(file))
    if reader is None:
        return []
    if reader.name != "torch":
        what = f"{file} is not an .onnx, .pth, .pt or .safetensors file, and only those can be added"
        raise ModelError(what, f"`--model {file}` uses it from where it is")
    if not file.is_file():
        raise ModelError(f"there is no file {file}", "correct the path")
    if reader.obstacle():
        raise MissingPart(f"{file.name} cannot be read: {reader.obstacle()}", reader.get)
    from live_sr.models import published

    network = published.load(file)
    if scale not in (None, network.card.scale):
        raise ModelError(f"{file} makes pictures x{network.card.scale}, not x{scale}", "leave out --scale")
    card = _agreeing(network, scratch, name or zoo.bare_name(file))
    if network.card.architecture.startswith("CellNet"):  # trained here
        shutil.copyfile(file, card.onnx.with_suffix(".safetensors"))  # which engines on NVIDIA cards read
    return [card]


def _agreeing(network: Published, scratch: Path, name: str) -> ModelCard:
    """The network converted for every size if it then makes the pictures that PyTorch makes, else for one size."""
    from live_sr.models import exported

    sizes = [_up(size, network.multiple, network.least) for size in COMPARED]
    wanted = [network.picture(pattern(size).pixels) for size in sizes]  # before the export changes anything
    path = scratch / f"{name}-x{network.card.scale}.onnx"
    why = ""
    try:
        card = exported.written(network, path)
        off = max(_off(card, want) for want in wanted)
        if off <= SAME:
            return _named(card, name)
        why = f"its pictures of other sizes differ by {off} levels"
    except ModelError as error:
        why = error.message
    fixed = _up(FIXED, network.multiple, network.least)
    want = network.picture(pattern(fixed).pixels)
    card = exported.written(network, path, fixed)
    off = _off(card, want)
    if off > SAME:
        what = (
            f"{network.card.onnx} makes other pictures once it is converted to ONNX, by {off} levels; it was not added"
        )
        raise ModelError(what, "it still runs from its own file, slower: use its path as --model")
    print(f"live-sr: {name} can only be converted for pictures of {fixed}, which need tiles ({why})")
    return _named(card, name)


def _off(card: ModelCard, want: Pixels) -> int:
    """Levels between what PyTorch made of the test pattern and what the engine makes of it."""
    size = size_of(want)
    _, got = run_once(card, Size(size.width // card.scale, size.height // card.scale), "fp32")
    return int(np.abs(got.astype(np.int16) - want).max())


def _named(card: ModelCard, name: str) -> ModelCard:
    """Under the name that it will have, in its card too."""
    return dataclasses.replace(card, name=name)


def _up(size: Size, multiple: int, least: int) -> Size:
    width, height = (-(-max(side, least) // multiple) * multiple for side in size)
    return Size(width, height)


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
    try:
        small, large = run_once(copy, trial_of(copy))
    except LiveSRError as error:  # it is about the copy, which nobody has heard of
        said = error.message.replace(str(copy.onnx), str(card.onnx))
        raise ModelError(f"{said}; it was not added", error.remedy) from None
    off = difference(small, large)
    if off <= STRANGE:
        return ""
    return (
        f"live-sr: {card.label} runs, but its picture is {off:.0f} levels off in the mean: it may want another range "
        f"than 0..1, or another order than RGB"
    )


def _names(cards: Iterable[ModelCard]) -> set[str]:
    return {card.name for card in cards}
