"""Resolves the name of a model: to a network, a filter, a chain, or a published network in its own file format.

`resolve` is called where a name enters the program: at the start of a command, and when the player changes the model.
All other code takes the `Model`, and never asks again what kind of model a name is.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import cast

from live_sr import backends
from live_sr.backends import Backend
from live_sr.errors import MissingPart, ModelError, UnknownModel, did_you_mean
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.chain import spec
from live_sr.models.chain.spec import JOIN, RESIZE, Chain, Stage
from live_sr.system import paths

FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "fsr")
FILTER_SCALES = (2, 3, 4)  # those that the hotkey goes through; a filter can have any
PINNED = re.compile(r"(.+)-x([1-8])")  # "fast-x2" in a chain: fast, and at no other scale
ONNX = ".onnx"


class Kind(StrEnum):
    """What a name can stand for."""

    NETWORK = "network"  # in an .onnx file, which all engines run
    FILTER = "filter"
    CHAIN = "chain"
    PUBLISHED = "published"  # a network in another file format, which only one library runs


@dataclass(frozen=True)
class Model:
    """What a name stands for.

    name: as the user wrote it: a name, a path, or a chain. scales: ascending. If a file does not say its scale,
    `scale_is_known` is off, and scales are the usual ones; others can be tried, and the engine says whether one is
    wrong. cards: one for each scale of a network. reader: the only backend that runs a published network. chain and
    folder: the parts of a chain, and where its composed graph is kept; None: there is no folder for it.
    """

    name: str
    kind: Kind
    scales: tuple[int, ...]
    cards: tuple[ModelCard, ...] = ()
    reader: Backend | None = None
    chain: Chain | None = None
    folder: Path | None = None
    scale_is_known: bool = True

    @classmethod
    def from_card(cls, card: ModelCard) -> Model:
        """The network of one card."""
        return cls(card.name, Kind.NETWORK, (card.scale,), (card,))

    @property
    def is_filter(self) -> bool:
        return self.kind is Kind.FILTER

    @property
    def title(self) -> str:
        """The name that its engines report: that of its card, if it has one."""
        return self.cards[0].name if self.cards else self.name

    @property
    def default_scale(self) -> int:
        """The smallest scale above 1; 1 if the model only restores pictures."""
        return next((scale for scale in self.scales if scale > 1), self.scales[0])

    def check_scale(self, scale: int) -> None:
        """Raises ModelError if the model does not have that scale. A filter has every scale."""
        if self.is_filter or not self.scale_is_known or scale in self.scales:
            return
        if self.chain is not None:
            self.chain.choose_stages(scale)  # raises
        if not _is_path(self.name):
            known = ", ".join(f"x{one}" for one in self.scales)
            what = f"there is no x{scale} of {self.name}: {known}"
            raise ModelError(what, "use one of these scales, or another model")
        (only,) = self.scales
        raise ModelError(f"{self.name} makes pictures x{only}, not x{scale}", f"use scale {only}")

    def get_card(self, scale: int) -> ModelCard | None:
        """The card of the network at that scale; None for a filter. Raises ModelError or MissingPart.

        A chain is composed now, unless its graph is already in its folder.
        """
        if self.is_filter:
            return None
        self.check_scale(scale)
        if self.chain is not None:
            folder = paths.require_folder(self.folder, f"the chain {self.name}")
            return spec.compose(self.name, self.chain.choose_stages(scale), folder)
        if not self.scale_is_known:
            return dataclasses.replace(self.cards[0], scale=scale)
        return next(card for card in self.cards if card.scale == scale)

    def verify(self, scale: int | None = None) -> None:
        """Checks that the model has that scale (None: its default one) and that its file is whole.

        Raises ModelError or MissingPart.
        """
        card = self.get_card(self.default_scale if scale is None else scale)
        if card is not None and self.reader is None:  # a published network was read to know its scale
            zoo.verify(card)

    def get_stages(self, scale: int) -> list[Stage]:
        """The stages of a chain at that scale of the whole; empty for other models. Raises ModelError."""
        return [] if self.chain is None else self.chain.choose_stages(scale)


def resolve(name: str, scale: int | None = None, *, cache: Path | None = None) -> Model:
    """The model with that name, in the file at that path, or in a chain such as "restore+fast".

    scale: one that it must have; None: any. cache: the folder for compiled engines, which also keeps composed chains;
    None: the usual one. Raises UnknownModel if there is no such model or file, ModelError if the file is no usable
    network or the model does not have that scale, and MissingPart if the library that reads it is not installed.
    """
    model = _classify(name, cache or paths.get_cache_folder())
    if scale is not None:
        model.check_scale(scale)
    return model


def list_models() -> list[Model]:
    """All models in the order of the hotkey: the networks of live-sr, those that the user added, then filters.

    Reads each card once. Raises ModelError if a card that comes with live-sr is wrong.
    """
    cards: dict[str, list[ModelCard]] = {}
    for card in zoo.list_cards(user=paths.get_models_folder()):
        cards.setdefault(card.name, []).append(card)
    networks = [_make_network(name, found) for name, found in cards.items() if name not in FILTERS]
    return [*networks, *map(_make_filter, FILTERS)]


def list_names() -> list[str]:
    return [model.name for model in list_models()]


def _classify(name: str, cache: Path | None) -> Model:
    if name in FILTERS:
        return _make_filter(name)
    if JOIN in name and not Path(name).expanduser().is_file():
        folder = None if cache is None else cache / "chains"
        chain = spec.parse(name, functools.partial(_find_part, folder=folder))
        return Model(name, Kind.CHAIN, chain.scales, chain=chain, folder=folder)
    if _is_path(name):
        return _read_file(name)
    models = list_models()
    found = next((model for model in models if model.name == name), None)
    if found is None:
        known = [model.name for model in models]
        what = f'there is no model called "{name}".{did_you_mean(name, known)}'
        raise UnknownModel(what, f"one of {', '.join(known)}")
    return found


def _make_filter(name: str) -> Model:
    return Model(name, Kind.FILTER, FILTER_SCALES)


def _make_network(name: str, cards: Sequence[ModelCard]) -> Model:
    return Model(name, Kind.NETWORK, tuple(card.scale for card in cards), tuple(cards))


def is_onnx(path: Path) -> bool:
    return path.suffix.lower() == ONNX


def _is_path(name: str) -> bool:
    """Whether the name ends like that of a model file."""
    return is_onnx(Path(name)) or backends.find_published_reader(Path(name)) is not None


def _read_file(name: str) -> Model:
    """The model in a file. Raises ModelError or MissingPart."""
    path = Path(name).expanduser()
    if not path.is_file():
        raise UnknownModel(f"there is no model file {path}", "correct the path")
    reader = backends.find_published_reader(path)
    if reader is None:
        cards = zoo.read_file(path)
        scales = tuple(card.scale for card in cards)
        return Model(name, Kind.NETWORK, scales, cards, scale_is_known=len(cards) == 1)
    card = _read_published(require_reader(path), path, path.stat().st_mtime_ns)
    return Model(name, Kind.PUBLISHED, (card.scale,), (card,), reader)


def require_reader(path: Path) -> Backend:
    """What reads a published network in that file format. Raises MissingPart if its library is not installed."""
    reader = backends.find_published_reader(path)
    assert reader is not None, path
    reason = reader.unavailable_reason()
    if reason:
        raise MissingPart(f"{path.name} cannot be read: {reason}", reader.install)
    return reader


@functools.lru_cache(maxsize=16)  # it builds the network
def _read_published(reader: Backend, path: Path, changed_ns: int) -> ModelCard:
    return cast("ModelCard", reader.load().read(path))


def _find_part(word: str, folder: Path | None) -> tuple[ModelCard, ...]:
    """The cards of a part of a chain; a published network is converted to ONNX. Raises ModelError or MissingPart."""
    if word in FILTERS:
        what = f"{word} is a filter, and the parts of a chain are networks and resizes"
        raise ModelError(what, f"write {RESIZE}2 in its place, which is cubic interpolation")
    reader = backends.find_published_reader(Path(word))
    if reader is not None:
        return (_convert_part(word, reader, folder),)
    try:
        return _classify(word, None).cards
    except UnknownModel:
        pinned = PINNED.fullmatch(word)
        model = _classify(pinned[1], None) if pinned else None
        cards = tuple(card for card in model.cards if card.scale == int(pinned[2])) if model and pinned else ()
        if not cards:
            raise
        return cards


def _convert_part(word: str, reader: Backend, folder: Path | None) -> ModelCard:
    """A published network as ONNX; it is converted only once. Raises ModelError or MissingPart."""
    path = Path(word).expanduser()
    if not reader.convertible:
        what = f"{word} cannot be in a chain: it runs in {reader.name} only"
        raise ModelError(what, "the parts of a chain are models by name, and .onnx, .pth, .pt or .safetensors files")
    if not path.is_file():
        raise UnknownModel(f"there is no model file {path}", "correct the path")
    require_reader(path)
    from live_sr.models.export import onnx_export

    return onnx_export.convert_once(path, paths.require_folder(folder, f"{path.name} as ONNX"))
