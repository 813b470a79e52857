"""A stand-in for the API, on a real socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = {
    "decision": "treat",
    "score": 0.0587,
    "threshold": 0.05,
    "budget": 0.3,
    "arm": "womens",
    "learner": "r",
    "outcome": "visit",
    "experiment": "hillstrom",
    "model_version": "hillstrom-0123456789ab",
    "snapshot_id": "20260101T000000000000Z-hillstrom",
    "response": 0.157,
}


@dataclass
class FakeApi:
    """Answers every POST alike, and remembers what was asked."""

    status: int = 200
    body: object = field(default_factory=lambda: dict(ANSWER))
    delay: float = 0.0
    asked: list[dict] = field(default_factory=list)
    url: str = ""


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    """A fake API that listens on the loopback interface for as long as the context lasts."""
    api = FakeApi()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            api.asked.append({"path": self.path} | json.loads(self.rfile.read(length)))
            time.sleep(api.delay)
            text = api.body if isinstance(api.body, str) else json.dumps(api.body)
            with suppress(BrokenPipeError):  # a client that did not wait
                self.send_response(api.status)
                self.end_headers()
                self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
