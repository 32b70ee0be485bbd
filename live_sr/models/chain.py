"""Networks one after the other as one network: `restore+fast`, `resize:0.5+quality`.

A chain is composed into one ONNX graph in a folder of its own, with a card like any model's, so that every engine runs
it as one: nothing is rounded to 8 bits in between, and the runtime plans the memory of all stages at once. Between two
stages values are clamped to 0..1, as a picture's would be.
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
FORMAT = "1"  # of what is kept: goes up when the graph changes
LARGEST_STEP = 8  # of a resize: neither above nor below the line more than this
MOST = 8  # times a chain enlarges, at most
SHRINK = "a chain enlarges by a whole number, or leaves the size as it is"


@dataclass(frozen=True)
class Resized:
    """A stage without a network: cubic interpolation up by the numerator, then the mean over cells of denominator²."""

    factor: Fraction

    @property
    def label(self) -> str:
        return f"resize x{self.factor}"


Stage = ModelCard | Resized


@dataclass(frozen=True)
class Cost:
    """Of one stage: parameters, multiply-adds for each pixel that comes into the chain, and its size there and after it
    relative to that picture; 0 multiply-adds of a network: not known."""

    label: str
    parameters: int
    macs_per_pixel: float
    before: Fraction
    after: Fraction


def is_chain(name: str) -> bool:
    return JOIN in name and not Path(name).is_file()


def parts(name: str) -> list[str]:
    """Raises ModelError when one of them is empty."""
    words = [word.strip() for word in name.split(JOIN)]
    if not all(words):
        raise ModelError(f'"{name}" is no chain: a part of it is empty', "write the models like restore+fast")
    return words


def scales(name: str, of_part: Callable[[str], Sequence[int]]) -> tuple[int, ...]:
    """Those that the chain can have, ascending; `of_part` tells a network's. Raises ModelError when there are none."""
    found = {math.prod(factors) for factors in itertools.product(*_factors(name, of_part))}
    whole = sorted(int(f) for f in found if f.denominator == 1 and 1 <= f <= MOST)
    if not whole:
        told = ", ".join(f"x{f}" for f in sorted(found))
        raise ModelError(f"the chain {name} would make {told}", f"{SHRINK}, up to {MOST} times: change its parts")
    return tuple(whole)


def stages(
    name: str, scale: int, of_part: Callable[[str], Sequence[int]], card: Callable[[str, int], ModelCard | None]
) -> list[Stage]:
    """The parts of the chain at that scale of the whole. Raises ModelError.

    Where several combinations come to the same, that which enlarges last: the stages before it work on fewer pixels.
    """
    ways = [way for way in itertools.product(*_factors(name, of_part)) if math.prod(way) == scale]
    if not ways:
        known = ", ".join(f"x{s}" for s in scales(name, of_part))
        raise ModelError(f"there is no x{scale} of the chain {name}: {known}", "use one of these scales")
    found: list[Stage] = []
    for word, factor in zip(parts(name), min(ways), strict=True):
        if word.lower().startswith(RESIZE):
            found.append(Resized(factor))
            continue
        network = card(word, int(factor))
        if network is None:
            raise refuse_filter(word)
        found.append(network)
    return found


def costs(chain: Sequence[Stage]) -> list[Cost]:
    """What each stage costs, in its place."""
    found, size = [], Fraction(1)
    for stage in chain:
        if isinstance(stage, Resized):
            found.append(Cost(stage.label, 0, 0.0, size, size * stage.factor))
        else:
            macs = float(stage.macs_per_pixel * size**2)
            found.append(Cost(stage.label, stage.parameters, macs, size, size * stage.scale))
        size = found[-1].after
    return found


