"""Downloads give the whole, verified file or nothing. The server runs on the loopback interface."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dagster_project.inputs.sources.download import download
from uplift_core.errors import DataError

CONTENT = bytes(range(256)) * 400
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """A server of ``content`` at /file; it records the Range of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges: list[str | None] = []
        self.knows_ranges = True
        self.breaks_after: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/file")
            self.end_headers()
            return
        if self.path != "/file":
            self.send_error(404)
            return
        requested = self.headers.get("Range")
        self.server.ranges.append(requested)
        start = int(requested.removeprefix("bytes=").removesuffix("-")) if requested else 0
        partial = bool(requested) and self.server.knows_ranges
        body = self.server.content[start:] if partial else self.server.content
        self.send_response(206 if partial else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.breaks_after])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "sources" / "toy.csv"


def part_of(target: Path) -> Path:
    return target.with_name(".toy.csv.part")


def start_with(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(content)


def files(target: Path) -> list[str]:
    return sorted(p.name for p in target.parent.iterdir())


def test_the_whole_file_arrives_and_nothing_else(server: Server, target: Path) -> None:
    download(server.url, target, SIZE, SHA256)
    assert target.read_bytes() == CONTENT
    assert files(target) == ["toy.csv"]
    assert server.ranges == [None]


def test_a_redirect_is_followed(server: Server, target: Path) -> None:
    download(server.url.replace("/file", "/moved"), target, SIZE, SHA256)
    assert target.read_bytes() == CONTENT


def test_an_interrupted_download_is_resumed_where_it_stopped(server: Server, target: Path) -> None:
    server.breaks_after = 1000
    with pytest.raises(DataError, match="not reached"):
        download(server.url, target, SIZE, SHA256)
    assert files(target) == [".toy.csv.part"]
    have = part_of(target).stat().st_size
    assert 0 < have <= 1000
    server.breaks_after = None
    download(server.url, target, SIZE, SHA256)
    assert server.ranges == [None, f"bytes={have}-"]
    assert target.read_bytes() == CONTENT
    assert files(target) == ["toy.csv"]


def test_a_server_without_ranges_starts_over(server: Server, target: Path) -> None:
    start_with(target, CONTENT[:5000])
    server.knows_ranges = False
    download(server.url, target, SIZE, SHA256)
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_complete_is_not_asked_for_again(server: Server, target: Path) -> None:
    start_with(target, CONTENT)
    download(server.url, target, SIZE, SHA256)
    assert server.ranges == []
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_thrown_away(server: Server, target: Path) -> None:
    start_with(target, CONTENT + b"more")
    download(server.url, target, SIZE, SHA256)
    assert server.ranges == [None]
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("start", [b"", b"wrong beginning"], ids=["new", "resumed from another file"])
@pytest.mark.parametrize(
    "content",
    [CONTENT[:-1] + b"\0", CONTENT[:-1], b"<html>not found</html>"],
    ids=["byte", "short", "page"],
)
def test_a_wrong_file_is_discarded(server: Server, target: Path, start: bytes, content: bytes) -> None:
    start_with(target, start)
    server.content = content
    with pytest.raises(DataError, match=f"sha256 .*, expected {SHA256}; discarded"):
        download(server.url, target, SIZE, SHA256)
    assert files(target) == []


def test_an_error_page_is_no_file(server: Server, target: Path) -> None:
    with pytest.raises(DataError, match=r"not reached.*404"):
        download(server.url + "s", target, SIZE, SHA256)
    assert not target.exists()


def test_nobody_there(server: Server, target: Path) -> None:
    url = server.url
    server.server_close()
    with pytest.raises(DataError, match="not reached"):
        download(url, target, SIZE, SHA256)
    assert not target.exists()
