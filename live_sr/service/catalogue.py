"""Which models a request may name. A name never becomes a path: uploaded files have names that are made here."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from live_sr.engines.options import EngineOptions
from live_sr.errors import LiveSRError, UnknownModel, UsageError, did_you_mean
from live_sr.models.chain.spec import JOIN
from live_sr.models.resolve import Model, list_models, resolve

UPLOADED = re.compile(r"uploaded-[0-9a-f]{16}")
SUFFIXES = (".onnx", ".safetensors", ".pth", ".pt")
MOST_UPLOADED = 32


class ModelCatalogue:
    """The models that come with live-sr, the user's own, chains of them, and those that were uploaded."""

    def __init__(self, folder: Path, trusted: str, options: EngineOptions) -> None:
        """folder: of uploaded models. trusted: the name from the settings or the command line, which may be a path."""
        self._folder = folder
        self._trusted = trusted
        self._options = options

    def find(self, name: str, scale: int = 0) -> Model:
        """The model of that name, which has that scale (0: any). Raises ModelError or MissingPart."""
        if name == self._trusted:
            return resolve(name, scale or None, cache=self._options.cache)
        if UPLOADED.fullmatch(name):
            files = [*(self._folder / name).glob("model.*")]
            if not files:
                raise UnknownModel(f'there is no model called "{name}"', "upload it again")
            return resolve(str(files[0]), scale or None, cache=self._options.cache)
        known = [model.name for model in list_models()]
        for part in name.split(JOIN):
            if part not in known:
                what = f'there is no model called "{part}".{did_you_mean(part, known)}'
                raise UnknownModel(what, f"one of {', '.join(known)}")
        return resolve(name, scale or None, cache=self._options.cache)

    def list(self) -> list[tuple[str, tuple[int, ...], str]]:
        """Name, scales and kind of each model that may be named alone."""
        rows = [(model.name, model.scales, model.kind.value) for model in list_models()]
        if self._trusted not in {name for name, _, _ in rows}:
            model = self.find(self._trusted)
            rows.insert(0, (model.name, model.scales, model.kind.value))
        for folder in sorted(self._folder.glob("uploaded-*")):
            try:
                model = self.find(folder.name)
            except LiveSRError:
                continue  # it is being written, or what reads it is not installed any more
            rows.append((folder.name, model.scales, model.kind.value))
        return rows

    def add(self, file_name: str, write: Callable[[Path], None]) -> str:
        """Keeps an uploaded model; returns its name. write: writes the file to a path. Raises ModelError, UsageError.

        Each has a folder of its own, so that nothing in the file can refer to another file here.
        """
        suffix = Path(file_name).suffix.lower()
        if suffix not in SUFFIXES:
            raise UsageError(f"a model's file ends in {', '.join(SUFFIXES)}", "rename it, or convert it")
        if len([*self._folder.glob("uploaded-*")]) >= MOST_UPLOADED:
            raise UsageError(
                f"there are {MOST_UPLOADED} uploaded models already", "delete some in the service's folder of models"
            )
        name = f"uploaded-{secrets.token_hex(8)}"
        folder = self._folder / name
        folder.mkdir(parents=True)
        try:
            write(folder / f"model{suffix}")
            self.find(name)
        except BaseException:
            self.remove(name)
            raise
        return name

    def remove(self, name: str) -> None:
        """Deletes an uploaded model."""
        if UPLOADED.fullmatch(name):
            shutil.rmtree(self._folder / name, ignore_errors=True)
