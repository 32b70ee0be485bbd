"""The folder of compiled engines. Only what this user built here is ever handed out of it.

Reading an engine can run code that is in it, so a file must be what was put here: as long, of the same SHA-256, for the
same key, and stamped with a secret of this user's that is kept elsewhere. What is not is set aside, and told.

    fast-x2-480x270-fp16-tensorrt-1a2b3c4d5e6f.engine            the engine
    fast-x2-480x270-fp16-tensorrt-1a2b3c4d5e6f.toml              its card, touched whenever it is used
    fast-x2-480x270-fp16-tensorrt-1a2b3c4d5e6f.engine.lock       held by who builds it
    fast-x2-480x270-fp16-tensorrt-1a2b3c4d5e6f.engine.9f8e.part  being written
    fast-x2-480x270-fp16-tensorrt-1a2b3c4d5e6f.engine.rejected   not what was put here

An engine without a card is none: the card goes first and comes last.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from live_sr.compiled.key import Key, Label, read
from live_sr.compiled.seal import Seal
from live_sr.errors import EngineError


def _tell(words: str) -> None:
    print(f"live-sr: {words}", file=sys.stderr)


@dataclass(frozen=True)
class Entry:
    """An engine and its card, as found in the folder; not verified. used: seconds since 1970, of its last use."""

    path: Path
    label: Label
    used: float


class Store:
    """Engines in `folder`, under the secret in the file `secret` (see `seal.own_secret`).

    Either is made when first needed. `tell` gets a sentence for each file that was set aside.
    """

    def __init__(self, folder: Path, secret: Path, tell: Callable[[str], None] = _tell) -> None:
        self.folder = folder
        self.tell = tell
        self._seal = Seal(secret)

    def find(self, key: Key) -> bytes | None:
        """The engine that was built for this key; None when there is none that can be trusted. Raises EngineError."""
        path = self.folder / key.file_name
        try:
            text = card_of(path).read_bytes()
            engine = path.read_bytes()
        except FileNotFoundError:
            return None  # also while another process puts it there
        except OSError as error:
            self.tell(f"{path} cannot be read: {error.strerror}")
            return None
        why = self._distrust(key, text, engine)
        if why:
            self._set_aside(path, why)
            return None
        with suppress(OSError):  # in a folder that is only read
            os.utime(card_of(path))
        return engine

    def keep(self, key: Key, engine: bytes, seconds: float) -> None:
        """Put an engine that took so long to build into its place: whole, or not at all. Raises EngineError."""
        path = self.folder / key.file_name
        digest = hashlib.sha256(engine)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        stamp = self._seal.stamp(key, digest.digest())
        label = Label(key, len(engine), digest.hexdigest(), round(float(seconds), 1), now, stamp)
        token = secrets.token_hex(4)
        parts = [Path(f"{path}.{token}.part"), Path(f"{path}.{token}.card.part")]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for part, data in zip(parts, (engine, label.written().encode()), strict=True):
                write_through(part, data)
            card_of(path).unlink(missing_ok=True)
            parts[0].replace(path)
            parts[1].replace(card_of(path))
        except OSError as error:
            raise self._trouble(error) from error
        finally:
            for part in parts:
                with suppress(OSError):
                    part.unlink(missing_ok=True)

    @contextmanager
    def locked(self, key: Key) -> Iterator[bool]:
        """Whether nobody else builds for this key now; if so, nobody else will until the end. Does not wait.

        The lock of a process that died is free. With it, what such a one left is cleared away. Raises EngineError.
        """
        path = self.folder / key.file_name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._trouble(error) from error
        with self.holding(path) as ours:
            if ours:
                for part in self.folder.glob(f"{key.file_name}.*.part"):
                    with suppress(OSError):
                        part.unlink()
            yield ours

    @contextmanager
    def holding(self, path: Path) -> Iterator[bool]:
        """`locked`, for an engine's path."""
        lock = FileLock(f"{path}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        except OSError as error:
            raise self._trouble(error) from error
        try:
            yield True
        finally:
            lock.release()

    def entries(self) -> list[Entry]:
        """What is there with a card that can be read, by name."""
        found = []
        for path in sorted(self.folder.glob("*.engine")):
            with suppress(OSError, ValueError):  # no card, or a damaged one: that is a leftover
                card = card_of(path)
                found.append(Entry(path, read(card.read_text(encoding="utf-8")), card.stat().st_mtime))
        return found

    def seconds(self, key: Key) -> float:
        """How long the same took to build the last time on this card, for the size next to this one; 0: not known."""

        def like(label: Label) -> tuple[str, ...]:
            key = label.key
            return key.engine, key.model, str(key.scale), key.precision, key.gpu

        def apart(label: Label) -> int:
            return abs(label.key.width * label.key.height - key.width * key.height)

        wanted = like(Label(key, 0, "", 0.0, "", ""))
        known = [entry.label for entry in self.entries() if like(entry.label) == wanted]
        return min(known, key=apart).seconds if known else 0.0

    def _distrust(self, key: Key, text: bytes, engine: bytes) -> str:
        """Why this is not what was put here for this key, or an empty string."""
        try:
            label = read(text.decode())
        except ValueError:
            return "its card is damaged"
        if label.key != key:
            return "its card is of another engine"
        if label.bytes != len(engine):
            return f"it has {len(engine)} bytes, not {label.bytes}"
        digest = hashlib.sha256(engine)
        if label.sha256 != digest.hexdigest():
            return "it was changed or damaged"
        if not self._seal.fits(key, digest.digest(), label.stamp):
            return "you did not build it here, and an engine of others could do anything on this machine"
        return ""

    def _set_aside(self, path: Path, why: str) -> None:
        with suppress(OSError):  # another process does the same, or this one may only read
            card_of(path).unlink(missing_ok=True)
            path.replace(rejected(path))
        self.tell(f"{path.name} is not used: {why}; it is built again")

    def _trouble(self, error: OSError) -> EngineError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return EngineError(
                f"there is no room for a compiled engine in {self.folder}",
                "make some: `live-sr engines prune --days 30` removes those long not used; or set another folder as "
                "`cache` under [engine] in config.toml",
            )
        return EngineError(
            f"{self.folder} cannot be written: {error.strerror or error}",
            "see that it is yours, or set another folder as `cache` under [engine] in config.toml",
        )


def card_of(path: Path) -> Path:
    """The card beside an engine."""
    return path.with_suffix(".toml")


def rejected(path: Path) -> Path:
    """Where an engine goes that is not trusted."""
    return Path(f"{path}.rejected")


def write_through(path: Path, data: bytes) -> None:
    """A new file whose data are on the disk, and not only on the way there, on return. Raises OSError."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
