"""The models there are: find one by name and scale, and see that its file is whole. Needs no inference library."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from live_sr.errors import ModelError, did_you_mean
from live_sr.models import onnxfile
from live_sr.models.card import ModelCard, read

WEIGHTS = Path(__file__).parent / "weights"
SCALE_IN_NAME = re.compile(r"(?:^|[-_.])(?:x([2-8])(?!\d)|([2-8])x(?![a-z0-9]))", re.IGNORECASE)  # fast-x2, 2x_Compact

USUAL = (2, 3, 4)


def cards(folder: Path = WEIGHTS) -> list[ModelCard]:
    """Every model in a folder, by name and scale: those with a card, and any other .onnx file whose scale can be told.

    Raises ModelError when a card is wrong.
    """
    found = [read(path) for path in folder.glob("*.toml")]
    described = {card.onnx for card in found}
    for path in folder.glob("*.onnx"):
        if path not in described:
            scale = _scale(path)
            if scale:
                found.append(ModelCard(_bare_name(path), scale, path))
    return sorted(found, key=lambda card: (card.name, card.scale))


def names(folder: Path = WEIGHTS) -> list[str]:
    return sorted({card.name for card in cards(folder)})


def find(name: str, scale: int, folder: Path = WEIGHTS) -> ModelCard:
    """The model of that name (or in that .onnx file) and scale. Raises ModelError that says what there is instead.

    The scale of a file without a card is read from its shapes, else from its name, else it is taken to be `scale`:
    the engine tells when that is wrong.
    """
    if _is_file(name):
        card = _of_file(Path(name).expanduser(), scale)
        if card.scale != scale:
            raise ModelError(f"{name} makes pictures x{card.scale}, not x{scale}", f"use scale {card.scale}")
        return card
    there = cards(folder)
    called_so = [card for card in there if card.name == name]
    for card in called_so:
        if card.scale == scale:
            return card
    if called_so:
        scales = ", ".join(f"x{card.scale}" for card in called_so)
        raise ModelError(f"there is no x{scale} of {name}: {scales}", "use one of these scales, or another model")
    raise _unknown(name, sorted({card.name for card in there}))


def scales(name: str, folder: Path = WEIGHTS) -> tuple[int, ...]:
    """The scales of a model, ascending; of a file that does not tell, those it may have. Raises ModelError."""
    if _is_file(name):
        path = Path(name).expanduser()
        beside = path.with_suffix(".toml")
        told = read(beside).scale if beside.is_file() else _scale(path)
        return (told,) if told else USUAL
    found = tuple(card.scale for card in cards(folder) if card.name == name)
    if not found:
        raise _unknown(name, names(folder))
    return found


def verify(card: ModelCard) -> None:
    """That the model's file is there, readable and whole. Raises ModelError."""
    path = card.onnx
    shipped = path.parent == WEIGHTS
    again = "install live-sr again" if shipped else "get the file again, or correct the path"
    if not path.is_file():
        raise ModelError(f"the model {card.label} is missing: there is no file {path}", again)
    try:
        length = path.stat().st_size
        if card.bytes and length != card.bytes:
            raise ModelError(f"the model {path} is damaged: {length} of {card.bytes} bytes are there", again)
        if card.sha256:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != card.sha256.lower():
                    raise ModelError(f"the model {path} is damaged: it differs from what its card describes", again)
        onnxfile.shapes(path)
    except onnxfile.NotWhole as why:
        raise ModelError(f"the model {path} cannot be used: {why}", again) from None
    except OSError as error:
        raise ModelError(f"the model {path} cannot be read: {error.strerror}", "check its permissions") from None


def _is_file(name: str) -> bool:
    return name.lower().endswith(".onnx")


def _unknown(name: str, known: list[str]) -> ModelError:
    others = f"{', '.join(known)} or the path of an .onnx file" if known else "the path of an .onnx file"
    return ModelError(f'there is no model called "{name}".{did_you_mean(name, known)}', f"use {others}")


def _of_file(path: Path, scale: int) -> ModelCard:
    beside = path.with_suffix(".toml")
    if beside.is_file():
        return read(beside)
    bare = ModelCard(_bare_name(path), scale, path)
    verify(bare)
    return ModelCard(bare.name, _scale(path) or scale, path)


def _scale(path: Path) -> int | None:
    """Of a file without a card: from its shapes, else from its name; None when neither tells."""
    try:
        fixed = onnxfile.shapes(path).scale
    except (onnxfile.NotWhole, OSError):
        fixed = None  # `verify` says so when the model is chosen
    if fixed:
        return fixed
    named = SCALE_IN_NAME.search(path.stem)
    return int(named[1] or named[2]) if named else None


def _bare_name(path: Path) -> str:
    """ "fast" of fast-x2.onnx, else the whole name."""
    return re.sub(r"[-_.]x[2-8]$", "", path.stem, flags=re.IGNORECASE)
