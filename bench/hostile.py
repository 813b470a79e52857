"""Send the largest allowed requests and excessive ones: are other clients answered meanwhile?

    python -m bench.hostile --home HOME [--megabytes 60] [--slowest 100]

HOME is a home where Hillstrom is published (``make run``). The server has one worker; another process
requests ``/healthz`` without pause. Each request must get its expected status, a refusal must be short,
and no probe may wait longer than ``--slowest`` milliseconds. Memory is read after each request, and must
hardly be larger at the end than before.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ctypes import c_bool, c_double
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from bench.servers import api_on, memory
from bench.streams import crashing_stream, odd_streams, stream_of

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
EXPERIMENT = "hillstrom"
MOST_USERS = 100_000
REFUSAL = 8192  # bytes of an answer that refuses
WARM = 3  # number of requests, the largest batches, that are sent once before memory is read
GROWTH = 60.0  # MiB by which memory may grow


@dataclass(frozen=True)
class Request:
    """A request and the status that its answer must have."""

    name: str
    path: str
    body: bytes
    kind: str = JSON
    status: int = 422


def requests_of(user: Mapping[str, Any], size: int) -> Iterator[Request]:
    """Yield the largest batches, then requests to refuse; JSON bodies have up to ``size`` bytes."""
    target = {"experiment": EXPERIMENT}
    table = pa.Table.from_pylist([dict(user)])
    many = pa.concat_tables([table] * MOST_USERS).combine_chunks()
    rows, ids = [user] * MOST_USERS, [*range(1, 64_001)]
    yield Request("100,000 users as JSON", "/score/batch", encoded(target | {"rows": rows}), status=200)
    yield Request("64,000 users by id", "/score/batch", encoded(target | {"user_ids": ids}), status=200)
    yield Request("100,000 users as Arrow", "/score/batch", stream_of(many), ARROW, status=200)
    yield from _json_requests(size)
    yield from _arrow_requests(user)


def _json_requests(size: int) -> Iterator[Request]:
    few, many = (encoded({f"{i:x}": 1 for i in range(n)}) for n in (6000, size // 12))
    yield Request("unknown keys, many", "/score", many, status=413)
    yield Request("unknown keys, many", "/score/batch", many)
    yield Request("unknown keys, 6,000", "/score", few)
    yield Request("unknown keys, 6,000", "/explain", few)
    yield Request("rows of 1", "/score/batch", b'{"rows":[' + b"1," * (size // 2) + b"1]}")
    yield Request("rows of {}", "/score/batch", b'{"rows":[' + b"{}," * (size // 3) + b"{}]}")
    yield Request("user_ids of 'a'", "/score/batch", b'{"user_ids":[' + b'"a",' * (size // 4) + b"1]}")
    yield Request("a long list", "/score/batch", b'{"arm":[' + b"1," * (size // 2) + b"1]}")
    yield Request("a long text", "/score/batch", b'{"arm":"' + b"x" * size + b'"}')
    yield Request("spaces", "/score/batch", b" " * size)
    yield Request("opening brackets", "/score/batch", b'{"rows":' + b"[" * size)


def _arrow_requests(user: Mapping[str, Any]) -> Iterator[Request]:
    name = next(key for key, value in user.items() if isinstance(value, str))
    plain = {key: pa.array([value] * 50) for key, value in user.items()}
    long = pa.table(plain | {name: pa.array(["a" * 1_000_000] * 50)})
    again = pa.concat_tables([long] * 30)
    yield Request("1.5 GB in zstd", "/score/batch", stream_of(again, compression="zstd"), ARROW)
    many = {key: pa.array([value] * MOST_USERS) for key, value in user.items()}
    coded = pa.DictionaryArray.from_arrays(pa.array([0] * MOST_USERS, pa.int32()), ["x" * 20_000])
    yield Request(
        "2 GB in a dictionary", "/score/batch", stream_of(pa.table(many | {name: coded})), ARROW
    )
    for kind, stream in odd_streams(user).items():
        yield Request(kind, "/score/batch", stream, ARROW)
    yield Request("a text before its buffer", "/score/batch", crashing_stream(user), ARROW)


def encoded(value: object) -> bytes:
    """Write a body in JSON."""
    return json.dumps(value).encode()


@contextmanager
def probing(port: int) -> Iterator[Any]:
    """Start a process that requests ``/healthz`` without pause; yield its slowest answer's seconds."""
    context = multiprocessing.get_context("spawn")
    slowest, stop = context.Value(c_double, 0.0), context.Value(c_bool, False)  # noqa: FBT003
    probe = context.Process(target=_probe, args=(port, slowest, stop), daemon=True)
    probe.start()
    try:
        while not slowest.value and probe.is_alive():
            time.sleep(0.01)
        yield slowest
    finally:
        stop.value = True
        probe.join(10)


