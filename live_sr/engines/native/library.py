"""The compiled cellnet.c: finds it, compiles it where that is needed, and calls it.

A library that comes with live-sr is beside its source (CONTRIBUTING.md says how to make such a wheel). Otherwise it is
compiled once, into a folder of this user. Its name has a checksum of the source and of the compiler's options, so a
library is used only with the source that it was made from.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import stat
import threading
from collections.abc import Sequence
from contextlib import suppress
from ctypes import POINTER, Structure, c_float, c_int32, c_int64, c_uint8, c_uint16, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from live_sr.engines.native.packing import PackedNetwork
from live_sr.errors import EngineError, LiveSRError
from live_sr.pipeline.frame import Pixels, Rect
from live_sr.system import atomic_file, c_compiler, paths

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("cellnet.c")

PATHS = {"amx": 4, "avx512": 2, "portable": 1}
"""The ways to compute, best first, with their numbers in cellnet.c."""

NO_MEMORY, DRAWN = 0, 1
"""How `cellnet_draw` ends; or else with a picture some of whose numbers are none."""

_building = threading.Lock()


class _Network(Structure):
    _fields_ = (
        *((name, c_int32) for name in ("scale", "features", "layers", "last_channels")),
        ("weights", POINTER(c_uint16)),
        *((name, POINTER(c_float)) for name in ("biases", "slopes", "last_bias")),
    )


class _Pictures(Structure):
    _fields_ = (
        ("source", POINTER(c_uint8)),
        ("target", POINTER(c_uint8)),
        ("source_stride", c_int64),
        ("target_stride", c_int64),
        ("width", c_int32),
        ("height", c_int32),
    )


class CellNetLibrary:
    """The functions of cellnet.c in a compiled file. Raises EngineError if the system cannot load it."""

    def __init__(self, file: Path) -> None:
        try:
            self._functions: Any = ctypes.CDLL(str(file))
        except OSError as error:
            raise EngineError(f"{file} cannot be loaded: {error}", f"delete it, or set {ENGINE_SETTING}") from error
        self._functions.cellnet_open.argtypes = (POINTER(_Network), c_int32, c_int32)
        self._functions.cellnet_open.restype = c_void_p
        self._functions.cellnet_draw.argtypes = (c_void_p, POINTER(_Pictures), c_void_p, c_int32)
        self._functions.cellnet_close.argtypes = (c_void_p,)
        self._functions.cellnet_close.restype = None
        available = self._functions.cellnet_list_paths()
        self.paths = tuple(name for name, number in PATHS.items() if available & number)
        """Those of PATHS that this processor and this system support, best first."""

    def open(self, network: PackedNetwork, path: str, threads: int) -> CellNetHandle:
        """Starts the threads that compute a network. Raises EngineError."""
        return CellNetHandle(self._functions, network, path, threads)


class CellNetHandle:
    """A network that is ready to draw. One thread at a time uses it, but the last call may be `close` on any."""

    def __init__(self, functions: Any, network: PackedNetwork, path: str, threads: int) -> None:
        self._functions = functions
        arrays = (
            network.weights.ctypes.data_as(POINTER(c_uint16)),
            *(a.ctypes.data_as(POINTER(c_float)) for a in (network.biases, network.slopes, network.last_bias)),
        )
        described = _Network(network.scale, network.features, network.layers, network.last_channels, *arrays)
        self._engine = functions.cellnet_open(ctypes.byref(described), PATHS[path], threads)
        if not self._engine:
            raise EngineError(f"the native engine cannot compute this network with {path}", f"set {ENGINE_SETTING}")

    def draw(self, source: Pixels, target: Pixels, regions: Sequence[Rect]) -> bool:
        """Draws what belongs to these regions of the source where it belongs in the target.

        The regions lie inside the source, and the target has `scale` times its size. In both, the pixels of a row must
        be contiguous. The GIL is released meanwhile. False: some numbers were none (NaN or infinite). Raises
        EngineError.
        """
        height, width = source.shape[:2]
        pictures = _Pictures(
            source.ctypes.data_as(POINTER(c_uint8)),
            target.ctypes.data_as(POINTER(c_uint8)),
            source.strides[0],
            target.strides[0],
            width,
            height,
        )
        parts: npt.NDArray[np.int32] = np.array([(r.x, r.y, r.x + r.width, r.y + r.height) for r in regions], np.int32)
        result = self._functions.cellnet_draw(self._engine, ctypes.byref(pictures), parts.ctypes.data, len(parts))
        if result == NO_MEMORY:
            raise EngineError("there is not enough memory for this picture", "close other programs")
        return bool(result == DRAWN)

    def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine:
            self._functions.cellnet_close(engine)


ENGINE_SETTING = 'backend = "openvino" in [engine]'


def find_library() -> Path | None:
    """The compiled library, if there is one that may be loaded. A damaged one is deleted, and the user is told."""
    name = _get_file_name()
    beside = SOURCE.with_name(name)
    if beside.is_file():
        return beside
    folder = paths.get_native_folder()
    if folder is None or not (folder / name).is_file() or not _is_private(folder / name):
        return None
    return folder / name if _is_unchanged(folder / name) else None


def build_library() -> Path:
    """The compiled library, compiled now if there is none. Raises EngineError."""
    with _building:
        file = find_library()
        if file is None:
            folder = paths.get_native_folder()
            if folder is None:
                raise EngineError(f"the native engine cannot be kept: {paths.NO_HOME}", "set HOME")
            file = folder / _get_file_name()
            _compile_with_checksum(file)
            if not _is_private(file):
                raise EngineError(f"other users can change {file}", f"delete {folder}")
        return file


def build_beside_source() -> Path:
    """The library beside its source, compiled now if it is not there, as for a wheel. Raises EngineError."""
    file = SOURCE.with_name(_get_file_name())
    if not file.is_file():
        c_compiler.compile_library(SOURCE, file)
    return file


@functools.cache
def load_library(file: Path) -> CellNetLibrary:
    """Raises EngineError."""
    return CellNetLibrary(file)


def _get_file_name() -> str:
    digest = hashlib.sha256(SOURCE.read_bytes() + repr(c_compiler.list_options()).encode())
    return f"cellnet-{digest.hexdigest()[:16]}{c_compiler.get_library_suffix()}"


def _compile_with_checksum(file: Path) -> None:
    checksum = _get_checksum_path(file)
    with suppress(OSError):
        checksum.unlink(missing_ok=True)  # first: the old one would call the new library damaged
    c_compiler.compile_library(SOURCE, file)
    try:
        atomic_file.write(checksum, _compute_checksum(file).encode())
    except LiveSRError as error:
        raise EngineError(error.message, error.remedy) from error


def _is_unchanged(file: Path) -> bool:
    """Whether the library is as it was compiled: with a flipped bit it would draw another picture, or crash."""
    try:
        kept = _get_checksum_path(file).read_text("ascii")
        if kept == _compute_checksum(file):
            return True
    except (OSError, ValueError):  # the process that compiled it was ended before it wrote the checksum
        return False
    log.warning("%s is not used: it was changed or damaged; it is compiled again", file)
    with suppress(OSError):
        file.unlink(missing_ok=True)
    return False


def _get_checksum_path(file: Path) -> Path:
    return Path(f"{file}.sha256")


def _compute_checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _is_private(file: Path) -> bool:
    """Whether only this user can change the file: loading it runs what is in it."""
    if not hasattr(os, "getuid"):
        return True  # on Windows the folder is in the user's profile
    states = [file.stat(), file.parent.stat()]
    return all(s.st_uid in (0, os.getuid()) and not s.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for s in states)
