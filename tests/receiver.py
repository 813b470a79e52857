"""HTTP receivers of JSON, which may be broken or hang: of notices, webhooks and events."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Call:
    """A request that arrived."""

    headers: Mapping[str, str]
    body: Any


@contextmanager
def json_server(answer: Callable[[int], int | None]) -> Iterator[tuple[int, list[Call]]]:
    """Start a server on the loopback interface; yield its port and the calls, in the order of time.

    ``answer`` returns the status of the n-th call, from 0; None: it is not answered.
    """
    calls: list[Call] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            calls.append(Call(dict(self.headers), json.loads(content)))
            status = answer(len(calls) - 1)
            if status is not None:
                self.send_response(status)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, calls
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Receiver:
    """What arrived: the titles and texts of messages, in the order of time."""

    address: str
    calls: list[Call] = field(default_factory=list)

    @property
    def titles(self) -> list[str]:
        """The titles of the messages."""
        return [call.body["title"] for call in self.calls]

    @property
    def texts(self) -> list[str]:
        """The texts of the messages."""
        return [call.body["message"] for call in self.calls]

    def until(self, n: int, seconds: float = 60) -> list[str]:
        """Wait for ``n`` messages; return the titles after a moment in which more could arrive."""
        limit = time.monotonic() + seconds
        while len(self.titles) < n:
            assert time.monotonic() < limit, f"{self.titles} after {seconds} s"
            time.sleep(0.05)
        time.sleep(0.2)
        return self.titles


@contextmanager
def receiver(*, status: int = 200, answers: Callable[[], bool] = lambda: True) -> Iterator[Receiver]:
    """Start a receiver of notices; ``address`` is its URL for apprise."""
    with json_server(lambda _: status if answers() else None) as (port, calls):
        yield Receiver(f"json://me:secret-4711@127.0.0.1:{port}/", calls)
