"""What is known of a model, from the card beside its weights: `fast-x2.toml` beside `fast-x2.onnx`.

    name = "fast"
    scale = 2
    architecture = "CellNet 32x3"
    parameters = 50688
    macs_per_pixel = 11232
    multiple = 2
    licence = "GPL-3.0-or-later"
    trained_on = "frames of Freedoom, OpenArena and SuperTux"
    steps = 100000
    minutes = 75
    machine = "two cores of an AMD EPYC, no graphics card"
    notes = "stopped before its loss had settled"
    bytes = 204800
    sha256 = "..."

    [psnr_y]
    openarena = { model = 33.20, bilinear = 31.61, bicubic = 32.09, lanczos = 32.18 }

Only name and scale must be there, and of a row of psnr_y all but bilinear. With bytes and sha256 a damaged file is
recognised before anything reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType

from live_sr import toml
from live_sr.errors import ModelError, did_you_mean


@dataclass(frozen=True)
class Scores:
    """PSNR of the luma in dB, on the held-out frames of one game engine; None: not measured."""

    model: float
    bicubic: float
    lanczos: float
    bilinear: float | None = None


@dataclass(frozen=True)
class ModelCard:
    """A model somebody can choose.

    onnx: the network; input "rgb", output "enlarged", float32 (1, 3, H, W) in 0..1, the output not clamped.
    macs_per_pixel: multiply-adds per input pixel. multiple: what H and W must be a multiple of. steps, minutes and
    machine: of its training. Zero or an empty string: not known. psnr_y: by game engine.
    """

    name: str
    scale: int
    onnx: Path
    architecture: str = ""
    parameters: int = 0
    macs_per_pixel: int = 0
    multiple: int = 1
    licence: str = ""
    trained_on: str = ""
    steps: int = 0
    minutes: int = 0
    machine: str = ""
    notes: str = ""
    bytes: int = 0
    sha256: str = ""
    psnr_y: Mapping[str, Scores] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def label(self) -> str:
        """For people: "fast x2"."""
        return f"{self.name} x{self.scale}"


TEXTS = ("name", "architecture", "licence", "trained_on", "machine", "notes", "sha256")
COUNTS = ("scale", "parameters", "macs_per_pixel", "multiple", "steps", "minutes", "bytes")
REMEDY = "correct that card, or delete it: a model also runs without one"


def read(path: Path) -> ModelCard:
    """The card in the file at `path`; its network is the .onnx of the same name. Raises ModelError."""
    try:
        raw = toml.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid TOML: {error}", REMEDY) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None
    known = [f.name for f in fields(ModelCard) if f.name != "onnx"]
    for key in raw:
        if key not in known:
            raise ModelError(f"{path}: {key} is not part of a model card.{did_you_mean(key, known)}", REMEDY)
    for key in ("name", "scale"):
        if key not in raw:
            raise ModelError(f"{path}: {key} is missing", REMEDY)
    texts = {key: _text(raw[key], key, path) for key in TEXTS if key in raw}
    counts = {key: _count(raw[key], key, path) for key in COUNTS if key in raw}
    psnr_y = _psnr_y(raw.get("psnr_y", {}), path)
    return ModelCard(onnx=path.with_suffix(".onnx"), psnr_y=psnr_y, **texts, **counts)  # type: ignore[arg-type]


def written(card: ModelCard) -> str:
    """The card as TOML, which `read` reads again; what is not known is left out."""
    lines = []
    for f in fields(ModelCard):
        value = getattr(card, f.name)
        if f.name in ("name", "scale") or (f.name in TEXTS + COUNTS and value != f.default):
            lines.append(f"{f.name} = {_quoted(value) if isinstance(value, str) else value}")
    if card.psnr_y:
        lines += ["", "[psnr_y]"]
    for engine, row in card.psnr_y.items():
        figures = [(f.name, getattr(row, f.name)) for f in fields(Scores)]
        inner = ", ".join(f"{name} = {figure}" for name, figure in figures if figure is not None)
        key = engine if re.fullmatch(r"[A-Za-z0-9_-]+", engine) else _quoted(engine)
        lines.append(f"{key} = {{ {inner} }}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A basic string of TOML: as in JSON, but that DEL must be escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _text(value: object, key: str, path: Path) -> str:
    if not isinstance(value, str):
        raise ModelError(f"{path}: {key} = {value!r} must be text", REMEDY)
    return value


def _count(value: object, key: str, path: Path) -> int:
    least = 1 if key in ("scale", "multiple") else 0
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ModelError(f"{path}: {key} = {value!r} must be a whole number of at least {least}", REMEDY)
    return value


def _psnr_y(value: object, path: Path) -> Mapping[str, Scores]:
    scores: dict[str, Scores] = {}
    for engine, row in value.items() if isinstance(value, dict) else [("psnr_y", value)]:
        figures = [row.get(f.name, f.default) for f in fields(Scores)] if isinstance(row, dict) else []
        must = figures[:-1] if figures and figures[-1] is None else figures  # bilinear may be left out
        if not must or not all(isinstance(figure, int | float) for figure in must):
            raise ModelError(f"{path}: psnr_y.{engine} must have model, bicubic and lanczos, in dB", REMEDY)
        scores[engine] = Scores(*figures)
    return MappingProxyType(scores)
