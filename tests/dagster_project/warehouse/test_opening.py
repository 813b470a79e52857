"""Open a warehouse that another process has open, and receive signals while DuckDB works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dagster_project.warehouse.opening import open_warehouse
from tests.support import opened
from uplift_core.artifacts.home import Home

HOLD = (
    "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
)


@contextmanager
def open_elsewhere(home: Home) -> Iterator[subprocess.Popen[str]]:
    """The warehouse, open in another process until that process's input ends."""
    home.root.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HOLD, str(home.warehouse)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_who_waits_for_the_file_says_for_which_process_and_since_when(tmp_path) -> None:
    home, logged = Home(tmp_path / "home"), []
    with open_elsewhere(home) as other:
        threading.Timer(1.0, other.stdin.close).start()
        with open_warehouse(home, memory_limit="500MB", threads=1, log=logged.append) as db:
            assert db.one("select 1") == (1,)
    assert len(logged) == 2
    assert logged[0].startswith(f"waits for process {other.pid} ({sys.executable} -c import duckdb")
    assert ", which runs since 20" in logged[0]
    assert logged[0].endswith(" UTC and has warehouse.duckdb open")
    assert logged[1].startswith("goes on after ")


def test_a_file_that_is_no_database_is_not_waited_for(tmp_path) -> None:
    home = Home(tmp_path)
    home.warehouse.write_bytes(b"no database " * 1000)
    waits = open_warehouse(home, memory_limit="500MB", threads=1, log=print)
    with pytest.raises(Exception, match="cannot be opened"), waits:
        pass


@pytest.mark.timed
def test_a_signal_while_duckdb_works_ends_the_work_as_a_signal_not_as_an_error(tmp_path) -> None:
    """Without this, DuckDB raises RuntimeError, which a run treats as an ordinary failed step."""
    began = time.monotonic()
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt), opened(Home(tmp_path)) as db:
        db.rows("select sum(a.range * b.range) from range(1_000_000) as a, range(1_000_000) as b")
    assert time.monotonic() - began < 30
