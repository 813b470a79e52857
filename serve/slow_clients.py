"""Drop clients that are so slow that they only keep a connection busy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serve.settings import Settings

TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: text/plain\r\n"
    b"content-length: %d\r\n\r\n%b"
)
REMEDY = b"The request did not arrive in time; send it faster, or fewer users at once."


class ImpatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with limits of time for each request to arrive and each part of an answer.

    uvicorn itself limits only the pause between two requests of a connection.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; the first request has to arrive from now on."""
        super().connection_made(transport)
        self._arrival = _Timer(self.loop, self._drop)
        self._taking = _Timer(self.loop, transport.abort)
        self._arrival.start()

    def on_message_begin(self) -> None:
        """Begin a request: the first byte of it is here."""
        super().on_message_begin()
        self._arrival.start()

    def on_message_complete(self) -> None:
        """End a request: all of it is here, and the service may take its time to answer."""
        self._arrival.stop()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Wait for the client to take what was sent of an answer."""
        super().pause_writing()
        self._taking.start()

    def resume_writing(self) -> None:
        """Go on: the client has taken what was sent."""
        self._taking.stop()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._arrival.stop()
        self._taking.stop()
        super().connection_lost(exc)

    def _drop(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(TOO_SLOW % (len(REMEDY), REMEDY))
            self.transport.close()


class _Timer:
    """Calls a function once the time for a request is over, unless it is stopped before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop, self._call = loop, call
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start; what runs already goes on."""
        if self._handle is None:
            self._handle = self._loop.call_later(_seconds(), self._call)

    def stop(self) -> None:
        """Stop, if it runs."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


@cache
def _seconds() -> float:
    return Settings().request_seconds
