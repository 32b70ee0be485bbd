"""Makes segments in a process of a Ray cluster, and describes the machine so that machines can be compared."""

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
from live_sr.engines import engine_choice
from live_sr.errors import LiveSRError, reason
from live_sr.models.resolve import resolve
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Size
from live_sr.system import hardware, paths
from live_sr.upscale.options import ScalingOptions
from live_sr.upscale.video.encode import SegmentSettings
from live_sr.upscale.video.job import make_warm_engine, upscale_segment
from live_sr.upscale.video.segments import Segment
from live_sr.upscale.video.source_info import VideoInfo

COMMON_PACKAGES = ("numpy", "av", "opencv-python-headless", "opencv-python")
ENGINE_PACKAGES = {
    "native": (),
    "openvino": ("openvino",),
    "tensorflow": ("openvino",),
    "torch": ("torch", "spandrel"),
    "ncnn": ("ncnn",),
    "cuda": ("torch",),
    "tensorrt": ("torch", "torch-tensorrt", "tensorrt", "torch-tensorrt-rtx", "tensorrt-rtx-cu13-libs"),
    "rtx": ("tensorrt-rtx-cu13-libs", "onnx"),
}
SAMPLE_BYTES = 1 << 20  # of each end of a file, for its fingerprint


@dataclass(frozen=True)
class MachineInfo:
    """What the bytes of a segment depend on besides its settings and the source.

    software: names and versions, also of the model. has_source: this machine can read the source. problem: why it
    cannot make segments, or an empty string.
    """

    host: str
    software: tuple[tuple[str, str], ...]
    processor: str
    has_source: bool
    problem: str = ""


def describe_machine(info: VideoInfo, settings: SegmentSettings, source: str) -> MachineInfo:
    """Describes this machine. source: the fingerprint of the source file."""
    software = {"Python": platform.python_version(), "FFmpeg in av": _describe_ffmpeg(), "live-sr": _describe_code()}
    problem = ""
    try:
        engine, model = _identify_engine(settings.scaling, info.size)
        software |= {"engine": engine, "model": model}
    except LiveSRError as error:
        problem, engine = reason(error), ""
    for package in (*COMMON_PACKAGES, *ENGINE_PACKAGES.get(engine, ())):
        with suppress(metadata.PackageNotFoundError):
            software[package] = metadata.version(package)
    processor = ", ".join([hardware.get_processor_name(), *hardware.list_nvidia_adapters()])
    has_source = compute_fingerprint(info.path) == source
    return MachineInfo(socket.gethostname(), tuple(sorted(software.items())), processor, has_source, problem)


def compute_fingerprint(path: Path) -> str:
    """A hash of a file's length and both of its ends; empty where the file cannot be read."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            digest = hashlib.sha256(b"%d " % size + file.read(SAMPLE_BYTES))
            file.seek(max(0, size - SAMPLE_BYTES))
            digest.update(file.read(SAMPLE_BYTES))
            return digest.hexdigest()
    except OSError:
        return ""


def make_segment(info: VideoInfo, settings: SegmentSettings, segment: Segment) -> bytes:
    """The segment's file, as a single process would have written it. Raises LiveSRError."""
    with tempfile.TemporaryDirectory(prefix="live-sr-") as folder:
        path = Path(folder, "segment")
        try:
            local = replace(settings, scaling=_localise(settings.scaling))
            upscale_segment(info, segment, settings, path, engine=_last_engine.get(info, local))
        except BaseException:
            _last_engine.clear()  # it may be in an undefined state
            raise
        return path.read_bytes()


def fetch_source(info: VideoInfo, blocks: Callable[[], Iterator[bytes]]) -> VideoInfo:
    """The video with the path of a local copy. Each process fetches it once, and deletes it when it ends."""
    return replace(info, path=_get_copies().fetch(info, blocks))


class _SourceCopies:
    """Copies of files from another machine, in a folder that is deleted when the process ends."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="live-sr-")

    def fetch(self, info: VideoInfo, blocks: Callable[[], Iterator[bytes]]) -> Path:
        """The path of the copy. Raises LiveSRError for a full disk."""
        name = hashlib.sha256(f"{info.path} {info.file_bytes} {info.mtime_ns}".encode()).hexdigest()
        path = Path(self._folder.name, f"{name[:16]}{info.path.suffix}")
        if not path.exists():
            for old in path.parent.iterdir():  # only one is kept, because they may be large
                old.unlink()
            part = path.with_name("part")
            try:
                with part.open("wb") as file:
                    for block in blocks():
                        file.write(block)
                part.rename(path)
            except OSError as error:
                what = f"{socket.gethostname()} cannot keep a copy of {info.path.name}: {error.strerror}"
                raise LiveSRError(what, "put the video where all machines can read it") from None
        return path


@cache
def _get_copies() -> _SourceCopies:
    return _SourceCopies()


class _LastEngine:
    """Keeps the engine of the last segment, because the next one usually needs the same."""

    def __init__(self) -> None:
        self._last: tuple[ScalingOptions, Size, Engine] | None = None

    def get(self, info: VideoInfo, settings: SegmentSettings) -> Engine:
        if self._last is None or self._last[:2] != (settings.scaling, info.size):
            self.clear()
            self._last = (settings.scaling, info.size, make_warm_engine(info, settings))
        return self._last[2]

    def clear(self) -> None:
        if self._last is not None:
            self._last[2].close()
            self._last = None


_last_engine = _LastEngine()


def _localise(scaling: ScalingOptions) -> ScalingOptions:
    """Uses this machine's model of that name, and its own cache folder where the sender's does not exist.

    Raises ModelError or MissingPart where this machine lacks the model.
    """
    cache = scaling.engine.cache
    if cache is not None and not cache.is_dir():
        cache = paths.get_cache_folder()
    model = resolve(scaling.model.name, cache=cache)
    return replace(scaling, model=model, engine=replace(scaling.engine, cache=cache))


def _identify_engine(scaling: ScalingOptions, size: Size) -> tuple[str, str]:
    """The name of the engine that runs the model here, and a digest of the model's files. Raises LiveSRError."""
    scaling = _localise(scaling)
    card = scaling.model.get_card(scaling.choose_scale(size))
    if card is None:
        return "filters", "a filter"
    digest = hashlib.sha256()
    for file in sorted(card.onnx.parent.glob(f"{card.onnx.stem}.*")):
        if file.suffix != ".toml":
            digest.update(file.read_bytes())
    return (scaling.model.reader or engine_choice.choose_engine(scaling.engine)[0]).name, digest.hexdigest()[:12]


def _describe_code() -> str:
    """The version and a digest of the source code, because during development copies of one version may differ."""
    home = Path(live_sr.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(home.rglob("*.py")):
        digest.update(file.relative_to(home).as_posix().encode() + file.read_bytes())
    return f"{live_sr.__version__} ({digest.hexdigest()[:8]})"


def _describe_ffmpeg() -> str:
    return ", ".join(f"{name} {'.'.join(map(str, version))}" for name, version in sorted(av.library_versions.items()))
