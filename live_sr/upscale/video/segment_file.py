"""The file of a finished segment: encoded packets, their times, and a digest that reveals an incomplete file.

    "live-sr segment 1\\n" | the packets' bytes | per packet: time, bytes, key frame (3 x int64) | a tail of JSON |
    number of packets, length of the tail (2 x uint64, little-endian) | SHA-256 of all before

Packets are in decoding order. Times are exact, in the time base of the source; no common container keeps that for every
codec. A file gets its name only when it is complete.
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
DIGEST_BYTES = hashlib.sha256().digest_size
BLOCK_BYTES = 1 << 20

Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FrameCounts:
    """The frames of a segment.

    frames: written in all. duplicates: of these, equal to the frame before and not upscaled again. broken: could not be
    decoded and are missing. mended: damaged, and repaired by the decoder.
    """

    frames: int = 0
    duplicates: int = 0
    broken: int = 0
    mended: int = 0

    def __add__(self, other: FrameCounts) -> FrameCounts:
        return FrameCounts(
            self.frames + other.frames,
            self.duplicates + other.duplicates,
            self.broken + other.broken,
            self.mended + other.mended,
        )


class SegmentWriter:
    """Writes a segment to a .part file, and renames it when it is complete. Raises LiveSRError for a full disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_suffix(".part")
        self._index: list[tuple[int, int, int]] = []
        self._digest = hashlib.sha256()
        try:
            self._file = self._part.open("wb")
            self._write(MAGIC)
        except OSError as error:
            raise make_write_error(path, error) from None

    def add(self, data: bytes, time: int, key: bool) -> None:
        self._index.append((time, len(data), key))
        try:
            self._write(data)
        except OSError as error:
            raise make_write_error(self._path, error) from None

    def finish(self, extradata: bytes, last_duration: int, counts: FrameCounts) -> None:
        """extradata: the encoder's header. last_duration: how long the last frame is shown; 0: not known."""
        tail = json.dumps({"extradata": extradata.hex(), "last_duration": last_duration, "tally": asdict(counts)})
        encoded = tail.encode()
        try:
            self._write(np.array(self._index, "<i8").tobytes())
            self._write(encoded)
            self._write(struct.pack("<QQ", len(self._index), len(encoded)))
            self._file.write(self._digest.digest())
            self._file.close()
            self._part.replace(self._path)
        except OSError as error:
            raise make_write_error(self._path, error) from None

    def abandon(self) -> None:
        """Deletes the .part file."""
        with suppress(OSError):  # perhaps the full disk that is the reason for abandoning it
            self._file.close()
        self._part.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)


@dataclass(frozen=True)
class SegmentFile:
    """A complete segment without its packets. index: time, bytes and key-frame mark of each packet."""

    path: Path
    index: npt.NDArray[np.int64]
    extradata: bytes
    last_duration: int
    counts: FrameCounts

    def read_packets(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(len(MAGIC))
            for size in self.index[:, 1].tolist():
                yield file.read(size)


def read_segment(path: Path) -> SegmentFile | None:
    """The segment in that file, or None where it is missing, incomplete or damaged."""
    try:
        with path.open("rb") as file:
            return _parse(path, file)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parse(path: Path, file: BinaryIO) -> SegmentFile | None:
    size = path.stat().st_size
    end = size - DIGEST_BYTES
    if end < len(MAGIC) + 16 or not _has_valid_digest(file, end):
        return None
    file.seek(end - 16)
    count, length = struct.unpack("<QQ", file.read(16))
    file.seek(end - 16 - length - count * 24)
    index = np.frombuffer(file.read(count * 24), "<i8").reshape(count, 3)
    tail = json.loads(file.read(length))
    return SegmentFile(
        path, index, bytes.fromhex(tail["extradata"]), tail["last_duration"], FrameCounts(**tail["tally"])
    )


def _has_valid_digest(file: BinaryIO, end: int) -> bool:
    """Whether the digest at `end` is that of everything before it."""
    digest = hashlib.sha256()
    left = end
    while left and (block := file.read(min(BLOCK_BYTES, left))):
        digest.update(block)
        left -= len(block)
    return file.read(DIGEST_BYTES) == digest.digest()


def make_write_error(path: Path, error: OSError) -> LiveSRError:
    """The error for a full disk or a folder without write permission."""
    return LiveSRError(
        f"{path.parent} cannot be written to: {error.strerror}", "free some space, or write to another folder"
    )
