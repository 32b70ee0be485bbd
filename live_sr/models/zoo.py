"""The models there are: find one by name and scale, and see that its file is whole. Needs no inference library."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from live_sr.errors import ModelError, did_you_mean
from live_sr.models import onnxfile
from live_sr.models.card import ModelCard, read

WEIGHTS = Path(__file__).parent / "weights"
SCALE_IN_NAME = re.compile(r"(?:^|[-_.])(?:x([2-8])(?!\d)|([2-8])x(?![a-z0-9]))", re.IGNORECASE)  # fast-x2, 2x_Compact

USUAL = (2, 3, 4)


@dataclass(frozen=True)
class Shelf:
    """The models of a folder; `troubles` are what could not be taken as one, each a sentence and a remedy."""

    cards: tuple[ModelCard, ...]
    troubles: tuple[ModelError, ...]


def cards(folder: Path = WEIGHTS, user: Path | None = None) -> list[ModelCard]:
    """Every model in a folder, by name and scale: those with a card, and any other .onnx file whose scale can be told;
    and after them the models of the user's own.

    Raises ModelError when a card in `folder` is wrong. In `user`, such a card is only left out; `own` tells it.
    """
    shelf = _shelf(folder)
    if shelf.troubles:
        raise shelf.troubles[0]
    return [*shelf.cards, *(own(user, {card.name for card in shelf.cards}).cards if user else ())]


def own(folder: Path, taken: Iterable[str] = ()) -> Shelf:
    """The user's models. A wrong card, a card without its network and a name among those `taken` are troubles."""
    shelf = _shelf(folder)
    good, troubles = [], list(shelf.troubles)
    for card in shelf.cards:
        if card.name in taken:
            what = f'{card.onnx}: a model called "{card.name}" comes with live-sr and goes first'
            remedy = f"`live-sr models add --name` keeps it, `live-sr models remove {card.name}` deletes yours"
            troubles.append(ModelError(what, remedy))
        elif not card.onnx.is_file():
            what = f"the model {card.label} is missing: there is no file {card.onnx}"
            troubles.append(ModelError(what, f"`live-sr models remove {bare_name(card.onnx)}`, or add it again"))
        else:
            good.append(card)
    return Shelf(tuple(good), tuple(troubles))


def names(folder: Path = WEIGHTS, user: Path | None = None) -> list[str]:
    """Each once: those of `folder`, then the user's."""
    return list(dict.fromkeys(card.name for card in cards(folder, user)))


def find(name: str, scale: int, folder: Path = WEIGHTS, user: Path | None = None) -> ModelCard:
    """The model of that name (or in that .onnx file) and scale. Raises ModelError that says what there is instead.

    The scale of a file without a card is read from its shapes, else from its name, else it is taken to be `scale`:
    the engine tells when that is wrong.
    """
    if _is_file(name):
        card = _of_file(Path(name).expanduser(), scale)
        if card.scale != scale:
            raise ModelError(f"{name} makes pictures x{card.scale}, not x{scale}", f"use scale {card.scale}")
        return card
    there = cards(folder, user)
    called_so = [card for card in there if card.name == name]
    for card in called_so:
        if card.scale == scale:
            return card
    if called_so:
        scales = ", ".join(f"x{card.scale}" for card in called_so)
        raise ModelError(f"there is no x{scale} of {name}: {scales}", "use one of these scales, or another model")
    raise _unknown(name, sorted({card.name for card in there}))


def scales(name: str, folder: Path = WEIGHTS, user: Path | None = None) -> tuple[int, ...]:
    """The scales of a model, ascending; of a file that does not tell, those it may have. Raises ModelError."""
    if _is_file(name):
        path = Path(name).expanduser()
        beside = path.with_suffix(".toml")
        told = read(beside).scale if beside.is_file() else _scale(path)
        return (told,) if told else USUAL
    found = tuple(card.scale for card in cards(folder, user) if card.name == name)
    if not found:
        raise _unknown(name, names(folder, user))
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


def bare_name(path: Path) -> str:
    """ "fast" of fast-x2.onnx, else the whole name."""
    return re.sub(r"[-_.]x[2-8]$", "", path.stem, flags=re.IGNORECASE)


def _shelf(folder: Path) -> Shelf:
    """By name and scale."""
    found: list[ModelCard] = []
    troubles: list[ModelError] = []
    described = set()
    for path in sorted(folder.glob("*.toml")):
        described.add(path.with_suffix(".onnx"))
        try:
            found.append(read(path))
        except ModelError as error:
            troubles.append(error)
    for path in sorted(folder.glob("*.onnx")):
        scale = None if path in described else _scale(path)
        if scale:
            found.append(ModelCard(bare_name(path), scale, path))
    return Shelf(tuple(sorted(found, key=lambda card: (card.name, card.scale))), tuple(troubles))


def _is_file(name: str) -> bool:
    return name.lower().endswith(".onnx")


def _unknown(name: str, known: list[str]) -> ModelError:
    others = f"{', '.join(known)} or the path of an .onnx file" if known else "the path of an .onnx file"
    return ModelError(f'there is no model called "{name}".{did_you_mean(name, known)}', f"use {others}")


def _of_file(path: Path, scale: int) -> ModelCard:
    beside = path.with_suffix(".toml")
    if beside.is_file():
        return read(beside)
    bare = ModelCard(bare_name(path), scale, path)
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
