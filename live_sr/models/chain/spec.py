"""Chains: networks one after the other as one network, such as `restore+fast` or `resize:0.5+quality`.

A chain is composed into one ONNX graph, which is kept in a folder with a card like any model's, so that every engine
runs it as one model: nothing is rounded to 8 bits in between, and the runtime plans the memory of all stages together.
Between two stages, values are clamped to 0..1, as in a picture.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from live_sr.errors import MissingPart, ModelError
from live_sr.models import card as cards
from live_sr.models import zoo
from live_sr.models.card import ModelCard

JOIN, RESIZE = "+", "resize:"
FORMAT = "1"  # of the composed graphs: goes up when they change
LARGEST_STEP = 8  # the largest numerator and denominator of a resize
LARGEST_SCALE = 8  # of a whole chain
SHRINK = "a chain enlarges by a whole number, or leaves the size as it is"


@dataclass(frozen=True)
class ResizeStage:
    """A stage without a network: cubic interpolation up by the numerator, then the mean over cells of denominator²."""

    factor: Fraction

    @property
    def label(self) -> str:
        return f"resize x{self.factor}"


Stage = ModelCard | ResizeStage


@dataclass(frozen=True)
class StageCost:
    """What one stage costs in its place.

    macs_per_pixel: multiply-adds for each pixel that comes into the chain; 0 of a network: not known. before and after:
    the sides of the picture before and after the stage, relative to those of the picture that comes into the chain.
    """

    label: str
    parameters: int
    macs_per_pixel: float
    before: Fraction
    after: Fraction


@dataclass(frozen=True)
class Chain:
    """A chain whose parts are known. parts: for each its stages, one for every scale that it has."""

    name: str
    parts: tuple[tuple[Stage, ...], ...]

    @property
    def scales(self) -> tuple[int, ...]:
        """Those that the chain can have, ascending. Raises ModelError when there are none."""
        found = {math.prod(map(_get_factor, way)) for way in itertools.product(*self.parts)}
        whole = sorted(int(f) for f in found if f.denominator == 1 and 1 <= f <= LARGEST_SCALE)
        if not whole:
            reached = ", ".join(f"x{f}" for f in sorted(found))
            what = f"the chain {self.name} would make {reached}"
            raise ModelError(what, f"{SHRINK}, up to {LARGEST_SCALE} times: change its parts")
        return tuple(whole)

    def choose_stages(self, scale: int) -> list[Stage]:
        """The parts at that scale of the whole. Raises ModelError when the chain cannot have it.

        Where several combinations come to that scale, the one that enlarges last: the stages before it then work on
        fewer pixels.
        """
        ways = [way for way in itertools.product(*self.parts) if math.prod(map(_get_factor, way)) == scale]
        if not ways:
            known = ", ".join(f"x{s}" for s in self.scales)
            raise ModelError(f"there is no x{scale} of the chain {self.name}: {known}", "use one of these scales")
        return list(min(ways, key=lambda way: [_get_factor(stage) for stage in way]))


def parse(name: str, find_cards: Callable[[str], Sequence[ModelCard]]) -> Chain:
    """The chain that a name like "restore+fast" stands for. `find_cards`: the cards of a model, one for each scale.

    Raises ModelError for a name that is no chain or has no whole scale, and whatever `find_cards` raises.
    """
    words = [word.strip() for word in name.split(JOIN)]
    if not all(words):
        raise ModelError(f'"{name}" is no chain: a part of it is empty', "write the models like restore+fast")
    if all(_is_resize(word) for word in words):
        raise ModelError(f"the chain {name} has no network in it", "a filter resizes, too: bicubic, lanczos or fsr")
    parts = [(_parse_resize(word),) if _is_resize(word) else tuple(find_cards(word)) for word in words]
    chain = Chain(name, tuple(parts))
    _ = chain.scales  # raises where there are none
    return chain


def estimate_costs(stages: Sequence[Stage]) -> list[StageCost]:
    """What each stage costs, in its place."""
    found, size = [], Fraction(1)
    for stage in stages:
        after = size * _get_factor(stage)
        if isinstance(stage, ResizeStage):
            found.append(StageCost(stage.label, 0, 0.0, size, after))
        else:
            macs = float(stage.macs_per_pixel * size**2)
            found.append(StageCost(stage.label, stage.parameters, macs, size, after))
        size = after
    return found


def compose(name: str, stages: Sequence[Stage], folder: Path) -> ModelCard:
    """The chain as one model in `folder`, found there or composed now; its file is named after all it depends on.

    Raises ModelError when a part is missing or does not fit, or when the folder cannot be written; MissingPart.
    """
    scale = math.prod(map(_get_factor, stages), start=Fraction(1))
    if scale.denominator != 1:
        raise ModelError(f"the chain {name} would make x{scale}", SHRINK)
    for stage in stages:
        if isinstance(stage, ModelCard):
            zoo.verify(stage)
    parts = tuple(stage.factor if isinstance(stage, ResizeStage) else stage for stage in stages)
    path = folder / f"{_make_file_name(name)}-{_compute_digest(stages)}-x{scale}.onnx"
    with suppress(ModelError):
        there = cards.read_card(path.with_suffix(".toml"))
        zoo.verify(there)
        return dataclasses.replace(there, name=name, parts=parts)
    try:
        from live_sr.models.chain import onnx_merge
    except ImportError as error:
        raise MissingPart(f"chains are composed by onnx, which does not import: {error}", "pip install onnx") from None
    data = onnx_merge.merge(parts)
    card = _describe(name, stages, path, data)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in ((path, data), (path.with_suffix(".toml"), cards.format_card(card).encode())):
            part = file.with_name(f"{file.name}.part")
            part.write_bytes(content)
            part.replace(file)
    except OSError as error:
        what = f"the chain {name} cannot be kept in {folder}: {error.strerror}"
        raise ModelError(what, "see that the folder is yours and its disk is not full") from None
    return dataclasses.replace(card, parts=parts)


def compute_multiple(stages: Sequence[Stage]) -> int:
    """The least sides of the first picture with which every stage gets sides that it can take."""
    needed, size = 1, Fraction(1)
    for stage in stages:
        takes = stage.multiple if isinstance(stage, ModelCard) else 1
        made = size if isinstance(stage, ModelCard) else size * stage.factor
        for fraction in (size / takes, made):  # each times the sides must be a whole number
            needed = math.lcm(needed, fraction.denominator)
        size *= _get_factor(stage)
    return needed


def _describe(name: str, stages: Sequence[Stage], path: Path, data: bytes) -> ModelCard:
    costs = estimate_costs(stages)
    known = all(cost.macs_per_pixel for cost, stage in zip(costs, stages, strict=True) if isinstance(stage, ModelCard))
    licences = dict.fromkeys(stage.licence or "not stated" for stage in stages if isinstance(stage, ModelCard))
    return ModelCard(
        name,
        int(math.prod(map(_get_factor, stages), start=Fraction(1))),
        path,
        architecture=" > ".join(stage.label for stage in stages),
        parameters=sum(cost.parameters for cost in costs),
        macs_per_pixel=round(sum(cost.macs_per_pixel for cost in costs)) if known else 0,
        multiple=compute_multiple(stages),
        licence=", ".join(licences),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _is_resize(word: str) -> bool:
    return word.lower().startswith(RESIZE)


def _parse_resize(word: str) -> ResizeStage:
    """Of "resize:0.5" or "resize:2/3". Raises ModelError."""
    text = word[len(RESIZE) :].strip()
    if re.fullmatch(r"\d+x\d+", text):
        what = f'"{word}" is a size, and a chain must enlarge frames of any size by the same'
        raise ModelError(what, "write a factor like resize:0.5; `live-sr upscale --size` ends with exactly a size")
    try:
        factor = Fraction(text).limit_denominator(LARGEST_STEP)
        good = factor == Fraction(text) and 0 < factor <= LARGEST_STEP
    except (ValueError, ZeroDivisionError):
        good = False
    if not good:
        what = f'"{word}" is no resize: its factor must be a fraction of whole numbers up to {LARGEST_STEP}'
        raise ModelError(what, "write it like resize:0.5, resize:2 or resize:2/3")
    return ResizeStage(factor)


def _get_factor(stage: Stage) -> Fraction:
    return stage.factor if isinstance(stage, ResizeStage) else Fraction(stage.scale)


def _make_file_name(name: str) -> str:
    """What of a name can be in a file's."""
    short = JOIN.join(Path(word).stem if "/" in word or "\\" in word else word for word in name.split(JOIN))
    return re.sub(r"[^A-Za-z0-9._+-]", "_", short)[:80]


def _compute_digest(stages: Sequence[Stage]) -> str:
    lines = [FORMAT]
    for stage in stages:
        if isinstance(stage, ResizeStage):
            lines.append(str(stage.factor))
        else:
            sha256 = stage.sha256.lower() or hashlib.sha256(stage.onnx.read_bytes()).hexdigest()
            lines.append(f"{sha256} {stage.scale} {stage.multiple}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
