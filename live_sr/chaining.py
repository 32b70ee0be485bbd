"""Where a chain's parts come from: models by name, and published networks, which are converted for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from live_sr import backends
from live_sr.backends import Backend
from live_sr.errors import MissingPart, ModelError
from live_sr.models import chain
from live_sr.models.card import ModelCard

PINNED = re.compile(r"(.+)-x([1-8])")  # "fast-x2": fast, and at no other scale


@dataclass(frozen=True)
class Parts:
    """What is known of single models, as `assembly` tells it; all methods raise ModelError or MissingPart.

    about: None of a filter, which cannot be a part.
    """

    scales_of: Callable[[str], Sequence[int]]
    about: Callable[[str, int], ModelCard | None]
    filters: Sequence[str]

    def scales(self, name: str) -> tuple[int, ...]:
        """Those of the chain, ascending."""
        return chain.scales(name, self._scales)

    def stages(self, name: str, scale: int) -> list[chain.Stage]:
        return chain.stages(name, scale, self._scales, self._about)

    def card(self, name: str, scale: int) -> ModelCard:
        """The chain as one model, composed now if it was not yet."""
        return chain.composed(name, self.stages(name, scale), folder())

    def _scales(self, word: str) -> Sequence[int]:
        if word in self.filters:
            raise chain.refuse_filter(word)
        network = _converted(word)
        if network is not None:
            return (network.scale,)
        try:
            return self.scales_of(word)
        except ModelError:
            pinned = PINNED.fullmatch(word)
            if pinned is None or int(pinned[2]) not in self.scales_of(pinned[1]):
                raise
            return (int(pinned[2]),)

    def _about(self, word: str, scale: int) -> ModelCard | None:
        network = _converted(word)
        if network is not None:
            return network
        try:
            return self.about(word, scale)
        except ModelError:
            pinned = PINNED.fullmatch(word)
            if pinned is None or int(pinned[2]) != scale:
                raise
            return self.about(pinned[1], scale)


def is_chain(name: str) -> bool:
    return chain.is_chain(name)


def reader(name: str) -> Backend | None:
    """What reads the published network in that file; None of a chain too, whatever its last part is."""
    return None if chain.is_chain(name) else backends.reader(name)


def folder() -> Path:
    """Where what was composed or converted is kept."""
    return backends.cache_folder() / "chains"


def _converted(word: str) -> ModelCard | None:
    """A published network as ONNX; None where the word is no file of one. Raises ModelError or MissingPart."""
    leaf = backends.reader(word)
    if leaf is None:
        return None
    path = Path(word).expanduser()
    if leaf.name != "torch":
        what = f"{word} cannot be in a chain: it runs in {leaf.name} only"
        raise ModelError(what, "the parts of a chain are models by name, and .onnx, .pth, .pt or .safetensors files")
    if not path.is_file():
        raise ModelError(f"there is no file {path}", "correct the path")
    if leaf.obstacle():
        raise MissingPart(f"{path.name} cannot be read: {leaf.obstacle()}", leaf.get)
    from live_sr.models import exported

    return exported.kept(path, folder())
