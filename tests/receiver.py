"""An HTTP receiver of notices, which may be broken or hang."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """What arrived: the titles and texts of messages, in the order of time."""

    address: str = ""
    titles: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

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
    """Start a receiver; ``address`` is its URL for apprise."""
    received = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.titles.append(body["title"])
            received.texts.append(body["message"])
            if answers():
                self.send_response(status)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.address = f"json://me:secret-4711@127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
