"""The checks that every request passes first (host, key, size), and the request id of every answer."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve import problems
from serve.settings import Settings
from serve.telemetry import Telemetry

BATCH = "/score/batch"
REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
LOCAL_CALLERS = frozenset({"127.0.0.1", "::1"})
_Refusal = tuple[HTTPStatus, str]


class Guard:
    """Middleware that refuses requests which must not be answered, and measures all."""

    def __init__(self, app: ASGIApp, settings: Settings, telemetry: Telemetry) -> None:
        self._app = app
        self._hosts = settings.allowed_hosts
        self._keys = [bytes.fromhex(key) for key in settings.api_keys]
        self._largest_batch = settings.max_body_bytes
        self._largest = min(settings.max_score_bytes, settings.max_body_bytes)
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        sent_id = headers.get("x-request-id", "")
        request_id = sent_id if REQUEST_ID.match(sent_id) else secrets.token_hex(16)
        scope.setdefault("state", {})["request_id"] = request_id
        status = HTTPStatus.INTERNAL_SERVER_ERROR

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        refusal = self._refusal(scope, headers)
        try:
            body: Receive | None = receive
            if refusal is None and "transfer-encoding" in headers:
                body = await self._whole(receive, self._limit(scope))
                refusal = None if body else self._too_large(scope)
            if refusal is None and body is not None:
                await self._app(scope, body, answer)
            elif refusal is not None:
                await problems.answer(*refusal)(scope, receive, answer)
        finally:
            self._telemetry.request(scope, int(status), time.perf_counter() - started)

    def _refusal(self, scope: Scope, headers: Headers) -> _Refusal | None:
        host = headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if "*" not in self._hosts and name not in self._hosts:
            return HTTPStatus.BAD_REQUEST, (
                "host: not one that this service answers to; UPLIFT_ALLOWED_HOSTS names them"
            )
        if scope["path"] not in problems.OPEN and not self._known(headers.get("x-api-key")):
            return HTTPStatus.UNAUTHORIZED, "X-API-Key: missing or unknown; send a valid key"
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._limit(scope):
            return self._too_large(scope)
        return None

    def _known(self, key: str | None) -> bool:
        if not self._keys:
            return True
        digest = hashlib.sha256((key or "").encode()).digest()
        # Every key is compared, in constant time: the time of the answer reveals nothing about them.
        return any([hmac.compare_digest(digest, known) for known in self._keys])  # noqa: C419

    def _limit(self, scope: Scope) -> int:
        return self._largest_batch if scope["path"] == BATCH else self._largest

    def _too_large(self, scope: Scope) -> _Refusal:
        remedy = (
            "send fewer users at once" if scope["path"] == BATCH else "send one user's attributes alone"
        )
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, (
            f"body: larger than {self._limit(scope)} bytes; {remedy}"
        )

    async def _whole(self, receive: Receive, largest: int) -> Receive | None:
        """Read a body without a stated length, to hand it on; None if it is too large."""
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
            if size > largest:
                return None

        async def replay() -> Message:
            body = b"".join(parts)
            parts.clear()
            return {"type": "http.request", "body": body, "more_body": False}

        return replay


def is_local(request: Request) -> bool:
    """Return true if the caller is on this machine, and the service answers to no other name.

    A proxy on this machine passes on calls from elsewhere; it needs another name than localhost.
    """
    hosts = {*request.app.state.settings.allowed_hosts}
    return hosts <= LOCAL_HOSTS and request.client is not None and request.client.host in LOCAL_CALLERS
