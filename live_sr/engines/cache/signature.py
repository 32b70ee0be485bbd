"""Signs compiled engines with a secret of the user, so that only engines that this user built here are loaded."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from filelock import FileLock

from live_sr.engines.cache.key import EngineKey
from live_sr.errors import EngineError
from live_sr.system import paths

SECRET_BYTES = 32  # as many as SHA-256 has
LOCK_TIMEOUT_S = 10.0  # enough for another process to write 32 bytes


def get_secret_path() -> Path:
    """The file with this user's secret: in their own data folder, never beside the engines. Raises LiveSRError."""
    return paths.require_folder(paths.get_data_folder(), "the secret that signs engines") / "engines.secret"


class EngineSigner:
    """Signs with HMAC-SHA256 under the secret in the file `path`, which is created when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._secret = b""

    def sign(self, key: EngineKey, digest: bytes) -> str:
        """The signature, in hex, of an engine for `key` whose SHA-256 is `digest`. Raises EngineError."""
        if not self._secret:
            self._secret = self._read() or self._create()
        return hmac.new(self._secret, digest + key.canonical, "sha256").hexdigest()

    def verify(self, key: EngineKey, digest: bytes, signature: str) -> bool:
        """Whether `sign` made this signature, compared in constant time. Raises EngineError."""
        return hmac.compare_digest(self.sign(key, digest).encode(), signature.encode())

    def _read(self) -> bytes:
        """The secret; empty where there is none, or where other users could have read or written it."""
        try:
            with self._path.open("rb") as file:
                secret, status = file.read(SECRET_BYTES + 1), os.fstat(file.fileno())
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._to_engine_error(error) from error
        # Windows protects a user's folder from other users, but does not report that in these fields
        is_private = not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o077)
        return secret if is_private and len(secret) == SECRET_BYTES else b""

    def _create(self) -> bytes:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(f"{self._path}.lock", timeout=LOCK_TIMEOUT_S):
                secret = self._read()  # another process may have created it meanwhile
                if not secret:
                    secret = secrets.token_bytes(SECRET_BYTES)
                    self._write(secret)
                return secret
        except OSError as error:  # also the lock's Timeout
            raise self._to_engine_error(error) from error

    def _write(self, secret: bytes) -> None:
        part = Path(f"{self._path}.{secrets.token_hex(4)}.part")
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secret)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
        finally:
            part.unlink(missing_ok=True)

    def _to_engine_error(self, error: OSError) -> EngineError:
        return EngineError(
            f"{self._path}, the secret that compiled engines are signed with, cannot be used: "
            f"{error.strerror or error}",
            "check that its folder belongs to you and that its disk is not full",
        )
