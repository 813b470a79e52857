"""A cluster whose workers are threads of this process, so no process starts."""

from __future__ import annotations

from collections.abc import Iterator

import distributed
import pytest

from dagster_project.compute.cluster import dask_client as client
from dagster_project.compute.cluster.dask_client import Address, Workers


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """A cluster of two workers."""
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=50,
    ) as cluster:
        connected = Workers(Address(cluster.scheduler_address))
        yield connected
        client.disconnect()  # close the connection that a test's cluster opened
        connected.close()
