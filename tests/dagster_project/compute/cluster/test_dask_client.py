"""Connect to a scheduler: with TLS if it needs it, and to workers that equal this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import distributed
import pytest

from dagster_project.compute.cluster import dask_client as client
from dagster_project.compute.cluster.dask_client import Address, Workers, connected
from uplift_core.errors import DataError, UpliftError


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A scheduler and a worker in this process that accept only TLS."""
    security = distributed.Security.temporary()
    folder = tmp_path_factory.mktemp("tls")
    files = {}
    for name, content in {
        "ca": security.tls_ca_file,
        "certificate": security.tls_client_cert,
        "key": security.tls_client_key,
    }.items():
        files[name] = str(folder / name)
        Path(files[name]).write_text(content)
    with distributed.LocalCluster(
        n_workers=1,
        processes=False,
        security=security,
        protocol="tls",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=50,
    ) as cluster:
        yield Address(cluster.scheduler_address, **files)


def test_tls_files_are_passed_on(secured, tmp_path):
    try:
        workers = connected(secured, tmp_path)
        assert workers.run("largest", max, [(1, 2), (5, 3)]) == [2, 5]
        assert connected(secured, tmp_path) is workers
        assert not list(tmp_path.iterdir())
    finally:
        client.disconnect()


def test_who_brings_no_certificate_is_not_let_in(secured):
    with pytest.raises(UpliftError, match="no scheduler with a worker answered"):
        Workers(Address(secured.scheduler))


def refuse(value: int) -> None:
    raise DataError(f"{value} is refused")


def test_what_a_task_refuses_arrives_as_it_was_said(secured):
    workers = Workers(secured)
    with pytest.raises(DataError, match="7 is refused"):
        workers.run("refuse", refuse, [(7,)])
    workers.close()


def test_a_worker_with_other_versions_is_refused(secured, tmp_path, monkeypatch):
    workers = Workers(secured)
    there = dict(client._environment("missing"))
    other = {"tls://a:1": there | {"duckdb": "1.0.0"}}
    monkeypatch.setattr(workers.client, "run", lambda *_, **__: other)
    with pytest.raises(UpliftError, match=r"worker tls://a:1: duckdb is 1.0.0, here it is"):
        workers.check(tmp_path)
    monkeypatch.setattr(workers.client, "run", lambda *_, **__: {"tls://a:1": there})
    with pytest.raises(UpliftError, match="a file of UPLIFT_HOME is missing, here it is there"):
        workers.check(tmp_path)
    monkeypatch.undo()
    workers.close()


def test_no_scheduler_is_told_before_a_client_is_made(monkeypatch):
    monkeypatch.setattr(client, "WAIT", 1)
    monkeypatch.setattr(distributed, "Client", pytest.fail)
    with pytest.raises(UpliftError, match=r"UPLIFT_CLUSTER = tcp://127.0.0.1:9: no scheduler"):
        Workers(Address("tcp://127.0.0.1:9"))
