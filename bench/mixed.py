"""Load the API with good and hostile requests at once: no 5xx, and memory stays flat.

    python -m bench.mixed --home HOME [--seconds 300] [--connections 32] [--megabytes 2] [--grown 1.1]

HOME is a home where Hillstrom is published (``make run``); a copy of it is served, since requests enter
suppressions, too. Each connection sends requests without pause, at random: users by attributes and by
id, batches, explanations and policies; users who are suppressed and let in again; what ``bench.hostile``
and ``bench.fuzz_arrow`` send; and bytes that are no HTTP, or end in the middle. Each answer must have
one of its expected statuses. Memory is flat if that of the last fifth of the time is hardly above that
of the second fifth; the first one is warming up.
"""

from __future__ import annotations

import argparse
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from bench.hostile import ARROW, EXPERIMENT, WARM, encoded, requests_of
from bench.servers import api_on, memory
from bench.streams import crashing_stream, damaged, odd_streams, stream_of, valid_streams
from tests.serve.support import copy_home

REFUSED = frozenset({413, 422})
STREAMS = 300  # damaged streams
RAW = (
    b"GET /healthz HTTP/1.1\r\nHost: loc",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n{",
    b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}",
    b"POST /score HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n",
    b"POST /score/batch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nFFFF\r\n{",
    b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(5000)) + b"\r\n",
)


@dataclass(frozen=True)
class Sent:
    """A request, how often it is sent beside the others, and the statuses that its answer may have."""

    kind: str
    method: str
    path: str
    body: bytes = b""
    type: str = "application/json"
    statuses: frozenset[int] = frozenset({200})
    weight: float = 1.0


def good(user: Mapping[str, Any]) -> Iterator[Sent]:
    """Yield requests that are answered."""
    target: dict[str, Any] = {"experiment": EXPERIMENT}
    yield Sent("score", "POST", "/score", encoded(target | {"attributes": user}), weight=30)
    for known in range(1, 200):
        yield Sent("by id", "POST", "/score", encoded(target | {"user_id": known}), weight=0.2)
    yield Sent("explain", "POST", "/explain", encoded(target | {"attributes": user}), weight=5)
    rows, arrow = encoded(target | {"rows": [user] * 500}), pa.Table.from_pylist([dict(user)] * 5000)
    yield Sent("batch", "POST", "/score/batch", rows, weight=5)
    stream = f"/score/batch?experiment={EXPERIMENT}"
    yield Sent("Arrow batch", "POST", stream, stream_of(arrow), ARROW, weight=3)
    for path in ("policy", "policy/sweep", "features", "evidence", "lists"):
        yield Sent(path, "GET", f"/{path}?experiment={EXPERIMENT}", weight=2)
    for path in ("models", "healthz", "readyz", "metrics"):
        yield Sent(path, "GET", f"/{path}", weight=2)
    entered = frozenset({201, 422})  # 422: another connection has lifted it already
    for action in ("suppress", "lift"):
        entry = target | {"user": "7", "reason": "bench", "action": action}
        yield Sent("suppression", "POST", "/suppressions", encoded(entry), statuses=entered)


def hostile(user: Mapping[str, Any], size: int) -> Iterator[Sent]:
    """Yield the largest batches, and what is refused; a body in JSON has up to ``size`` bytes."""
    stream = f"/score/batch?experiment={EXPERIMENT}"
    for number, each in enumerate(requests_of(user, size)):
        allowed = frozenset({each.status}) if number < WARM else REFUSED
        path = stream if each.kind == ARROW else each.path
        weight = 0.1 if number < WARM else 0.5
        yield Sent(each.name, "POST", path, each.body, each.kind, allowed, weight)
    begin = [*valid_streams(user) * 3, *odd_streams(user).values(), crashing_stream(user)]
    rng = random.Random(1)  # noqa: S311 - to be repeated
    for _ in range(STREAMS):
        body = damaged(begin, rng)
        yield Sent("damaged stream", "POST", stream, body, ARROW, REFUSED | {200}, weight=10 / STREAMS)
    yield Sent("another method", "DELETE", "/score", statuses=frozenset({405}))
    yield Sent("no such path", "GET", "/../../etc/passwd", statuses=frozenset({404}))
    yield Sent("no such arm", "GET", "/policy?experiment=%00&arm='", statuses=frozenset({422}))


