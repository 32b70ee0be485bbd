"""Downloads the file of a model over HTTPS, whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn
from urllib.parse import unquote, urlsplit

from live_sr.errors import LiveSRError, ModelError, UsageError, reason
from live_sr.models.user_folder import MAX_BYTES, PLAIN
from live_sr.terminal import Progress

SUFFIXES = (".onnx", ".safetensors", ".pth", ".pt")
TIMEOUT_S = 30  # without a byte
CHUNK = 1 << 20
PAGE = (b"<!doctype html", b"<html")  # how a web page begins, in small letters
REMEDY = "download it yourself, and add the file"


@dataclass(frozen=True)
class ModelAddress:
    """An address of a model's file that can be downloaded. name: of the file."""

    url: str
    name: str

    @classmethod
    def parse(cls, text: str) -> ModelAddress:
        """Raises UsageError for an address that is none, is not https, or does not end in the name of a model."""
        try:
            parts = urlsplit(text)
            host = parts.hostname
            (host or "").encode("idna")  # as it is looked up
        except ValueError:
            host = None
        if not host or not text.isascii() or not text.isprintable() or " " in text:
            raise UsageError(f"{text} is not an address", "write it like https://example.org/folder/model.onnx")
        if parts.scheme.lower() != "https":
            raise UsageError(f"{text} is not an https address, so that others could change the file", REMEDY)
        stem, dot, ending = unquote(parts.path).rpartition("/")[2].rpartition(".")
        suffix = dot + ending
        if suffix.lower() not in SUFFIXES:
            known = ", ".join(SUFFIXES)
            raise UsageError(f"the address {text} does not end in the name of a model's file", f"one of {known}")
        plain = "".join(letter if letter in PLAIN else "-" for letter in stem).strip("-._")
        return cls(text, (plain or "model") + suffix.lower())


def parse_model_source(text: str) -> Path | ModelAddress:
    """What the user means: a file, or an address to download from. Raises UsageError."""
    return ModelAddress.parse(text) if "://" in text else Path(text)


@dataclass(frozen=True)
class DownloadedModel:
    path: Path
    bytes: int
    sha256: str


def download(address: ModelAddress, folder: Path, limit: int = MAX_BYTES) -> DownloadedModel:
    """Downloads the file into `folder`, up to `limit` bytes. Raises LiveSRError, and then leaves no file."""
    target = folder / address.name
    try:
        with _open(address.url) as answer:
            expected = _read_length(answer)
            if expected is not None and expected > limit:
                _refuse_size(address, limit)
            found = _receive(answer, address, target, expected, limit)
        if expected not in (None, found.bytes):
            raise ModelError(
                f"{address.url}: the connection ended after {found.bytes} of {expected} bytes", "try again"
            )
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return found


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another https address, ten times at most."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme.lower() != "https":
            raise ModelError(f"{req.full_url} leads to {newurl}, which is not an https address", REMEDY)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str) -> http.client.HTTPResponse:
    """The answer to a request. Only https is understood, whatever a server leads to."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _HttpsRedirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, headers={"User-Agent": "live-sr", "Accept-Encoding": "identity"})
    try:
        answer = opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        raise ModelError(_quote(url, f"{error.code} {error.reason}"), "correct the address") from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: it leads to what is no address
        _refuse_connection(url, error)
    assert isinstance(answer, http.client.HTTPResponse)
    return answer


def _read_length(answer: http.client.HTTPResponse) -> int | None:
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _receive(
    answer: http.client.HTTPResponse, address: ModelAddress, target: Path, expected: int | None, limit: int
) -> DownloadedModel:
    digest, done = hashlib.sha256(), 0
    progress = Progress(address.name, None if expected is None else -(-expected // CHUNK), unit="MiB")
    try:
        with target.open("wb") as file:
            while part := _read(answer, address.url):
                if not done and part.lstrip()[:16].lower().startswith(PAGE):
                    raise ModelError(f"{address.url} is a web page", "use the address of its link for downloading")
                done += len(part)
                if done > limit:
                    _refuse_size(address, limit)
                digest.update(part)
                file.write(part)
                progress.step()
    except OSError as error:
        raise LiveSRError(f"{target} cannot be written: {error.strerror}", "see that the disk is not full") from None
    finally:
        progress.close()
    return DownloadedModel(target, done, digest.hexdigest())


def _read(answer: http.client.HTTPResponse, url: str) -> bytes:
    try:
        return answer.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        _refuse_connection(url, error)


def _refuse_connection(url: str, error: Exception) -> NoReturn:
    cause = getattr(error, "reason", error)  # what urllib wraps
    said = cause if isinstance(cause, str) else getattr(cause, "verify_message", "") or getattr(cause, "strerror", "")
    raise ModelError(_quote(url, said or reason(error)), "check the address and the connection") from None


def _quote(url: str, said: str) -> str:
    """A sentence with what a server may have said, but without its control characters, which a terminal would obey."""
    return f"{url} cannot be had: {''.join(letter if letter.isprintable() else ' ' for letter in said).strip()}"


def _refuse_size(address: ModelAddress, limit: int) -> NoReturn:
    raise ModelError(f"{address.url} is larger than {limit >> 20} MiB, too large for a model", "use a smaller network")
