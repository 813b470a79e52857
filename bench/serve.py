"""Compare the API under load with an endpoint that parses the same request and answers a constant.

    python -m bench.serve --folder FOLDER [--seconds 10]

It needs wrk (Debian's package). Each server has one worker on this machine, which wrk shares. FOLDER is
a home where Hillstrom is published (``make run``). Every request is about another customer, by
attributes or by user id. A batch has 10,000 users.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pyarrow as pa
from fastapi import FastAPI

from serve.release import Release, load_release
from serve.routes.batch import ARROW
from serve.schemas.answers import Decision
from serve.schemas.requests import ScoreRequest
from serve.settings import Settings

USERS = 2000
BATCH = 10_000
CONNECTIONS = (1, 16)
SCRIPT = """
local bodies, i = {}, 0
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  i = i % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[i])
end
"""


def empty() -> FastAPI:
    """Create an application whose /score parses the request and answers a constant."""
    app = FastAPI()
    constant = Decision(
        threshold=0.1, budget=0.3, arm="a", learner="s", outcome="y", experiment="e",
        model_version="v", snapshot_id="s", stale=False, request_id="r", decision_id="d",
        decision="treat", reason="above_threshold", score_decision="treat", score=0.2, response=0.1,
        top_share=0.1, evidence="passed", evidence_reason="because",
    )  # fmt: skip

    @app.post("/score")
    async def score(body: ScoreRequest) -> Decision:  # noqa: ARG001
        return constant

    return app


def main() -> None:
    """Measure both servers and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seconds", type=int, default=10)
    chosen = parser.parse_args()
    release = load_release(Settings(home=chosen.folder))
    names = [c.name for c in release.model("hillstrom").bundle.manifest.raw_columns]
    rows = _customers(release, names)
    with tempfile.TemporaryDirectory() as folder:
        target = {"experiment": "hillstrom", "budget": 0.3}
        requests = {
            "score": [target | {"attributes": row} for row in rows[:USERS]],
            "by id": [target | {"user_id": user} for user in range(1, USERS + 1)],
        }
        for name, each in requests.items():
            (Path(folder) / name).write_text("\n".join(map(json.dumps, each)))
        script = Path(folder) / "post.lua"
        script.write_text(SCRIPT)
        results: dict[tuple[str, int], dict[str, float]] = {}
        for name in ("empty", "score", "by id") * 2:  # interleaved; the second round counts
            factory = "bench.serve:empty" if name == "empty" else "serve.app:from_environment"
            bodies = Path(folder) / ("score" if name == "empty" else name)
            with _server(factory, chosen.folder) as url:
                for connections in CONNECTIONS:
                    results[name, connections] = _wrk(url, script, bodies, connections, chosen.seconds)
        print(f"{'':7}{'connections':>12}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}")
        for (name, connections), figures in results.items():
            print(
                f"{name:7}{connections:12}{figures['rate']:12.0f}{figures['p50']:9.2f}{figures['p99']:9.2f}"
            )
        for connections in CONNECTIONS:
            share = results["score", connections]["rate"] / results["empty", connections]["rate"]
            print(f"score / empty at {connections}: {share:.2f}")
        with _server("serve.app:from_environment", chosen.folder) as url:
            _batches(url, rows)
            _batches_by_id(url, range(1, BATCH + 1))


def _customers(release: Release, names: list[str]) -> list[dict[str, object]]:
    columns = ", ".join(f'"{name}"' for name in names)
    return release.snapshot.rows(f"select {columns} from raw.hillstrom order by user_id limit {BATCH}")


@contextmanager
def _server(factory: str, home: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", factory, "--factory", "--port", str(port)]
    environment = os.environ | {"UPLIFT_HOME": str(home)}
    with subprocess.Popen(  # noqa: S603 - a server of this project
        [*command, "--log-level", "warning", "--no-access-log"], env=environment
    ) as process:
        url = f"http://127.0.0.1:{port}"
        for _ in range(200):
            try:
                if httpx.get(f"{url}/openapi.json", trust_env=False).is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        try:
            yield url
        finally:
            process.send_signal(signal.SIGTERM)


def _wrk(url: str, script: Path, bodies: Path, connections: int, seconds: int) -> dict[str, float]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    done = subprocess.run(  # noqa: S603 - a fixed command
        [*command, f"{url}/score"],
        env=os.environ | {"BODIES": str(bodies)},
        capture_output=True,
        text=True,
        check=True,
    )
    if "Non-2xx" in done.stdout:
        raise SystemExit(done.stdout)
    return {
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1]),  # type: ignore[index]
        "p50": _milliseconds(re.search(r"50%\s+([\d.]+)(us|ms|s)", done.stdout)),
        "p99": _milliseconds(re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)),
    }


def _milliseconds(match: re.Match[str] | None) -> float:
    if match is None:
        raise SystemExit("wrk's output is not as expected")
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match[2]]


def _batches(url: str, rows: list[dict[str, object]]) -> None:
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    kinds = {
        "JSON": {
            "content": json.dumps({"experiment": "hillstrom", "rows": rows}).encode(),
            "headers": {"content-type": "application/json"},
        },
        "Arrow": {
            "content": sink.getvalue().to_pybytes(),
            "headers": {"content-type": ARROW, "accept": ARROW},
            "params": {"experiment": "hillstrom"},
        },
    }
    with httpx.Client(trust_env=False, timeout=60) as client:
        for kind, request in kinds.items():
            seconds = []
            for _ in range(10):
                started = time.perf_counter()
                client.post(f"{url}/score/batch", **request).raise_for_status()  # type: ignore[arg-type]
                seconds.append(time.perf_counter() - started)
            median = sorted(seconds)[len(seconds) // 2]
            rate = len(rows) / median
            print(f"batch as {kind}: {rate:,.0f} users/s ({1000 * median:.0f} ms for {len(rows):,})")


def _batches_by_id(url: str, users: range) -> None:
    body = {"experiment": "hillstrom", "user_ids": [*users]}
    with httpx.Client(trust_env=False, timeout=60) as client:
        for kind, accept in (("JSON", "application/json"), ("Arrow", ARROW)):
            seconds = []
            for _ in range(10):
                started = time.perf_counter()
                answer = client.post(f"{url}/score/batch", json=body, headers={"accept": accept})
                answer.raise_for_status()
                seconds.append(time.perf_counter() - started)
            median = sorted(seconds)[len(seconds) // 2]
            rate = len(users) / median
            print(
                f"batch by id, {kind}: {rate:,.0f} users/s ({1000 * median:.0f} ms for {len(users):,})"
            )


if __name__ == "__main__":
    main()
