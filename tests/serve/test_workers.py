"""Several workers, whose metrics meet in one folder."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from bench.servers import api_on
from tests.serve.support import publish_again
from uplift_core.artifacts.publication import read_pointer, write_pointer

AGE = "uplift_snapshot_published_timestamp_seconds"


@pytest.fixture
def service(home: Path, tmp_path: Path) -> Iterator[tuple[str, int]]:
    """Address of a service of two workers, and the process id of their parent."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    settings = {"PROMETHEUS_MULTIPROC_DIR": str(folder), "UPLIFT_RETRY_SECONDS": "0.1"}
    with api_on(home, workers=2, **settings) as (url, process):
        yield url, process.pid


def children(pid: int) -> set[int]:
    """Workers: what the parent has started and not lost."""
    workers = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(
                line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line
            )
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        if lines["PPid"] == str(pid) and b"spawn_main" in command:
            workers.add(int(lines["Pid"]))
    return workers


def reported(url: str) -> float:
    """When the snapshot was published, as the metrics have it."""
    text = httpx.get(f"{url}/metrics", trust_env=False).text
    (line,) = (line for line in text.splitlines() if line.startswith(AGE + " "))
    return float(line.split()[1])


def until(condition: Callable[[], bool], seconds: float = 240) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_a_dead_worker_says_nothing_of_the_snapshots_age(service: tuple[str, int], home: Path) -> None:
    url, parent = service
    first = read_pointer(home / "published").published_at
    until(lambda: len(children(parent)) == 2 and reported(url) == pytest.approx(first.timestamp()))
    dead = min(children(parent))
    os.kill(dead, signal.SIGKILL)
    until(lambda: len(children(parent) - {dead}) == 2)  # another one has taken its place
    second = publish_again(home, "second").model_copy(
        update={"published_at": first + timedelta(hours=1)}
    )
    write_pointer(home / "published", second)
    until(
        lambda: reported(url) == pytest.approx(second.published_at.timestamp())
    )  # of workers nobody asked, too
