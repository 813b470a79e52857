"""The health check of containers tells a server that answers from one that does not."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from serve import health_check


class Handler(BaseHTTPRequestHandler):
    """Answers with the status that is the path."""

    def do_GET(self) -> None:
        self.send_response(int(self.path[1:]))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_only_success_is_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which must not be asked

    def check(path: str) -> int:
        monkeypatch.setattr("sys.argv", ["health_check", address + path])
        return health_check.main()

    assert check("/200") == 0
    assert check("/503") == 1
    server.shutdown()
    server.server_close()
    assert check("/200") == 1
    assert capsys.readouterr().err.count(address) == 2