def composed(name: str, chain: Sequence[Stage], folder: Path) -> ModelCard:
    """The chain as one model in `folder`, found there or made now; it is named after all that its graph depends on.

    Raises ModelError when parts are missing or do not fit, or when the folder cannot be written; MissingPart.
    """
    scale = math.prod((_factor(stage) for stage in chain), start=Fraction(1))
    if scale.denominator != 1:
        raise ModelError(f"the chain {name} would make x{scale}", SHRINK)
    for stage in chain:
        if isinstance(stage, ModelCard):
            zoo.verify(stage)
    path = folder / f"{_plain(name)}-{_digest(chain)}-x{scale}.onnx"
    with suppress(ModelError):
        there = cards.read(path.with_suffix(".toml"))
        zoo.verify(there)
        return dataclasses.replace(there, name=name)
    try:
        from live_sr.models import chainonnx
    except ImportError as error:
        raise MissingPart(f"chains are composed by onnx, which does not import: {error}", "pip install onnx") from None
    data = chainonnx.graph([s.factor if isinstance(s, Resized) else s for s in chain])
    each = costs(chain)
    known = all(cost.macs_per_pixel for cost, stage in zip(each, chain, strict=True) if isinstance(stage, ModelCard))
    licences = dict.fromkeys(stage.licence or "not stated" for stage in chain if isinstance(stage, ModelCard))
    made = ModelCard(
        name,
        int(scale),
        path,
        architecture=" > ".join(stage.label for stage in chain),
        parameters=sum(cost.parameters for cost in each),
        macs_per_pixel=round(sum(cost.macs_per_pixel for cost in each)) if known else 0,
        multiple=multiple(chain),
        licence=", ".join(licences),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in ((path, data), (path.with_suffix(".toml"), cards.written(made).encode())):
            part = file.with_name(f"{file.name}.part")
            part.write_bytes(content)
            part.replace(file)
    except OSError as error:
        what = f"the chain {name} cannot be kept in {folder}: {error.strerror}"
        raise ModelError(what, "see that the folder is yours and its disk is not full") from None
    return made


def multiple(chain: Sequence[Stage]) -> int:
    """The least sides of the first picture with which every stage gets sides that it can take."""
    needed, size = 1, Fraction(1)
    for stage in chain:
        takes = stage.multiple if isinstance(stage, ModelCard) else 1
        made = size if isinstance(stage, ModelCard) else size * stage.factor
        for fraction in (size / takes, made):  # each times the sides must be a whole number
            needed = math.lcm(needed, fraction.denominator)
        size *= _factor(stage)
    return needed


def _factors(name: str, of_part: Callable[[str], Sequence[int]]) -> list[list[Fraction]]:
    """What each part can do to the size."""
    found = []
    for word in parts(name):
        if word.lower().startswith(RESIZE):
            found.append([_resize(word)])
        else:
            found.append([Fraction(scale) for scale in of_part(word)])
    if all(word.lower().startswith(RESIZE) for word in parts(name)):
        raise ModelError(f"the chain {name} has no network in it", "a filter resizes, too: bicubic, lanczos or fsr")
    return found


def _resize(word: str) -> Fraction:
    """The factor of "resize:0.5" or "resize:2/3". Raises ModelError."""
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
    return factor


def refuse_filter(word: str) -> ModelError:
    """What to raise when a part of a chain is one of the filters."""
    what = f"{word} is a filter, and the parts of a chain are networks and resizes"
    return ModelError(what, f"write {RESIZE}2 in its place, which is cubic interpolation")


def _factor(stage: Stage) -> Fraction:
    return stage.factor if isinstance(stage, Resized) else Fraction(stage.scale)


def _plain(name: str) -> str:
    """What of a name can be in a file's."""
    short = JOIN.join(Path(word).stem if "/" in word or "\\" in word else word for word in name.split(JOIN))
    return re.sub(r"[^A-Za-z0-9._+-]", "_", short)[:80]


def _digest(chain: Sequence[Stage]) -> str:
    told = [FORMAT]
    for stage in chain:
        if isinstance(stage, Resized):
            told.append(str(stage.factor))
        else:
            sha256 = stage.sha256.lower() or hashlib.sha256(stage.onnx.read_bytes()).hexdigest()
            told.append(f"{sha256} {stage.scale} {stage.multiple}")
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
