"""A PostgreSQL server for one test module; Debian's package, see CONTRIBUTING."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

PASSWORD = "canary-4711"  # noqa: S105 - must be seen nowhere


def binary(name: str) -> str:
    """The path of one of PostgreSQL's programs; the test is skipped, and says so, without it."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    path = str(places[-1]) if places else shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is missing; install Debian's postgresql")
    return path


@contextmanager
def postgres() -> Iterator[str]:
    """Start a server; yield the URI of its database, with the password."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with TemporaryDirectory(prefix="postgres-") as place, _server(Path(place), port):
        yield f"postgresql://shop:{PASSWORD}@127.0.0.1:{port}/postgres"


@contextmanager
def _server(folder: Path, port: int) -> Iterator[None]:
    data, secret = folder / "data", folder / "secret"
    secret.write_text(PASSWORD)
    user = {}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        user = {"user": "postgres"}
        for path in (folder, secret):
            shutil.chown(path, "postgres")

    def run(*command: str) -> None:
        # What a server inherits stays open, so its output is a file.
        with (folder / "output").open("ab") as output:
            subprocess.run(command, check=True, stdout=output, stderr=output, cwd=folder, **user)

    make = [binary("initdb"), "-D", str(data), "-U", "shop", "-A", "scram-sha-256"]
    run(*make, f"--pwfile={secret}")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = [binary("pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log")]
    run(*control, "-o", options, "start")
    try:
        yield
    finally:
        run(*control, "-m", "immediate", "stop")
