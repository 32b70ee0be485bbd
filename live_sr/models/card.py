"""Reads and writes model cards: what is known of a model, in `fast-x2.toml` beside `fast-x2.onnx`.

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
    int8_ranges = [[-0.51, 2.61], [-0.92, 3.61], [-1.22, 3.1]]

    [psnr_y]
    openarena = { model = 33.20, bilinear = 31.61, bicubic = 32.09, lanczos = 32.18 }

Only name and scale are required, and in a row of psnr_y everything but bilinear. With bytes and sha256, a damaged file
is recognised before anything reads it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path

from live_sr.errors import ModelError, did_you_mean
from live_sr.system import toml


@dataclass(frozen=True)
class Scores:
    """PSNR of the luma in dB, on the held-out frames of one game engine. None: not measured."""

    model: float
    bicubic: float
    lanczos: float
    bilinear: float | None = None


@dataclass(frozen=True)
class ModelCard:
    """What is known of a network at one scale.

    onnx: its file; input "rgb", output "enlarged", float32 (1, 3, H, W) in 0..1, the output not clamped.
    macs_per_pixel: multiply-adds per input pixel. multiple: H and W must be multiples of it. steps, minutes and machine
    describe its training. Zero or an empty string means not known. int8_ranges: the least and the largest input of each
    layer between the first and the last, with which these compute in int8; none: they do not. psnr_y: by game engine.
    parts: of a chain, its networks and the factors of its resizes; the file at `onnx` is all of them.
    recurrent: it enlarges a frame of a video with the help of others, so that frames must come in order. cuts_itself:
    it cuts large pictures into tiles of its own.
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
    int8_ranges: tuple[tuple[float, float], ...] = ()
    psnr_y: Mapping[str, Scores] = field(default_factory=dict, hash=False)
    parts: tuple[ModelCard | Fraction, ...] = ()
    recurrent: bool = False
    cuts_itself: bool = False

    @property
    def label(self) -> str:
        """For people: "fast x2"."""
        return f"{self.name} x{self.scale}"

    @property
    def part_files(self) -> list[Path]:
        """Of a chain: the files of its networks."""
        return [part.onnx for part in self.parts if isinstance(part, ModelCard)]


TEXTS = ("name", "architecture", "licence", "trained_on", "machine", "notes", "sha256")
COUNTS = ("scale", "parameters", "macs_per_pixel", "multiple", "steps", "minutes", "bytes")
REMEDY = "correct that card, or delete it: a model also runs without one"


def read_card(path: Path) -> ModelCard:
    """Reads the card at `path`; its network is the .onnx file of the same name. Raises ModelError."""
    try:
        raw = toml.read(path)
    except toml.WrongEncoding as error:
        raise ModelError(f"{path} cannot be read: {error}", "save it as UTF-8, or delete it") from None
    except ValueError as error:
        raise ModelError(f"{path} is not valid TOML: {error}", REMEDY) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None
    known = [f.name for f in fields(ModelCard) if f.name not in ("onnx", "parts", "recurrent", "cuts_itself")]
    for key in raw:
        if key not in known:
            raise ModelError(f"{path}: {key} is not part of a model card.{did_you_mean(key, known)}", REMEDY)
    for key in ("name", "scale"):
        if key not in raw:
            raise ModelError(f"{path}: {key} is missing", REMEDY)
    texts = {key: _check_text(raw[key], key, path) for key in TEXTS if key in raw}
    counts = {key: _check_count(raw[key], key, path) for key in COUNTS if key in raw}
    psnr_y = _check_scores(raw.get("psnr_y", {}), path)
    ranges = _check_ranges(raw.get("int8_ranges", []), path)
    onnx = path.with_suffix(".onnx")
    return ModelCard(onnx=onnx, int8_ranges=ranges, psnr_y=psnr_y, **texts, **counts)  # type: ignore[arg-type]


def format_card(card: ModelCard) -> str:
    """The card as TOML that `read_card` can read; leaves out what is not known."""
    lines = []
    for f in fields(ModelCard):
        value = getattr(card, f.name)
        if f.name in ("name", "scale") or (f.name in TEXTS + COUNTS and value != f.default):
            lines.append(f"{f.name} = {_quote(value) if isinstance(value, str) else value}")
    if card.int8_ranges:
        lines.append(format_ranges(card.int8_ranges))
    if card.psnr_y:
        lines += ["", "[psnr_y]"]
    for engine, row in card.psnr_y.items():
        figures = [(f.name, getattr(row, f.name)) for f in fields(Scores)]
        inner = ", ".join(f"{name} = {figure}" for name, figure in figures if figure is not None)
        key = engine if re.fullmatch(r"[A-Za-z0-9_-]+", engine) else _quote(engine)
        lines.append(f"{key} = {{ {inner} }}")
    return "\n".join(lines) + "\n"


def format_ranges(ranges: Sequence[Sequence[float]]) -> str:
    """The line of a card for `int8_ranges`."""
    return f"int8_ranges = {json.dumps(ranges)}"


def _quote(text: str) -> str:
    """A basic string of TOML: the same as in JSON, except that DEL must be escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _check_text(value: object, key: str, path: Path) -> str:
    if not isinstance(value, str):
        raise ModelError(f"{path}: {key} = {value!r} must be text", REMEDY)
    return value


def _check_count(value: object, key: str, path: Path) -> int:
    least = 1 if key in ("scale", "multiple") else 0
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ModelError(f"{path}: {key} = {value!r} must be a whole number of at least {least}", REMEDY)
    return value


def _check_ranges(value: object, path: Path) -> tuple[tuple[float, float], ...]:
    ranges: list[tuple[float, float]] = []
    for row in value if isinstance(value, list) else [value]:
        if not isinstance(row, list) or len(row) != 2 or not all(_is_number(end) for end in row) or row[0] > row[1]:
            raise ModelError(f"{path}: int8_ranges must have a least and a largest value for each layer", REMEDY)
        ranges.append((float(row[0]), float(row[1])))
    return tuple(ranges)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_scores(value: object, path: Path) -> Mapping[str, Scores]:
    scores: dict[str, Scores] = {}
    for engine, row in value.items() if isinstance(value, dict) else [("psnr_y", value)]:
        figures = [row.get(f.name, f.default) for f in fields(Scores)] if isinstance(row, dict) else []
        must = figures[:-1] if figures and figures[-1] is None else figures  # bilinear may be left out
        if not must or not all(isinstance(figure, int | float) for figure in must):
            raise ModelError(f"{path}: psnr_y.{engine} must have model, bicubic and lanczos, in dB", REMEDY)
        scores[engine] = Scores(*figures)
    return scores
