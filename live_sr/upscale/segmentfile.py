"""A finished segment in a file: encoded packets, their times, and a digest that tells a whole file from a torn one.

    "live-sr segment 1\\n" | the packets' bytes | per packet: time, bytes, key frame (3 x int64) | a tail of JSON |
    the tail's length (uint64, little-endian) | SHA-256 of all before

Packets are in the order of decoding, times in the time base of the source, exact, which no usual container of small
files keeps for every codec. A file gets its name only when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from live_sr.errors import LiveSRError

MAGIC = b"live-sr segment 1\n"
DIGEST = hashlib.sha256().digest_size
BLOCK = 1 << 20

Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tally:
    """What became of a segment: frames written, of which `duplicates` were upscaled once for several, pictures that
    were `broken` and are missing, and such that the decoder `mended`."""

    frames: int = 0
    duplicates: int = 0
    broken: int = 0
    mended: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.frames + other.frames,
            self.duplicates + other.duplicates,
            self.broken + other.broken,
            self.mended + other.mended,
        )


class SegmentWriter:
    """Writes a segment beside its place, and moves it there when it is complete. Raises LiveSRError for a full disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_suffix(".part")
        self._rows: list[tuple[int, int, int]] = []
        self._digest = hashlib.sha256()
        try:
            self._file = self._part.open("wb")
            self._write(MAGIC)
        except OSError as error:
            raise unwritable(path, error) from None

    def add(self, data: bytes, time: int, key: bool) -> None:
        self._rows.append((time, len(data), key))
        try:
            self._write(data)
        except OSError as error:
            raise unwritable(self._path, error) from None

    def finish(self, extradata: bytes, last_duration: int, tally: Tally) -> None:
        """extradata: the encoder's; last_duration: how long the last picture is shown, 0: not known."""
        tail = json.dumps({"extradata": extradata.hex(), "last_duration": last_duration, "tally": asdict(tally)})
        encoded = tail.encode()
        try:
            self._write(np.array(self._rows, "<i8").tobytes())
            self._write(encoded)
            self._write(struct.pack("<QQ", len(self._rows), len(encoded)))
            self._file.write(self._digest.digest())
            self._file.close()
            self._part.replace(self._path)
        except OSError as error:
            raise unwritable(self._path, error) from None

    def abandon(self) -> None:
        """Leaves nothing behind."""
        with suppress(OSError):  # the full disk that it is abandoned for
            self._file.close()
        self._part.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)


@dataclass(frozen=True)
class SegmentFile:
    """A complete segment: where it is, and all but the packets themselves. `rows`: time, bytes, key frame of each."""

    path: Path
    rows: npt.NDArray[np.int64]
    extradata: bytes
    last_duration: int
    tally: Tally

    def packets(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(len(MAGIC))
            for size in self.rows[:, 1].tolist():
                yield file.read(size)


def read(path: Path) -> SegmentFile | None:
    """The segment in that file; None where there is none, or none that is complete and undamaged."""
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(path: Path, file: BinaryIO) -> SegmentFile | None:
    size = path.stat().st_size
    ends = size - DIGEST
    if ends < len(MAGIC) + 16 or not _whole(file, ends):
        return None
    file.seek(ends - 16)
    count, length = struct.unpack("<QQ", file.read(16))
    file.seek(ends - 16 - length - count * 24)
    rows = np.frombuffer(file.read(count * 24), "<i8").reshape(count, 3)
    tail = json.loads(file.read(length))
    return SegmentFile(path, rows, bytes.fromhex(tail["extradata"]), tail["last_duration"], Tally(**tail["tally"]))


def _whole(file: BinaryIO, ends: int) -> bool:
    """Whether the digest at `ends` is that of everything before it."""
    digest = hashlib.sha256()
    left = ends
    while left and (block := file.read(min(BLOCK, left))):
        digest.update(block)
        left -= len(block)
    return file.read(DIGEST) == digest.digest()


def unwritable(path: Path, error: OSError) -> LiveSRError:
    """For a disk that is full, or a folder that must not be written to."""
    return LiveSRError(f"{path.parent} cannot be written to: {error.strerror}", "free some space, or write elsewhere")