class Load:
    """Connections that send requests until ``seconds`` have passed; they count kinds and statuses."""

    def __init__(self, url: str, requests: Sequence[Sent], seconds: float) -> None:
        self.url, self.requests = httpx.URL(url), requests
        self.until = time.monotonic() + seconds
        self.statuses: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._weights = [request.weight for request in requests]
        self._lock = threading.Lock()

    def connection(self, seed: int) -> None:
        """Send requests one after the other; one in thirty is raw bytes on another connection."""
        rng = random.Random(seed)  # noqa: S311 - to be repeated
        with httpx.Client(base_url=self.url, trust_env=False, timeout=120) as client:
            while time.monotonic() < self.until:
                if rng.random() < 1 / 30:
                    self._count("raw bytes", self._raw(rng), frozenset({0, 200, 400, 413, 422}))
                    continue
                (request,) = rng.choices(self.requests, self._weights)
                self._count(request.kind, self._status(client, request), request.statuses)

    def _status(self, client: httpx.Client, request: Sent) -> int | str:
        headers = {"content-type": request.type}
        try:
            return client.request(
                request.method, request.path, content=request.body, headers=headers
            ).status_code
        except httpx.TransportError as error:
            return type(error).__name__

    def _raw(self, rng: random.Random) -> int | str:
        """Send bytes and close, sometimes at once; return the status, 0 without an answer."""
        address = self.url.host, self.url.port or 80
        try:
            with socket.create_connection(address, timeout=rng.choice((0.01, 1.0))) as raw:
                raw.sendall(rng.choice(RAW))
                words = raw.recv(100).split(b" ")
                return int(words[1]) if len(words) > 1 else 0
        except (TimeoutError, ConnectionResetError, BrokenPipeError):
            return 0
        except OSError as error:
            return type(error).__name__

    def _count(self, kind: str, status: int | str, allowed: frozenset[int]) -> None:
        with self._lock:
            self.statuses[str(status or "closed")] += 1
            if status not in allowed:
                self.faults[f"{kind}: {status}"] += 1


def main() -> int:
    """Send the load, and print answers and memory. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--megabytes", type=int, default=2, help="of a hostile body in JSON")
    parser.add_argument("--grown", type=float, default=1.1, help="memory at the end, as a factor")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = copy_home(chosen.home, Path(folder) / "home")
        with api_on(home) as (url, process):
            features = httpx.get(f"{url}/features?experiment={EXPERIMENT}", trust_env=False)
            user = features.raise_for_status().json()["example"]
            requests = [*good(user), *hostile(user, chosen.megabytes * 1_000_000)]
            load = Load(url, requests, chosen.seconds)
            resident = loaded(load, process, chosen.connections)
            ended = process.poll()
    count = load.statuses.total()
    print(f"{chosen.connections} connections for {chosen.seconds:.0f} s: {count:,} answers")
    print(f"  statuses: {dict(sorted(load.statuses.items()))}")
    faults = [f"{count} x {fault}" for fault, count in sorted(load.faults.items())]
    faults += [f"the API has ended with {ended}"] if ended is not None else []
    faults += grown(resident, chosen.grown)
    for fault in faults:
        print(f"  {fault}")
    print(f"{len(faults)} faults")
    return 1 if faults else 0


def loaded(load: Load, process: subprocess.Popen[bytes], connections: int) -> list[float]:
    """Run all connections; return resident memory, in MiB, twice a second."""
    resident = []
    with ThreadPoolExecutor(connections) as pool:
        running = [pool.submit(load.connection, seed) for seed in range(connections)]
        while time.monotonic() < load.until and process.poll() is None:
            resident.append(memory(process)[0])
            time.sleep(0.5)
    for connection in running:
        connection.result()
    return resident


def grown(resident: Sequence[float], factor: float) -> list[str]:
    """Print memory by fifths of the time; return a fault if the last is above the second."""
    size = max(len(resident) // 5, 1)
    fifths = [statistics.median(resident[i * size : (i + 1) * size]) for i in range(5)]
    print(f"memory: {', '.join(f'{part:.0f}' for part in fifths)} MiB by fifths of the time")
    return ["memory grows"] if fifths[-1] > factor * fifths[1] else []


if __name__ == "__main__":
    sys.exit(main())
