"""How a user knows an engine again that was built here: by a secret that nobody else has."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from filelock import FileLock

from live_sr.compiled.key import Key
from live_sr.errors import EngineError

BYTES = 32  # of the secret: as many as SHA-256 has
LOCK_S = 10.0  # for another process to have written 32 bytes


def own_secret() -> Path:
    """Where this user's secret is: in their own data folder, never beside the engines. (Only Windows has the first.)"""
    data = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "live-sr" / "engines.secret"


class Seal:
    """Stamps engines with HMAC-SHA256 under a secret in the file `path`, which is made when first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._secret = b""

    def stamp(self, key: Key, digest: bytes) -> str:
        """For an engine whose SHA-256 is `digest` and that was built for `key`; in hex. Raises EngineError."""
        if not self._secret:
            self._secret = self._read() or self._made()
        return hmac.new(self._secret, digest + key.canonical, "sha256").hexdigest()

    def fits(self, key: Key, digest: bytes, stamp: str) -> bool:
        """Whether the stamp was made by `stamp`, found out without telling by the time it takes. Raises EngineError."""
        return hmac.compare_digest(self.stamp(key, digest).encode(), stamp.encode())

    def _read(self) -> bytes:
        """The secret, or nothing when there is none, or one that others could have read or written."""
        try:
            with self._path.open("rb") as file:
                secret, about = file.read(BYTES + 1), os.fstat(file.fileno())
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._trouble(error) from error
        # Windows keeps what is in a user's folder from others by itself, and tells nothing of it here
        private = not hasattr(os, "getuid") or (about.st_uid == os.getuid() and not about.st_mode & 0o077)
        return secret if private and len(secret) == BYTES else b""

    def _made(self) -> bytes:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(f"{self._path}.lock", timeout=LOCK_S):
                secret = self._read()  # of another process, in the meantime
                if not secret:
                    secret = secrets.token_bytes(BYTES)
                    self._write(secret)
                return secret
        except OSError as error:  # a lock's Timeout is one, too
            raise self._trouble(error) from error

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

    def _trouble(self, error: OSError) -> EngineError:
        return EngineError(
            f"{self._path}, by which engines built here are known again, cannot be used: {error.strerror or error}",
            "see that its folder is yours and its disk is not full",
        )