def _probe(port: int, slowest: Any, stop: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while not stop.value:
        started = time.perf_counter()
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()
            time.sleep(0.1)
        slowest.value = max(slowest.value, time.perf_counter() - started)
        time.sleep(0.002)


def main() -> int:
    """Send all requests and print their costs. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, default=60, help="of a body in JSON")
    parser.add_argument("--slowest", type=float, default=100.0, help="milliseconds of a probe, at most")
    chosen = parser.parse_args()
    with api_on(chosen.home) as (url, process), httpx.Client(trust_env=False, timeout=120) as client:
        answer = client.get(f"{url}/features", params={"experiment": EXPERIMENT})
        user = answer.raise_for_status().json()["example"]
        requests = list(requests_of(user, chosen.megabytes * 1_000_000))
        print(f"{'':27}{'status':>7}{'bytes':>10}{'seconds':>9}{'probe ms':>10}{'MiB':>7}{'most':>7}")
        with probing(httpx.URL(url).port or 80) as slowest:
            for request in requests[:WARM]:
                _send(client, url, request)
            before = memory(process)[0]
            faults = [
                fault
                for request in requests
                for fault in _faults(client, url, process, request, slowest, chosen.slowest)
            ]
        if process.poll() is None:
            after, most = memory(process)
            print(f"memory: {before:.0f} MiB before, {after:.0f} MiB after, {most:.0f} MiB at most")
            if after > before + GROWTH:
                faults.append(f"{after - before:.0f} MiB of memory have stayed")
    for fault in faults:
        print(f"  {fault}")
    print(f"{len(faults)} faults")
    return 1 if faults else 0


def _send(client: httpx.Client, url: str, request: Request) -> httpx.Response:
    return client.post(
        url + request.path,
        params={"experiment": EXPERIMENT} if request.kind == ARROW else {},
        content=request.body,
        headers={"content-type": request.kind},
    )


def _faults(  # noqa: PLR0913, PLR0917 - a client, a server, a request and its limits
    client: httpx.Client,
    url: str,
    process: subprocess.Popen[bytes],
    request: Request,
    slowest: Any,
    limit: float,
) -> list[str]:
    """Send a request and print its costs; return what was wrong."""
    if process.poll() is not None:
        return [f"{request.name}: the API has ended with {process.poll()}"]
    slowest.value = 0.0
    started = time.perf_counter()
    try:
        answer = _send(client, url, request)
    except httpx.TransportError as error:
        return [f"{request.name}: {error!r}"]
    seconds = time.perf_counter() - started
    time.sleep(0.05)  # for the probe that was under way
    late, size = 1000 * slowest.value, len(answer.content)
    print(
        f"{request.name:27}{answer.status_code:7}{size:10,}{seconds:9.2f}{late:10.0f}"
        + "".join(f"{size:7.0f}" for size in memory(process))
    )
    wrong = answer.status_code != request.status or (not answer.is_success and size > REFUSAL)
    return [f"{request.name}: {size} bytes, {late:.0f} ms"] if wrong or late > limit else []


if __name__ == "__main__":
    sys.exit(main())
