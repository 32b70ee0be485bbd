"""A segment made in a process of a cluster, and what that process must have in common with all others."""

from __future__ import annotations

import hashlib
import platform
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path

import av

import live_sr
from live_sr import assembly, backends, chaining, hardware
from live_sr.contracts import Engine
from live_sr.errors import LiveSRError, reason
from live_sr.frame import Size
from live_sr.upscale.encode import Recipe
from live_sr.upscale.footage import Footage
from live_sr.upscale.options import Work
from live_sr.upscale.segments import Segment
from live_sr.upscale.video import ready_engine, upscale_segment

ALWAYS = ("numpy", "av", "opencv-python-headless", "opencv-python")
BY_ENGINE = {
    "openvino": ("openvino",),
    "tensorflow": ("openvino",),
    "torch": ("torch", "spandrel"),
    "ncnn": ("ncnn",),
    "cuda": ("torch",),
    "tensorrt": ("torch", "torch-tensorrt", "tensorrt"),
    "rtx": ("onnxruntime", "onnxruntime-ep-nv-tensorrt-rtx-cu13"),
}
SAMPLE = 1 << 20  # bytes of each end of a file, by which it is known again


@dataclass(frozen=True)
class Likeness:
    """What the bytes of a segment depend on, beside its recipe and the source. `sees`: the source is here too.

    software: names and versions, also of the model. trouble: why nothing can be made here, or an empty string.
    """

    host: str
    software: tuple[tuple[str, str], ...]
    processor: str
    sees: bool
    trouble: str = ""


def likeness(footage: Footage, made: Recipe, source: str) -> Likeness:
    """Of this machine. `source`: what `fingerprint` said of the source's file."""
    software = {"Python": platform.python_version(), "FFmpeg in av": _ffmpeg(), "live-sr": _code()}
    trouble = ""
    try:
        engine, model = _asked(made.work, footage.size)
        software |= {"engine": engine, "model": model}
    except LiveSRError as error:
        trouble, engine = reason(error), ""
    for package in (*ALWAYS, *BY_ENGINE.get(engine, ())):
        with suppress(metadata.PackageNotFoundError):
            software[package] = metadata.version(package)
    processor = ", ".join([hardware.processor_name(), *hardware.nvidia_adapters()])
    sees = fingerprint(footage.path) == source
    return Likeness(socket.gethostname(), tuple(sorted(software.items())), processor, sees, trouble)


def fingerprint(path: Path) -> str:
    """Of a file's length and both of its ends; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            digest = hashlib.sha256(b"%d " % size + file.read(SAMPLE))
            file.seek(max(0, size - SAMPLE))
            digest.update(file.read(SAMPLE))
            return digest.hexdigest()
    except OSError:
        return ""


def segment_made(footage: Footage, made: Recipe, segment: Segment) -> bytes:
    """The segment's file, as a single process would have written it. Raises LiveSRError."""
    with tempfile.TemporaryDirectory(prefix="live-sr-") as folder:
        place = Path(folder, "segment")
        try:
            upscale_segment(footage, segment, made, place, engine=_engine(footage, _here(made)))
        except BaseException:
            _engine.clear()  # it may have been left in the middle of something
            raise
        return place.read_bytes()


def brought(footage: Footage, blocks: Callable[[], Iterator[bytes]]) -> Footage:
    """The same footage in a copy of its file, which is fetched once by each process and goes with it."""
    return replace(footage, path=_copies().of(footage, blocks))


class _Copies:
    """Files that came from another machine, in a folder that is deleted when the process ends."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="live-sr-")

    def of(self, footage: Footage, blocks: Callable[[], Iterator[bytes]]) -> Path:
        """Raises LiveSRError for a full disk."""
        name = hashlib.sha256(f"{footage.path} {footage.bytes} {footage.changed_ns}".encode()).hexdigest()
        place = Path(self._folder.name, f"{name[:16]}{footage.path.suffix}")
        if not place.exists():
            for old in place.parent.iterdir():  # one at a time: they may be large
                old.unlink()
            part = place.with_name("part")
            try:
                with part.open("wb") as file:
                    for block in blocks():
                        file.write(block)
                part.rename(place)
            except OSError as error:
                what = f"{socket.gethostname()} cannot keep a copy of {footage.path.name}: {error.strerror}"
                raise LiveSRError(what, "put the video where all machines can read it") from None
        return place


@cache
def _copies() -> _Copies:
    return _Copies()


class _Engines:
    """The engine of the last segment: the next one mostly needs the same."""

    def __init__(self) -> None:
        self._made: tuple[Work, Size, Engine] | None = None

    def __call__(self, footage: Footage, made: Recipe) -> Engine:
        if self._made is None or self._made[:2] != (made.work, footage.size):
            self.clear()
            self._made = (made.work, footage.size, ready_engine(footage, made))
        return self._made[2]

    def clear(self) -> None:
        if self._made is not None:
            self._made[2].close()
            self._made = None


_engine = _Engines()


def _here(made: Recipe) -> Recipe:
    """With this machine's own folder for what engines compile, where the other's is not here."""
    work, folder = made.work, made.work.engine.cache
    if folder is None or folder.is_dir():
        return made
    return replace(made, work=replace(work, engine=replace(work.engine, cache=backends.cache_folder())))


def _asked(work: Work, size: Size) -> tuple[str, str]:
    """The name of what runs the model here, and a digest of its files. Raises LiveSRError."""
    card = assembly.about(work.model, work.factor(size))
    if card is None:
        return "filters", "a filter"
    digest = hashlib.sha256()
    for file in sorted(card.onnx.parent.glob(f"{card.onnx.stem}.*")):
        if file.suffix != ".toml":
            digest.update(file.read_bytes())
    return (chaining.reader(work.model) or assembly.engine_choice(work.engine)[0]).name, digest.hexdigest()[:12]


def _code() -> str:
    """The version, and a digest of the program itself: two copies of one version may differ while it is worked on."""
    home = Path(live_sr.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(home.rglob("*.py")):
        digest.update(file.relative_to(home).as_posix().encode() + file.read_bytes())
    return f"{live_sr.__version__} ({digest.hexdigest()[:8]})"


def _ffmpeg() -> str:
    return ", ".join(f"{name} {'.'.join(map(str, version))}" for name, version in sorted(av.library_versions.items()))
