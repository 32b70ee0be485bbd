"""What a compiled engine depends on, and its manifest: a TOML file of the same name beside the engine.

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

from live_sr.pipeline.frame import Size
from live_sr.system import toml

Pairs = tuple[tuple[str, str], ...]

HASH_DIGITS = 12  # of the hash in a file's name: 48 bits. The manifest is compared with the whole key in any case.
MAX_NAME = 40  # characters of a model's name in a file's name


@dataclass(frozen=True)
class EngineKey:
    """Everything that decides whether an engine file can be used.

    engine: tensorrt, rtx or rtx-kernels. width, height: of its input frames, in pixels. weights: SHA-256 of the
    network's weights, in hex. architecture: of the network. options: what it was compiled with. versions: of the
    packages that compiled it, by their package names (see `find_installed`); what is no package has a name with a
    space. gpu, capability ("8.9") and driver: as the GPU's driver reports them; gpu and driver are empty for an engine
    that every GPU of that capability can use. The order of the pairs does not matter.
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
        """For messages: "fast x2 for 480x270"."""
        return f"{self.model} x{self.scale} for {self.size}"

    @property
    def canonical(self) -> bytes:
        """The same bytes for equal keys, on any machine."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @property
    def file_name(self) -> str:
        """Different for every key: "fast-x2-480x270-fp16-tensorrt-1a2b3c4d5e6f.engine"."""
        words = (self.model[:MAX_NAME], f"x{self.scale}", str(self.size), self.precision, self.engine)
        readable = re.sub(r"[^A-Za-z0-9._-]", "_", "-".join(words))
        return f"{readable}-{hashlib.sha256(self.canonical).hexdigest()[:HASH_DIGITS]}.engine"


@dataclass(frozen=True)
class EngineManifest:
    """The content of the TOML file beside an engine file.

    bytes and sha256: of the engine file. seconds: how long it took to build. built: when, ISO 8601 in UTC. stamp: the
    signature that proves that this user built it, see `EngineCache`.
    """

    key: EngineKey
    bytes: int
    sha256: str
    seconds: float
    built: str
    stamp: str

    def to_toml(self) -> str:
        """TOML text that `parse_manifest` reads."""
        lines = [f"{name} = {_format_value(getattr(self.key, name))}" for name in KEY_FIELDS]
        lines += [f"{name} = {_format_value(getattr(self, name))}" for name in MANIFEST_FIELDS]
        for table in TABLES:
            lines += ["", f"[{table}]"]
            lines += [f"{_format_value(name)} = {_format_value(value)}" for name, value in getattr(self.key, table)]
        return "\n".join(lines) + "\n"


TABLES = ("options", "versions")
KEY_FIELDS = tuple(f.name for f in fields(EngineKey) if f.name not in TABLES)
MANIFEST_FIELDS = tuple(f.name for f in fields(EngineManifest) if f.name != "key")
FIELD_TYPES: Mapping[str, type[int] | type[float]] = {
    "scale": int,
    "width": int,
    "height": int,
    "bytes": int,
    "seconds": float,
}


def parse_manifest(text: str) -> EngineManifest:
    """Raises ValueError, with what is wrong, for any text that `EngineManifest.to_toml` does not write."""
    raw = toml.parse(text)
    for name in (*KEY_FIELDS, *MANIFEST_FIELDS):
        kind = FIELD_TYPES.get(name, str)
        if type(raw.get(name)) is not kind:
            raise ValueError(f"{name} is missing or no {kind.__name__}")
    options, versions = (_check_pairs(name, raw.get(name)) for name in TABLES)
    key = EngineKey(**{name: raw[name] for name in KEY_FIELDS}, options=options, versions=versions)
    return EngineManifest(key, **{name: raw[name] for name in MANIFEST_FIELDS})


def find_installed(packages: Iterable[str]) -> Pairs:
    """Name and version of each of the packages that is installed, for `EngineKey.versions`. Imports none of them."""
    found = []
    for package in packages:
        try:
            found.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(sorted(found))


def _check_pairs(name: str, table: object) -> Pairs:
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ValueError(f"[{name}] is missing or has a value that is no text")
    return tuple(table.items())


def _format_value(value: str | int | float) -> str:
    """A basic string of TOML is one of JSON, except that DEL must be escaped too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
