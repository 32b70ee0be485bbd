"""A model of the user's own goes into their folder, and out of it again: whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from live_sr.errors import ModelError, UsageError, did_you_mean
from live_sr.models import card as cards
from live_sr.models import zoo
from live_sr.models.card import ModelCard

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
LARGEST = 1 << 30  # bytes; the largest published upscalers have a tenth of that
PARTS = (".onnx", ".safetensors", ".toml")  # of one model; the card goes last


def described(file: Path, name: str | None, scale: int | None) -> list[ModelCard]:
    """What a file may be: one card, or one for each scale where neither card, shapes, name nor `scale` tells it.

    Raises ModelError for a file that is none, is damaged, or contradicts `scale`.
    """
    if file.suffix.lower() != ".onnx":
        what = f"{file} is not an .onnx file"
        raise ModelError(
            what, "`tools/export.py` makes one of trained weights" if file.exists() else "correct the path"
        )
    beside = file.with_suffix(".toml")
    told = cards.read(beside) if beside.is_file() else None
    bare = told or ModelCard(zoo.bare_name(file), scale or 1, file)
    zoo.verify(bare)
    if file.stat().st_size > LARGEST:
        raise ModelError(f"{file} is too large for a model that runs live: {file.stat().st_size >> 20} MiB", "")
    if told is not None and scale not in (None, told.scale):
        raise ModelError(f"{beside} says x{told.scale}, not x{scale}", "leave out --scale, or correct that card")
    guessed = zoo.scales(str(file))
    if len(guessed) > 1:  # nothing tells it; what only restores a picture has 1
        guessed = (1, *guessed)
    possible = [told.scale] if told else [scale] if scale else list(guessed)
    return [dataclasses.replace(bare, name=name or bare.name, scale=one) for one in possible]


def check_name(name: str) -> None:
    """That a name can be written on the command line and be that of a file. Raises UsageError."""
    if not name or not set(name) <= PLAIN or not name[0].isalnum() or name.lower().endswith(".onnx"):
        what = f'"{name}" cannot be the name of a model'
        raise UsageError(what, "letters, digits, - _ and . only, a letter or digit first: choose one with --name")


@contextmanager
def staged(card: ModelCard, folder: Path) -> Iterator[ModelCard]:
    """A copy with a card that holds its length and hash, in a folder of its own inside `folder`, to be tried first.

    Gone afterwards, unless `put` has moved it on.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=folder) as own:
            copy = Path(own, f"{card.name}-x{card.scale}.onnx")
            for suffix in (".onnx", ".safetensors"):
                if card.onnx.with_suffix(suffix).is_file():
                    shutil.copyfile(card.onnx.with_suffix(suffix), copy.with_suffix(suffix))
            with copy.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            whole = dataclasses.replace(card, onnx=copy, bytes=copy.stat().st_size, sha256=digest)
            copy.with_suffix(".toml").write_text(cards.written(whole), encoding="utf-8")
            yield whole
    except OSError as error:
        what = f"{error.filename or folder} cannot be written: {error.strerror}"
        raise ModelError(what, "see that the folder is yours and its disk is not full") from None


def put(card: ModelCard, folder: Path) -> None:
    """Moves a staged model to its place, over one of the same name and scale.

    The old card goes first and the new one comes last: cut off anywhere between, what lies there is a model without a
    card, which runs too, and never a card that describes another file.
    """
    final = folder / card.onnx.name
    final.with_suffix(".toml").unlink(missing_ok=True)
    for suffix in PARTS:
        if card.onnx.with_suffix(suffix).is_file():
            card.onnx.with_suffix(suffix).replace(final.with_suffix(suffix))
        else:
            final.with_suffix(suffix).unlink(missing_ok=True)


def remove(name: str, folder: Path, scale: int | None = None) -> list[str]:
    """Deletes a model of the user's, also one whose card cannot be read; the labels of what is gone.

    `scale`: only that one. Raises UsageError when there is none, ModelError when the system refuses.
    """
    there = zoo.own(folder).cards
    stems = {c.onnx.stem: c.label for c in there if c.name == name and scale in (None, c.scale)}
    for path in (*folder.glob("*.toml"), *folder.glob("*.onnx")):  # what is too broken to have a card
        by_name = path.stem == name or (zoo.bare_name(path) == name and scale in (None, int(path.stem[-1])))
        if by_name and all(c.onnx.stem != path.stem for c in there):
            stems[path.stem] = path.stem
    if not stems:
        known = sorted({c.name for c in there})
        what = f'there is no model of yours called "{name}"{f" with x{scale}" if scale else ""}.'
        told = f"yours are {', '.join(known)}" if known else "you have added none"
        raise UsageError(what + did_you_mean(name, known), told)
    try:
        for stem in stems:
            for suffix in reversed(PARTS):
                Path(folder, stem + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"{error.filename} cannot be deleted: {error.strerror}", "check its permissions") from None
    return sorted(stems.values())
