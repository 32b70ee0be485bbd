"""Installs models in the user's folder and removes them, completely or not at all."""

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
MAX_BYTES = 1 << 30  # the largest published upscalers have a tenth of that
SUFFIXES = (".onnx", ".safetensors", ".toml")  # of the files of one model; the card is written last


def describe_file(file: Path, name: str | None, scale: int | None) -> list[ModelCard]:
    """The card of a file, or one for each possible scale if neither its card, shapes or name nor `scale` say it.

    Raises ModelError for a file that is not ONNX, that is damaged, or that contradicts `scale`.
    """
    if file.suffix.lower() != ".onnx":
        what = f"{file} is not an .onnx file"
        raise ModelError(what, "`live-sr export` makes one of trained weights" if file.exists() else "correct the path")
    beside = file.with_suffix(".toml")
    card = cards.read_card(beside) if beside.is_file() else None
    bare = card or ModelCard(zoo.get_bare_name(file), scale or 1, file)
    zoo.verify(bare)
    if file.stat().st_size > MAX_BYTES:
        raise ModelError(
            f"{file} is too large for a model that runs live: {file.stat().st_size >> 20} MiB", "use a smaller network"
        )
    if card is not None and scale not in (None, card.scale):
        raise ModelError(f"{beside} says x{card.scale}, not x{scale}", "leave out --scale, or correct that card")
    possible = [scale] if scale else [one.scale for one in zoo.read_file(file)]
    if len(possible) > 1:  # nothing says it; a network that only restores pictures has 1
        possible = [1, *possible]
    return [dataclasses.replace(bare, name=name or bare.name, scale=one) for one in possible]


def check_name(name: str) -> None:
    """Checks that a name can be used on the command line and for a file. Raises UsageError."""
    if not name or not set(name) <= PLAIN or not name[0].isalnum() or name.lower().endswith(".onnx"):
        what = f'"{name}" cannot be the name of a model'
        raise UsageError(what, "letters, digits, - _ and . only, a letter or digit first: choose one with --name")


def check_folder(folder: Path) -> None:
    """Makes the folder if there is none. Raises ModelError where no model can be written into it."""
    with _name_failure(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=folder):
            pass


@contextmanager
def stage(card: ModelCard, folder: Path) -> Iterator[ModelCard]:
    """Copies a model into a temporary folder inside `folder`, to be tried first; its card gets its length and hash.

    The copy is deleted afterwards, unless `install` has moved it.
    """
    with _name_failure(folder), tempfile.TemporaryDirectory(prefix=".adding-", dir=folder) as scratch:
        copy = Path(scratch, f"{card.name}-x{card.scale}.onnx")
        for suffix in (".onnx", ".safetensors"):
            if card.onnx.with_suffix(suffix).is_file():
                shutil.copyfile(card.onnx.with_suffix(suffix), copy.with_suffix(suffix))
        with copy.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole = dataclasses.replace(card, onnx=copy, bytes=copy.stat().st_size, sha256=digest)
        copy.with_suffix(".toml").write_text(cards.format_card(whole), encoding="utf-8")
        yield whole


@contextmanager
def _name_failure(folder: Path) -> Iterator[None]:
    """Raises a ModelError for an OSError."""
    try:
        yield
    except OSError as error:
        what = f"{error.filename or folder} cannot be written: {error.strerror}"
        raise ModelError(what, "see that the folder is yours and its disk is not full") from None


def install(card: ModelCard, folder: Path) -> None:
    """Moves a staged model to its place, and replaces one of the same name and scale.

    The old card is deleted first and the new one is moved last. If this is interrupted in between, a model without a
    card remains, which also runs, and never a card that describes another file.
    """
    final = folder / card.onnx.name
    final.with_suffix(".toml").unlink(missing_ok=True)
    for suffix in SUFFIXES:
        if card.onnx.with_suffix(suffix).is_file():
            card.onnx.with_suffix(suffix).replace(final.with_suffix(suffix))
        else:
            final.with_suffix(suffix).unlink(missing_ok=True)


def remove(name: str, folder: Path, scale: int | None = None) -> list[str]:
    """Deletes a model that the user added, even if its card cannot be read. Returns the labels of what was deleted.

    scale: only that one; None: all. Raises UsageError if there is none, ModelError if the system refuses.
    """
    there = zoo.read_user_folder(folder).cards
    stems = {c.onnx.stem: c.label for c in there if c.name == name and scale in (None, c.scale)}
    for path in (*folder.glob("*.toml"), *folder.glob("*.onnx")):  # also those whose card cannot be read
        by_name = path.stem == name or (zoo.get_bare_name(path) == name and scale in (None, int(path.stem[-1])))
        if by_name and all(c.onnx.stem != path.stem for c in there):
            stems[path.stem] = path.stem
    if not stems:
        known = sorted({c.name for c in there})
        what = f'there is no model of yours called "{name}"{f" with x{scale}" if scale else ""}.'
        remedy = f"yours are {', '.join(known)}" if known else "you have added none"
        raise UsageError(what + did_you_mean(name, known), remedy)
    try:
        for stem in stems:
            for suffix in reversed(SUFFIXES):
                Path(folder, stem + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"{error.filename} cannot be deleted: {error.strerror}", "check its permissions") from None
    return sorted(stems.values())
