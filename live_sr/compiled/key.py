"""What a compiled engine depends on, and the card beside its file that tells it: a .toml of the same name.

engine = "tensorrt"
model = "fast"
scale = 2
width = 480
height = 270
precision = "fp16"
weights = "9f86d0..."
architecture = "CellNet 32x3"
gpu = "NVIDIA GeForce RTX 4060"
capability = "8.9"
driver = "580.95.05"
bytes = 1048576
sha256 = "60303a..."
seconds = 34.5
built = "2026-01-31T20:15:00+00:00"
stamp = "cd372f..."

[options]
optimization_level = "3"

[versions]
tensorrt = "10.13.3.9"
torch = "2.13.0"
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib import metadata

from live_sr import toml
from live_sr.frame import Size

Pairs = tuple[tuple[str, str], ...]

DIGITS = 12  # of the hash in a file's name: 48 bits, and the card is compared with the whole key anyway
NAME = 40  # characters of a model's name in that of a file


@dataclass(frozen=True)
class Key:
    """Everything that decides whether an engine file can be used.

    engine: tensorrt or rtx. width, height: of the frames it takes, in pixels. weights: sha256 of the network's weights,
    in hex. architecture: of the network. options: what it was compiled with. versions: of the packages that compiled
    it, by the names they are installed under (see `installed`), and of what is no package by a name with a space. gpu,
    capability ("8.9") and driver: as the card's driver calls them. Pairs may come in any order.
    """

    engine: str
    model: str
    scale: int
    width: int
    height: int
    precision: str
    weights: str
    architecture: str
    gpu: str
    capability: str
    driver: str
    options: Pairs = ()
    versions: Pairs = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(sorted(self.options)))
        object.__setattr__(self, "versions", tuple(sorted(self.versions)))

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)

    @property
    def label(self) -> str:
        """For people: "fast x2 for 480x270"."""
        return f"{self.model} x{self.scale} for {self.size}"

    @property
    def canonical(self) -> bytes:
        """The same bytes for the same key, on any machine."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @property
    def file_name(self) -> str:
        """Unlike that of any other key: "fast-x2-480x270-fp16-tensorrt-1a2b3c4d5e6f.engine"."""
        words = (self.model[:NAME], f"x{self.scale}", str(self.size), self.precision, self.engine)
        readable = re.sub(r"[^A-Za-z0-9._-]", "_", "-".join(words))
        return f"{readable}-{hashlib.sha256(self.canonical).hexdigest()[:DIGITS]}.engine"


@dataclass(frozen=True)
class Label:
    """What the card beside an engine file tells.

    bytes and sha256: of the file. seconds: that building it took. built: when, ISO 8601 in UTC. stamp: by which the
    user who built it knows it again, see `Store`.
    """

    key: Key
    bytes: int
    sha256: str
    seconds: float
    built: str
    stamp: str

    def written(self) -> str:
        """As TOML, which `read` reads again."""
        lines = [f"{name} = {_value(getattr(self.key, name))}" for name in PLAIN]
        lines += [f"{name} = {_value(getattr(self, name))}" for name in OWN]
        for table in TABLES:
            lines += ["", f"[{table}]"]
            lines += [f"{_value(name)} = {_value(value)}" for name, value in getattr(self.key, table)]
        return "\n".join(lines) + "\n"


TABLES = ("options", "versions")
PLAIN = tuple(f.name for f in fields(Key) if f.name not in TABLES)
OWN = tuple(f.name for f in fields(Label) if f.name != "key")
NUMBERS: Mapping[str, type[int] | type[float]] = {
    "scale": int,
    "width": int,
    "height": int,
    "bytes": int,
    "seconds": float,
}


def read(text: str) -> Label:
    """A card's text. Raises ValueError, with what is wrong, for anything but what `Label.written` writes."""
    raw = toml.loads(text)
    for name in (*PLAIN, *OWN):
        kind = NUMBERS.get(name, str)
        if type(raw.get(name)) is not kind:
            raise ValueError(f"{name} is not there or no {kind.__name__}")
    options, versions = (_pairs(name, raw.get(name)) for name in TABLES)
    key = Key(**{name: raw[name] for name in PLAIN}, options=options, versions=versions)
    return Label(key, **{name: raw[name] for name in OWN})


def installed(packages: Iterable[str]) -> Pairs:
    """Name and version of those packages that are installed, for `Key.versions`; nothing is imported."""
    found = []
    for package in packages:
        try:
            found.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(sorted(found))


def _pairs(name: str, table: object) -> Pairs:
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ValueError(f"[{name}] is not there or not all text")
    return tuple(table.items())


def _value(value: str | int | float) -> str:
    """A basic string of TOML is one of JSON, but that DEL must be escaped too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
