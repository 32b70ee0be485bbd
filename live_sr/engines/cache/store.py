"""The folder of compiled engines. It returns only engines that this user built on this machine.

Loading an engine can run code inside it. So a file must be exactly what was stored: of the same length and SHA-256, for
the same key, and signed with a secret of this user that is kept elsewhere. Any other file is set aside, and the user is
told.

    fast-x2-480x270-fp16-tensorrt-1a2b3c4d5e6f.engine            the engine
    fast-x2-480x270-fp16-tensorrt-1a2b3c4d5e6f.toml              its manifest, touched whenever the engine is used
    fast-x2-480x270-fp16-tensorrt-1a2b3c4d5e6f.engine.lock       held by the process that builds it
    fast-x2-480x270-fp16-tensorrt-1a2b3c4d5e6f.engine.9f8e.part  being written
    fast-x2-480x270-fp16-tensorrt-1a2b3c4d5e6f.engine.rejected   not what was stored here

An engine counts only with its manifest, so the manifest is deleted first and written last.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from live_sr.engines.cache.key import EngineKey, EngineManifest, parse_manifest
from live_sr.engines.cache.signature import EngineSigner
from live_sr.errors import EngineError

FOREIGN = "you did not build it here, and a foreign engine could run any code on this machine"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedEngine:
    """An engine and its manifest as found in the folder, not verified. used: its last use, seconds since 1970."""

    path: Path
    manifest: EngineManifest
    used: float


class EngineCache:
    """Engines in `folder`, signed with the secret in the file `secret` (see `signature.get_secret_path`).

    Both are created when first needed. `notify` is called with a sentence for each file that is set aside.
    """

    def __init__(self, folder: Path, secret: Path, notify: Callable[[str], None] = log.warning) -> None:
        self.folder = folder
        self.notify = notify
        self._signer = EngineSigner(secret)

    def find(self, key: EngineKey) -> bytes | None:
        """The engine that was built for this key, or None without a trustworthy one. Raises EngineError."""
        path = self.folder / key.file_name
        try:
            text = get_manifest_path(path).read_bytes()
            engine = path.read_bytes()
        except FileNotFoundError:
            log.debug("%s is not in the engine cache %s", key.label, self.folder)
            return None  # also while another process stores it
        except OSError as error:
            self.notify(f"{path} cannot be read: {error.strerror}")
            return None
        why = self._explain_distrust(key, text, engine)
        if why:
            self._set_aside(path, why)
            return None
        with suppress(OSError):  # in a read-only folder
            os.utime(get_manifest_path(path))
        log.debug("%s comes from the engine cache: %s", key.label, path)
        return engine

    def keep(self, key: EngineKey, engine: bytes, seconds: float) -> None:
        """Stores an engine that took `seconds` to build, completely or not at all. Raises EngineError."""
        path = self.folder / key.file_name
        digest = hashlib.sha256(engine)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        stamp = self._signer.sign(key, digest.digest())
        manifest = EngineManifest(key, len(engine), digest.hexdigest(), round(float(seconds), 1), now, stamp)
        token = secrets.token_hex(4)
        parts = [Path(f"{path}.{token}.part"), Path(f"{path}.{token}.card.part")]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for part, data in zip(parts, (engine, manifest.to_toml().encode()), strict=True):
                write_durably(part, data)
            get_manifest_path(path).unlink(missing_ok=True)
            parts[0].replace(path)
            parts[1].replace(get_manifest_path(path))
        except OSError as error:
            raise self._to_engine_error(error) from error
        finally:
            for part in parts:
                with suppress(OSError):
                    part.unlink(missing_ok=True)

    @contextmanager
    def lock(self, key: EngineKey) -> Iterator[bool]:
        """Tries to reserve this key for building, without waiting: False where another process has it.

        The lock of a process that died is free. Whoever gets the lock also deletes what such a process left behind.
        Raises EngineError.
        """
        path = self.folder / key.file_name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._to_engine_error(error) from error
        with self.lock_path(path) as is_ours:
            if is_ours:
                for part in self.folder.glob(f"{key.file_name}.*.part"):
                    with suppress(OSError):
                        part.unlink()
            yield is_ours

    @contextmanager
    def lock_path(self, path: Path) -> Iterator[bool]:
        """As `lock`, for the path of an engine, and without deleting anything."""
        lock = FileLock(f"{path}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        except OSError as error:
            raise self._to_engine_error(error) from error
        try:
            yield True
        finally:
            lock.release()

    def remove_lock(self, key: EngineKey) -> None:
        """Deletes the file of the lock of an engine, unless it is being built. Windows deletes it by itself."""
        path = self.folder / key.file_name
        with self.lock_path(path) as is_ours, suppress(OSError):
            if is_ours:
                Path(f"{path}.lock").unlink(missing_ok=True)

    def list_engines(self) -> list[CachedEngine]:
        """All engines that have a readable manifest, by name."""
        found = []
        for path in sorted(self.folder.glob("*.engine")):
            with suppress(OSError, ValueError):  # without a readable manifest it is a leftover
                file = get_manifest_path(path)
                found.append(CachedEngine(path, parse_manifest(file.read_text(encoding="utf-8")), file.stat().st_mtime))
        return found

    def find_damage(self, entry: CachedEngine, *, foreign: bool = False) -> str:
        """Why `find` would not use that engine's file, or an empty string. It reads the whole file.

        `foreign`: it may be another user's; then only damage counts.
        """
        try:
            engine = entry.path.read_bytes()
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        digest = hashlib.sha256(engine).digest()
        why = _compare_with_manifest(entry.manifest, len(engine), digest)
        try:
            return why or ("" if foreign or self._is_signed(entry.manifest, digest) else FOREIGN)
        except EngineError as error:
            return error.message

    def is_own(self, entry: CachedEngine, engine: bytes) -> bool:
        """Whether this user built that engine, unchanged. Raises EngineError."""
        return self._is_signed(entry.manifest, hashlib.sha256(engine).digest())

    def _is_signed(self, manifest: EngineManifest, digest: bytes) -> bool:
        return self._signer.verify(manifest.key, digest, manifest.stamp)

    def estimate_seconds(self, key: EngineKey) -> float:
        """How long the last build of this model on this GPU took, for the size nearest to this one; 0: not known."""

        def is_similar(other: EngineKey) -> bool:
            return all(getattr(other, name) == getattr(key, name) for name in SIMILAR)

        def compare_size(manifest: EngineManifest) -> int:
            return abs(manifest.key.width * manifest.key.height - key.width * key.height)

        known = [entry.manifest for entry in self.list_engines() if is_similar(entry.manifest.key)]
        return min(known, key=compare_size).seconds if known else 0.0

    def _explain_distrust(self, key: EngineKey, text: bytes, engine: bytes) -> str:
        """Why this is not what was stored for this key, or an empty string."""
        try:
            manifest = parse_manifest(text.decode())
        except ValueError:
            return "its manifest is damaged"
        if manifest.key != key:
            return "its manifest is of another engine"
        digest = hashlib.sha256(engine).digest()
        why = _compare_with_manifest(manifest, len(engine), digest)
        return why or ("" if self._is_signed(manifest, digest) else FOREIGN)

    def _set_aside(self, path: Path, why: str) -> None:
        with suppress(OSError):  # another process does the same, or the folder is read-only
            get_manifest_path(path).unlink(missing_ok=True)
            path.replace(get_rejected_path(path))
        self.notify(f"{path.name} is not used: {why}; it is built again")

    def _to_engine_error(self, error: OSError) -> EngineError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return EngineError(
                f"there is no room for a compiled engine in {self.folder}",
                "make some: `live-sr engines prune --days 30` removes engines that were not used for 30 days; or set "
                "another folder as `cache` under [engine] in config.toml",
            )
        return EngineError(
            f"{self.folder} cannot be written: {error.strerror or error}",
            "check that it belongs to you, or set another folder as `cache` under [engine] in config.toml",
        )


def _compare_with_manifest(manifest: EngineManifest, length: int, digest: bytes) -> str:
    """What does not agree with an engine of that many bytes and that SHA-256, or an empty string."""
    if manifest.bytes != length:
        return f"it has {length} bytes, not {manifest.bytes}"
    return "" if manifest.sha256 == digest.hex() else "it was changed or damaged"


SIMILAR = ("engine", "model", "scale", "precision", "gpu")
"""The fields that two engines share whose builds take about equally long."""


def get_manifest_path(path: Path) -> Path:
    """The manifest beside an engine."""
    return path.with_suffix(".toml")


def get_rejected_path(path: Path) -> Path:
    """Where an engine is moved that is not trusted."""
    return Path(f"{path}.rejected")


def write_durably(path: Path, data: bytes) -> None:
    """Creates a file whose data are on the disk when this returns. Raises OSError."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
