"""Put the API under load while snapshots change, and measure its memory over many requests.

    python -m bench.endurance --folder FOLDER [--run HOME] [--swaps 200] [--corrupt 20]
                              [--requests 200000]

The server has one worker. First, snapshots are published again and again, some of them corrupt, while
four clients send requests without pause: no answer may be an error, and every answer must come from
exactly one snapshot. Then memory is measured during many requests. At last SIGTERM is sent under load:
accepted requests must be answered. No line that the server logs may contain an attribute.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Self

import httpx

from serve.release import load_release
from serve.settings import Settings
from tests.serve.support import copy_home, publish_again
from tests.support import run_job, small_simulation

CANARY = 1.2345678987
CLIENTS = 4
PATIENCE = 30.0  # seconds until a busy machine answers from a new snapshot


class Load:
    """Clients that send requests without pause; they count statuses and collect thresholds."""

    def __init__(self, url: str, body: dict[str, object]) -> None:
        self.url, self.body = url, body
        self.statuses: Counter[str] = Counter()
        self.thresholds: dict[str, set[float]] = {}
        self.stopping = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self) -> Self:
        """Start all clients."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all clients."""
        self.stopping.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, snapshot_id: str) -> None:
        """Wait for an answer from a snapshot; after a while it counts as not seen."""
        end = time.monotonic() + PATIENCE
        while snapshot_id not in self.thresholds and time.monotonic() < end:
            time.sleep(0.01)

    def _ask(self) -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not self.stopping.is_set():
                try:
                    answer = client.post(f"{self.url}/score", json=self.body)
                except httpx.TransportError as error:
                    self.statuses[type(error).__name__] += 1
                    continue
                self.statuses[str(answer.status_code)] += 1
                if answer.is_success:
                    decision = answer.json()
                    thresholds = self.thresholds.setdefault(decision["snapshot_id"], set())
                    thresholds.add(decision["threshold"])


def main() -> int:
    """Run all parts and print their figures. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--run", type=Path, help="home of a finished small simulated run, to be copied")
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--corrupt", type=int, default=20)
    parser.add_argument("--requests", type=int, default=200_000)
    chosen = parser.parse_args()
    home = chosen.folder / "endurance"
    shutil.rmtree(home, ignore_errors=True)
    if chosen.run:
        copy_home(chosen.run, home)
    else:
        run_job(small_simulation(), home)
    release = load_release(Settings(home=home))
    (model,) = release.models.values()
    attributes = {c.name: CANARY for c in model.bundle.manifest.raw_columns}
    body = {"attributes": attributes, "learner": "r"}
    expected = {
        release.snapshot.snapshot_id: release.snapshot.threshold("simulated", "treated", "r", 0.3)
    }
    del release, model
    log = home / "server.log"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    faults = 0
    with log.open("w") as lines, _server(home, port, lines) as server:
        url = f"http://127.0.0.1:{port}"
        _wait(url)
        with Load(url, body) as load:
            started = time.monotonic()
            for first in expected:
                load.wait_for(first)
            _swap(home, chosen.swaps, chosen.corrupt, expected, load)
            seconds = time.monotonic() - started
        mixed = {
            key: values
            for key, values in load.thresholds.items()
            if len(values) != 1 or key not in expected or abs(expected[key] - next(iter(values))) > 1e-6  # noqa: PLR2004
        }
        print(
            f"{chosen.swaps} swaps and {chosen.corrupt} corrupt candidates in {seconds:.0f} s: answers "
            f"{dict(load.statuses)}, {len(load.thresholds)} snapshots seen, {len(mixed)} inconsistent"
        )
        faults += len(mixed) + (set(load.statuses) != {"200"})
        faults += _memory(url, body, server.pid, chosen.requests)
        with Load(url, body) as load:
            time.sleep(1)
            load.stopping.set()  # clients finish their current request
            server.send_signal(signal.SIGTERM)
        drained = set(load.statuses) == {"200"}
        print(f"SIGTERM under load: answers {dict(load.statuses)}, exit {server.wait(30)}")
        faults += not drained
    leaked = [line for line in log.read_text().splitlines() if str(CANARY) in line]
    print(f"{sum(1 for _ in log.open())} log lines, {len(leaked)} with an attribute")
    return 1 if faults or leaked else 0


def _server(home: Path, port: int, log: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "uvicorn", "serve.app:from_environment", "--factory"]
    environment = os.environ | {"UPLIFT_HOME": str(home), "UPLIFT_RETRY_SECONDS": "0.05"}
    return subprocess.Popen(  # noqa: S603 - our own server
        [*command, "--port", str(port)],
        env=environment,
        stdout=log,  # type: ignore[arg-type]
        stderr=subprocess.STDOUT,
    )


def _wait(url: str) -> None:
    for _ in range(300):
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("the server does not get ready")


def _swap(home: Path, swaps: int, corrupt: int, expected: dict[str, float], load: Load) -> None:
    """Publish snapshots with different thresholds; now and then one that is truncated."""
    every = max(swaps // corrupt, 1) if corrupt else swaps + 1
    for k in range(1, swaps + 1):
        before = (home / "published" / "CURRENT.json").read_bytes()
        raised = (
            "update scores.simulated set cate_r = cate_r + 1 where user_id > 8 and split = 'holdout'"
        )
        pointer = publish_again(home, f"swap-{k:04d}", raised)
        expected[pointer.snapshot_id] = _threshold(home)
        load.wait_for(pointer.snapshot_id)
        if k % every == 0:
            good = (home / "published" / "CURRENT.json").read_bytes()
            bad = publish_again(home, f"corrupt-{k:04d}")
            os.truncate(home / "published" / bad.file, 4096)
            time.sleep(0.2)
            (home / "published" / "CURRENT.json").write_bytes(good)
        old = json.loads(before)["file"]
        if k > 5:  # noqa: PLR2004 - as many as the batch keeps
            (home / "published" / old).unlink(missing_ok=True)


def _threshold(home: Path) -> float:
    """Read the current snapshot's threshold as the service reads it."""
    release = load_release(Settings(home=home))
    return release.snapshot.threshold("simulated", "treated", "r", 0.3)


def _memory(url: str, body: dict[str, object], pid: int, requests: int) -> int:
    """Print resident memory after a tenth of the requests and after all; return 1 if it grew."""
    resident = []
    with Load(url, body) as load:
        while sum(load.statuses.values()) < requests:
            time.sleep(0.2)
            if len(resident) == 0 and sum(load.statuses.values()) > requests / 10:
                resident.append(_resident(pid))
        resident.append(_resident(pid))
    first, last = resident
    print(
        f"memory: {first:.0f} MiB after {requests // 10:,} requests, {last:.0f} MiB after {requests:,}"
    )
    return int(last > 1.05 * first + 5)


def _resident(pid: int) -> float:
    (line,) = (x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in x)
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
