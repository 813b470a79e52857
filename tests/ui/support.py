"""A stand-in for the API, and the real one, both on a real socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import uvicorn
from streamlit.testing.v1 import AppTest

import ui
from serve.app import create_app
from serve.settings import Settings

APP = Path(ui.__file__).parent / "app.py"
PAGES = {
    "score": "Score a user",
    "sweep": "Budget sweep",
    "who": "Who",
    "evidence": "Evidence",
    "lists": "Tonight's list",
    "realised": "Realised",
    "model": "Model",
}
ANSWER = {
    "decision": "treat",
    "reason": "above_threshold",
    "score_decision": "treat",
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
    "top_share": 0.12,
}


@dataclass
class FakeApi:
    """A fake API that answers every request alike, and records the requests."""

    status: int = 200
    body: object = field(default_factory=lambda: dict(ANSWER))
    delay: float = 0.0
    requests: list[dict] = field(default_factory=list)
    url: str = ""


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    """A fake API that listens on the loopback interface for as long as the context lasts."""
    api = FakeApi()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self._answer(json.loads(self.rfile.read(length)))

        def do_GET(self) -> None:
            self._answer({})

        def _answer(self, body: dict) -> None:
            api.requests.append({"path": self.path, "key": self.headers.get("X-API-Key")} | body)
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


@contextmanager
def real_api(home: Path) -> Iterator[str]:
    """The real API on a home; its address."""
    app = create_app(Settings(home=home))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def run_page(name: str, **query_: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=30)
    for key, value in query_.items():
        app.query_params[key] = value
    app.run()
    if name != "score":
        app.switch_page(f"app_pages/{name}.py").run()
    assert not app.exception, app.exception
    return app


def widget(app: AppTest, kind: str, label: str):
    (widget,) = [w for w in app.get(kind) if w.label.startswith(label)]
    return widget


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}
