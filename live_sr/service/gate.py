"""What every request must pass before a route sees it: where it comes from, its token, its size, and a free place.

It is a plain ASGI application around the other one, so that a refused upload is refused before it is read.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from live_sr.service.jobs import QueueFull, StoreFailed
from live_sr.service.options import ServiceOptions, is_loopback
from live_sr.service.worker import JobWorker

OPEN_PATHS = ("/", "/page.css", "/page.js", "/docs", "/docs.js", "/healthz")  # nothing secret is there
UPLOAD_PATHS = ("/upscale/file", "/jobs", "/configure_model/file")
QUEUED_PATHS = UPLOAD_PATHS[:2]  # whose file becomes a job
STALL_S = 60  # a sender that pauses for longer loses its place
FORM_BYTES = 64 << 10  # for what is around the file in a form, and for other requests
PLACE = "live_sr.place"  # in the scope: the Place of an upload
HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; media-src blob:; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Place:
    """A place in the queue, taken while a file is being received. Released once, by whoever comes first."""

    def __init__(self, worker: JobWorker) -> None:
        """Raises QueueFull or StoreFailed."""
        self._worker = worker
        self._held = True
        worker.reserve()

    def hand_over(self) -> bool:
        """Whether it was still held; the caller must release it, as `JobWorker.submit` does."""
        held, self._held = self._held, False
        return held

    def release(self) -> None:
        if self.hand_over():
            self._worker.release()


class RequestGate:
    """Passes requests on to `app`, or answers them with the reason why not."""

    def __init__(self, app: ASGIApp, options: ServiceOptions, worker: JobWorker) -> None:
        self._app = app
        self._options = options
        self._worker = worker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._find_refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if scope["method"] == "POST" and scope["path"] in QUEUED_PATHS:
            try:
                place = Place(self._worker)
            except (QueueFull, StoreFailed) as error:
                code = 429 if isinstance(error, QueueFull) else 507
                answer = JSONResponse(describe(error.message, error.remedy), code, {"Retry-After": "2"})
                await answer(scope, receive, send)
                return
            scope[PLACE] = place
            try:
                await self._pass_on(scope, receive, send)
            finally:
                place.release()
            return
        await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._get_limit(scope)
        received, complete = 0, False

        async def receive_limited() -> Message:
            nonlocal received, complete
            try:
                message = await asyncio.wait_for(receive(), None if complete else STALL_S)
            except TimeoutError:
                raise HTTPException(408, f"nothing was received for {STALL_S} s") from None
            complete = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, f"the upload is larger than {limit >> 20} MB")
            return message

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await self._app(scope, receive_limited, send_guarded)

    def _get_limit(self, scope: Scope) -> int:
        return FORM_BYTES + (self._options.limits.upload_bytes if scope["path"] in UPLOAD_PATHS else 0)

    def _find_refusal(self, scope: Scope) -> JSONResponse | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        token = self._options.token
        if scope["path"] not in OPEN_PATHS and token and not _has_token(headers, token):
            return JSONResponse(
                describe("a token is needed", "send the header Authorization: Bearer TOKEN"),
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        host = headers.get("host", "")
        if not token and not is_loopback(_strip_port(host)):
            return JSONResponse(describe(f"there is no host {host} here", "use localhost"), 421)
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:  # a page of another site
            return JSONResponse(describe("pages of other sites may not use this service", "open its own page"), 403)
        length = headers.get("content-length", "0")
        limit = self._get_limit(scope)
        if length.isascii() and length.isdigit() and int(length) > limit:
            return JSONResponse(describe(f"the upload is larger than {limit >> 20} MB", "choose a smaller file"), 413)
        return None


def describe(message: str, remedy: str = "") -> Mapping[str, str]:
    """The body of every answer that is no success."""
    return {"detail": message, "remedy": remedy}


def _has_token(headers: Mapping[str, str], token: str) -> bool:
    kind, _, given = headers.get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _strip_port(host: str) -> str:
    """The name or address in a Host header, without brackets."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
