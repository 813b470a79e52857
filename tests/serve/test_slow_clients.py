"""Clients that only keep a connection busy are dropped; others are answered."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bench.servers import api_on

SECONDS = 1.0
HEAD = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def url(simulated_home: Path) -> Iterator[str]:
    with api_on(simulated_home, UPLIFT_REQUEST_SECONDS=str(SECONDS)) as (address, _):
        yield address


def connect(url: str) -> socket.socket:
    address = httpx.URL(url)
    assert address.port is not None
    return socket.create_connection((address.host, address.port), 30)


def answer(connection: socket.socket) -> bytes:
    """All that is sent until the service closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b"Content-Length: 100\r\n\r\n{"])
def test_a_request_that_does_not_arrive_is_dropped(url: str, sent: bytes) -> None:
    with connect(url) as connection:
        connection.sendall(sent)
        started = time.perf_counter()
        told = answer(connection)
        assert time.perf_counter() - started > SECONDS / 2
    assert told.startswith(b"HTTP/1.1 408 ")
    assert b"send it faster" in told


def test_one_byte_at_a_time_is_too_slow_and_other_clients_are_answered(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(HEAD)
        with pytest.raises(OSError, match=r"reset|Broken pipe"):  # noqa: PT012 - which byte is the first refused one is chance
            for _ in range(60):
                connection.sendall(b"a")
                time.sleep(0.1)
                assert httpx.get(f"{url}/healthz", trust_env=False).is_success


def test_a_client_that_takes_no_answer_is_dropped(url: str) -> None:
    body = json.dumps({"experiment": "simulated", "user_ids": [*range(1, 4001)] * 25}).encode()
    head = HEAD.replace(b"/score", b"/score/batch") + b"Content-Length: %d\r\n\r\n" % len(body)
    with connect(url) as connection:
        connection.sendall(head + body)
        time.sleep(SECONDS * 6)
        taken = answer(connection)
    head, _, body = taken.partition(b"\r\n\r\n")
    (length,) = re.findall(rb"content-length: (\d+)", head)
    assert 0 < len(body) < int(length)


def test_a_connection_may_be_used_for_longer_than_one_request(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as client:
        for _ in range(4):
            assert client.post("/score", json={"user_id": 1}).is_success
            time.sleep(SECONDS * 0.6)
