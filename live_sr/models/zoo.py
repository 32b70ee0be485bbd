"""The folders of models: lists their cards, finds one, verifies its file. Needs no inference library."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from live_sr.errors import ModelError, UnknownModel, did_you_mean
from live_sr.models import card as card_files
from live_sr.models.card import ModelCard
from live_sr.models.onnx import file_header

WEIGHTS = Path(__file__).parent / "weights"
SCALE_IN_NAME = re.compile(r"(?:^|[-_.])(?:x([2-8])(?!\d)|([2-8])x(?![a-z0-9]))", re.IGNORECASE)  # fast-x2, 2x_Compact

USUAL_SCALES = (2, 3, 4)  # what a file may have whose scale is not known


@dataclass(frozen=True)
class ModelFolder:
    """The models in a folder. problems: why other files there cannot be used, each a sentence with a remedy."""

    cards: tuple[ModelCard, ...]
    problems: tuple[ModelError, ...]


def list_cards(folder: Path = WEIGHTS, user: Path | None = None) -> list[ModelCard]:
    """Every model in a folder, by name and scale, then those in the folder `user`, which the user added.

    A model has a card, or it is an .onnx file whose scale is known from its shapes or name. Raises ModelError if a card
    in `folder` is wrong. A wrong card in `user` is left out; `read_user_folder` says what is wrong with it.
    """
    found = _read_folder(folder)
    if found.problems:
        raise found.problems[0]
    return [*found.cards, *(read_user_folder(user, {card.name for card in found.cards}).cards if user else ())]


def read_user_folder(folder: Path | None, taken: Iterable[str] = ()) -> ModelFolder:
    """The models that the user added; none without a folder.

    A wrong card, a card without its network, and a name in `taken` are problems.
    """
    if folder is None:
        return ModelFolder((), ())
    found = _read_folder(folder)
    good, problems = [], list(found.problems)
    for card in found.cards:
        if card.name in taken:
            what = f'{card.onnx}: a model called "{card.name}" comes with live-sr and is used instead'
            remedy = f"`live-sr models add --name` keeps it, `live-sr models remove {card.name}` deletes yours"
            problems.append(ModelError(what, remedy))
        elif not card.onnx.is_file():
            what = f"the model {card.label} is missing: there is no file {card.onnx}"
            problems.append(ModelError(what, f"`live-sr models remove {get_bare_name(card.onnx)}`, or add it again"))
        else:
            good.append(card)
    return ModelFolder(tuple(good), tuple(problems))


def list_names(folder: Path = WEIGHTS, user: Path | None = None) -> list[str]:
    """Each name once: those of `folder`, then those that the user added."""
    return list(dict.fromkeys(card.name for card in list_cards(folder, user)))


def find(name: str, scale: int, folder: Path = WEIGHTS, user: Path | None = None) -> ModelCard:
    """The model of that name and scale. Raises ModelError with what there is instead."""
    there = list_cards(folder, user)
    same_name = [card for card in there if card.name == name]
    for card in same_name:
        if card.scale == scale:
            return card
    if not same_name:
        raise make_unknown_error(name, sorted({card.name for card in there}))
    scales = ", ".join(f"x{card.scale}" for card in same_name)
    raise ModelError(f"there is no x{scale} of {name}: {scales}", "use one of these scales, or another model")


def read_file(path: Path) -> tuple[ModelCard, ...]:
    """The card of an .onnx file, or one for each of USUAL_SCALES if its scale is not known.

    The scale is that of the card beside the file, else that of the file's shapes or name. Raises ModelError for a wrong
    card, and for a file without a card that is missing or damaged.
    """
    beside = path.with_suffix(".toml")
    if beside.is_file():
        return (card_files.read_card(beside),)
    verify(ModelCard(get_bare_name(path), 1, path))
    scale = _find_scale(path)
    return tuple(ModelCard(get_bare_name(path), one, path) for one in ((scale,) if scale else USUAL_SCALES))


def verify(card: ModelCard) -> None:
    """Checks that the model's file is there, readable and whole. Raises ModelError."""
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
        file_header.read_shapes(path)
    except file_header.DamagedFile as why:
        raise ModelError(f"the model {path} cannot be used: {why}", again) from None
    except OSError as error:
        raise ModelError(f"the model {path} cannot be read: {error.strerror}", "check its permissions") from None


def get_bare_name(path: Path) -> str:
    """The file's name without its suffix and scale: "fast" of fast-x2.onnx."""
    return re.sub(r"[-_.]x[2-8]$", "", path.stem, flags=re.IGNORECASE)


def get_named_scale(path: Path) -> int | None:
    """The scale in the file's name: 2 of fast-x2.onnx."""
    named = SCALE_IN_NAME.search(path.stem)
    return int(named[1] or named[2]) if named else None


def _read_folder(folder: Path) -> ModelFolder:
    """The models of a folder, by name and scale."""
    found: list[ModelCard] = []
    problems: list[ModelError] = []
    described = set()
    for path in sorted(folder.glob("*.toml")):
        described.add(path.with_suffix(".onnx"))
        try:
            found.append(card_files.read_card(path))
        except ModelError as error:
            problems.append(error)
    for path in sorted(folder.glob("*.onnx")):
        scale = None if path in described else _find_scale(path)
        if scale:
            found.append(ModelCard(get_bare_name(path), scale, path))
    return ModelFolder(tuple(sorted(found, key=lambda card: (card.name, card.scale))), tuple(problems))


def make_unknown_error(name: str, known: Sequence[str]) -> UnknownModel:
    """The error for a name that no model has."""
    others = f"{', '.join(known)} or the path of an .onnx file" if known else "the path of an .onnx file"
    return UnknownModel(f'there is no model called "{name}".{did_you_mean(name, known)}', f"use {others}")


def _find_scale(path: Path) -> int | None:
    """The scale of a file without a card, from its shapes, else from its name; None if neither says it."""
    try:
        fixed = file_header.read_shapes(path).scale
    except (file_header.DamagedFile, OSError):
        fixed = None  # `verify` says so when the model is chosen
    if fixed:
        return fixed
    return get_named_scale(path)
